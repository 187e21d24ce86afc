"""What was thought of sessions, from stores that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from langchain_sessions.store import AnnotatableSessionStore
from langchain_sessions.store._annotation import NOTE
from langchain_sessions.view._plain import counted, one_line

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


class Thought(NamedTuple):
    """An annotation in a list, or all notes of a session.

    Attributes:
        text: What is shown.
        note: What is to be read behind it; may be empty.
    """

    text: str
    note: str


def thoughts(annotations: Iterable[Annotation]) -> list[Thought]:
    """Write annotations as a list shows them: each judgement, and, at the place of the first, the notes."""
    found: list[Thought] = []
    notes: list[str] = []
    at = 0
    for annotation in annotations:
        if annotation.name != NOTE:
            found.append(Thought(judgement(annotation), annotation.note))
            continue
        at = at if notes else len(found)
        notes.append(annotation.note)
    if notes:
        text = NOTE if len(notes) == 1 else counted(len(notes), NOTE)
        found.insert(at, Thought(text, " · ".join(notes)))
    return found


def judgement(annotation: Annotation) -> str:
    """Write an annotation's name and what it judges, in one line, without its note."""
    said = [one_line(annotation.label)] if annotation.label else []
    said += [f"{annotation.score:g}"] if annotation.score is not None else []
    return f"{one_line(annotation.name)} {', '.join(said)}".strip()


def in_full(annotation: Annotation) -> str:
    """Write an annotation with its note, in one line."""
    return ": ".join(filter(None, (judgement(annotation), one_line(annotation.note))))
