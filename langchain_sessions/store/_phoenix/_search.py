"""Turns found by what was said in them. Phoenix searches for no words, and may take minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from langchain_sessions.store import _words
from langchain_sessions.store._answers import Page, SessionFilter
from langchain_sessions.store._hits import hit_of, is_in
from langchain_sessions.store._phoenix._lists import BATCH, MOST_READ
from langchain_sessions.store._places import mark, place
from langchain_sessions.store._walk import matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_sessions.store._answers import SearchHit
    from langchain_sessions.store._model import Turn
    from langchain_sessions.store._phoenix._server import Listed
    from langchain_sessions.store._phoenix._snapshot import Snapshot

_HITS = "hits of Phoenix"

_EVERYTHING = SessionFilter()


class _Place(NamedTuple):
    """Where a turn is among all: at its trace, which may have several.

    Attributes:
        began_ns: When its trace began.
        trace_id: Which it is.
        started_ns: When the turn began.
        session_id: Its session.
    """

    began_ns: int
    trace_id: str
    started_ns: int
    session_id: str


def search(of: Snapshot, text: str, where: SessionFilter, limit: int, after: str | None) -> Page[SearchHit]:
    """Find turns by their texts, the one that began last first."""
    phrases, literal = _words.wanted_in(text)
    before = None if after is None else _Place(*place(after, _HITS, int, str, int, str))
    if limit <= 0 or not (phrases or literal):
        return Page(())
    traces = of.listed()
    if before is not None:
        traces = [it for it in traces if (it.started_ns, it.trace_id) <= before[:2]]
    hits: list[SearchHit] = []
    last: _Place | None = None
    for at, turn in _turns(of, traces[:MOST_READ]):
        if before is not None and at >= before:
            continue
        if is_in((turn.input, turn.output), phrases, literal) and _is_wanted(of, turn, where):
            if len(hits) == limit and last is not None:
                return Page(tuple(hits), mark(_HITS, *last))
            hits.append(hit_of(replace(turn, tools=()), phrases, literal))
            last = at
    if len(traces) > MOST_READ:
        end = traces[MOST_READ - 1]
        return Page(tuple(hits), mark(_HITS, end.started_ns, end.trace_id, -1, ""))
    return Page(tuple(hits))


def _turns(of: Snapshot, traces: Sequence[Listed]) -> Iterator[tuple[_Place, Turn]]:
    """Yield turns and their places, the last one first."""
    for start in range(0, len(traces), BATCH):
        some = traces[start : start + BATCH]
        began = {it.trace_id: it.started_ns for it in some}
        turns = of.turns([it.trace_id for it in some])
        found = [(_Place(began[it.trace_id], it.trace_id, it.started_ns, it.session_id), it) for it in turns]
        yield from sorted(found, key=lambda it: it[0], reverse=True)


def _is_wanted(of: Snapshot, turn: Turn, where: SessionFilter) -> bool:
    if where == _EVERYTHING:
        return True
    if where.user is not None and turn.user != where.user:
        return False
    session = of.session(turn.session_id)
    return session is not None and matches(session, where, session.turns)
