"""Reading: each function runs in one transaction of the connection that it is given."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_sessions.store import _words
from langchain_sessions.store._hits import hit_of
from langchain_sessions.store._members import parts
from langchain_sessions.store._model import (
    DayStats,
    Neighbours,
    Page,
    Session,
    SessionFilter,
    SessionStats,
    nanoseconds,
    rank,
)
from langchain_sessions.store._places import mark, place
from langchain_sessions.store._protocol import AmbiguousSessionError, SessionNotFoundError
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._rows import LARGEST, escaped
from langchain_sessions.store._turn import tool_use

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from langchain_sessions.store._model import SearchHit, SessionSummary, Sort, Span, ToolUse, Turn

_SORTS: Final[Mapping[str, str]] = {
    "last_activity": "last_activity_ns",
    "turns": "turn_count",
    "tokens": "prompt_tokens + completion_tokens",
    "latency": "p50_turn_ns",
    "errors": "error_count",
}
"""What is compared. The index of activity is in order; that of sums is read as a whole, and is small."""

_DAY_NS: Final = 24 * 3600 * 10**9

_EPOCH: Final = date(1970, 1, 1)

_MOST_ROWS: Final = 1_000_000_000

_WITHOUT_SESSION: Final = """
SELECT count(*) FROM traces WHERE NOT EXISTS (SELECT 1 FROM turns WHERE trace_key = traces.id)
"""


class Found(NamedTuple):
    """A session's number and its project."""

    key: int
    project: str


class _Conditions:
    """Conditions of a WHERE clause and their values."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.values: list[object] = []

    def add(self, text: str, *values: object) -> None:
        self._texts.append(text)
        self.values += values

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def clause(self) -> str:
        return " AND ".join(self._texts) or "true"


def find(db: sqlite3.Connection, session_id: str, project: str | None) -> Found:
    """Find a session by its id and, if that is not enough, its project."""
    conditions = _Conditions()
    conditions.add("session_id = ?", escaped(session_id))
    if project is not None:
        conditions.add("project = ?", escaped(project))
    rows = db.execute(
        f"SELECT id, project FROM sessions WHERE {conditions.clause} ORDER BY project", conditions.values
    ).fetchall()
    if not rows:
        of = "" if project is None else f" in project {project!r}"
        msg = f"there is no session {session_id!r}{of}"
        raise SessionNotFoundError(msg)
    if len(rows) > 1:
        raise AmbiguousSessionError(session_id, [row[1] for row in rows])
    return Found(*rows[0])


def summary(db: sqlite3.Connection, key: int) -> SessionSummary:
    """Read one session's line."""
    [row] = db.execute(f"SELECT {_rows.SUMMARY} FROM sessions WHERE id = ?", (key,))
    return _rows.summary(row)


def sessions(
    db: sqlite3.Connection, where: SessionFilter, sort: Sort, limit: int, after: str | None
) -> Page[SessionSummary]:
    """List sessions."""
    if sort not in _SORTS:
        msg = f"sort must be one of {', '.join(_SORTS)}, not {sort!r}"
        raise ValueError(msg)
    value = _SORTS[sort]
    limit = _most(limit)
    conditions = _session_conditions(where)
    if after is not None:
        conditions.add(f"({value}, id) < (?, ?)", *place(after, f"sessions by {sort}", int, int))
    order = f"ORDER BY {value} DESC, id DESC"
    rows = db.execute(
        f"SELECT {_rows.SUMMARY}, {value}, id FROM sessions WHERE id IN "
        f"(SELECT id FROM sessions WHERE {conditions.clause} {order} LIMIT ?) {order}",
        (*conditions.values, limit + 1),
    ).fetchall()
    items = tuple(map(_rows.summary, rows[:limit]))
    more = len(rows) > limit > 0
    return Page(items, mark(f"sessions by {sort}", *rows[limit - 1][-2:]) if more else None)


