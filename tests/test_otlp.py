from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan

from langchain_sessions.store import SpanEvent, SpanLink
from langchain_sessions.store._otlp import (
    JSON,
    PROTOBUF,
    DecodeError,
    decode,
    request_from_spans,
    spans_from_request,
    to_json,
)
from tests.support.conversations import NEW_YEAR
from tests.support.turns import turn

if TYPE_CHECKING:
    from langchain_sessions.store import Span

# As pdata's JSONMarshaler, which the Collector's file exporter uses, writes it.
BY_A_COLLECTOR = (
    '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}],'
    '"droppedAttributesCount":1},"scopeSpans":[{"scope":{"name":"scope name","version":"1"},"spans":[{"tr'
    'aceId":"0102030405060708090a0b0c0d0e0f10","spanId":"1112131415161718","traceState":"a=b","parentSpan'
    'Id":"","name":"chain","kind":3,"startTimeUnixNano":"1767225600000000000","endTimeUnixNano":"17672256'
    '01000000000","attributes":[{"key":"string","value":{"stringValue":"value"}},{"key":"bool","value":{"'
    'boolValue":true}},{"key":"int","value":{"intValue":"1"}},{"key":"double","value":{"doubleValue":1.1}'
    '},{"key":"bytes","value":{"bytesValue":"Zm9v"}},{"key":"array","value":{"arrayValue":{"values":[{"in'
    'tValue":"1"},{"stringValue":"str"}]}}},{"key":"kvList","value":{"kvlistValue":{"values":[{"key":"int'
    '","value":{"intValue":"1"}}]}}}],"droppedAttributesCount":1,"events":[{"timeUnixNano":"1767225600000'
    '000001","name":"event","attributes":[{"key":"bool","value":{"boolValue":false}}]}],"links":[{"traceI'
    'd":"0102030405060708090a0b0c0d0e0f10","spanId":"1112131415161718","traceState":"state"}],"status":{"'
    'message":"bad","code":2}}],"schemaUrl":"x"}]}]}'
)


def document(**fields: Any) -> dict[str, Any]:
    """A request in JSON with one span."""
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "x", **fields}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def read(values: Any, refused: list[str] | None = None) -> list[Span]:
    """The spans of a document."""
    return spans_from_request(decode(json.dumps(values).encode(), JSON), refused)


def test_spans_survive_both_encodings() -> None:
    """Every field of a store's span is the same after protobuf and after JSON."""
    spans = turn("abc") + turn("äöü 🙂", 2, project="other")
    request = request_from_spans(spans)
    assert spans_from_request(decode(request.SerializeToString(), PROTOBUF)) == spans
    assert spans_from_request(decode(to_json(request).encode(), JSON)) == spans


def test_a_collectors_line_is_read_and_written_again() -> None:
    """What a Collector's file exporter writes comes back in the same form, but for what is not kept."""
    [span] = spans_from_request(decode(BY_A_COLLECTOR.encode(), JSON))
    assert span.attributes == {
        "string": "value",
        "bool": True,
        "int": 1,
        "double": 1.1,
        "bytes": "Zm9v",
        "array": [1, "str"],
        "kvList": {"int": 1},
    }
    expected = json.loads(BY_A_COLLECTOR)
    [resource] = expected["resourceSpans"]
    [scope] = resource["scopeSpans"]
    [ours] = scope["spans"]
    del resource["resource"]["droppedAttributesCount"], scope["schemaUrl"], ours["droppedAttributesCount"]
    del ours["links"][0]["traceState"]
    ours["attributes"][4]["value"] = {"stringValue": "Zm9v"}
    line = to_json(request_from_spans([span]))
    assert json.loads(line) == expected
    assert "\n" not in line
    assert ": " not in line


