"""From finished spans to conversations, without a store. Pure: nothing is read but the spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_sessions.store._facts import facts_of, project_of
from langchain_sessions.store._genai import with_messages
from langchain_sessions.store._members import parts
from langchain_sessions.store._model import Session, Turn
from langchain_sessions.store._otel import span_of
from langchain_sessions.store._turn import texts, tool_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from langchain_sessions.store._facts import Facts
    from langchain_sessions.store._members import Part
    from langchain_sessions.store._span import Attributes, Span


def sessions_from_spans(spans: Iterable[ReadableSpan]) -> list[Session]:
    """Arrange spans as conversations, by the rule that stores follow, too (see `SessionStore`).

    Args:
        spans: Finished spans with attributes of OpenInference, or of OpenTelemetry's convention for
            generative AI, in any order.

    Returns:
        The sessions, by the start of their first turn. Spans outside of any session are left out.
    """
    turns: dict[tuple[str, str], list[Turn]] = {}
    for trace in _traces(filter(None, map(span_of, spans))):
        for part in parts(facts_of(span, key, project_of(span.resource)) for key, span in enumerate(trace)):
            turn = turn_of(part, trace)
            turns.setdefault((turn.project, turn.session_id), []).append(turn)
    return sorted(map(Session.of, turns.values()), key=lambda session: session.started_ns)


def _traces(spans: Iterable[Span]) -> Iterable[Sequence[Span]]:
    """Group spans by trace; a span that was delivered twice counts once."""
    grouped: dict[str, dict[str, Span]] = {}
    for span in spans:
        grouped.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
    return [tuple(members.values()) for members in grouped.values()]


def turn_of(part: Part, trace: Sequence[Span]) -> Turn:
    """Read the part of a trace that belongs to a session.

    Args:
        part: The part. The keys of its facts are places in the trace.
        trace: The spans of the trace.
    """

    def attributes_of(facts: Facts) -> Attributes:
        span = trace[facts.key]
        return with_messages(span.attributes, ((it.name, it.attributes) for it in span.events))

    found = texts(part, attributes_of)
    return Turn(
        trace_id=trace[0].trace_id,
        session_id=part.session_id,
        project=part.project,
        user=part.user,
        input=found.input,
        output=found.output,
        tools=tuple(tool_use(trace[it.key].name, trace[it.key].attributes, it.error) for it in part.tools),
        prompt_tokens=part.prompt_tokens,
        completion_tokens=part.completion_tokens,
        cost=part.cost,
        started_ns=part.started_ns,
        duration_ns=part.duration_ns,
        error=part.error,
        span_count=len(part.members),
        is_complete=part.is_complete,
    )
