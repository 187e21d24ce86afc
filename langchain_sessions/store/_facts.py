"""What of a span decides where it belongs: small enough to be kept for every span of a trace. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from openinference.semconv.resource import ResourceAttributes
from openinference.semconv.trace import SpanAttributes

from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id
from langchain_sessions._names import ENCLOSING
from langchain_sessions.store._conventions import (
    CONVERSATION_ID,
    ERROR_TYPE,
    counts_of,
    genai_kind,
    openinference_kind,
)

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

_UNKNOWN_ERROR: Final = "_OTHER"
"""What OpenTelemetry calls the type of an error that it cannot tell."""


class Facts(NamedTuple):
    """What decides to which session, turn and project a span belongs, and what it adds there.

    Attributes:
        key: Where the whole span is to be found.
        span_id: Its id.
        parent_id: Its parent's id, or None.
        session_id: The session that it names itself, or None.
        user: The user that it names, or None.
        project: The project of its process.
        kind: OpenInference's span kind, such as "LLM", or what corresponds to it; empty for spans of other
            libraries.
        start_ns: When it began.
        end_ns: When it ended.
        error: One line about its error, or None.
        awaits_parent: Whether its parent, a span of the same process, is still to come if it is not there.
        prompt_tokens: Tokens sent, if it is a model call, or an agent that says so.
        completion_tokens: Tokens received, likewise.
        cost: What it cost, likewise, or None.
        conversation_id: The conversation of a model or an agent (`gen_ai.conversation.id`), if it names no
            session; None otherwise.
        is_genai: Whether its kind comes from the convention for generative AI, and not from OpenInference.
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
    conversation_id: str | None
    is_genai: bool


def facts_of(span: Span, key: int, project: str) -> Facts:
    """Read the facts of a span.

    Args:
        span: The span.
        key: Where it is to be found.
        project: `project_of` its resource.
    """
    attributes = span.attributes
    openinference = openinference_kind(attributes)
    kind = openinference or genai_kind(attributes)
    counts = counts_of(attributes, kind)
    session_id = conversation_id = None
    if not attributes.get(ENCLOSING):
        session_id = _name(attributes.get(SpanAttributes.SESSION_ID))
        if session_id is None and CONVERSATION_ID in attributes:
            conversation_id = _conversation(attributes[CONVERSATION_ID])
    return Facts(
        key,
        span.span_id,
        span.parent_id,
        session_id,
        _name(attributes.get(SpanAttributes.USER_ID)),
        project,
        kind,
        span.start_ns,
        span.end_ns,
        _error(span),
        span.parent_id is not None and span.parent_is_remote is False,
        *counts,
        conversation_id,
        kind != openinference,
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


def _error(span: Span) -> str | None:
    """One line about the error of a span; None if there is none, or if its reader has left a stream."""
    if span.status != "ERROR":
        return None
    kind = span.attributes.get(ERROR_TYPE)
    if not span.status_message.strip() and isinstance(kind, str) and kind.strip() and kind != _UNKNOWN_ERROR:
        return headline(kind)
    error = headline(span.status_message)
    return None if error.startswith(_LEFT) else error


def _name(value: Value) -> str | None:
    """An id as text, or None for what is none: ids that others wrote as numbers are their digits."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _conversation(value: Value) -> str | None:
    """The id of a conversation; None for what is none, and for the text of a missing value."""
    name = _name(value)
    try:
        normalize_session_id(name)
    except InvalidSessionIdError:
        return None
    return name
