"""The messages in what a model was sent or answered, in several dialects: parsed JSON in, messages out. Pure.

A list of them is the simplest. Others have them in wrappers: LangChain's results, requests to providers and
their responses, Vercel's prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

from langchain_sessions._messages import fields_of, message_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_sessions._messages import Fields

Body: TypeAlias = "Mapping[str, object]"
"""The fields of a message, its role among them."""

_DEEPEST: Final = 6
"""Wrappers opened on the way to a message, as in `{"generations": [[{"message": {...}}]]}`."""

_LISTS: Final = (
    *("messages", "contents", "prompts", "prompt", "input"),
    *("generations", "choices", "candidates", "output"),
)
"""Where a wrapper has messages."""

_INSTRUCTIONS: Final = ("system", "instructions")
"""Where it has what the model is told beside them."""

_WRAPPED: Final = ("message", "content")
"""Where one of several alternatives has its message."""

_FINISHED: Final = ("finish_reason", "finishReason")


def bodies_in(payload: object, role: str) -> list[Body] | None:
    """Find the messages.

    Args:
        payload: What a model was sent, or what it answered.
        role: Whose a text is that stands alone.

    Returns:
        The messages in their order. What is none, but stands among them, has the role "". None if there are
        none.
    """
    return _bodies(payload, role, _DEEPEST)


def _bodies(payload: object, role: str, depth: int) -> list[Body] | None:
    if isinstance(payload, str):
        return [{"role": role, "content": payload}]
    if depth == 0:
        return None
    if isinstance(payload, list | tuple):
        return _of_list(cast("Sequence[object]", payload), role, depth - 1)
    fields = fields_of(payload)
    if not fields:
        return None
    if (body := _body(fields)) is not None:
        return [body]
    return _of_alternative(fields, role, depth - 1) or _of_wrapper(fields, role, depth - 1)


def _body(fields: Fields) -> Body | None:
    """The message that this is: by its role, by its type or class, or by what OpenAI has beside messages."""
    if isinstance(fields.get("role"), str):
        return fields
    if (message := message_of(fields)) is not None:
        return {**message.body, "role": message.role}
    match fields.get("type"):
        case "function_call" | "reasoning":
            return {"role": "assistant", "content": [fields]}
        case "function_call_output":
            return {"role": "tool", "content": [fields]}
        case _:
            return None


def _of_list(items: Sequence[object], role: str, depth: int) -> list[Body] | None:
    if items and all(map(_is_part, items)):
        return [{"role": role, "content": items}]
    found = [_bodies(it, role, depth) for it in items]
    if not any(found):
        return None
    return [
        body
        for item, bodies in zip(items, found, strict=True)
        for body in (bodies if bodies is not None else [{"role": "", "content": [item]}])
    ]


def _is_part(item: object) -> bool:
    """Whether it is a part of a message's content, without the message."""
    fields = fields_of(item)
    if fields is None or "message" in fields or _body(fields) is not None:
        return False
    return isinstance(fields.get("type"), str) or "text" in fields


def _of_alternative(fields: Fields, role: str, depth: int) -> list[Body] | None:
    """Read one of several answers: a message with the reason why the model stopped beside it, or a text."""
    inner = next((it for name in _WRAPPED if (it := fields_of(fields.get(name))) is not None), None)
    if inner is not None and "parts" in inner:  # Google's candidates do not all say whose they are
        inner = {"role": role, **inner}
    bodies = None if inner is None else _bodies(inner, role, depth)
    if bodies is None and isinstance(text := fields.get("text"), str):
        bodies = [{"role": role, "content": text}]
    if bodies is None:
        return None
    reason = next((it for name in _FINISHED if (it := fields.get(name)) is not None), None)
    return [it if reason is None else {"finish_reason": reason, **it} for it in bodies]


def _of_wrapper(fields: Fields, role: str, depth: int) -> list[Body] | None:
    for name in _LISTS:
        found = _bodies(fields.get(name), role, depth)
        if found:
            told = (fields.get(it) for it in _INSTRUCTIONS)
            return [*({"role": "system", "content": it} for it in told if it), *found]
    return None
