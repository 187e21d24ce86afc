"""Sessions as lines of JSON: one for each turn, with all of its spans, or one for each session, to be read.

A line of spans is an ExportTraceServiceRequest in OTLP's JSON: what a Collector's file exporter writes and
its otlpjsonfile receiver reads.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Final, cast

from langchain_sessions.store._measures import moment
from langchain_sessions.store._otlp import (
    DecodeError,
    load,
    request_from_json,
    request_from_spans,
    spans_from_request,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_sessions.store._model import SessionSummary, Turn
    from langchain_sessions.store._span import Span

__all__ = ["ChatLineError", "DecodeError", "bounded_lines", "chat_line", "spans_from_line", "spans_line"]

LONGEST: Final = 256 * 2**20
"""Bytes of a line. Without a limit, a file that has no lines (a database, say) would be read into memory."""

_SPANS: Final = {"resourceSpans", "resource_spans"}

_OTHERS: Final = {f"resource{it}" for it in ("Logs", "Metrics", "Profiles")} | {
    f"resource_{it}" for it in ("logs", "metrics", "profiles")
}

_BOM: Final = b"\xef\xbb\xbf"

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ChatLineError(DecodeError):
    """A line of an export to be read; it has no spans."""


def spans_line(spans: Iterable[Span]) -> str:
    """Write spans as one line, without its end."""
    return to_json(request_from_spans(spans))


def spans_from_line(line: bytes, rejected: list[str]) -> list[Span] | None:
    """Read a line of spans.

    Args:
        line: The line.
        rejected: Where to add why a span is not among the result.

    Returns:
        Its spans; None if the line has something else that a Collector writes (logs, metrics).

    Raises:
        ChatLineError: If it is of a chat export.
        DecodeError: If it is something else.
    """
    if len(line) >= LONGEST:
        msg = f"the line is longer than {LONGEST // 2**20} MiB"
        raise DecodeError(msg)
    values = load(line.removeprefix(_BOM))
    keys = set(cast("dict[str, object]", values)) if isinstance(values, dict) else set[str]()
    if keys & _SPANS:
        return spans_from_request(request_from_json(cast("object", values)), rejected)
    if keys & _OTHERS:
        return None
    if keys >= {"id", "project", "turns"}:
        msg = "this is a chat export, which has no spans to import; export with --format otlp"
        raise ChatLineError(msg)
    msg = "this is JSON, but has no resourceSpans, as OTLP has"
    raise DecodeError(msg)


def chat_line(session: SessionSummary, turns: Iterable[Turn]) -> Iterator[str]:
    """Write a session as one line, without its end: a piece at a time, since a session may be long."""
    head = {
        "id": session.id,
        "project": session.project,
        "user": session.user,
        "started": _time(session.started_ns),
    }
    yield f'{_encode(head)[:-1]},"turns":['
    comma = ""
    for turn in turns:
        yield comma + _encode(_turn(turn))
        comma = ","
    yield "]}"


def bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream; of one that is too long its first `LONGEST` bytes."""
    while line := stream.readline(LONGEST):
        yield line
        while len(line) == LONGEST and not line.endswith(b"\n"):
            line = stream.readline(LONGEST)


def _turn(turn: Turn) -> dict[str, object]:
    return {
        "trace_id": turn.trace_id,
        "user": turn.user,
        "started": _time(turn.started_ns),
        "latency_ms": turn.duration_ns / 10**6,
        "input": turn.input,
        "output": turn.output,
        "tools": [asdict(tool) for tool in turn.tools],
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "cost": turn.cost,
        "error": turn.error,
    }


def _time(nanoseconds: int) -> str:
    return moment(nanoseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")
