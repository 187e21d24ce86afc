"""Which spans of a trace belong to which session, and which of them speak for the turn. Pure.

The rule, in full:

* If no span of the trace names a session, its conversations (`gen_ai.conversation.id`) are its sessions. If
  one does, they are not: a client may keep a conversation of its own, with another id, in each of its calls.
* A span that names a session belongs to it, and to no other.
* A span that names none belongs to the session of its nearest ancestor that does.
* A span of another library above one that names a session (a web server's above the run) belongs to the
  session if the trace has exactly one. Not when the others were deleted: a trace that was divided stays so.
* Everything else belongs to none. A run above several conversations, or beside one, and whatever is called
  there, has words that may be another's.

One id in two projects is two sessions, unless one calls the other: what a service does inside a turn of
another one belongs to that turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_sessions.store._conventions import AGENT, LLM, TOOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from langchain_sessions.store._facts import Facts

_ById = dict[str, "Facts"]


class Part(NamedTuple):
    """The part of a trace that belongs to one session.

    Attributes:
        session_id: The session.
        members: Its spans, by start.
        heads: The outermost of those that name the session, by start. Several when their parents are not
            at hand, or name none.
        speakers: The outermost spans that have a kind, by start: what they took and gave is the turn.
        models: The model calls, by start, without those inside another one.
        tools: The calls of tools, by start, each once.
        counted: The model calls whose tokens count, and agents inside which no model call has any.
        is_complete: Whether no head waits for a span around it.
    """

    session_id: str
    members: Sequence[Facts]
    heads: Sequence[Facts]
    speakers: Sequence[Facts]
    models: Sequence[Facts]
    tools: Sequence[Facts]
    counted: Sequence[Facts]
    is_complete: bool

    @property
    def project(self) -> str:
        """The project of the first head."""
        return self.heads[0].project

    @property
    def user(self) -> str | None:
        """The user that the first of the heads names, else the first of the members."""
        return next((it.user for it in (*self.heads, *self.members) if it.user is not None), None)

    @property
    def started_ns(self) -> int:
        """When the first head began."""
        return self.heads[0].start_ns

    @property
    def duration_ns(self) -> int:
        """From the first head's beginning to the last one's end; 0 if clocks say that it ended before."""
        return max(0, max(it.end_ns for it in self.heads) - self.started_ns)

    @property
    def prompt_tokens(self) -> int:
        """Tokens sent to models."""
        return sum(it.prompt_tokens for it in self.counted)

    @property
    def completion_tokens(self) -> int:
        """Tokens received from models."""
        return sum(it.completion_tokens for it in self.counted)

    @property
    def cost(self) -> float | None:
        """What the model calls cost, or None when none of them says so."""
        costs = [it.cost for it in self.counted if it.cost is not None]
        return sum(costs) if costs else None

    @property
    def error(self) -> str | None:
        """The error of the first head that has one, or None."""
        return next((it.error for it in self.heads if it.error is not None), None)


def parts(trace: Iterable[Facts], *, is_divided: bool = False) -> list[Part]:
    """Divide a trace among the sessions that its spans name.

    Args:
        trace: The spans of one trace, in any order; each of them once.
        is_divided: Whether the trace had spans of other sessions, too, which were deleted.

    Returns:
        One part for each session; none if no span names one.
    """
    spans = sorted(trace, key=_by_start)
    sessions = {span.session_id for span in spans} - {None}
    if not sessions:
        spans = [it._replace(session_id=it.conversation_id) for it in spans]
        sessions = {span.session_id for span in spans} - {None}
    if not sessions:
        return []
    by_id = {span.span_id: span for span in spans}
    only = sessions.pop() if len(sessions) == 1 and not is_divided else None
    is_named = all(span.session_id is not None for span in spans)
    if only is not None and is_named and len({span.project for span in spans}) == 1:  # as most traces are
        return [_part(only, spans, by_id, by_id)]
    belongs: dict[str, str | None] = {}
    members: dict[str, list[Facts]] = {}
    above = _above(spans, by_id) if only is not None else set[str]()
    for span in spans:
        session = only if span.span_id in above else _resolve(span, by_id, belongs)
        if session is not None:
            members.setdefault(session, []).append(span)
    return [
        _part(session, some, {it.span_id: it for it in some}, by_id)
        for session, found in members.items()
        for some in _by_project(found)
    ]


def _above(spans: Iterable[Facts], by_id: _ById) -> set[str]:
    """The spans of other libraries above those that name a session, and that name none themselves."""
    above: set[str] = set()
    walked: set[str] = set()
    for span in spans:
        at = by_id.get(span.parent_id or "") if span.session_id is not None else None
        while at is not None and at.session_id is None and at.span_id not in walked:
            walked.add(at.span_id)
            if at.kind == "":
                above.add(at.span_id)
            at = by_id.get(at.parent_id or "")
    return above


def _by_project(members: list[Facts]) -> list[list[Facts]]:
    """Divide the members of a session by the project of the head that each is below."""
    if len({span.project for span in members}) == 1:
        return [members]
    by_id = {span.span_id: span for span in members}
    heads = _outermost(members, by_id, lambda span: span.session_id is not None)
    projects = {head.span_id: head.project for head in heads}
    if len(set(projects.values())) == 1:
        return [members]
    divided: dict[str, list[Facts]] = {}
    for span in members:
        at: Facts | None = span
        for _ in members:  # a circle ends, too
            if at is None or at.span_id in projects:
                break
            at = by_id.get(at.parent_id or "")
        if at is not None and at.span_id in projects:  # what is above several heads is nobody's
            divided.setdefault(projects[at.span_id], []).append(span)
    return list(divided.values())


def _part(session_id: str, members: Sequence[Facts], by_id: _ById, trace: _ById) -> Part:
    heads = _outermost(members, by_id, lambda span: span.session_id is not None)
    speakers = _outermost(members, by_id, lambda span: span.kind != "")
    models = _outermost(members, by_id, lambda span: span.kind == LLM)
    is_complete = not any(it.awaits_parent and it.parent_id not in trace for it in heads)
    return Part(
        session_id,
        members,
        heads,
        speakers,
        models,
        _tools(members, by_id),
        _counted(members, by_id),
        is_complete,
    )


def _tools(members: Iterable[Facts], by_id: _ById) -> list[Facts]:
    """The calls of tools; one that a library for generative AI tells of inside another is that one."""
    tools = (it for it in members if it.kind == TOOL)
    return [it for it in tools if not (it.is_genai and _run_around(it, by_id) == TOOL)]


def _run_around(span: Facts, by_id: _ById) -> str:
    """The kind of the nearest ancestor that has one."""
    walked: set[str] = set()
    at = by_id.get(span.parent_id or "")
    while at is not None and at.kind == "" and at.span_id not in walked:
        walked.add(at.span_id)
        at = by_id.get(at.parent_id or "")
    return "" if at is None else at.kind


def _counted(members: Sequence[Facts], by_id: _ById) -> list[Facts]:
    """The spans whose tokens count: each call is counted once, whoever tells of it.

    An agent of the convention for generative AI may have the sum of its model calls. These count where they
    are known, and the agent does only if nothing inside does.
    """
    models = _outermost(members, by_id, lambda span: span.kind == LLM and _counts(span))
    agents = [it for it in members if it.kind == AGENT and _counts(it)]
    if not agents:
        return models
    above = _ancestors(models, by_id)
    ids = {it.span_id for it in models}
    inside: dict[str, bool] = {}
    agents = [it for it in agents if it.span_id not in above and not _is_inside(it, ids, by_id, inside)]
    return [*models, *_outermost(agents, by_id, _counts)]


def _ancestors(spans: Iterable[Facts], by_id: _ById) -> set[str]:
    found: set[str] = set()
    for span in spans:
        at = by_id.get(span.parent_id or "")
        while at is not None and at.span_id not in found:
            found.add(at.span_id)
            at = by_id.get(at.parent_id or "")
    return found


def _counts(span: Facts) -> bool:
    return span.prompt_tokens > 0 or span.completion_tokens > 0 or span.cost is not None


def _outermost(members: Sequence[Facts], by_id: _ById, matches: Callable[[Facts], bool]) -> list[Facts]:
    """The matching spans that are not inside another matching one; all of them if they go in a circle."""
    found = [span for span in members if matches(span)]
    if len(found) < 2:
        return found
    ids = {span.span_id for span in found}
    inside: dict[str, bool] = {}
    outer = [span for span in found if not _is_inside(span, ids, by_id, inside)]
    return outer or found


def _is_inside(span: Facts, ids: set[str], by_id: _ById, known: dict[str, bool]) -> bool:
    """Whether an ancestor of the span is among `ids`; every span is walked over once."""
    walked: list[str] = []
    parent_id = span.parent_id
    answer = False
    while parent_id is not None and parent_id in by_id:
        if parent_id in ids:
            answer = True
            break
        if parent_id in known:
            answer = known[parent_id]
            break
        known[parent_id] = False  # a circle ends here
        walked.append(parent_id)
        parent_id = by_id[parent_id].parent_id
    for step in walked:
        known[step] = answer
    return answer


def _resolve(span: Facts, by_id: _ById, belongs: dict[str, str | None]) -> str | None:
    """The session that the span, or its nearest ancestor that names one, names; every span is walked once."""
    walked: list[str] = []
    at: Facts | None = span
    answer: str | None = None
    while at is not None:
        if at.session_id is not None:
            answer = at.session_id
            break
        if at.span_id in belongs:
            answer = belongs[at.span_id]
            break
        belongs[at.span_id] = None  # a circle ends here
        walked.append(at.span_id)
        at = by_id.get(at.parent_id) if at.parent_id is not None else None
    for step in walked:
        belongs[step] = answer
    return answer


def _by_start(span: Facts) -> tuple[int, int, str]:
    return (span.start_ns, -span.end_ns, span.span_id)
