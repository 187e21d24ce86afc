"""What was thought of sessions, from stores that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from langchain_sessions.store import AnnotatableSessionStore
from langchain_sessions.view._plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_sessions.store import Annotation, SessionStore, SessionSummary

Annotated: TypeAlias = "Mapping[tuple[str, str], tuple[Annotation, ...]]"
"""Annotations by project and session id."""


def annotated(store: SessionStore, sessions: Iterable[SessionSummary]) -> Annotated:
    """Read the annotations of sessions; none if the store keeps none."""
    return store.annotations(sessions) if isinstance(store, AnnotatableSessionStore) else {}


def annotations_of(annotations: Annotated, session: SessionSummary) -> tuple[Annotation, ...]:
    """Those of one session."""
    return annotations.get((session.project, session.id), ())


def judgement(annotation: Annotation) -> str:
    """Write an annotation's name and what it judges, in one line, without its note."""
    said = [one_line(annotation.label)] if annotation.label else []
    said += [f"{annotation.score:g}"] if annotation.score is not None else []
    return f"{one_line(annotation.name)} {', '.join(said)}".strip()


def in_full(annotation: Annotation) -> str:
    """Write an annotation with its note, in one line."""
    return ": ".join(filter(None, (judgement(annotation), one_line(annotation.note))))
