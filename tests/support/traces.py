"""A real provider whose ids and sampling are deterministic, and what a test asks of the spans it got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from openinference.semconv.trace import SpanAttributes
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

SESSION_ID = SpanAttributes.SESSION_ID
USER_ID = SpanAttributes.USER_ID


class CountingIds(IdGenerator):
    """Numbers traces and spans from 1."""

    def __init__(self) -> None:
        self._traces, self._spans = count(1), count(1)

    def generate_trace_id(self) -> int:
        return next(self._traces)

    def generate_span_id(self) -> int:
        return next(self._spans)


class WatchingSampler(Sampler):
    """Keeps everything, and remembers which session it was told of for each span."""

    def __init__(self) -> None:
        self.sessions: list[tuple[str, object]] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        self.sessions.append((name, (attributes or {}).get(SESSION_ID)))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "WatchingSampler"


class Traces(SpanProcessor):
    """The spans of one test, open and ended, with the provider they come from."""

    def __init__(self) -> None:
        self.sampler = WatchingSampler()
        self.provider = TracerProvider(
            sampler=self.sampler, id_generator=CountingIds(), shutdown_on_exit=False
        )
        self.provider.add_span_processor(self)
        self.open: dict[int, Span] = {}
        self.ended: list[ReadableSpan] = []
        self.at_start: list[tuple[str, object]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.open[span_id_of(span)] = span
        self.at_start.append((span.name, (span.attributes or {}).get(SESSION_ID)))

    def on_end(self, span: ReadableSpan) -> None:
        self.open.pop(span_id_of(span))
        self.ended.append(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say that nothing is left to do; the oldest SDK says nothing, and flushes no further processor."""
        return True

    def clear(self) -> None:
        """Forget the ended spans."""
        self.ended.clear()
        self.at_start.clear()
        self.sampler.sessions.clear()

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self.ended)

    def names(self) -> list[str]:
        """Return the names of the ended spans in the order in which they ended."""
        return [span.name for span in self.ended]

    def open_attribute(self, key: str) -> object:
        """Return an attribute of the only open span."""
        (span,) = self.open.values()
        return attribute(span, key)

    def named(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (span,) = [span for span in self.ended if span.name == name]
        return span

    def sessions(self) -> list[object]:
        """Return every ended span's session id."""
        return [attribute(span, SESSION_ID) for span in self.ended]

    def parents(self) -> dict[str, str | None]:
        """Return the name of each ended span's parent by the span's name, which has to be its own."""
        names = {span_id_of(span): span.name for span in (*self.ended, *self.open.values())}
        parents = {span.name: names.get(span.parent.span_id) if span.parent else None for span in self.ended}
        assert len(parents) == len(self.ended), "two spans have one name"
        return parents

    def sessions_by_name(self) -> dict[str, object]:
        """Return each ended span's session id by its name, which has to be its own."""
        sessions = {span.name: attribute(span, SESSION_ID) for span in self.ended}
        assert len(sessions) == len(self.ended), "two spans have one name"
        return sessions

    def by_trace(self) -> dict[int, list[ReadableSpan]]:
        """Group the ended spans by trace."""
        traces: dict[int, list[ReadableSpan]] = {}
        for span in self.ended:
            traces.setdefault(trace_id_of(span), []).append(span)
        return traces


def span_id_of(span: ReadableSpan) -> int:
    """Return the span's own id."""
    assert span.context is not None
    return span.context.span_id


def trace_id_of(span: ReadableSpan) -> int:
    """Return the id of the span's trace."""
    assert span.context is not None
    return span.context.trace_id


def attribute(span: ReadableSpan, key: str) -> object:
    """Return an attribute or None."""
    return (span.attributes or {}).get(key)
