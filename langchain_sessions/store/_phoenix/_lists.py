"""Many sessions: listed, sorted and filtered.

It is done here: Phoenix files a trace under one session, whatever its spans say, and sums whole traces up.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_sessions.store._answers import Neighbours, Page
from langchain_sessions.store._model import Session, SessionSummary
from langchain_sessions.store._places import mark, place
from langchain_sessions.store._walk import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from langchain_sessions.store._answers import SessionFilter, Sort
    from langchain_sessions.store._model import Turn
    from langchain_sessions.store._phoenix._server import Listed
    from langchain_sessions.store._phoenix._snapshot import Snapshot

MOST_READ: Final = 2_000
"""Traces that one call reads for a page: some ten seconds. The page may be short then."""

BATCH: Final = 100
"""Traces that are read at a time."""

_VALUES: Final[Mapping[str, Callable[[SessionSummary], int]]] = {
    "last_activity": lambda it: it.last_activity_ns,
    "turns": lambda it: it.turn_count,
    "tokens": lambda it: it.prompt_tokens + it.completion_tokens,
    "latency": lambda it: it.p50_turn_ns,
    "errors": lambda it: it.error_count,
}


class Place(NamedTuple):
    """Where a session is in the list: at the trace of it that ended last.

    Attributes:
        ended_ns: When that trace ended.
        trace_id: Which it is.
        last_activity_ns: When the session was active last: a trace may be the last one of several.
        session_id: The session.
    """

    ended_ns: int
    trace_id: str
    last_activity_ns: int
    session_id: str


def sessions(
    of: Snapshot, where: SessionFilter, sort: Sort, limit: int, after: str | None
) -> Page[SessionSummary]:
    """List sessions."""
    if sort not in _VALUES:
        msg = f"sort must be one of {', '.join(_VALUES)}, not {sort!r}"
        raise ValueError(msg)
    name = f"sessions of Phoenix by {sort}"
    if sort == "last_activity":
        before = None if after is None else Place(*place(after, name, int, str, int, str))
        return _by_activity(of, where, max(0, limit), name, before)
    value = _VALUES[sort]
    found = sorted(
        ((value(session), at.ended_ns, session.id, session) for at, session in wanted(of, where)),
        key=lambda it: it[:3],
        reverse=True,
    )
    if after is not None:
        reached = tuple(place(after, name, int, int, str))
        found = [it for it in found if it[:3] < reached]
    items = tuple(summary_of(it[3]) for it in found[: max(0, limit)])
    return Page(items, mark(name, *found[limit - 1][:3]) if len(found) > limit > 0 else None)


def wanted(of: Snapshot, where: SessionFilter) -> Iterator[tuple[Place, Session]]:
    """Yield the sessions that are wanted, after having read all of them."""
    by_session: dict[str, list[Turn]] = {}
    for turn in of.turns([it.trace_id for it in of.listed()]):
        by_session.setdefault(turn.session_id, []).append(turn)
    ends = _ends(of)
    for turns in by_session.values():
        session = Session.of(turns)
        if matches(session, where, session.turns):
            yield _place(session, ends), session


def neighbours(of: Snapshot, session: Session) -> Neighbours:
    """Find the sessions beside one."""
    at = _place(session, _ends(of))
    traces = _by_end(of)
    older = _walk(of, [it for it in traces if (it.ended_ns, it.trace_id) <= at[:2]])
    newer = _walk(of, [it for it in reversed(traces) if (it.ended_ns, it.trace_id) >= at[:2]], is_upward=True)
    return Neighbours(
        newer=_first(it for place, it in newer if place > at),
        older=_first(it for place, it in older if place < at),
    )


def summary_of(session: Session) -> SessionSummary:
    """The line of a session in a list."""
    return SessionSummary(**{it.name: getattr(session, it.name) for it in fields(SessionSummary)})


def _by_activity(
    of: Snapshot, where: SessionFilter, limit: int, name: str, before: Place | None
) -> Page[SessionSummary]:
    if limit == 0:
        return Page(())
    traces = _by_end(of)
    if before is not None:
        traces = [it for it in traces if (it.ended_ns, it.trace_id) <= before[:2]]
    found: list[SessionSummary] = []
    last: Place | None = None
    for at, session in _walk(of, traces[:MOST_READ]):
        if (before is None or at < before) and matches(session, where, session.turns):
            if len(found) == limit and last is not None:
                return Page(tuple(found), mark(name, *last))
            found.append(summary_of(session))
            last = at
    if len(traces) > MOST_READ:
        end = traces[MOST_READ - 1]
        return Page(tuple(found), mark(name, end.ended_ns, end.trace_id, -1, ""))
    return Page(tuple(found))


def _by_end(of: Snapshot) -> Sequence[Listed]:
    return sorted(of.listed(), key=lambda it: (it.ended_ns, it.trace_id), reverse=True)


def _ends(of: Snapshot) -> dict[str, int]:
    return {it.trace_id: it.ended_ns for it in of.listed()}


def _place(session: Session, ends: Mapping[str, int]) -> Place:
    """The session's place; traces that are too old to be listed are before all others."""
    ended_ns, trace_id = max((ends.get(it.trace_id, 0), it.trace_id) for it in session.turns)
    return Place(ended_ns, trace_id, session.last_activity_ns, session.id)


def _walk(
    of: Snapshot, traces: Iterable[Listed], *, is_upward: bool = False
) -> Iterator[tuple[Place, Session]]:
    """Yield the sessions whose place is among these traces, in their order, as far as they are asked for."""
    ends = _ends(of)
    rest = iter(traces)
    size = BATCH // 10  # who wants a few sessions need not wait for many
    while batch := list(islice(rest, size)):
        ids = [it.session_id for it in of.turns([it.trace_id for it in batch])]
        found = {it.trace_id: list[tuple[Place, Session]]() for it in batch}
        for session in of.sessions(list(dict.fromkeys(ids))).values():
            if session is not None and (at := _place(session, ends)).trace_id in found:
                found[at.trace_id].append((at, session))
        for some in found.values():
            yield from sorted(some, key=lambda it: it[0], reverse=not is_upward)
        size = min(BATCH, size * 2)


def _first(found: Iterator[Session]) -> SessionSummary | None:
    session = next(found, None)
    return None if session is None else summary_of(session)
