"""The addresses of the pages. Ids may be any text, so they are parameters, never parts of a path. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from langchain_sessions.store import SessionSummary, Span, Turn


def address(path: str, **parameters: str | int | None) -> str:
    """Write an address; parameters that are None or empty are left out."""
    given = {name: value for name, value in parameters.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given)}" if given else path


def session_address(of: SessionSummary) -> str:
    """Where a session is shown."""
    return address("/session", id=of.id, project=of.project)


def turn_address(turn: Turn, number: int | None = None, text: str = "") -> str:
    """Where a turn is shown: a page of its session that begins with it.

    Args:
        turn: The turn.
        number: Its place in the session, from 1, if that is known.
        text: What was searched for: the page highlights it.
    """
    page = address("/session", id=turn.session_id, project=turn.project, at=turn.trace_id, n=number, q=text)
    return f"{page}#{turn_anchor(turn)}"


def turn_anchor(turn: Turn) -> str:
    """The turn's HTML id."""
    return f"turn-{turn.trace_id}"


def trace_address(turn: Turn) -> str:
    """Where the spans of a turn are shown."""
    return address("/trace", id=turn.session_id, project=turn.project, turn=turn.trace_id)


def span_address(turn: Turn, span: Span, **parameters: str | int | None) -> str:
    """Where a span of a turn is shown.

    Args:
        turn: The turn.
        span: The span.
        **parameters: With which of its messages, documents or attributes it begins.
    """
    here = {"id": turn.session_id, "project": turn.project, "turn": turn.trace_id, "span": span.span_id}
    return address("/span", **here, **parameters)


def attribute_address(turn: Turn, span: Span, key: str, part: str = "attribute") -> str:
    """Where an attribute of a span, or with the part "resource" of its process, is shown in full."""
    here = {"id": turn.session_id, "project": turn.project, "turn": turn.trace_id, "span": span.span_id}
    return address("/text", **here, part=part, key=key)


def text_address(turn: Turn, part: str) -> str:
    """Where a text of a turn is shown in full.

    Args:
        turn: The turn.
        part: "input", "output", or, for its tool number 2, "tool-2-input" and "tool-2-output".
    """
    return address("/text", id=turn.session_id, project=turn.project, turn=turn.trace_id, part=part)


def row_id(of: SessionSummary) -> str:
    """The HTML id of a session's row: the same whenever it is shown."""
    return "s-" + sha256(f"{len(of.project)}:{of.project}{of.id}".encode()).hexdigest()[:16]
