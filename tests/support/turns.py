"""Spans of conversations, as an instrumented application would send them, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_sessions.store import Span, SpanEvent, SpanLink, iter_sessions
from tests.support.conversations import MINUTE, NEW_YEAR

if TYPE_CHECKING:
    from langchain_sessions.store import Session, SessionStore
    from langchain_sessions.store._span import Attributes


def turn(
    session_id: str,
    number: int = 1,
    *,
    project: str = "shop",
    user: str = "ada",
    attributes: Attributes | None = None,
) -> list[Span]:
    """Make the spans of a turn: a chain, in it a tool that fails and a model.

    Args:
        session_id: The session.
        number: Makes the trace's id and its time: different ones for different turns.
        project: The project.
        user: The user.
        attributes: More attributes of the chain.
    """
    begin = NEW_YEAR + number * MINUTE
    trace_id = f"{number:032x}"
    root = Span(
        trace_id=trace_id,
        span_id="00000000000000a1",
        parent_id=None,
        name="chain",
        start_ns=begin,
        end_ns=begin + 10**9,
        attributes={
            "openinference.span.kind": "CHAIN",
            "session.id": session_id,
            "user.id": user,
            "input.value": f"question {number}",
            "output.value": f"answer {number}",
            **(attributes or {}),
        },
        kind="SERVER",
        resource={"service.name": project, "process.pid": 7},
        scope="openinference.instrumentation.langchain",
        scope_version="1.2",
        trace_state="ot=th:8",
    )
    tool = Span(
        trace_id=trace_id,
        span_id="00000000000000a2",
        parent_id=root.span_id,
        name="search",
        start_ns=begin + 1,
        end_ns=begin + 10**8,
        attributes={"openinference.span.kind": "TOOL", "input.value": "{}", "session.id": session_id},
        status="ERROR",
        status_message="ValueError('no')",
        events=(SpanEvent("exception", begin + 5, {"exception.type": "ValueError"}),),
        resource=root.resource,
        scope=root.scope,
        scope_version=root.scope_version,
    )
    model = Span(
        trace_id=trace_id,
        span_id="00000000000000a3",
        parent_id=root.span_id,
        name="model",
        start_ns=begin + 2 * 10**8,
        end_ns=begin + 9 * 10**8,
        attributes={
            "openinference.span.kind": "LLM",
            "session.id": session_id,
            "llm.token_count.prompt": 12,
            "llm.token_count.completion": 3,
            "llm.cost.total": 0.25,
        },
        kind="CLIENT",
        status="OK",
        links=(SpanLink("ab" * 16, "cd" * 8, {"why": "retry"}),),
        resource={"service.name": project, "process.pid": 8},
        scope="openinference.instrumentation.openai",
    )
    return [root, tool, model]


def content(store: SessionStore) -> dict[tuple[str, str], tuple[Session, list[list[Span]]]]:
    """Read all of a store: each session, and the spans of its turns."""
    read: dict[tuple[str, str], tuple[Session, list[list[Span]]]] = {}
    for it in iter_sessions(store):
        session = store.session(it.id, project=it.project)
        spans = [store.spans(it.id, turn.trace_id, project=it.project) for turn in session.turns]
        read[it.project, it.id] = (session, spans)
    return read
