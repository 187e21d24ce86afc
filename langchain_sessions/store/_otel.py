"""From OpenTelemetry's finished spans to ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from opentelemetry.trace import format_span_id, format_trace_id

from langchain_sessions.store._span import Span, SpanEvent, SpanLink

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from langchain_sessions.store._span import Attributes

_NONE: Attributes = {}


def span_of(span: ReadableSpan) -> Span | None:
    """Describe a span of the SDK's in our terms; None if it has no identity, as spans of the API have not."""
    context = span.get_span_context()
    if context is None or not context.is_valid:
        return None
    status, scope, parent = span.status, span.instrumentation_scope, span.parent
    start_ns = _time(span.start_time)
    return Span(
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_id=None if parent is None else format_span_id(parent.span_id),
        name=str(span.name),  # OpenTelemetry does not look at what it is given
        start_ns=start_ns,
        end_ns=_time(span.end_time) or start_ns,
        attributes=cast("Attributes", span.attributes or _NONE),
        kind=span.kind.name,
        status=status.status_code.name,
        status_message=str(status.description or ""),
        events=tuple(
            SpanEvent(str(it.name), _time(it.timestamp), cast("Attributes", it.attributes or _NONE))
            for it in span.events
        ),
        links=tuple(
            SpanLink(
                format_trace_id(it.context.trace_id),
                format_span_id(it.context.span_id),
                cast("Attributes", it.attributes or _NONE),
            )
            for it in span.links
        ),
        resource=cast("Attributes", span.resource.attributes),
        scope="" if scope is None else str(scope.name),
        scope_version=str(scope.version or "") if scope is not None else "",
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        parent_is_remote=None if parent is None else parent.is_remote,
    )


def _time(value: object) -> int:
    """A point in time as OpenTelemetry was given it, which may be of another type, or none at all."""
    try:
        return int(cast("int", value))
    except (TypeError, ValueError, OverflowError):
        return 0
