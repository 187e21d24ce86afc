"""Reading: each function runs in one transaction of the connection that it is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_sessions.store._answers import Neighbours, Page, SessionFilter
from langchain_sessions.store._members import parts
from langchain_sessions.store._model import Session
from langchain_sessions.store._places import mark, place
from langchain_sessions.store._protocol import AmbiguousSessionError, SessionNotFoundError
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._conditions import Conditions, most, session_conditions
from langchain_sessions.store._texts import escaped
from langchain_sessions.store._turn import tool_use

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from langchain_sessions.store._answers import Sort
    from langchain_sessions.store._model import SessionSummary, ToolUse, Turn
    from langchain_sessions.store._span import Span

_SORTS: Final[Mapping[str, str]] = {
    "last_activity": "last_activity_ns",
    "turns": "turn_count",
    "tokens": "prompt_tokens + completion_tokens",
    "latency": "p50_turn_ns",
    "errors": "error_count",
}
"""What is compared. The index of activity is in order; that of sums is read as a whole, and is small."""


class Found(NamedTuple):
    """A session's number and its project."""

    key: int
    project: str


def find(db: sqlite3.Connection, session_id: str, project: str | None) -> Found:
    """Find a session by its id and, if that is not enough, its project."""
    conditions = Conditions()
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
    limit = most(limit)
    conditions = session_conditions(where)
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
    limit = most(limit)
    conditions = Conditions()
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
        (*place(after, "changes", int, int), most(limit)),
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


def _bytes(trace_id: str) -> bytes:
    """A trace's id as it is stored; that of no trace if it is not an id at all."""
    try:
        return bytes.fromhex(trace_id)
    except ValueError:
        return b""


def _turn_mark(turn: Turn) -> str:
    return mark("turns", turn.started_ns, turn.trace_id)


def _turn_cursor(text: str) -> tuple[object, object]:
    started, trace_id = place(text, "turns", int, str)
    return started, _bytes(trace_id)