def test_json_is_what_protobuf_makes_of_it_but_for_ids_and_enums() -> None:
    """Where OTLP's JSON does not differ from protobuf's, it is the same."""
    request = request_from_spans(turn("abc"))
    theirs = json_format.MessageToDict(request, use_integers_for_enums=True)
    ours = json.loads(to_json(request))

    def hexadecimal(value: Any) -> Any:
        if isinstance(value, list):
            return [hexadecimal(it) for it in value]
        if not isinstance(value, dict):
            return value
        ids = {"traceId", "spanId", "parentSpanId"}
        return {
            key: base64.b64decode(it).hex() if key in ids else hexadecimal(it)
            for key, it in value.items()
            if (key, it) != ("parentSpanId", "")
        }

    def without_empty(value: Any) -> Any:
        if isinstance(value, list):
            return [without_empty(it) for it in value]
        if not isinstance(value, dict):
            return value
        return {key: without_empty(it) for key, it in value.items() if (key, it) != ("parentSpanId", "")}

    assert without_empty(ours) == hexadecimal(theirs)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"startTimeUnixNano": "12", "endTimeUnixNano": 15}, {"start_ns": 12, "end_ns": 15}),
        ({"start_time_unix_nano": 12.0, "end_time_unix_nano": "15"}, {"start_ns": 12, "end_ns": 15}),
        ({"startTimeUnixNano": 12}, {"start_ns": 12, "end_ns": 12}),
        ({"startTimeUnixNano": str(2**64 - 1)}, {"start_ns": 2**63 - 1}),
        ({"kind": "SPAN_KIND_SERVER"}, {"kind": "SERVER"}),
        ({"kind": "3"}, {"kind": "CLIENT"}),
        ({"kind": 0}, {"kind": "INTERNAL"}),
        ({"kind": 99}, {"kind": "INTERNAL"}),
        ({"kind": "SPAN_KIND_OF_TOMORROW"}, {"kind": "INTERNAL"}),
        (
            {"status": {"code": "STATUS_CODE_ERROR", "message": "m"}},
            {"status": "ERROR", "status_message": "m"},
        ),
        ({"status": None, "attributes": None}, {"status": "UNSET", "attributes": {}}),
        ({"parentSpanId": "EF" * 8}, {"parent_id": "ef" * 8}),
        ({"parentSpanId": "00" * 8}, {"parent_id": None}),
        ({"parentSpanId": ""}, {"parent_id": None}),
        ({"traceId": base64.b64encode(b"\x01" * 16).decode()}, {"trace_id": "01" * 16}),
        ({"name": "a\ud800b"}, {"name": "a\\ud800b"}),
        ({"name": "nul\x00 \u2028"}, {"name": "nul\x00 \u2028"}),
        ({"later": {"what": ["is", "not", "known"]}}, {"name": "x"}),
    ],
)
def test_json_is_read_leniently(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Both ways to write a key, numbers as texts, enums by name, and what is not known are no obstacle."""
    [span] = read(document(**fields))
    assert {key: getattr(span, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": ""}, ""),
        ({"string_value": "x"}, "x"),
        ({"intValue": 3}, 3),
        ({"intValue": str(-(2**63))}, -(2**63)),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "-Infinity"}, float("-inf")),
        ({"boolValue": False}, False),
        ({"bytesValue": "_-8="}, "/+8="),
        ({"arrayValue": {}}, []),
        ({"arrayValue": {"values": [{"arrayValue": {"values": [{}]}}, None]}}, [[None], None]),
        ({"kvlistValue": {"values": [{"key": "", "value": {"kvlistValue": {}}}]}}, {"": {}}),
        ({}, None),
        (None, None),
        ({"valueOfTomorrow": 1}, None),
    ],
)
def test_every_kind_of_value_is_read(value: Any, expected: object) -> None:
    """All that an attribute may be in OTLP; bytes become base64, as in a store."""
    [span] = read(document(attributes=[{"key": "k", "value": value}]))
    assert repr(span.attributes) == repr({"k": expected})


def test_not_a_number_is_a_text_in_json() -> None:
    """JSON has no NaN and no infinity; OTLP writes their names."""
    values = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324]
    [span, *_] = turn("abc", attributes={"v": values})
    line = to_json(request_from_spans([span]))
    assert '"doubleValue":"NaN"' in line
    [back] = spans_from_request(decode(line.encode(), JSON))
    assert repr(back.attributes["v"]) == repr(values)


def test_what_otlp_has_no_place_for_becomes_text() -> None:
    """An integer of more than 64 bits becomes its digits, bytes become base64, half a pair is escaped."""
    strange: Any = {
        "big": 2**64,
        "small": -(2**63) - 1,
        "bytes": b"\xff",
        "half\udc80": "\ud83d",
        "t": (1, "x"),
    }
    [span, *_] = turn("abc", attributes=strange)
    [back] = spans_from_request(request_from_spans([span]))
    kept = {key: it for key, it in back.attributes.items() if key not in turn("abc")[0].attributes}
    assert kept == {
        "big": str(2**64),
        "small": str(-(2**63) - 1),
        "bytes": "/w==",
        "half\\udc80": "\\ud83d",
        "t": [1, "x"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "00" * 16},
        {"traceId": "ab" * 15},
        {"traceId": ""},
        {"traceId": "zz" * 16},
        {"traceId": 3},
        {"spanId": "0000000000000000"},
        {"spanId": "ab" * 16},
        {"spanId": "-" * 16},
        {"parentSpanId": "abc"},
        {"parentSpanId": "zzzzzzzz"},
    ],
)
def test_a_span_without_identity_is_refused_alone(fields: dict[str, Any]) -> None:
    """An id that is none costs its span, with a reason, and no other."""
    values = document(**fields)
    values["resourceSpans"] += document()["resourceSpans"]
    refused: list[str] = []
    spans = read(values, refused)
    assert [span.trace_id for span in spans] == ["ab" * 16]
    assert [("trace id" in it or "span id" in it) for it in refused] == [True]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[]", "no JSON object, but a list"),
        (b"[" * 100_000, "nested"),
        (b'{"resourceSpans": {}}', "resourceSpans is no list"),
        (b'{"resourceSpans": ["secret"]}', "no JSON object, but such a text"),
        (json.dumps(document(name=3)).encode(), "name cannot be 3"),
        (json.dumps(document(startTimeUnixNano="x")).encode(), "startTimeUnixNano cannot be"),
        (json.dumps(document(startTimeUnixNano=-1)).encode(), "startTimeUnixNano cannot be -1"),
        (json.dumps(document(startTimeUnixNano=1.5)).encode(), "startTimeUnixNano cannot be 1.5"),
        (json.dumps(document(kind=2**40)).encode(), "kind cannot be"),
        (json.dumps(document(attributes=[{"key": "k", "value": {"boolValue": 1}}])).encode(), "boolValue"),
        (
            json.dumps(document(attributes=[{"key": "k", "value": {"bytesValue": "?"}}])).encode(),
            "bytesValue",
        ),
    ],
)
def test_what_is_not_otlp_is_one_clear_error(body: bytes, what: str) -> None:
    """The error names the field and what it cannot be, without what may be secret in it."""
    with pytest.raises(DecodeError, match=what) as caught:
        decode(body, JSON)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("body", "kind"), [(b"\xff\xff\xff", PROTOBUF), (b"{}", "text/plain")])
def test_other_bodies_are_refused(body: bytes, kind: str) -> None:
    """Bytes that are no protobuf, and types that are not OTLP's."""
    with pytest.raises(DecodeError):
        decode(body, kind)


def test_deeper_nesting_than_protobuf_has_is_refused() -> None:
    """JSON may not be nested deeper than the binary form can be, so that all who read it agree."""
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(60):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(DecodeError, match="nested more than 100"):
        read(document(attributes=[{"key": "k", "value": value}]))


def test_what_protobuf_takes_json_takes_too() -> None:
    """The deepest value that comes in protobuf can be exported, and imported again."""
    taken = 0
    for depth in range(1, 60):
        value: Any = 1
        for _ in range(depth):
            value = [value]
        request = request_from_spans(turn("abc", attributes={"v": value})[:1])
        try:
            decode(request.SerializeToString(), PROTOBUF)
        except DecodeError:
            break
        taken = depth
        [span] = spans_from_request(decode(to_json(request).encode(), JSON))
        assert span.attributes["v"] == value
    assert 20 < taken < 59


def test_times_and_links_that_are_none_are_exported() -> None:
    """What nobody has checked before, a store's own spans may have wrong; it does not end an export."""
    span = replace(
        turn("abc")[0],
        start_ns=-5,
        events=(SpanEvent("e", 2**70),),
        links=(SpanLink("no", "hexadecimal"),),
    )
    [back] = spans_from_request(request_from_spans([span]))
    assert (back.start_ns, back.events[0].time_ns) == (0, 2**63 - 1)
    assert (back.links[0].trace_id, back.links[0].span_id) == ("", "")


def test_spans_of_a_process_share_a_resource() -> None:
    """Resources are told apart by their values and types, and written once."""
    first, second, third, fourth = (turn("abc", number)[0] for number in range(1, 5))
    spans = [
        replace(span, resource={"a": value})
        for span, value in zip([first, second, third, fourth], [1, True, 1.0, 1], strict=True)
    ]
    request = request_from_spans(spans)
    assert [len(it.scope_spans[0].spans) for it in request.resource_spans] == [2, 1, 1]
    back = spans_from_request(request)
    assert sorted(repr(it.resource["a"]) for it in back) == ["1", "1", "1.0", "True"]
    assert back[0].resource is back[1].resource


def test_a_span_of_another_language_in_binary() -> None:
    """Bytes, a time beyond the year 2262, and a kind of tomorrow."""
    request = ExportTraceServiceRequest()
    span = OTLPSpan(
        trace_id=b"a" * 16, span_id=b"b" * 8, start_time_unix_nano=NEW_YEAR, end_time_unix_nano=2**64 - 1
    )
    span.attributes.append(KeyValue(key="b", value=AnyValue(bytes_value=b"\x00\xff")))
    request.resource_spans.add().scope_spans.add().spans.append(span)
    [read_span] = spans_from_request(decode(request.SerializeToString(), PROTOBUF))
    assert (read_span.start_ns, read_span.end_ns) == (NEW_YEAR, 2**63 - 1)
    assert read_span.attributes == {"b": "AP8="}
    assert (read_span.kind, read_span.status, read_span.parent_id) == ("INTERNAL", "UNSET", None)


def test_without_opentelemetry_proto_there_is_one_clear_error() -> None:
    """It names the line that installs what is missing."""
    code = "import sys; sys.modules['opentelemetry.proto'] = None; import langchain_sessions.store._otlp"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1].endswith(
        "OTLP needs opentelemetry-proto: pip install 'langchain-sessions[view]'"
    )