def turns(
    db: sqlite3.Connection,
    key: int,
    limit: int,
    *,
    after: str | None = None,
    before: str | None = None,
    starting_with: str | None = None,
    last: bool = False,
) -> Page[Turn]:
    """Read a part of a session's turns."""
    limit = _most(limit)
    conditions = _Conditions()
    conditions.add("t.session_key = ?", key)
    order = "DESC" if last else ""
    if after is not None:
        conditions.add("(t.started_ns, t.trace_id) > (?, ?)", *_turn_cursor(after))
    if before is not None:
        conditions.add("(t.started_ns, t.trace_id) < (?, ?)", *_turn_cursor(before))
        order = "" if after is not None else "DESC"
    if starting_with is not None:
        at = (
            "SELECT u.started_ns, u.trace_id FROM traces AS x JOIN turns AS u ON u.trace_key = x.id "
            "WHERE x.trace_id = ? AND u.session_key = ?"
        )
        conditions.add(f"(t.started_ns, t.trace_id) >= ({at})", _bytes(starting_with), key)
    rows = db.execute(
        f"SELECT {_rows.TURN}, t.tools FROM turns AS t JOIN sessions AS s ON s.id = t.session_key "
        f"WHERE {conditions.clause} ORDER BY t.started_ns {order}, t.trace_id {order} LIMIT ?",
        (*conditions.values, limit + 1),
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit][::-1] if order else rows[:limit]
    if not rows:
        return Page(())
    items = _with_tools(db, rows)
    has_next = before is not None if order else more
    has_previous = more if order else after is not None or _is_turn_before(db, key, items[0])
    return Page(
        items, _turn_mark(items[-1]) if has_next else None, _turn_mark(items[0]) if has_previous else None
    )


def session(db: sqlite3.Connection, key: int) -> Session:
    """Read a whole session."""
    rows = db.execute(
        f"SELECT {_rows.TURN}, t.tools FROM turns AS t JOIN sessions AS s ON s.id = t.session_key "
        "WHERE t.session_key = ? ORDER BY t.started_ns, t.trace_id",
        (key,),
    ).fetchall()
    return Session.of(_with_tools(db, rows))


def spans(db: sqlite3.Connection, key: int, trace_id: str) -> list[Span]:
    """Read the spans of a trace that belong to the session."""
    if not _is_turn(db, key, trace_id):  # the same id may be a session of another project, whose turn this is
        return []
    [session] = db.execute("SELECT session_id, project FROM sessions WHERE id = ?", (key,))
    of = (
        "FROM traces AS t JOIN spans AS s ON s.trace_key = t.id JOIN origins AS o ON o.id = s.origin_id "
        "WHERE t.trace_id = ?"
    )
    trace = (_bytes(trace_id),)
    [(is_divided,)] = db.execute("SELECT is_divided FROM traces WHERE trace_id = ?", trace)
    facts = (_rows.facts(row) for row in db.execute(f"SELECT {_rows.FACTS} {of}", trace))
    found = parts(facts, is_divided=bool(is_divided))
    members = {it.key for part in found if (part.session_id, part.project) == session for it in part.members}
    rows = db.execute(f"SELECT {_rows.SPAN}, s.id {of} ORDER BY s.start_ns, s.end_ns DESC, s.span_id", trace)
    return [_rows.span(row) for row in rows if row[-1] in members]


