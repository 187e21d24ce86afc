"""What was said in spans of the convention for generative AI (`gen_ai.*`): attributes in, text out. Pure.

The convention has had four forms, and libraries have others beside it: lists of messages with parts, as JSON
or as they are; the same flattened; one text; and events, of which some are on the span. All of them are
brought to messages, or to the payload of a run, and read as these are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from langchain_sessions import _turns
from langchain_sessions._messages import compact, fields_of
from langchain_sessions.store._conventions import LLM, genai_kind
from langchain_sessions.store._flat import items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_sessions.store._span import Attributes, Value

PREFIX: Final = "gen_ai."

_INPUT_MESSAGES: Final = "gen_ai.input.messages"
_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
_PROMPT: Final = "gen_ai.prompt"
_COMPLETION: Final = "gen_ai.completion"

ARGUMENTS: Final = ("gen_ai.tool.call.arguments", "ai.toolCall.args", "ai.toolCall.input")
RESULTS: Final = ("gen_ai.tool.call.result", "ai.toolCall.result", "ai.toolCall.output")
"""What a tool was called with, and what it returned; by the convention, and by Vercel's AI SDK."""

_TRACELOOP_INPUT: Final = "traceloop.entity.input"
_TRACELOOP_OUTPUT: Final = "traceloop.entity.output"

TOOL_INPUTS: Final = (*ARGUMENTS, _PROMPT, _TRACELOOP_INPUT)
TOOL_OUTPUTS: Final = (*RESULTS, _COMPLETION, _TRACELOOP_OUTPUT)

_SENT: Final = (_INPUT_MESSAGES, _PROMPT, "ai.prompt.messages", "ai.prompt")
_RECEIVED: Final = (_OUTPUT_MESSAGES, _COMPLETION)
"""Where a model's messages may be, the convention's own place first."""

_INPUTS: Final = (*_SENT, *ARGUMENTS)
_OUTPUTS: Final = (*_RECEIVED, "ai.response.text", "ai.response.object", *RESULTS)
"""Where texts may be, likewise."""

_ALWAYS_JSON: Final = frozenset({_INPUT_MESSAGES, _OUTPUT_MESSAGES, "ai.prompt.messages"})
"""A text in one of these that is no JSON was cut off."""

_CONTENT: Final = "gen_ai.event.content"

_EVENT_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
"""Events that are a message each, and whose it is."""

_WHOLE_EVENTS: Final[Mapping[str, str | None]] = {
    "gen_ai.client.inference.operation.details": None,
    "gen_ai.content.prompt": _PROMPT,
    "gen_ai.content.completion": _COMPLETION,
}
"""Events that are all messages at once, and the attribute that their content corresponds to."""

_CHOICE: Final = "gen_ai.choice"

_OPENINGS: Final = ("{", "[", '"')
"""How a JSON begins that is an object, a list or a text."""


_FLAT: Final = ("finish_reason", "name", "reasoning", "tool_call_id")
"""What a flattened message has beside its role, its content and its calls."""


class Given(NamedTuple):
    """What was found.

    Attributes:
        key: The attribute that has it; if it was flattened, the name of the list.
        raw: As it is written.
        payload: What it is if it is JSON, and else the same; None if it was cut off. If it was flattened, the
            fields of its items in their order.
        is_flat: Whether it was flattened.
    """

    key: str
    raw: object
    payload: object
    is_flat: bool = False


def sent(attributes: Attributes) -> Given | None:
    """What a model was sent; None if the span does not say so."""
    return _find(attributes, _SENT, _PROMPT, "user")


def received(attributes: Attributes) -> Given | None:
    """What a model answered, if it is there as messages or in one text; None otherwise."""
    return _find(attributes, _RECEIVED, _COMPLETION, "assistant")


def said(attributes: Attributes) -> str | None:
    """What the user said: the last words of theirs, or what a tool was called with.

    Returns:
        The text; the value as it is if it is of no known form; None if there is none, or it was cut off.
    """
    given = _find(attributes, _INPUTS, _PROMPT, "user")
    if given is None or given.payload is None:
        return None
    text = _turns.input_text(_last_if_texts(given.payload))
    return compact(given.raw) if text is None else text


def answered(attributes: Attributes) -> str | None:
    """What was answered: of several alternatives the first; returns as `said` does."""
    given = _find(attributes, _OUTPUTS, _COMPLETION, "assistant")
    if given is None or given.payload is None:
        return None
    if genai_kind(attributes) == LLM:
        choices = map(_turns.output_text, ([it] for it in _items_of(given.payload)))
        if text := next(filter(None, choices), None):
            return text
    text = _turns.output_text(_last_if_texts(given.payload))
    return compact(given.raw) if text is None else text


