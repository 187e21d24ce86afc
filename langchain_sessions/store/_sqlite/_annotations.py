"""Annotations of sessions: each function runs in one transaction of the connection that it is given."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from langchain_sessions.store._annotation import NOTE, Annotation
from langchain_sessions.store._sqlite._ingest import next_revision
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from langchain_sessions.store._model import SessionSummary


def annotate(db: sqlite3.Connection, key: int, annotation: Annotation) -> None:
    """Keep an annotation in the place of one of its name; a note beside the others."""
    next_revision(db)
    name = escaped(annotation.name)
    if name != NOTE:
        db.execute("DELETE FROM annotations WHERE session_key = ? AND name = ?", (key, name))
    label = None if annotation.label is None else escaped(annotation.label)
    score = None if annotation.score is None else float(annotation.score)  # SQLite has no large integers
    db.execute(
        "INSERT INTO annotations (session_key, name, label, score, note, annotator, time_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, name, label, score, escaped(annotation.note), annotation.annotator, time.time_ns()),
    )


def read(
    db: sqlite3.Connection, sessions: Iterable[SessionSummary]
) -> dict[tuple[str, str], tuple[Annotation, ...]]:
    """Read the annotations of sessions, in the order in which they were written."""
    found: dict[tuple[str, str], tuple[Annotation, ...]] = {}
    for it in sessions:
        rows = db.execute(
            "SELECT a.name, a.label, a.score, a.note, a.annotator, a.time_ns FROM sessions AS s "
            "JOIN annotations AS a ON a.session_key = s.id WHERE s.session_id = ? AND s.project = ? "
            "ORDER BY a.id",
            (it.id, it.project),
        ).fetchall()
        if rows:
            found[it.project, it.id] = tuple(
                Annotation(
                    name=row[0], label=row[1], score=row[2], note=row[3], annotator=row[4], time_ns=row[5]
                )
                for row in rows
            )
    return found