def search(
    db: sqlite3.Connection, text: str, where: SessionFilter, limit: int, after: str | None
) -> Page[SearchHit]:
    """Find turns by their texts."""
    limit = _most(limit)
    wanted = _words.phrases(text)
    literal = "" if wanted else _words.literal(text)
    conditions = _Conditions()
    if wanted:
        source = "words AS w CROSS JOIN turns AS t ON t.id = w.rowid"
        number = "w.rowid"  # the index is read from its end; the same by t.id would be sorted
        conditions.add("w.words MATCH ?", _words.match_expression(wanted))
    elif literal:
        source, number = "turns AS t", "t.id"
        pattern = _words.like_pattern(literal)
        conditions.add("(t.input LIKE ? ESCAPE '\\' OR t.output LIKE ? ESCAPE '\\')", pattern, pattern)
    else:
        return Page(())
    if after is not None:
        conditions.add(f"{number} < ?", *place(after, "hits", int))
    if where.user is not None:
        conditions.add("t.user_id = ?", escaped(where.user))
    restricting = _session_conditions(replace(where, user=None))
    if restricting:
        conditions.add(
            f"t.session_key IN (SELECT id FROM sessions WHERE {restricting.clause})", *restricting.values
        )
    rows = db.execute(
        f"SELECT {_rows.TURN}, t.id FROM {source} CROSS JOIN sessions AS s ON s.id = t.session_key "
        f"WHERE {conditions.clause} ORDER BY {number} DESC LIMIT ?",
        (*conditions.values, limit + 1),
    ).fetchall()
    hits = tuple(hit_of(_rows.turn(row), wanted, literal) for row in rows[:limit])
    more = len(rows) > limit > 0
    return Page(hits, mark("hits", rows[limit - 1][-1]) if more else None)


def stats(db: sqlite3.Connection, where: SessionFilter) -> SessionStats:
    """Sum up sessions, or, with a time, the turns in that time."""
    conditions = _Conditions()
    if where.since is not None:
        conditions.add("started_ns >= ?", _nanoseconds(where.since))
    if where.until is not None:
        conditions.add("started_ns < ?", _nanoseconds(where.until))
    if where.user is not None:
        conditions.add("user_id = ?", escaped(where.user))
    restricting = _session_conditions(replace(where, user=None))
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


def _durations(db: sqlite3.Connection, of: str, conditions: _Conditions) -> dict[int, list[int]]:
    """How long turns took, by day; sorted here, in a fraction of the time that SQLite would take."""
    rows = db.execute(
        f"SELECT started_ns / {_DAY_NS}, duration_ns {of} ORDER BY started_ns", conditions.values
    )
    return {day: sorted(row[1] for row in some) for day, some in groupby(rows, itemgetter(0))}


def _projects(db: sqlite3.Connection, of: str, conditions: _Conditions) -> tuple[tuple[str, int], ...]:
    which = f"WHERE id IN (SELECT session_key {of})" if conditions else ""
    rows = db.execute(
        f"SELECT project, count(*) AS n FROM sessions {which} GROUP BY project ORDER BY n DESC, project",
        conditions.values,
    )
    return tuple(rows)


def neighbours(db: sqlite3.Connection, key: int) -> Neighbours:
    """Find the sessions beside one."""
    [(time,)] = db.execute("SELECT last_activity_ns FROM sessions WHERE id = ?", (key,))
    found: list[SessionSummary | None] = []
    for sign, order in ((">", "ASC"), ("<", "DESC")):
        row = db.execute(
            f"SELECT {_rows.SUMMARY} FROM sessions WHERE (last_activity_ns, id) {sign} (?, ?) "
            f"ORDER BY last_activity_ns {order}, id {order} LIMIT 1",
            (time, key),
        ).fetchone()
        found.append(None if row is None else _rows.summary(row))
    return Neighbours(newer=found[0], older=found[1])


def changes(db: sqlite3.Connection, after: str | None, limit: int) -> Page[Turn]:
    """Read the turns that changed after a place."""
    if after is None:
        [(number,)] = db.execute("SELECT revision FROM state")
        return Page((), mark("changes", number, _END))
    rows = db.execute(
        f"SELECT {_rows.TURN}, t.tools, t.revision, t.id FROM turns AS t JOIN sessions AS s "
        "ON s.id = t.session_key WHERE (t.revision, t.id) > (?, ?) ORDER BY t.revision, t.id LIMIT ?",
        (*place(after, "changes", int, int), _most(limit)),
    ).fetchall()
    if not rows:
        return Page((), after)
    return Page(_with_tools(db, [row[:-2] for row in rows]), mark("changes", *rows[-1][-2:]))