def raw_said(attributes: Attributes) -> str:
    """What a span has of its input, as it is written; empty if nothing."""
    return _raw(_find(attributes, _INPUTS, _PROMPT, "user"))


def raw_answered(attributes: Attributes) -> str:
    """What a span has of its output, as it is written; empty if nothing."""
    return _raw(_find(attributes, _OUTPUTS, _COMPLETION, "assistant"))


def first_text(attributes: Attributes, keys: Iterable[str]) -> str:
    """The first of these attributes that is there, as text: JSON if it is a structure; empty if none is."""
    return next((compact(attributes[key]) for key in keys if attributes.get(key) is not None), "")


def with_messages(attributes: Attributes, events: Iterable[tuple[str, Attributes]]) -> Attributes:
    """Put what events say of messages where attributes have them.

    Args:
        attributes: A span's.
        events: Its events, by name and attributes.
    """
    sent: list[Value] = []
    received: list[Value] = []
    added: dict[str, Value] = {}
    for name, values in events:
        if (role := _EVENT_ROLES.get(name)) is not None:
            sent.append(_message(values, role))
        elif name == _CHOICE:
            received.append(_message(values, "assistant"))
        elif name in _WHOLE_EVENTS:
            added.update((key, value) for key, value in values.items() if key.startswith(PREFIX))
            if (key := _WHOLE_EVENTS[name]) is not None and _CONTENT in values:
                added.setdefault(key, values[_CONTENT])
    if sent:
        added.setdefault(_INPUT_MESSAGES, sent)
    if received:
        added.setdefault(_OUTPUT_MESSAGES, received)
    return {**added, **attributes} if added else attributes


def _find(attributes: Attributes, keys: Iterable[str], prefix: str, role: str) -> Given | None:
    for key in keys:
        value = attributes.get(key)
        if value is None or value == "":
            continue
        payload = parsed(value, is_json=key in _ALWAYS_JSON)
        if payload not in ([], ()):
            return Given(key, value, payload)
    flattened = [_of_flat(it, role) for it in items(attributes, prefix)]
    return Given(prefix, flattened, flattened, is_flat=True) if flattened else None


def _raw(given: Given | None) -> str:
    return "" if given is None else compact(given.raw)


def parsed(value: Value, *, is_json: bool = False) -> object:
    """Return a value as a structure, or as the text it is; None for what should be JSON and is none."""
    if not isinstance(value, str):  # a list may have a JSON for each message, in languages without nesting
        some = _items_of(value)
        return [parsed(cast("Value", it)) for it in some] if some else value
    if not is_json and not value.lstrip().startswith(_OPENINGS):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None if is_json else value


def _items_of(payload: object) -> Sequence[object]:
    """The items of a list; none of anything else."""
    return cast("Sequence[object]", payload) if isinstance(payload, list | tuple) else ()


def _last_if_texts(payload: object) -> object:
    """The last of a list of texts, which some have for messages; anything else as it is."""
    some = _items_of(payload)
    return some[-1] if some and all(isinstance(it, str) for it in some) else payload


def _of_flat(message: Mapping[str, Value], role: str) -> dict[str, Value]:
    """A message whose calls are flattened, too."""
    calls = items(message, "tool_calls")
    return {
        "role": message.get("role") or role,
        "content": _blocks(message.get("content")),
        **{name: message[name] for name in _FLAT if name in message},
        **({"tool_calls": cast("Value", calls)} if calls else {}),
    }


def _message(values: Attributes, role: str) -> dict[str, Value]:
    """The message that an event is, in one attribute or in several."""
    given = values.get(_CONTENT)
    body = fields_of(parsed(given)) if given is not None else values
    if body is None:
        return {"role": role, "content": given}
    inner = body.get("message")  # that of a choice
    finished = {"finish_reason": body["finish_reason"]} if body.get("finish_reason") is not None else {}
    if isinstance(inner, str) and fields_of(below := parsed(inner)) is None:
        return {"role": role, "content": _blocks(cast("Value", below)), **finished}
    fields = fields_of(parsed(cast("Value", inner))) or body
    message: dict[str, Value] = {"role": role, **{str(key): it for key, it in fields.items()}, **finished}
    message["content"] = _blocks(message.get("content"))
    message["tool_calls"] = cast("Value", parsed(message.get("tool_calls")))
    return message


def _blocks(content: Value) -> Value:
    """The blocks of a message's content that are written as JSON; a text that only looks so stays one."""
    if not isinstance(content, str) or not content.lstrip().startswith("["):
        return content
    blocks = _items_of(parsed(content))
    are_blocks = all(not {"type", "text"}.isdisjoint(fields_of(it) or ()) for it in blocks)
    return cast("Value", blocks) if are_blocks and blocks else content
