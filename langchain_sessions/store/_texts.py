"""The readable texts in a span: attributes in, text out. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from openinference.semconv.trace import (
    MessageAttributes,
    MessageContentAttributes,
    SpanAttributes,
    ToolCallAttributes,
)

from langchain_sessions import _turns
from langchain_sessions._messages import call_as_code
from langchain_sessions.store import _genai
from langchain_sessions.store._flat import items

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_sessions.store._span import Attributes, Value

_USER: Final = "user"
"""The role that OpenInference gives to what a person said."""

_MEDIA: Final = frozenset({"image", "audio", "video", "document"})
"""Types of message content that a terminal cannot show, but that a reader should know of."""

_PLAIN: Final = "text/plain"

_JSON: Final = "application/json"


class Payload(NamedTuple):
    """A span's input or output.

    Attributes:
        text: The text to show.
        failed: Whether it is a message that calls itself an error.
    """

    text: str
    failed: bool


def attribute(attributes: Attributes, key: str) -> str:
    """The attribute as text; empty when it is not there."""
    value = attributes.get(key)
    return "" if value is None else str(value)


def said(attributes: Attributes) -> str | None:
    """What the user said, by a span's input, whichever convention it follows.

    Returns:
        The text; that of a model call's messages if the input is of no known form, and the input as it is if
        there are none; None if there is no input, or it was cut off.
    """
    if SpanAttributes.INPUT_VALUE not in attributes:
        return _genai.said(attributes)
    keys = SpanAttributes.INPUT_VALUE, SpanAttributes.INPUT_MIME_TYPE
    return _readable(attributes, *keys, _turns.input_text, last_user_text)


def answered(attributes: Attributes) -> str | None:
    """What was answered, by a span's output; returns as `said` does."""
    if SpanAttributes.OUTPUT_VALUE not in attributes:
        return _genai.answered(attributes)
    keys = SpanAttributes.OUTPUT_VALUE, SpanAttributes.OUTPUT_MIME_TYPE
    return _readable(attributes, *keys, _turns.output_text, output_text)


def last_user_text(attributes: Attributes) -> str:
    """The last of a model call's input messages that came from the user; empty when there is none."""
    messages = items(attributes, SpanAttributes.LLM_INPUT_MESSAGES)
    spoken = [message for message in messages if message.get(MessageAttributes.MESSAGE_ROLE) == _USER]
    return _message_text(spoken[-1]) if spoken else _genai.said(attributes) or ""


def output_text(attributes: Attributes) -> str:
    """The first of a model call's output messages, or the calls in it; empty when there is none."""
    messages = items(attributes, SpanAttributes.LLM_OUTPUT_MESSAGES)
    if not messages:
        return _genai.answered(attributes) or ""
    return _message_text(messages[0]) or _calls_text(messages[0])


def raw_input(attributes: Attributes) -> str:
    """A span's input as it is written; empty if it has none."""
    return attribute(attributes, SpanAttributes.INPUT_VALUE) or _genai.raw_said(attributes)


def raw_output(attributes: Attributes) -> str:
    """A span's output as it is written; empty if it has none."""
    return attribute(attributes, SpanAttributes.OUTPUT_VALUE) or _genai.raw_answered(attributes)


def tool_input(attributes: Attributes) -> str:
    """What a tool was called with, as text; empty if the span does not say so."""
    value = attribute(attributes, SpanAttributes.INPUT_VALUE)
    return value or _genai.first_text(attributes, _genai.TOOL_INPUTS)


def tool_output(attributes: Attributes) -> Payload:
    """What a tool returned, without the JSON around it when it is a message.

    Returns:
        The message's content if the value is a JSON object that has one, be it at the top or under
        "data" (where LangChain's serialized messages have it); else the value as it is.
    """
    value = attribute(attributes, SpanAttributes.OUTPUT_VALUE)
    value = value or _genai.first_text(attributes, _genai.TOOL_OUTPUTS)
    message = _json_object(value)
    inner = message.get("data")
    if isinstance(inner, dict):
        message = cast("dict[str, object]", inner)
    content = message.get("content")
    if not isinstance(content, str):
        return Payload(value, failed=False)
    # JSON may escape half a surrogate pair, which nothing can print.
    content = content.encode("utf-8", "backslashreplace").decode()
    return Payload(content, failed=message.get("status") == "error")


def escaped(text: str) -> str:
    """A text with half a surrogate pair in it as it can be stored and sent; any other one as it is."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _readable(
    attributes: Attributes,
    key: str,
    mime_key: str,
    read: Callable[[object], str | None],
    read_messages: Callable[[Attributes], str],
) -> str | None:
    value = attributes.get(key)
    if not isinstance(value, str):
        return None
    kind = attributes.get(mime_key)
    # OpenInference leaves the type of plain text out, and others that of JSON.
    if kind == _PLAIN or (kind != _JSON and not value.lstrip().startswith(("{", "[", '"'))):
        return value
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        return None if kind == _JSON else value  # cut off by a limit, say
    text = read(parsed)
    return (read_messages(attributes) or value) if text is None else text


def _message_text(message: Mapping[str, Value]) -> str:
    """A message's text, be its content one string or a list of blocks."""
    content = message.get(MessageAttributes.MESSAGE_CONTENT)
    if isinstance(content, str):
        return content
    blocks = items(message, MessageAttributes.MESSAGE_CONTENTS)
    return "".join(map(_block_text, blocks)).strip()


def _block_text(block: Mapping[str, Value]) -> str:
    """The text of a text block, the name of a medium, nothing for a model's reasoning or a tool call."""
    kind = str(block.get(MessageContentAttributes.MESSAGE_CONTENT_TYPE, "text"))  # a list is none
    if kind == "text":
        return str(block.get(MessageContentAttributes.MESSAGE_CONTENT_TEXT, ""))
    return f"\n[{kind}]\n" if kind in _MEDIA else ""


def _calls_text(message: Mapping[str, Value]) -> str:
    """The calls of tools, as in code, a line each."""
    calls = (
        call_as_code(
            {
                "name": call.get(ToolCallAttributes.TOOL_CALL_FUNCTION_NAME),
                "arguments": call.get(ToolCallAttributes.TOOL_CALL_FUNCTION_ARGUMENTS_JSON),
            }
        )
        for call in items(message, MessageAttributes.MESSAGE_TOOL_CALLS)
    )
    return "\n".join(filter(None, calls))


def _json_object(value: str) -> dict[str, object]:
    """The JSON object that a text is, or an empty one."""
    if not value.startswith("{"):
        return {}
    try:
        return cast("dict[str, object]", json.loads(value))
    except (ValueError, RecursionError):
        return {}
