"""Between OTLP, in which OpenTelemetry sends spans whatever the language, and the spans of a store.

What a span of a store has no place for is not kept: counts of what was dropped, addresses of schemas,
attributes of an instrumentation, flags but the one for a parent of another process. Bytes become base64, as
the store keeps them; an integer of more than 64 bits becomes its digits, since OTLP has none.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final, cast

try:
    from google.protobuf.message import DecodeError as ProtobufError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan
    from opentelemetry.proto.trace.v1.trace_pb2 import Status as OTLPStatus
except ImportError as error:
    message = "OTLP needs opentelemetry-proto: pip install 'langchain-sessions[view]'"
    raise ImportError(message, name="opentelemetry-proto") from error

from langchain_sessions.store._otlp_json import DecodeError, fill, text, to_json
from langchain_sessions.store._span import Span, SpanEvent, SpanLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from langchain_sessions.store._span import Attributes, Status, Value

__all__ = [
    "JSON",
    "PROTOBUF",
    "DecodeError",
    "decode",
    "request_from_json",
    "request_from_spans",
    "spans_from_request",
    "to_json",
]

PROTOBUF: Final = "application/x-protobuf"

JSON: Final = "application/json"

_LATEST: Final = 2**63 - 1
"""The latest time that stores keep: in the year 2262. OTLP has a bit more."""

_STATUSES: Final[Mapping[int, Status]] = {0: "UNSET", 1: "OK", 2: "ERROR"}

_STATUS_NUMBERS: Final = {name: number for number, name in _STATUSES.items()}

_KINDS: Final = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
"""What is of no kind counts as internal, as OTLP allows."""

_KIND_NUMBERS: Final = {name: number for number, name in _KINDS.items()}


def decode(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    """Read the body of a request.

    Args:
        body: Not compressed.
        content_type: `PROTOBUF` or `JSON`.

    Raises:
        DecodeError: If it is not what its type says.
    """
    if content_type == PROTOBUF:
        try:
            return ExportTraceServiceRequest.FromString(body)
        except ProtobufError as error:
            msg = "the body is no ExportTraceServiceRequest in protobuf"
            raise DecodeError(msg) from error
    if content_type != JSON:
        msg = f"OTLP is {PROTOBUF} or {JSON}, not {content_type[:100]}"
        raise DecodeError(msg)
    return request_from_json(load(body))


def load(body: bytes) -> object:
    """Read JSON.

    Raises:
        DecodeError: If it is none.
    """
    try:
        return json.loads(body)
    except RecursionError:
        msg = "this JSON is nested too deep"
    except ValueError as error:  # also for bytes that are no text
        msg = f"this is no JSON: {error}"
    raise DecodeError(msg)


def request_from_json(values: object) -> ExportTraceServiceRequest:
    """Read a request from JSON that was parsed.

    Raises:
        DecodeError: If it is none.
    """
    request = ExportTraceServiceRequest()
    fill(request, values)
    return request


def spans_from_request(request: ExportTraceServiceRequest, rejected: list[str] | None = None) -> list[Span]:
    """Take the spans out of a request.

    Args:
        request: What was received.
        rejected: Where to add, for each span whose ids are none, why it is not among the result.
    """
    spans: list[Span] = []
    for resource_spans in request.resource_spans:
        resource = _attributes(
            resource_spans.resource.attributes
        )  # one object for all: the store relies on it
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            for span in scope_spans.spans:
                why_not = _why_not(span)
                if not why_not:
                    spans.append(_span(span, resource, scope.name, scope.version))
                elif rejected is not None:
                    rejected.append(why_not)
    return spans


def request_from_spans(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """Put spans into a request, those of one process and instrumentation together."""
    request = ExportTraceServiceRequest()
    for resource, scopes in _by_origin(spans).values():
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(_pairs(resource))
        for (scope, version), members in scopes.items():
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = text(scope)
            scope_spans.scope.version = text(version)
            scope_spans.spans.extend(map(_otlp_span, members))
    return request


def _why_not(span: OTLPSpan) -> str:
    """Why a span cannot be kept; empty if it can."""
    for name, size, given in (("trace id", 16, span.trace_id), ("span id", 8, span.span_id)):
        if len(given) != size or not any(given):
            return f"a {name} has to be {size} bytes that are not all zero"
    if span.parent_span_id and len(span.parent_span_id) != 8:
        return "a parent's span id has to be 8 bytes"
    return ""


def _span(span: OTLPSpan, resource: Attributes, scope: str, scope_version: str) -> Span:
    start_ns = min(span.start_time_unix_nano, _LATEST)
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() if any(span.parent_span_id) else None,
        name=span.name,
        start_ns=start_ns,
        end_ns=min(span.end_time_unix_nano, _LATEST) or start_ns,
        attributes=_attributes(span.attributes),
        kind=_KINDS.get(span.kind, "INTERNAL"),
        status=_STATUSES.get(span.status.code, "UNSET"),
        status_message=span.status.message,
        events=tuple(
            SpanEvent(it.name, min(it.time_unix_nano, _LATEST), _attributes(it.attributes))
            for it in span.events
        ),
        links=tuple(
            SpanLink(it.trace_id.hex(), it.span_id.hex(), _attributes(it.attributes)) for it in span.links
        ),
        resource=resource,
        scope=scope,
        scope_version=scope_version,
        trace_state=span.trace_state,
        parent_is_remote=bool(span.flags & _IS_REMOTE) if span.flags & _SAYS_REMOTE else None,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode("ascii")
    if kind in _NUMBERS:
        return cast("bool | int | float", getattr(value, kind))
    return None  # nothing, or what a later version of OTLP has


_SAYS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
"""Bits of a span's flags: whether it says if its parent is of another process, and whether that is so."""

