"""A project as it is between two changes: what was asked for once is kept, and is not asked for again."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Final

from langchain_sessions.store._facts import facts_of
from langchain_sessions.store._members import parts
from langchain_sessions.store._model import Session
from langchain_sessions.store._reading import turn_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_sessions.store._facts import Facts
    from langchain_sessions.store._model import Turn
    from langchain_sessions.store._phoenix._server import Listed, Server
    from langchain_sessions.store._span import Span

MOST_TRACES: Final = 10_000
"""The latest traces, among which sessions are listed, searched and summed up; a second or two to list."""

_MOST_SESSIONS: Final = 10_000
"""Sessions that are asked for their traces, those of other projects included."""

_BATCH: Final = 100
"""Traces whose spans are read at a time, and sessions that are asked for at a time."""

_logger: Final = logging.getLogger("langchain_sessions")


class Snapshot:
    """What is known of a project. Threads may share it: what two of them ask for is asked twice, no more.

    Args:
        server: Whom to ask.
        revision: The project's revision before anything was asked.
    """

    def __init__(self, server: Server, revision: str) -> None:
        self.revision: Final = revision
        self._server: Final = server
        self._filed: dict[str, list[str]] | None = None
        self._listed: tuple[Sequence[Listed], int] | None = None
        self._turns: Final[dict[str, tuple[Turn, ...]]] = {}
        self._sessions: Final[dict[str, Session]] = {}

    def listed(self) -> Sequence[Listed]:
        """Return the traces that Phoenix files under a session, the one that began last first."""
        return self._all()[0]

    def without_session(self) -> int:
        """Return how many of the latest traces Phoenix files under no session."""
        return self._all()[1]

    def _all(self) -> tuple[Sequence[Listed], int]:
        if self._listed is None:
            found = list(islice(self._server.traces(), MOST_TRACES + 1))
            if len(found) > MOST_TRACES:
                _warn_of_more(self._server.project)
            filed = self._filing({it.trace_id for it in found[:MOST_TRACES]})
            known = {it for traces in filed.values() for it in traces}
            some = (it for it in found[:MOST_TRACES] if it.trace_id in known)
            self._filed = filed
            ordered = tuple(sorted(some, key=lambda it: (it.started_ns, it.trace_id), reverse=True))
            self._listed = ordered, len(found[:MOST_TRACES]) - len(ordered)
        return self._listed

    def turns(self, trace_ids: Sequence[str]) -> list[Turn]:
        """Read the turns of traces, in the order of these; several of one trace that has several sessions."""
        unknown = [it for it in trace_ids if it not in self._turns]
        for start in range(0, len(unknown), _BATCH):
            some = unknown[start : start + _BATCH]
            self._turns.update(dict.fromkeys(some, ()) | self._read(some))
        return [turn for it in trace_ids for turn in self._turns[it]]

    def session(self, session_id: str) -> Session | None:
        """Read a session with all its turns; None if there is none."""
        return self.sessions([session_id])[session_id]

    def sessions(self, session_ids: Sequence[str]) -> dict[str, Session | None]:
        """Read sessions with all their turns.

        The traces that Phoenix files under a session, and those of others in which a span names it.
        """
        unknown = [it for it in dict.fromkeys(session_ids) if it not in self._sessions]
        for start in range(0, len(unknown), _BATCH):
            some = unknown[start : start + _BATCH]
            traces = self._server.naming(some)
            for session_id in some:
                traces.update(self._filed_under(session_id))
            found: dict[str, list[Turn]] = {it: [] for it in some}
            for turn in self.turns(sorted(traces)):
                if turn.session_id in found:
                    found[turn.session_id].append(turn)
            self._sessions.update((key, Session.of(turns)) for key, turns in found.items() if turns)
        return {it: self._sessions.get(it) for it in session_ids}

    def fresh(self, trace_ids: Sequence[str]) -> list[Turn]:
        """Read turns as they are now, whatever is known of them."""
        found = self._read(trace_ids)
        return [turn for it in trace_ids for turn in found.get(it, ())]

    def spans(self, session_id: str, trace_id: str) -> list[Span]:
        """Read the spans of a trace that belong to a session, by start."""
        trace = _ordered(self._server.spans([trace_id]))
        project = self._server.project
        found = parts(_facts(trace, project))
        return [trace[it.key] for part in found if part.session_id == session_id for it in part.members]

    def _filed_under(self, session_id: str) -> Iterable[str]:
        # Who has listed all traces need not ask for those of each session.
        return (
            self._server.filed_under(session_id) if self._filed is None else self._filed.get(session_id, ())
        )

    def _filing(self, trace_ids: set[str]) -> dict[str, list[str]]:
        """Find the sessions under which Phoenix files traces."""
        filed: dict[str, list[str]] = {}
        count = 0
        for session_id, traces in islice(self._server.sessions(), _MOST_SESSIONS):
            if some := [it for it in traces if it in trace_ids]:
                filed[session_id] = some
                count += len(some)
            if count == len(trace_ids):
                break
        return filed

    def _read(self, trace_ids: Sequence[str]) -> dict[str, tuple[Turn, ...]]:
        spans: dict[str, list[Span]] = {}
        for span in self._server.spans(trace_ids):
            spans.setdefault(span.trace_id, []).append(span)
        return {key: _turns(some, self._server.project) for key, some in spans.items()}


def _turns(spans: Iterable[Span], project: str) -> tuple[Turn, ...]:
    """Work out the turns of a trace. All of it is in the project in which Phoenix has filed it."""
    trace = _ordered(spans)
    return tuple(turn_of(part, trace) for part in parts(_facts(trace, project)))


def _facts(trace: Sequence[Span], project: str) -> Iterator[Facts]:
    """The facts of the spans of a trace, without the conversations, by which no trace is found here."""
    for key, span in enumerate(trace):
        yield facts_of(span, key, project)._replace(conversation_id=None)


def _ordered(spans: Iterable[Span]) -> list[Span]:
    unique = {span.span_id: span for span in spans}
    return sorted(unique.values(), key=lambda it: (it.start_ns, -it.end_ns, it.span_id))


def _warn_of_more(project: str) -> None:
    _logger.warning(
        "project %r has more traces than are looked at: sessions are listed, searched and summed up among "
        "the latest %d. A session that is asked for by its id is read whole, however old.",
        project,
        MOST_TRACES,
    )
