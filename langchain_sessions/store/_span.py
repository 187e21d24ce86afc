"""A finished span as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Value: TypeAlias = "str | bool | int | float | Sequence[Value] | Mapping[str, Value] | None"
"""What an attribute may be. OpenTelemetry for Python has flat sequences only; OTLP allows any nesting."""


Attributes: TypeAlias = "Mapping[str, Value]"


Status: TypeAlias = Literal["UNSET", "OK", "ERROR"]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened in a span at a point in time, an exception for instance."""

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A reference to a span of another trace: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A finished span, wherever it came from.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: The parent's span id, or None for the root of a trace.
        name: The span's name.
        start_ns: When it began.
        end_ns: When it ended.
        attributes: OpenInference's, and whatever else it has.
        kind: OpenTelemetry's kind, such as "INTERNAL" or "SERVER".
        status: OpenTelemetry's status code.
        status_message: What the status says of an error.
        events: In the order in which they were recorded.
        links: Likewise.
        resource: The attributes of the process that made it.
        scope: The name of the instrumentation that made it.
        scope_version: Its version.
        trace_state: The W3C trace state.
        parent_is_remote: Whether the parent is a span of another process; None where that is not known.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    kind: str = "INTERNAL"
    status: Status = "UNSET"
    status_message: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: Attributes = field(default_factory=dict[str, Value])
    scope: str = ""
    scope_version: str = ""
    trace_state: str = ""
    parent_is_remote: bool | None = None

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.start_ns
