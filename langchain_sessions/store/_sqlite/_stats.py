"""Sums over sessions: each function runs in one transaction of the connection that it is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import DayStats, SessionFilter, SessionStats
from langchain_sessions.store._measures import rank
from langchain_sessions.store._sqlite._conditions import Conditions, session_conditions, stored_time
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_DAY_NS: Final = 24 * 3600 * 10**9

_EPOCH: Final = date(1970, 1, 1)

_WITHOUT_SESSION: Final = """
SELECT count(*) FROM traces WHERE NOT EXISTS (SELECT 1 FROM turns WHERE trace_key = traces.id)
"""


def stats(db: sqlite3.Connection, where: SessionFilter) -> SessionStats:
    """Sum up sessions, or, with a time, the turns in that time."""
    conditions = Conditions()
    if where.since is not None:
        conditions.add("started_ns >= ?", stored_time(where.since))
    if where.until is not None:
        conditions.add("started_ns < ?", stored_time(where.until))
    if where.user is not None:
        conditions.add("user_id = ?", escaped(where.user))
    restricting = session_conditions(replace(where, user=None))
    if restricting:
        conditions.add(
            f"session_key IN (SELECT id FROM sessions WHERE {restricting.clause})", *restricting.values
        )
    of = f"FROM turns INDEXED BY turns_by_day WHERE {conditions.clause}"
    sums = "count(DISTINCT session_key), count(*), sum(failed), sum(prompt_tokens), sum(completion_tokens)"
    more = "sum(span_count), sum(cost), count(DISTINCT user_id)"
    [total] = db.execute(f"SELECT {sums}, {more} {of}", conditions.values)
    days = db.execute(
        f"SELECT started_ns / {_DAY_NS} AS day, {sums} {of} GROUP BY day", conditions.values
    ).fetchall()
    durations = _durations(db, of, conditions)
    every = sorted(chain.from_iterable(durations.values()))
    [(outside,)] = db.execute(_WITHOUT_SESSION)
    return SessionStats(
        sessions=total[0],
        users=total[7],
        turns=total[1],
        spans=total[5] or 0,
        errors=total[2] or 0,
        prompt_tokens=total[3] or 0,
        completion_tokens=total[4] or 0,
        cost=total[6],
        p50_turn_ns=every[rank(len(every), 50)] if every else None,
        p95_turn_ns=every[rank(len(every), 95)] if every else None,
        traces_without_session=outside,
        projects=_projects(db, of, conditions),
        days=tuple(_day(row, durations[row[0]]) for row in days),
    )


def _durations(db: sqlite3.Connection, of: str, conditions: Conditions) -> dict[int, list[int]]:
    """How long turns took, by day; sorted here, in a fraction of the time that SQLite would take."""
    rows = db.execute(
        f"SELECT started_ns / {_DAY_NS}, duration_ns {of} ORDER BY started_ns", conditions.values
    )
    return {day: sorted(row[1] for row in some) for day, some in groupby(rows, itemgetter(0))}


def _projects(db: sqlite3.Connection, of: str, conditions: Conditions) -> tuple[tuple[str, int], ...]:
    which = f"WHERE id IN (SELECT session_key {of})" if conditions else ""
    rows = db.execute(
        f"SELECT project, count(*) AS n FROM sessions {which} GROUP BY project ORDER BY n DESC, project",
        conditions.values,
    )
    return tuple(rows)


def _day(row: Sequence[int], durations: Sequence[int]) -> DayStats:
    return DayStats(
        day=_EPOCH + timedelta(days=row[0]),
        sessions=row[1],
        turns=row[2],
        errors=row[3],
        prompt_tokens=row[4],
        completion_tokens=row[5],
        p50_turn_ns=durations[rank(len(durations), 50)],
        p95_turn_ns=durations[rank(len(durations), 95)],
    )
