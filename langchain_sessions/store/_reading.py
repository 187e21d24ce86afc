"""From finished spans to conversations. Pure: nothing is read but the spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry.trace import StatusCode, format_trace_id

from langchain_sessions.store._model import Session, ToolUse, Turn
from langchain_sessions.store._texts import attribute, headline, last_user_text, output_text, payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan


def sessions_from_spans(spans: Iterable[ReadableSpan]) -> list[Session]:
    """Arrange spans as conversations.

    A trace belongs to the session that its root names, else to the one that the earliest of its
    spans with an id names. Traces without any id are left out.

    Args:
        spans: Finished spans with OpenInference attributes, in any order.

    Returns:
        The sessions, by the start of their first turn.
    """
    turns: dict[str, list[Turn]] = {}
    users: dict[str, str] = {}
    for trace in _traces(spans):
        session_id = trace.first(SpanAttributes.SESSION_ID)
        if not session_id:
            continue
        turns.setdefault(session_id, []).append(_turn(trace))
        if user := trace.first(SpanAttributes.USER_ID):
            users.setdefault(session_id, user)
    sessions = [Session(id=key, user=users.get(key), turns=_ordered(found)) for key, found in turns.items()]
    return sorted(sessions, key=lambda session: session.started)


class _Trace:
    """The spans of one trace.

    Attributes:
        id: The trace's id, an integer as in OpenTelemetry.
        spans: All of them, by start.
        tops: Those whose parent is not at hand, a true root first. There may be several, and no
            true root, when an enclosing span was exported elsewhere.
    """

    def __init__(self, trace_id: int, spans: dict[int, ReadableSpan]) -> None:
        self.id = trace_id
        self.spans = sorted(spans.values(), key=_start)
        tops = [span for span in self.spans if span.parent is None or span.parent.span_id not in spans]
        # Spans that name each other as parents leave no top; their telemetry is broken, the reader is not.
        self.tops = sorted(tops, key=lambda span: span.parent is not None) or self.spans[:1]

    def of_kind(self, kind: OpenInferenceSpanKindValues) -> list[ReadableSpan]:
        """The spans of one kind, by start."""
        key = SpanAttributes.OPENINFERENCE_SPAN_KIND
        return [span for span in self.spans if attribute(span, key) == kind.value]

    def first(self, key: str) -> str:
        """The root's value of an attribute, else that of the earliest span that has one, else nothing."""
        values = (attribute(span, key).strip() for span in (self.tops[0], *self.spans))
        return next(filter(None, values), "")


def _traces(spans: Iterable[ReadableSpan]) -> list[_Trace]:
    """Group spans by trace; a span that was delivered twice counts once."""
    grouped: dict[int, dict[int, ReadableSpan]] = {}
    for span in spans:
        if context := span.get_span_context():
            grouped.setdefault(context.trace_id, {})[context.span_id] = span
    return [_Trace(trace_id, members) for trace_id, members in grouped.items()]


def _turn(trace: _Trace) -> Turn:
    """Read one trace as what was said, done and answered."""
    root, models = trace.tops[0], trace.of_kind(OpenInferenceSpanKindValues.LLM)
    said = last_user_text(models[0]) if models else ""
    answered = output_text(models[-1]) if models else ""
    started = min(map(_start, trace.tops))
    return Turn(
        trace_id=format_trace_id(trace.id),
        input=said or payload(root, SpanAttributes.INPUT_VALUE).text,
        output=answered or payload(root, SpanAttributes.OUTPUT_VALUE).text,
        tools=tuple(map(_tool_use, trace.of_kind(OpenInferenceSpanKindValues.TOOL))),
        prompt_tokens=_total(models, SpanAttributes.LLM_TOKEN_COUNT_PROMPT),
        completion_tokens=_total(models, SpanAttributes.LLM_TOKEN_COUNT_COMPLETION),
        started_ns=started,
        duration_ns=max(map(_end, trace.tops)) - started,
        error=next(filter(None, map(_error, trace.tops)), None),
        spans=len(trace.spans),
    )


def _tool_use(span: ReadableSpan) -> ToolUse:
    """Read a tool's span. A tool that answered with an error message, without raising, has failed too."""
    result = payload(span, SpanAttributes.OUTPUT_VALUE)
    return ToolUse(
        name=attribute(span, SpanAttributes.TOOL_NAME) or span.name,
        input=attribute(span, SpanAttributes.INPUT_VALUE),
        output=result.text,
        error=_error(span) or (headline(result.text) if result.failed else None),
    )


def _error(span: ReadableSpan) -> str | None:
    """One line about the span's error, or None if it has none."""
    if span.status.status_code is not StatusCode.ERROR:
        return None
    return headline(span.status.description or "")


def _total(spans: Sequence[ReadableSpan], key: str) -> int:
    counts = ((span.attributes or {}).get(key) for span in spans)
    return sum(count for count in counts if isinstance(count, int))


def _ordered(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: turn.started_ns))


def _start(span: ReadableSpan) -> int:
    return span.start_time or 0


def _end(span: ReadableSpan) -> int:
    return span.end_time or _start(span)
