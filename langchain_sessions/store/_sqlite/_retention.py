"""Deleting sessions, in steps that are short enough for writers not to notice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import Pruned
from langchain_sessions.store._members import parts
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._ingest import forget_words, next_revision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta

    from langchain_sessions.store._facts import Facts
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


@dataclass
class Tally:
    """What was deleted so far, or would be.

    Attributes:
        sessions: How many sessions.
        turns: Their turns.
        spans: How many spans.
        newest_ns: When the newest of the sessions was active last, or None.
    """

    sessions: int = 0
    turns: int = 0
    spans: int = 0
    newest_ns: int | None = None

    def add(self, turns: int, last_activity_ns: int) -> None:
        """Count a session, but for its spans."""
        self.sessions += 1
        self.turns += turns
        self.newest_ns = max(last_activity_ns, self.newest_ns or last_activity_ns)


def oldest(older_than: timedelta) -> int:
    """Since when a session has to have been active to stay."""
    return max(-_rows.LARGEST, time.time_ns() - int(older_than.total_seconds() * 10**9))


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
    oldest: int | None,
    max_bytes: int | None,
    progress: Callable[[int, int], None] | None,
) -> Pruned:
    """Delete the sessions that were active least recently.

    Args:
        connections: Of the store.
        oldest: Those that were not active since.
        max_bytes: As many as it takes for the file to have at most this size.
        progress: Called with the number of sessions deleted so far and in all.
    """
    before = _size(connections)
    tally = Tally()
    report = progress or _say_nothing
    if oldest is not None:
        _prune_by_age(connections, oldest, tally, report)
        tally.spans += _prune_outside(connections, oldest)
    if max_bytes is not None:
        _prune_by_size(connections, max_bytes, tally, report)
    if tally.spans:
        _tidy(connections)
    smaller = max(0, before - _size(connections))
    return Pruned(tally.sessions, tally.spans, smaller, turns=tally.turns, newest_ns=tally.newest_ns)


def _say_nothing(done: int, total: int) -> None:
    pass


def _prune_by_age(
    connections: Connections, oldest: int, tally: Tally, report: Callable[[int, int], None]
) -> None:
    old = "FROM sessions WHERE last_activity_ns < ?"
    with connections.reading() as db:
        [(total,)] = db.execute(f"SELECT count(*) {old}", (oldest,))
    while True:
        with connections.writing() as db:
            rows = db.execute(
                f"SELECT id, turn_count, last_activity_ns {old} ORDER BY last_activity_ns LIMIT ?",
                (oldest, _SESSIONS_A_STEP),
            ).fetchall()
            _delete_counted(db, rows, tally)
        if not rows:
            return
        report(tally.sessions, max(total, tally.sessions))
        time.sleep(_REST)


def _prune_by_size(
    connections: Connections, max_bytes: int, tally: Tally, report: Callable[[int, int], None]
) -> None:
    before = tally.sessions
    while True:
        with connections.writing() as db:
            in_use = used(db)
            [(left,)] = db.execute("SELECT count(*) FROM sessions")
            if in_use <= max_bytes:
                return
            # No more than the excess needs, if sessions were all of one size.
            needed = max(1, left * (in_use - max_bytes) // in_use)
            rows = db.execute(
                "SELECT id, turn_count, last_activity_ns FROM sessions ORDER BY last_activity_ns LIMIT ?",
                (min(needed, _SESSIONS_A_STEP),),
            ).fetchall()
            # What is outside of sessions is of no more use than a session of its age.
            outside = _delete_outside(db, rows[-1][2] if rows else None)
            tally.spans += outside
            if outside:
                rows = []
            _delete_counted(db, rows, tally)
        if not outside and not rows:
            return
        if rows:
            done = tally.sessions - before
            report(done, done + needed - len(rows))
        time.sleep(_REST)


def _delete_counted(db: sqlite3.Connection, rows: Sequence[tuple[int, int, int]], tally: Tally) -> None:
    """Delete sessions, given as rows of their number, how many turns they have, and their last activity."""
    for _, turns, last_activity_ns in rows:
        tally.add(turns, last_activity_ns)
    if rows:
        tally.spans += delete(db, [row[0] for row in rows])


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
    gone = gone_with(session, _rows.facts_of_trace(db, trace_key))
    db.executemany("DELETE FROM spans WHERE id = ?", [(key,) for key in gone])
    db.execute("UPDATE traces SET is_divided = 1 WHERE id = ?", (trace_key,))
    return len(gone)


def gone_with(session: tuple[str, str], facts: Sequence[Facts]) -> set[int]:
    """Which spans of a trace go with a session, when others have a part of the trace, too."""
    found = parts(facts, is_divided=True)  # it is, as there are several; or one, and once there were more
    kept = {it.key for part in found if (part.session_id, part.project) != session for it in part.members}
    return {it.key for it in facts} - kept


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


def used(db: sqlite3.Connection) -> int:
    """The bytes of the file that hold something."""
    sizes = [db.execute(f"PRAGMA {it}").fetchone()[0] for it in ("page_count", "freelist_count", "page_size")]
    return (sizes[0] - sizes[1]) * sizes[2]


def _size(connections: Connections) -> int:
    with connections.outside_transactions() as db:
        [(pages,)] = db.execute("PRAGMA page_count")
        [(size,)] = db.execute("PRAGMA page_size")
    return pages * size
