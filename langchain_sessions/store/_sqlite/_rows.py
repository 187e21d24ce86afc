"""Between rows of the tables and the plain data of `langchain_sessions.store`."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_sessions.store._facts import Facts
from langchain_sessions.store._model import SessionSummary, Turn
from langchain_sessions.store._span import Span, SpanEvent, SpanLink
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_sessions.store._model import ToolUse
    from langchain_sessions.store._span import Attributes, Status, Value

LARGEST: Final = 2**63 - 1
"""The largest integer that SQLite keeps as one."""

_MOST_PARAMETERS: Final = 500
"""Values in one statement; SQLite's limit has been 999 in its older versions."""

FACTS: Final = (
    "s.id, s.span_id, s.parent_id, s.session_id, s.user_id, o.project, s.kind, s.start_ns, s.end_ns, "
    "s.error, s.parent_id IS NOT NULL AND s.parent_is_remote IS 0, s.prompt_tokens, s.completion_tokens, "
    "s.cost, s.conversation_id, s.is_genai"
)
"""Columns of `spans AS s JOIN origins AS o`, for `facts`."""

SPAN: Final = (
    "t.trace_id, s.span_id, s.parent_id, s.name, s.start_ns, s.end_ns, s.attributes, s.otel_kind, s.status, "
    "s.status_message, s.events, s.links, o.resource, o.scope, o.scope_version, s.trace_state, "
    "s.parent_is_remote"
)
"""Columns of the same, and of `traces AS t`, for `span`."""

SUMMARY: Final = (
    "session_id, project, user_id, first_input, last_output, turn_count, span_count, error_count, "
    "prompt_tokens, completion_tokens, cost, started_ns, last_activity_ns, p50_turn_ns"
)
"""Columns of `sessions`, for `summary`."""

TURN: Final = (
    "t.trace_id, s.session_id, s.project, t.user_id, t.input, t.output, t.prompt_tokens, "
    "t.completion_tokens, t.cost, t.started_ns, t.duration_ns, t.error, t.span_count, "
    "t.is_complete"
)
"""Columns of `turns AS t JOIN sessions AS s`, for `turn`."""


def _plain(value: object) -> object:
    """What JSON does not know: bytes become base64, other sequences lists."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "items"):
        return dict(cast("Mapping[str, object]", value))
    return list(cast("Sequence[object]", value))


to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
"""Write attributes as JSON. One encoder: making one is half of the time of `json.dumps`."""


def span_values(span: Span) -> tuple[str, str, str]:
    """The attributes, events and links of a span, as columns."""
    attributes = to_json(span.attributes if type(span.attributes) is dict else dict(span.attributes))
    events = links = ""
    if span.events:
        events = to_json([(it.name, it.time_ns, dict(it.attributes)) for it in span.events])
    if span.links:
        links = to_json([(it.trace_id, it.span_id, dict(it.attributes)) for it in span.links])
    return attributes, events, links


def select(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> Iterator[Any]:
    """Run a statement, which has `IN ({})`, for as many values as there are, some hundred at a time."""
    for start in range(0, len(values), _MOST_PARAMETERS):
        some = values[start : start + _MOST_PARAMETERS]
        yield from connection.execute(statement.format(", ".join("?" * len(some))), some)


def facts_of_trace(connection: sqlite3.Connection, trace_key: int) -> list[Facts]:
    """Read the facts of all spans of a trace."""
    rows = connection.execute(
        f"SELECT {FACTS} FROM spans AS s JOIN origins AS o ON o.id = s.origin_id WHERE s.trace_key = ?",
        (trace_key,),
    )
    return [facts(row) for row in rows]


def facts(row: Sequence[Any]) -> Facts:
    """Read the columns FACTS."""
    parent_id = row[2]
    parent = None if parent_id is None else parent_id.hex()
    return Facts._make((row[0], row[1].hex(), parent, *row[3:10], bool(row[10]), *row[11:15], bool(row[15])))


def span(row: Sequence[Any]) -> Span:
    """Read the columns SPAN."""
    events: list[tuple[str, int, Attributes]] = json.loads(row[10]) if row[10] else []
    links: list[tuple[str, str, Attributes]] = json.loads(row[11]) if row[11] else []
    return Span(
        trace_id=row[0].hex(),
        span_id=row[1].hex(),
        parent_id=None if row[2] is None else row[2].hex(),
        name=row[3],
        start_ns=row[4],
        end_ns=row[5],
        attributes=json.loads(row[6]),
        kind=row[7],
        status=cast("Status", row[8]),
        status_message=row[9],
        events=tuple(SpanEvent(*it) for it in events),
        links=tuple(SpanLink(*it) for it in links),
        resource=json.loads(row[12]),
        scope=row[13],
        scope_version=row[14],
        trace_state=row[15],
        parent_is_remote=None if row[16] is None else bool(row[16]),
    )


def summary(row: Sequence[Any]) -> SessionSummary:
    """Read the columns SUMMARY."""
    return SessionSummary(
        id=row[0],
        project=row[1],
        user=row[2],
        first_input=row[3],
        last_output=row[4],
        turn_count=row[5],
        span_count=row[6],
        error_count=row[7],
        prompt_tokens=row[8],
        completion_tokens=row[9],
        cost=row[10],
        started_ns=row[11],
        last_activity_ns=row[12],
        p50_turn_ns=row[13],
    )


def turn(row: Sequence[Any], tools: tuple[ToolUse, ...] = ()) -> Turn:
    """Read the columns TURN."""
    return Turn(
        trace_id=row[0].hex(),
        session_id=row[1],
        project=row[2],
        user=row[3],
        input=row[4],
        output=row[5],
        tools=tools,
        prompt_tokens=row[6],
        completion_tokens=row[7],
        cost=row[8],
        started_ns=row[9],
        duration_ns=row[10],
        error=row[11],
        span_count=row[12],
        is_complete=bool(row[13]),
    )


def storable(it: Span) -> Span:
    """Make a span one that SQLite takes: half a surrogate pair is escaped, a time too large is cut."""
    return replace(
        it,
        name=escaped(it.name),
        start_ns=_time(it.start_ns),
        end_ns=_time(it.end_ns),
        attributes=_values(it.attributes),
        status_message=escaped(it.status_message),
        events=tuple(SpanEvent(escaped(e.name), e.time_ns, _values(e.attributes)) for e in it.events),
        links=tuple(SpanLink(e.trace_id, e.span_id, _values(e.attributes)) for e in it.links),
        resource=_values(it.resource),
        scope=escaped(it.scope),
        scope_version=escaped(it.scope_version),
        trace_state=escaped(it.trace_state),
    )


def _values(values: Attributes) -> dict[str, Value]:
    return {escaped(key): cast("Value", _value(value)) for key, value in values.items()}


def _value(value: object) -> object:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, int | float) or value is None:
        return value
    if hasattr(value, "items"):
        return _values(cast("Attributes", value))
    return (
        _plain(value) if isinstance(value, bytes) else [_value(it) for it in cast("Sequence[object]", value)]
    )


def _time(nanoseconds: int) -> int:
    # Half of what fits, so that a duration fits, too.
    return max(-LARGEST // 2, min(nanoseconds, LARGEST // 2))
