"""Deleting sessions, in steps that are short enough for writers not to notice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import Pruned
from langchain_sessions.store._members import parts
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._ingest import forget_words, next_revision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta

    from langchain_sessions.store._sqlite._connections import Connections

_SESSIONS_A_STEP: Final = 100
_SPANS_A_STEP: Final = 5_000
_PAGES_A_STEP: Final = 1_000
"""What one transaction deletes, or moves: some hundredths of a second."""

_REST: Final = 0.002
"""Seconds between two steps, in which another process that waits to write gets its turn."""

_CHECKPOINT_WAIT_MS: Final = 200
"""For how long writers may be kept waiting for readers who still need the log."""

_MOST_MERGES: Final = 10_000
"""Steps of tidying the index of words; it is tidy when a step has nothing to do."""


def delete(db: sqlite3.Connection, keys: Sequence[int]) -> int:
    """Delete sessions, in the transaction of the connection; return how many spans they had.

    In a trace of several sessions, the spans of the others stay. What belongs to none goes too, since it may
    have the words of the one that is deleted.
    """
    next_revision(db)
    spans = 0
    for key in keys:
        [session] = db.execute("SELECT session_id, project FROM sessions WHERE id = ?", (key,))
        for turn_id, trace_key, said, answered in db.execute(
            "SELECT id, trace_key, input, output FROM turns WHERE session_key = ?", (key,)
        ).fetchall():
            forget_words(db, turn_id, said, answered)
            spans += _delete_spans(db, trace_key, key, session)
            _forget_empty(db, [trace_key])
        db.execute("DELETE FROM turns WHERE session_key = ?", (key,))
        db.execute("DELETE FROM sessions WHERE id = ?", (key,))
    return spans


def prune(
    connections: Connections,
    older_than: timedelta | None,
    max_bytes: int | None,
    progress: Callable[[int, int], None] | None,
) -> Pruned:
    """Delete the sessions that were active least recently."""
    before = _size(connections)
    sessions = spans = 0
    report = progress or _say_nothing
    if older_than is not None:
        oldest = max(-_rows.LARGEST, time.time_ns() - int(older_than.total_seconds() * 10**9))
        sessions, spans = _prune_by_age(connections, oldest, report)
        spans += _prune_outside(connections, oldest)
    if max_bytes is not None:
        more_sessions, more_spans = _prune_by_size(connections, max_bytes, report)
        sessions, spans = sessions + more_sessions, spans + more_spans
    if spans:
        _tidy(connections)
    return Pruned(sessions, spans, max(0, before - _size(connections)))


def _say_nothing(done: int, total: int) -> None:
    pass


def _prune_by_age(
    connections: Connections, oldest: int, report: Callable[[int, int], None]
) -> tuple[int, int]:
    old = "FROM sessions WHERE last_activity_ns < ?"
    with connections.reading() as db:
        [(total,)] = db.execute(f"SELECT count(*) {old}", (oldest,))
    sessions = spans = 0
    while True:
        with connections.writing() as db:
            keys = _keys(db, f"SELECT id {old} ORDER BY last_activity_ns LIMIT ?", oldest, _SESSIONS_A_STEP)
            spans += delete(db, keys) if keys else 0
        if not keys:
            return sessions, spans
        sessions += len(keys)
        report(sessions, max(total, sessions))
        time.sleep(_REST)


def _prune_by_size(
    connections: Connections, max_bytes: int, report: Callable[[int, int], None]
) -> tuple[int, int]:
    sessions = spans = 0
    while True:
        with connections.writing() as db:
            used = _used(db)
            [(left,)] = db.execute("SELECT count(*) FROM sessions")
            if used <= max_bytes:
                return sessions, spans
            # No more than the excess needs, if sessions were all of one size.
            needed = max(1, left * (used - max_bytes) // used)
            rows = db.execute(
                "SELECT id, last_activity_ns FROM sessions ORDER BY last_activity_ns LIMIT ?",
                (min(needed, _SESSIONS_A_STEP),),
            ).fetchall()
            # What is outside of sessions is of no more use than a session of its age.
            outside = _delete_outside(db, rows[-1][1] if rows else None)
            keys = [] if outside else [row[0] for row in rows]
            spans += outside + (delete(db, keys) if keys else 0)
        if not outside and not keys:
            return sessions, spans
        if keys:
            sessions += len(keys)
            report(sessions, sessions + needed - len(keys))
        time.sleep(_REST)


def _prune_outside(connections: Connections, oldest: int) -> int:
    spans = 0
    while True:
        with connections.writing() as db:
            deleted = _delete_outside(db, oldest)
        spans += deleted
        if deleted < _SPANS_A_STEP:
            return spans
        time.sleep(_REST)


def _delete_outside(db: sqlite3.Connection, before: int | None) -> int:
    """Delete some thousand spans of traces in which no span names a session, if they began before a time."""
    rows = db.execute(
        "SELECT id, trace_key FROM spans INDEXED BY spans_without_session "
        "WHERE session_id IS NULL AND start_ns < ? "
        "AND NOT EXISTS (SELECT 1 FROM turns WHERE turns.trace_key = spans.trace_key) LIMIT ?",
        (_rows.LARGEST if before is None else before, _SPANS_A_STEP),
    ).fetchall()
    db.executemany("DELETE FROM spans WHERE id = ?", [(key,) for key, _ in rows])
    _forget_empty(db, {trace_key for _, trace_key in rows})
    return len(rows)


def _forget_empty(db: sqlite3.Connection, traces: Iterable[int]) -> None:
    """Delete those of the traces that have no spans any more."""
    db.executemany(
        "DELETE FROM traces WHERE id = ? AND NOT EXISTS (SELECT 1 FROM spans WHERE trace_key = traces.id)",
        [(it,) for it in traces],
    )


def _delete_spans(db: sqlite3.Connection, trace_key: int, key: int, session: tuple[str, str]) -> int:
    shared = db.execute(
        "SELECT 1 FROM turns WHERE trace_key = ? AND session_key <> ?", (trace_key, key)
    ).fetchone()
    if not shared:
        return db.execute("DELETE FROM spans WHERE trace_key = ?", (trace_key,)).rowcount
    rows = db.execute(
        f"SELECT {_rows.FACTS} FROM spans AS s JOIN origins AS o ON o.id = s.origin_id WHERE s.trace_key = ?",
        (trace_key,),
    )
    facts = [_rows.facts(row) for row in rows]
    found = parts(facts, is_divided=True)  # it is, as there are several; or one, and once there were more
    kept = {it.key for part in found if (part.session_id, part.project) != session for it in part.members}
    gone = [(it.key,) for it in facts if it.key not in kept]
    db.executemany("DELETE FROM spans WHERE id = ?", gone)
    db.execute("UPDATE traces SET is_divided = 1 WHERE id = ?", (trace_key,))
    return len(gone)


def _tidy(connections: Connections) -> None:
    """Let the index forget the words that were deleted, and give free pages back to the file system."""
    for number in range(_MOST_MERGES):
        with connections.writing() as db:
            before = db.total_changes
            pages = -_PAGES_A_STEP if number == 0 else _PAGES_A_STEP
            db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
            if number and db.total_changes - before < 2:  # SQLite's documentation says what it means
                break
    for _ in _free_pages(connections):
        time.sleep(_REST)


def _free_pages(connections: Connections) -> Iterator[int]:
    while True:
        with connections.writing() as db:
            [(free,)] = db.execute("PRAGMA freelist_count")
            db.execute(f"PRAGMA incremental_vacuum({_PAGES_A_STEP})").fetchall()
            [(left,)] = db.execute("PRAGMA freelist_count")
        if left == 0 or left == free:
            break
        yield left
    with connections.outside_transactions() as db:
        # Most of the log goes into the file without anybody waiting. For the rest writers wait; but they must
        # not wait for a reader who takes his time.
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        [(wait,)] = db.execute("PRAGMA busy_timeout")
        db.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}").fetchall()
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            db.execute(f"PRAGMA busy_timeout = {wait}").fetchall()


def _keys(db: sqlite3.Connection, statement: str, *values: object) -> list[int]:
    return [row[0] for row in db.execute(statement, values)]


def _used(db: sqlite3.Connection) -> int:
    """The bytes of the file that hold something."""
    sizes = [db.execute(f"PRAGMA {it}").fetchone()[0] for it in ("page_count", "freelist_count", "page_size")]
    return (sizes[0] - sizes[1]) * sizes[2]


def _size(connections: Connections) -> int:
    with connections.outside_transactions() as db:
        [(pages,)] = db.execute("PRAGMA page_count")
        [(size,)] = db.execute("PRAGMA page_size")
    return pages * size
