"""From the spans that Phoenix answers with to ours. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from openinference.semconv.resource import ResourceAttributes
from openinference.semconv.trace import SpanAttributes

from langchain_sessions.store._measures import nanoseconds
from langchain_sessions.store._span import Span, SpanEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_sessions.store._span import Attributes, Status

_NO_KIND: Final = "UNKNOWN"
"""The kind that Phoenix gives to a span of other libraries, which has none."""


def resource_of(project: str) -> Attributes:
    """What is known of the process that made a span: the project that it reported for, and nothing else."""
    return {ResourceAttributes.PROJECT_NAME: project}


def span_of(found: Mapping[str, Any], resource: Attributes) -> Span:
    """Describe a span of Phoenix's in our terms.

    Phoenix keeps neither kinds, links, scopes, trace states nor resources, and times to the microsecond.
    """
    attributes = dict(found["attributes"])
    if found["span_kind"] != _NO_KIND:
        attributes[SpanAttributes.OPENINFERENCE_SPAN_KIND] = found["span_kind"]
    start_ns = time_of(found["start_time"])
    return Span(
        trace_id=found["context"]["trace_id"],
        span_id=found["context"]["span_id"],
        parent_id=found.get("parent_id") or None,
        name=found["name"],
        start_ns=start_ns,
        end_ns=max(start_ns, time_of(found["end_time"])),
        attributes=attributes,
        status=cast("Status", found["status_code"]),
        status_message=found.get("status_message") or "",
        events=tuple(map(_event, found.get("events") or ())),
        resource=resource,
    )


def time_of(text: str) -> int:
    """Read a point in time."""
    return nanoseconds(datetime.fromisoformat(text))


def _event(found: Mapping[str, Any]) -> SpanEvent:
    return SpanEvent(found["name"], time_of(found["timestamp"]), found.get("attributes") or {})
