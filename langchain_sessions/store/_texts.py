"""The readable texts in a span: attributes in, text out. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from openinference.semconv.trace import MessageAttributes, MessageContentAttributes, SpanAttributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

Fields: TypeAlias = "dict[str, AttributeValue]"
"""The attributes of one item of a flattened list, without the list's prefix and the item's index."""

_USER = "user"
"""The role that OpenInference gives to what a person said."""

_MEDIA = frozenset({"image", "audio", "video", "document"})
"""Types of message content that a terminal cannot show, but that a reader should know of."""


class Payload(NamedTuple):
    """A span's input or output.

    Attributes:
        text: The text to show.
        failed: Whether it is a message that calls itself an error.
    """

    text: str
    failed: bool


def attribute(span: ReadableSpan, key: str) -> str:
    """The attribute as text; empty when the span does not have it."""
    value = (span.attributes or {}).get(key)
    return "" if value is None else str(value)


def last_user_text(span: ReadableSpan) -> str:
    """The last of a model call's input messages that came from the user; empty when there is none."""
    said = [
        message
        for message in _items(span.attributes or {}, SpanAttributes.LLM_INPUT_MESSAGES)
        if message.get(MessageAttributes.MESSAGE_ROLE) == _USER
    ]
    return _message_text(said[-1]) if said else ""


def output_text(span: ReadableSpan) -> str:
    """The first of a model call's output messages; empty when it has no text, or there is none."""
    messages = _items(span.attributes or {}, SpanAttributes.LLM_OUTPUT_MESSAGES)
    return _message_text(messages[0]) if messages else ""


def payload(span: ReadableSpan, key: str) -> Payload:
    """A span's input or output value, without the JSON around it when it is a message.

    Args:
        span: The span.
        key: `input.value` or `output.value`.

    Returns:
        The message's content if the value is a JSON object that has one, be it at the top or under
        "data" (where LangChain's serialized messages have it); else the value as it is.
    """
    value = attribute(span, key)
    message = _json_object(value)
    inner = message.get("data")
    if isinstance(inner, dict):
        message = cast("dict[str, object]", inner)
    content = message.get("content")
    if not isinstance(content, str):
        return Payload(value, failed=False)
    return Payload(content, failed=message.get("status") == "error")


def headline(description: str) -> str:
    """The first line of an error's description; LangChain's have a traceback glued to that line."""
    lines = description.partition("Traceback (most recent call last)")[0].strip().splitlines()
    return lines[0].rstrip() if lines else "failed without saying why"


def _message_text(message: Fields) -> str:
    """A message's text, be its content one string or a list of blocks."""
    content = message.get(MessageAttributes.MESSAGE_CONTENT)
    if isinstance(content, str):
        return content
    blocks = _items(message, MessageAttributes.MESSAGE_CONTENTS)
    return "".join(map(_block_text, blocks)).strip()


def _block_text(block: Fields) -> str:
    """The text of a text block, the name of a medium, nothing for a model's reasoning or a tool call."""
    kind = block.get(MessageContentAttributes.MESSAGE_CONTENT_TYPE, "text")
    if kind == "text":
        return str(block.get(MessageContentAttributes.MESSAGE_CONTENT_TEXT, ""))
    return f"\n[{kind}]\n" if kind in _MEDIA else ""


def _items(attributes: Mapping[str, AttributeValue], prefix: str) -> list[Fields]:
    """Put a flattened list (`prefix.0.role`, `prefix.1.role`, ...) together again, by index."""
    items: dict[int, Fields] = {}
    for key, value in attributes.items():
        if not key.startswith(f"{prefix}."):
            continue
        index, _, field = key.removeprefix(f"{prefix}.").partition(".")
        if index.isdecimal():
            items.setdefault(int(index), {})[field] = value
    return [items[index] for index in sorted(items)]


def _json_object(value: str) -> dict[str, object]:
    """The JSON object that a text is, or an empty one."""
    if not value.startswith("{"):
        return {}
    try:
        return cast("dict[str, object]", json.loads(value))
    except (ValueError, RecursionError):
        return {}
