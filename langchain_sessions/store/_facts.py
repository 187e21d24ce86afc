"""What of a span decides where it belongs: small enough to be kept for every span of a trace. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from openinference.semconv.resource import ResourceAttributes
from openinference.semconv.trace import SpanAttributes

from langchain_sessions._names import ENCLOSING

if TYPE_CHECKING:
    from langchain_sessions.store._span import Attributes, Span, Value

DEFAULT_PROJECT: Final = "default"

_SERVICE_NAME: Final = "service.name"

_UNKNOWN_SERVICE: Final = "unknown_service"
"""How OpenTelemetry names a service that has no name; it says nothing."""

_LEFT: Final = "GeneratorExit("
"""The error of a stream that its consumer has left: a person who pressed Stop is no failure."""

_CANCELLED: Final = "CancelledError("
"""The error of a coroutine that was cancelled. What follows are the names of tasks, in several lines."""

_NUMBERS: Final = (int, float)


class Facts(NamedTuple):
    """What decides to which session, turn and project a span belongs, and what it adds there.

    Attributes:
        key: Where the whole span is to be found.
        span_id: Its id.
        parent_id: Its parent's id, or None.
        session_id: The session that it names itself, or None.
        user: The user that it names, or None.
        project: The project of its process.
        kind: OpenInference's span kind, such as "LLM"; empty for spans of other libraries.
        start_ns: When it began.
        end_ns: When it ended.
        error: One line about its error, or None.
        awaits_parent: Whether its parent, a span of the same process, is still to come if it is not there.
        prompt_tokens: Tokens sent, if it is a model call.
        completion_tokens: Tokens received, likewise.
        cost: What it cost, likewise, or None.
    """

    key: int
    span_id: str
    parent_id: str | None
    session_id: str | None
    user: str | None
    project: str
    kind: str
    start_ns: int
    end_ns: int
    error: str | None
    awaits_parent: bool
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


def facts_of(span: Span, key: int, project: str) -> Facts:
    """Read the facts of a span.

    Args:
        span: The span.
        key: Where it is to be found.
        project: `project_of` its resource.
    """
    attributes = span.attributes
    error = headline(span.status_message) if span.status == "ERROR" else None
    if error is not None and error.startswith(_LEFT):
        error = None
    kind = attributes.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
    kind = kind if isinstance(kind, str) else ""
    prompt_tokens = completion_tokens = 0
    cost = None
    if kind == "LLM":
        prompt_tokens = _count(attributes.get(SpanAttributes.LLM_TOKEN_COUNT_PROMPT))
        completion_tokens = _count(attributes.get(SpanAttributes.LLM_TOKEN_COUNT_COMPLETION))
        cost = _cost(attributes.get(SpanAttributes.LLM_COST_TOTAL))
    return Facts(
        key,
        span.span_id,
        span.parent_id,
        None if attributes.get(ENCLOSING) else _name(attributes.get(SpanAttributes.SESSION_ID)),
        _name(attributes.get(SpanAttributes.USER_ID)),
        project,
        kind,
        span.start_ns,
        span.end_ns,
        error,
        span.parent_id is not None and span.parent_is_remote is False,
        prompt_tokens,
        completion_tokens,
        cost,
    )


def project_of(resource: Attributes) -> str:
    """Return the name of the project that a process reports for."""
    project = _name(resource.get(ResourceAttributes.PROJECT_NAME))
    service = _name(resource.get(_SERVICE_NAME))
    if project is None and service is not None and not service.startswith(_UNKNOWN_SERVICE):
        project = service
    return project or DEFAULT_PROJECT


def headline(description: str) -> str:
    """The first line of an error's description; LangChain's have a traceback glued to that line."""
    lines = description.partition("Traceback (most recent call last)")[0].strip().splitlines()
    if not lines:
        return "failed without saying why"
    return "CancelledError()" if lines[0].startswith(_CANCELLED) else lines[0].rstrip()


def _name(value: Value) -> str | None:
    """An id as text, or None for what is none: ids that others wrote as numbers are their digits."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _count(value: Value) -> int:
    # More is nobody's count, and the sum of many would not fit into the 64 bits that a database has for it.
    return value if type(value) is int and 0 <= value < 2**32 else 0


def _cost(value: Value) -> float | None:
    if not isinstance(value, _NUMBERS) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < float("inf") else None