def revision(db: sqlite3.Connection) -> str:
    """Read how often the store has changed."""
    [(number,)] = db.execute("SELECT revision FROM state")
    return str(number)


_END: Final = 2**62
"""Behind every turn of a revision."""


def _session_conditions(where: SessionFilter) -> _Conditions:
    conditions = _Conditions()
    if where.project is not None:
        conditions.add("project = ?", escaped(where.project))
    if where.user is not None:
        conditions.add(
            "id IN (SELECT session_key FROM turns INDEXED BY turns_by_start WHERE user_id = ?)",
            escaped(where.user),
        )
    if where.since is not None:
        conditions.add("last_activity_ns >= ?", _nanoseconds(where.since))
    if where.until is not None:
        conditions.add("started_ns < ?", _nanoseconds(where.until))
    if where.has_errors:
        conditions.add("error_count > 0")
    if where.min_turns > 1:
        conditions.add("turn_count >= ?", min(where.min_turns, LARGEST))
    if where.text is not None:
        _add_text(conditions, where.text)
    return conditions


def _add_text(conditions: _Conditions, text: str) -> None:
    wanted = _words.phrases(text)
    if wanted:
        conditions.add(
            "id IN (SELECT session_key FROM turns WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?))",
            _words.match_expression(wanted),
        )
        return
    literal = _words.literal(text)
    if not literal:
        return
    pattern = _words.like_pattern(literal)
    conditions.add(
        "id IN (SELECT session_key FROM turns WHERE input LIKE ? ESCAPE '\\' OR output LIKE ? ESCAPE '\\')",
        pattern,
        pattern,
    )


def _with_tools(db: sqlite3.Connection, rows: Sequence[Any]) -> tuple[Turn, ...]:
    """Read rows of TURN and, last, the numbers of the spans of its tools."""
    numbers = [[int(it) for it in row[-1].split(",")] if row[-1] else [] for row in rows]
    uses = _tool_uses(db, [number for some in numbers for number in some])
    return tuple(
        _rows.turn(row, tuple(uses[it] for it in some)) for row, some in zip(rows, numbers, strict=True)
    )


def _tool_uses(db: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, ToolUse]:
    rows = _rows.select(db, "SELECT id, name, error, attributes FROM spans WHERE id IN ({})", numbers)
    return {number: tool_use(name, json.loads(attributes), error) for number, name, error, attributes in rows}


def _is_turn(db: sqlite3.Connection, key: int, trace_id: str) -> bool:
    row = db.execute(
        "SELECT 1 FROM traces AS t JOIN turns AS u ON u.trace_key = t.id "
        "WHERE t.trace_id = ? AND u.session_key = ?",
        (_bytes(trace_id), key),
    ).fetchone()
    return row is not None


def _is_turn_before(db: sqlite3.Connection, key: int, turn: Turn) -> bool:
    row = db.execute(
        "SELECT 1 FROM turns WHERE session_key = ? AND (started_ns, trace_id) < (?, ?) LIMIT 1",
        (key, turn.started_ns, _bytes(turn.trace_id)),
    ).fetchone()
    return row is not None


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


def _nanoseconds(time: datetime) -> int:
    return max(-LARGEST, min(nanoseconds(time), LARGEST))  # `datetime.max` is a good way to say "whenever"


def _bytes(trace_id: str) -> bytes:
    """A trace's id as it is stored; that of no trace if it is not an id at all."""
    try:
        return bytes.fromhex(trace_id)
    except ValueError:
        return b""


def _most(limit: int) -> int:
    """How many rows to ask for; SQLite takes a negative limit for none at all."""
    return max(0, min(limit, _MOST_ROWS))


def _turn_mark(turn: Turn) -> str:
    return mark("turns", turn.started_ns, turn.trace_id)


def _turn_cursor(text: str) -> tuple[object, object]:
    started, trace_id = place(text, "turns", int, str)
    return started, _bytes(trace_id)
