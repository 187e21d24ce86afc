"""Spans made by hand, and what a store should say of them, worked out the slow and obvious way."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from langchain_sessions.store import Session, Span, SpanEvent, Turn
from langchain_sessions.store._facts import Facts, facts_of, project_of
from langchain_sessions.store._members import Part, parts
from langchain_sessions.store._turn import texts, tool_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from langchain_sessions.store._span import Attributes, Value

NOON: Final = 1_767_268_800_000_000_000
"""2026-01-01 12:00 UTC, in nanoseconds since the epoch."""

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND


def span(
    number: int,
    parent: int | None = None,
    *,
    trace: int = 1,
    session: Value = None,
    kind: str = "CHAIN",
    said: str | None = None,
    answered: str | None = None,
    start: int = 0,
    length: int = SECOND,
    project: str | None = None,
    user: str | None = None,
    error: str | None = None,
    tokens: tuple[int, int] | None = None,
    cost: float | None = None,
    name: str = "step",
    attributes: Attributes | None = None,
    events: Iterable[tuple[str, Attributes]] = (),
) -> Span:
    """Make a span.

    Args:
        number: Its id.
        parent: The number of its parent.
        trace: The number of its trace.
        session: The session that it names.
        kind: OpenInference's kind; empty for a span of another library.
        said: Its input, as plain text.
        answered: Its output, as plain text.
        start: Nanoseconds after `NOON`.
        length: How long it took, in nanoseconds.
        project: The project of its process.
        user: The user that it names.
        error: What it failed with.
        tokens: Sent and received.
        cost: What it cost.
        name: Its name.
        attributes: What else it has.
        events: Their names and attributes.
    """
    values: dict[str, Value] = {
        "session.id": session,
        "user.id": user,
        "openinference.span.kind": kind or None,
        "input.value": said,
        "input.mime_type": None if said is None else "text/plain",
        "output.value": answered,
        "output.mime_type": None if answered is None else "text/plain",
        "llm.token_count.prompt": tokens and tokens[0],
        "llm.token_count.completion": tokens and tokens[1],
        "llm.cost.total": cost,
    }
    return Span(
        trace_id=trace_id(trace),
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        start_ns=NOON + start,
        end_ns=NOON + start + length,
        attributes={**{key: it for key, it in values.items() if it is not None}, **(attributes or {})},
        status="UNSET" if error is None else "ERROR",
        status_message=error or "",
        events=tuple(SpanEvent(event, NOON + start, dict(some)) for event, some in events),
        resource={} if project is None else {"openinference.project.name": project},
        scope="tests",
    )


def trace_id(number: int) -> str:
    """Return the id of the trace of that number."""
    return f"{number:032x}"


def genai(
    number: int,
    parent: int | None = None,
    operation: str = "chat",
    *,
    conversation: Value = None,
    tokens: tuple[int, int] | None = None,
    attributes: Attributes | None = None,
    **others: Any,
) -> Span:
    """Make a span of the convention for generative AI.

    Args:
        number: Its id.
        parent: The number of its parent.
        operation: What it does.
        conversation: The conversation that it names.
        tokens: Sent and received.
        attributes: What else it has.
        **others: As `span` takes them.
    """
    values: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.conversation.id": conversation,
        "gen_ai.usage.input_tokens": tokens and tokens[0],
        "gen_ai.usage.output_tokens": tokens and tokens[1],
    }
    given = {key: it for key, it in values.items() if it is not None} | dict(attributes or {})
    return span(number, parent, kind="", attributes=given, **others)


def messages(*said: tuple[str, str]) -> str:
    """Write messages, each a role and a text, as the convention for generative AI has them."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": it}]} for role, it in said])


def turn(
    trace: int,
    session: str,
    said: str = "question",
    answered: str = "answer",
    *,
    project: str | None = None,
    user: str | None = None,
    error: str | None = None,
    length: int = SECOND,
    tokens: tuple[int, int] | None = None,
    start: int | None = None,
) -> list[Span]:
    """Make the two spans of a turn, a minute after that of the trace with the number before."""
    begin = trace * MINUTE if start is None else start
    root = span(
        1,
        trace=trace,
        session=session,
        said=said,
        answered=answered,
        start=begin,
        length=length,
        project=project,
        user=user,
        error=error,
    )
    model = span(
        2, 1, trace=trace, session=session, kind="LLM", start=begin, length=1, project=project, tokens=tokens
    )
    return [root, model]


