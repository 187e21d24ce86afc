"""What a prune would delete: read, in one transaction of the connection that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import Pruned
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._retention import Tally, gone_with, used

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_OLD: Final = """
SELECT count(*), coalesce(sum(turn_count), 0), max(last_activity_ns) FROM sessions WHERE last_activity_ns < ?
"""

_OF_OLD: Final = """
SELECT t.trace_key, s.session_id, s.project FROM sessions AS s JOIN turns AS t ON t.session_key = s.id
WHERE s.last_activity_ns < :oldest AND {} EXISTS (
    SELECT 1 FROM turns AS u JOIN sessions AS v ON v.id = u.session_key
    WHERE u.trace_key = t.trace_key AND v.last_activity_ns >= :oldest
)
"""
"""The turns of old sessions whose traces have a part, or have none, that belongs to a session that stays."""

_OUTSIDE: Final = """
FROM spans INDEXED BY spans_without_session WHERE session_id IS NULL AND start_ns {} ?
AND NOT EXISTS (SELECT 1 FROM turns WHERE turns.trace_key = spans.trace_key)
"""


def forecast(db: sqlite3.Connection, oldest: int | None, max_bytes: int | None) -> Pruned:
    """Tell what a prune would delete, and delete nothing.

    By age it is what would go now. By size it is what would go if all spans were of one size: what a session
    takes of the file, in tables and indexes, cannot be known without deleting it.

    Args:
        db: In a transaction.
        oldest: Sessions that were not active since would go.
        max_bytes: The size that the file would have at most.
    """
    tally = Tally() if oldest is None else _by_age(db, oldest)
    before = used(db)
    [(total,)] = db.execute("SELECT count(*) FROM spans")
    a_span = before / max(1, total)
    is_estimate = max_bytes is not None and before > max_bytes
    if max_bytes is not None and is_estimate:
        excess = before - tally.spans * a_span - max_bytes
        _by_size(db, tally, oldest, tally.spans + excess / a_span)
    return Pruned(
        tally.sessions,
        tally.spans,
        round(tally.spans * a_span),
        turns=tally.turns,
        newest_ns=tally.newest_ns,
        is_estimate=is_estimate,
    )


def _by_age(db: sqlite3.Connection, oldest: int) -> Tally:
    """Count what would go by age."""
    [(sessions, turns, newest_ns)] = db.execute(_OLD, (oldest,))
    [(whole,)] = db.execute(
        f"SELECT count(*) FROM spans WHERE trace_key IN (SELECT trace_key FROM ({_OF_OLD.format('NOT')}))",
        {"oldest": oldest},
    )
    [(outside,)] = db.execute(f"SELECT count(*) {_OUTSIDE.format('<')}", (oldest,))
    spans = whole + outside + sum(_of_shared_traces(db, oldest))
    return Tally(sessions, turns, spans, newest_ns)


def _of_shared_traces(db: sqlite3.Connection, oldest: int) -> Iterator[int]:
    """Yield how many spans would go of each trace that a session which stays has a part of."""
    of_traces: dict[int, list[tuple[str, str]]] = {}
    in_order = f"{_OF_OLD.format('')} ORDER BY s.last_activity_ns, s.id"
    for trace_key, session_id, project in db.execute(in_order, {"oldest": oldest}):
        of_traces.setdefault(trace_key, []).append((session_id, project))
    for trace_key, sessions in of_traces.items():
        facts = _rows.facts_of_trace(db, trace_key)
        before = len(facts)
        for session in sessions:  # one after the other, as they would go
            gone = gone_with(session, facts)
            facts = [it for it in facts if it.key not in gone]
        yield before - len(facts)


def _by_size(db: sqlite3.Connection, tally: Tally, oldest: int | None, needed: float) -> None:
    """Go on with what was active least recently until so many spans are gone."""
    since = -_rows.LARGEST if oldest is None else oldest
    outside = db.execute(f"SELECT start_ns {_OUTSIDE.format('>=')} ORDER BY start_ns", (since,))
    start_ns = _next(outside)
    for turns, spans, last_activity_ns in db.execute(
        "SELECT turn_count, span_count, last_activity_ns FROM sessions WHERE last_activity_ns >= ? "
        "ORDER BY last_activity_ns",
        (since,),
    ):
        while start_ns is not None and start_ns < last_activity_ns and tally.spans < needed:
            tally.spans, start_ns = tally.spans + 1, _next(outside)
        if tally.spans >= needed:
            return
        tally.add(turns, last_activity_ns)
        tally.spans += spans
    while start_ns is not None and tally.spans < needed:
        tally.spans, start_ns = tally.spans + 1, _next(outside)


def _next(rows: sqlite3.Cursor) -> int | None:
    row = rows.fetchone()
    return None if row is None else row[0]
