"""Search: runs in one transaction of the connection that it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_sessions.store import _words
from langchain_sessions.store._answers import Page, SearchHit, SessionFilter
from langchain_sessions.store._hits import hit_of
from langchain_sessions.store._places import mark, place
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._sqlite._conditions import Conditions, most, session_conditions
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    import sqlite3


def search(
    db: sqlite3.Connection, text: str, where: SessionFilter, limit: int, after: str | None
) -> Page[SearchHit]:
    """Find turns by their texts."""
    limit = most(limit)
    wanted, literal = _words.wanted_in(text)
    conditions = Conditions()
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
    restricting = session_conditions(replace(where, user=None))
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
