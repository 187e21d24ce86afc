"""What tests ask of the spans that they received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.traces import SESSION_ID, USER_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.support.otlp_receiver import ReceivedSpan

Spans: TypeAlias = "Sequence[ReceivedSpan]"


def whole(*services: str, traces: int = 1) -> Callable[[Spans], bool]:
    """Return an expectation: so many traces, each with its root, spans of all services, and no gap.

    A process that exports each span as it ends sends children first, so nothing is missing then.
    """

    def arrived(spans: Spans) -> bool:
        roots = [span for span in spans if not span.parent_id]
        known = {(span.trace_id, span.span_id) for span in spans}
        return (
            len(roots) == traces
            and all(not span.parent_id or (span.trace_id, span.parent_id) in known for span in spans)
            and all({span.service for span in trace} == set(services) for trace in by_trace(spans))
        )

    return arrived


def by_trace(spans: Spans) -> list[list[ReceivedSpan]]:
    """Group spans by trace."""
    traces: dict[str, list[ReceivedSpan]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return list(traces.values())


def of(service: str, spans: Spans) -> list[ReceivedSpan]:
    """Return the spans of one service."""
    return [span for span in spans if span.service == service]


def one(spans: Spans, **expected: str) -> ReceivedSpan:
    """Return the only span whose fields are these."""
    found = [
        span for span in spans if all(getattr(span, field) == value for field, value in expected.items())
    ]
    assert len(found) == 1, f"{len(found)} spans are {expected}, of:\n" + "\n".join(map(str, spans))
    return found[0]


def ids(spans: Iterable[ReceivedSpan]) -> set[tuple[Any, Any]]:
    """Return which pairs of session and user the spans have."""
    return {(span.attributes.get(SESSION_ID), span.attributes.get(USER_ID)) for span in spans}


def is_beneath(span: ReceivedSpan, ancestor: ReceivedSpan, spans: Spans) -> bool:
    """Return whether one span is the other's child, or a child of its children."""
    parents = {each.span_id: each.parent_id for each in spans if each.trace_id == span.trace_id}
    parent = span.parent_id
    while parent and parent != ancestor.span_id:
        parent = parents[parent]
    return parent == ancestor.span_id