def with_ties(count: int = 30) -> list[Span]:
    """Sessions of one to three turns, many of which are alike in what they may be sorted by."""
    spans: list[Span] = []
    for number in range(count):
        for place in range(1 + number % 3):
            error = "no" if (number + place) % 5 == 0 else None
            spans += turn(
                10 * number + place,
                f"s{number}",
                start=(number // 4) * MINUTE,
                length=(1 + number % 2) * SECOND,
                tokens=(number % 4, 1),
                error=error,
                user=("ada", "grace", None)[number % 3],
                project=("shop", "bank")[number % 2],
            )
    return spans


def expected(spans: Iterable[Span]) -> dict[tuple[str, str], Session]:
    """Work out the sessions of spans, by project and id, from the rule as it is written down."""
    traces: dict[str, dict[str, Span]] = {}
    for it in spans:
        traces.setdefault(it.trace_id, {}).setdefault(it.span_id, it)
    turns: dict[tuple[str, str], list[Turn]] = {}
    for by_id in traces.values():
        for it in _turns_of(list(by_id.values())):
            turns.setdefault((it.project, it.session_id), []).append(it)
    return {key: Session.of(some) for key, some in turns.items()}


def _turns_of(trace: Sequence[Span]) -> list[Turn]:
    facts = [facts_of(it, key, project_of(it.resource)) for key, it in enumerate(trace)]
    if not any(it.session_id for it in facts):
        facts = [it._replace(session_id=it.conversation_id) for it in facts]
    facts.sort(key=lambda it: (it.start_ns, -it.end_ns, it.span_id))
    names = {it.session_id for it in facts} - {None}
    found: list[Turn] = []
    for name in names:
        nearest = {it.key: _nearest(it, facts) for it in facts}
        above = (
            {key for it in facts if it.session_id for key in _above(it, facts)} if len(names) == 1 else set()
        )
        members = [it for it in facts if nearest[it.key] == name or it.key in above]
        heads = _outermost(members, lambda it: it.session_id is not None)
        projects = {it.project for it in heads}
        for project in projects:
            some = [it for it in members if len(projects) == 1 or _project(it, members, heads) == project]
            found.append(_turn(name or "", some, trace))
    return found


def _ancestors(it: Facts, among: Sequence[Facts]) -> list[Facts]:
    by_id = {one.span_id: one for one in among}
    found: list[Facts] = []
    at = by_id.get(it.parent_id or "")
    while at is not None and at not in found:
        found.append(at)
        at = by_id.get(at.parent_id or "")
    return found


def _above(it: Facts, facts: Sequence[Facts]) -> list[int]:
    nameless = takewhile(lambda one: one.session_id is None, _ancestors(it, facts))
    return [one.key for one in nameless if one.kind == ""]


def _project(it: Facts, members: Sequence[Facts], heads: Sequence[Facts]) -> str | None:
    return next((one.project for one in (it, *_ancestors(it, members)) if one in heads), None)


def _nearest(it: Facts, facts: Sequence[Facts]) -> str | None:
    return next((one.session_id for one in (it, *_ancestors(it, facts)) if one.session_id), None)


def _outermost(members: Sequence[Facts], matches: Callable[[Facts], bool]) -> list[Facts]:
    matching = [it for it in members if matches(it)]
    outer = [it for it in matching if not any(map(matches, _ancestors(it, members)))]
    return matching if len(matching) < 2 else outer or matching


def _counts(it: Facts) -> bool:
    return it.prompt_tokens > 0 or it.completion_tokens > 0 or it.cost is not None


def _counted(members: Sequence[Facts]) -> list[Facts]:
    models = _outermost(members, lambda it: it.kind == "LLM" and _counts(it))
    agents = [
        it
        for it in members
        if it.kind == "AGENT"
        and _counts(it)
        and not any(it in _ancestors(model, members) for model in models)
        and not any(model in _ancestors(it, members) for model in models)
    ]
    return models + (_outermost(members, lambda it: it in agents) if agents else [])


def _is_told_again(it: Facts, members: Sequence[Facts]) -> bool:
    """Whether a tool's span of generative AI's convention is right inside another one's."""
    kinds = [one.kind for one in _ancestors(it, members) if one.kind]
    return it.is_genai and kinds[:1] == ["TOOL"]


def _turn(session_id: str, members: Sequence[Facts], trace: Sequence[Span]) -> Turn:
    heads = _outermost(members, lambda it: it.session_id is not None)
    counted = _counted(members)
    tools = [it for it in members if it.kind == "TOOL" and not _is_told_again(it, members)]
    ids = {it.span_id for it in trace}
    is_complete = not any(it.awaits_parent and it.parent_id not in ids for it in heads)
    part = Part(
        session_id,
        members,
        heads,
        _outermost(members, lambda it: it.kind != ""),
        _outermost(members, lambda it: it.kind == "LLM"),
        tools,
        counted,
        is_complete,
    )
    found = texts(part, lambda it: trace[it.key].attributes)
    costs = [it.cost for it in counted if it.cost is not None]
    return Turn(
        trace_id=trace[0].trace_id,
        session_id=session_id,
        project=heads[0].project,
        user=next((it.user for it in (*heads, *members) if it.user is not None), None),
        input=found.input,
        output=found.output,
        tools=tuple(tool_use(trace[it.key].name, trace[it.key].attributes, it.error) for it in tools),
        prompt_tokens=sum(it.prompt_tokens for it in counted),
        completion_tokens=sum(it.completion_tokens for it in counted),
        cost=sum(costs) if costs else None,
        started_ns=heads[0].start_ns,
        duration_ns=max(0, max(it.end_ns for it in heads) - heads[0].start_ns),
        error=next((it.error for it in heads if it.error is not None), None),
        span_count=len(members),
        is_complete=is_complete,
    )


def members_of(spans: Iterable[Span]) -> Mapping[str, set[int]]:
    """Return the numbers of the spans of each session of one trace, by the same rule."""
    found = parts(facts_of(it, int(it.span_id, 16), project_of(it.resource)) for it in spans)
    return {part.session_id: {it.key for it in part.members} for part in found}