_NUMBERS: Final = {"bool_value", "int_value", "double_value"}

_Scopes = dict[tuple[str, str], list[Span]]


def _by_origin(spans: Iterable[Span]) -> dict[str, tuple[Attributes, _Scopes]]:
    origins: dict[str, tuple[Attributes, _Scopes]] = {}
    for span in spans:
        # Not the attributes themselves: 1, 1.0 and True are equal. In another order, they are another origin.
        _, scopes = origins.setdefault(repr(span.resource), (span.resource, {}))
        scopes.setdefault((span.scope, span.scope_version), []).append(span)
    return origins


def _otlp_span(span: Span) -> OTLPSpan:
    made = OTLPSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        trace_state=text(span.trace_state),
        parent_span_id=bytes.fromhex(span.parent_id or ""),
        name=text(span.name),
        kind=cast("OTLPSpan.SpanKind.ValueType", _KIND_NUMBERS.get(span.kind, 0)),
        start_time_unix_nano=_time(span.start_ns),
        end_time_unix_nano=_time(span.end_ns),
        attributes=_pairs(span.attributes),
    )
    if span.parent_is_remote is not None:
        made.flags = _SAYS_REMOTE | (_IS_REMOTE if span.parent_is_remote else 0)
    for event in span.events:
        made.events.add(
            name=text(event.name), time_unix_nano=_time(event.time_ns), attributes=_pairs(event.attributes)
        )
    for link in span.links:
        made.links.add(
            trace_id=_link_id(link.trace_id),
            span_id=_link_id(link.span_id),
            attributes=_pairs(link.attributes),
        )
    made.status.SetInParent()  # the Collector writes an empty one, too
    made.status.message = text(span.status_message)
    made.status.code = cast("OTLPStatus.StatusCode.ValueType", _STATUS_NUMBERS[span.status])
    return made


def _time(nanoseconds: int) -> int:
    return min(max(0, nanoseconds), 2**64 - 1)


def _link_id(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:  # no store has looked at it
        return b""


def _pairs(attributes: Attributes) -> Iterator[KeyValue]:
    for key, value in attributes.items():
        yield KeyValue(key=text(key), value=_any_value(value))


def _any_value(value: object) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=text(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        is_small = -(2**63) <= value < 2**63
        return AnyValue(int_value=value) if is_small else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes | bytearray):
        return AnyValue(bytes_value=bytes(value))
    return AnyValue() if value is None else _nested(value)


def _nested(value: object) -> AnyValue:
    made = AnyValue()
    if hasattr(value, "items"):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(_pairs(cast("Attributes", value)))
    else:
        made.array_value.SetInParent()
        made.array_value.values.extend(map(_any_value, cast("Sequence[Value]", value)))
    return made
