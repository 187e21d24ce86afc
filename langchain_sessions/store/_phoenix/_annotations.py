"""Annotations of Phoenix's sessions, which are of one project each, whatever their traces are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_sessions.store._annotation import NOTE, Annotation
from langchain_sessions.store._phoenix._spans import time_of
from langchain_sessions.store._protocol import StoreError
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_sessions.store._phoenix._server import Server

_AT_ONCE: Final = 50
"""Sessions in one question."""

_QUERY: Final = """
query ({}) {{ {} }}
fragment annotated on ProjectSession {{
  project {{ name }}
  sessionAnnotations {{ name label score explanation annotatorKind createdAt updatedAt }}
}}"""

_ONE: Final = "s{0}: getProjectSessionById(sessionId: $s{0}) {{ ...annotated }}"


def annotate(server: Server, session_id: str, annotation: Annotation) -> None:
    """Add an annotation to a session.

    Raises:
        StoreError: If Phoenix has no session of this id, or has it in another project.
    """
    found = _asked(server, [session_id])[session_id]
    if found is None or found["project"]["name"] != server.project:
        where = "under the id of another one" if found is None else "in another project"
        msg = f"Phoenix files session {session_id!r} {where}, so it cannot be annotated here"
        raise StoreError(msg)
    note = escaped(annotation.note)
    if annotation.name == NOTE:
        server.post("v1/session_notes", {"session_id": session_id, "note": note})
        return
    label = None if annotation.label is None else escaped(annotation.label)
    result = {"label": label, "score": annotation.score, "explanation": note or None}
    annotated = {
        "session_id": session_id,
        "name": escaped(annotation.name),
        "annotator_kind": annotation.annotator,
        "result": {key: value for key, value in result.items() if value is not None},
    }
    server.post("v1/session_annotations", [annotated])


def read(server: Server, session_ids: Sequence[str]) -> dict[str, tuple[Annotation, ...]]:
    """Read the annotations of those sessions that have some."""
    known: dict[str, tuple[Annotation, ...]] = {}
    for start in range(0, len(session_ids), _AT_ONCE):
        for session_id, found in _asked(server, session_ids[start : start + _AT_ONCE]).items():
            if found is not None and found["project"]["name"] == server.project:
                some = sorted(found["sessionAnnotations"], key=lambda it: time_of(it["createdAt"]))
                if kept := tuple(map(_annotation, filter(_says_something, some))):
                    known[session_id] = kept
    return known


def _asked(server: Server, session_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    keys = {f"s{number}": it for number, it in enumerate(session_ids)}
    variables = ", ".join(f"${key}: String!" for key in keys)
    query = _QUERY.format(variables, " ".join(map(_ONE.format, range(len(keys)))))
    return {keys[key]: found for key, found in server.ask(query, **keys).items()}


def _says_something(found: Mapping[str, Any]) -> bool:
    judges = found["name"] != NOTE and (found["label"] or found["score"] is not None)
    return bool(found["name"].strip() and (judges or (found["explanation"] or "").strip()))


def _annotation(found: Mapping[str, Any]) -> Annotation:
    is_note = found["name"] == NOTE
    return Annotation(
        name=found["name"],
        label=None if is_note else found["label"],
        score=None if is_note else found["score"],
        note=found["explanation"] or "",
        annotator=found["annotatorKind"],
        time_ns=time_of(found["updatedAt"]),
    )
