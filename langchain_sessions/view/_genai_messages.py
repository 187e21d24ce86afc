"""Messages of the convention for generative AI, and of those who differ from it, as they are shown. Pure.

What a message has is read by all names that libraries give it: OpenTelemetry's parts, and the blocks of
OpenAI, Anthropic, Google, LangChain and Vercel's AI SDK. What is none of these is shown as JSON, as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from langchain_sessions.store._texts import escaped
from langchain_sessions.view._contents import Block, Message, ToolCall
from langchain_sessions.view._fields import Text, text_of

if TYPE_CHECKING:
    from langchain_sessions.store._chat import Body

_CALLING: Final = frozenset({"tool_call", "tool_use", "function_call"})
_RESPONDING: Final = frozenset({"tool_call_response", "tool_result", "function_call_output"})
"""Types of parts that are a call, and what it gave; with "-" for "_" in Vercel's."""

_CALLS: Final = ("functionCall", "function_call", "toolUse")
_RESPONSES: Final = ("functionResponse", "function_response", "toolResult")
"""The same where a part has no type: what is under these names."""

_MEDIA: Final = {
    **dict.fromkeys(("blob", "uri", "file", "media", "document", "input_file"), "file"),
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("audio", "audio_url", "input_audio"), "audio"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
}
"""Types of parts that are no text, and what they are."""

_FAMILIES: Final = frozenset({"image", "audio", "video"})

_HOLDERS: Final = (
    *("source", "file", "image_url", "input_audio", "audio", "image", "document", "video"),
    *("inline_data", "inlineData", "file_data", "fileData"),
)
"""Where a part may have what is known of a medium, if it is not beside its type."""

_MIME_TYPES: Final = ("mime_type", "mimeType", "media_type", "mediaType")
_URLS: Final = (
    *("uri", "url", "image_url", "audio_url", "video_url", "file_url", "file_uri", "fileUri"),
    *("file_id", "fileId"),
)
_DATA: Final = ("data", "file_data", "content", "image", "bytes")

_TEXTS: Final = ("text", "content", "refusal", "thinking", "reasoning", "summary")
"""Where a part has its text. In OpenTelemetry's it is "content"."""

_SEALED: Final = ("signature", "data", "encrypted_content")

_NAMES: Final = ("name", "toolName", "tool_name")
_IDS: Final = ("tool_call_id", "toolCallId", "call_id", "tool_use_id", "toolUseId", "id")
_ARGUMENTS: Final = ("arguments", "args", "input")
_RESULTS: Final = ("response", "result", "output", "content")


class Place(NamedTuple):
    """Where something is among the attributes of a span.

    Attributes:
        key: The attribute that it is a part of; None if it is in none, but in an event.
        is_attribute: Whether it is that attribute, and what it has are attributes below that name.
    """

    key: str | None
    is_attribute: bool = False

    def below(self, name: str) -> Place:
        """Where a field of it is."""
        return Place(f"{self.key}.{name}", is_attribute=True) if self.is_attribute else self

    def inside(self) -> Place:
        """Where the parts of it are, if they were not taken apart into attributes."""
        return Place(self.key)

    def text(self, value: object) -> Text | None:
        """Write what is there; None if that is nothing."""
        if value is None:
            return None
        is_part = self.key is not None and not self.is_attribute
        return Text(_written(value), self.key, is_part=is_part)


class _Response(NamedTuple):
    """What a tool gave, among the parts of a message."""

    name: str
    id: str
    blocks: tuple[Block, ...]


def messages_of(body: Body, place: Place, numbers: Sequence[int] = ()) -> list[Message]:
    """Read a message. Each result of a tool in it is a message of its own, since each answers another call.

    Args:
        body: Its fields.
        place: Where it is.
        numbers: The numbers that its calls have among the attributes, if they were taken apart into them.
    """
    role, name = _word(body, "role"), _word(body, "name")
    call_id = _word(body, "tool_call_id", "toolCallId") or (_word(body, "id") if role == "tool" else "")
    calls = _calls_of(body, place, numbers)
    blocks: list[Block] = []
    found: list[Message] = []
    reasoning = place.below("reasoning").text(body.get("reasoning_content") or body.get("reasoning"))
    if reasoning is not None:
        blocks.append(Block("reasoning", reasoning))
    is_called = bool(calls)
    for it in _parts_of(body, place):
        if isinstance(it, Block):
            blocks.append(it)
        elif isinstance(it, ToolCall):
            if not is_called:  # LangChain has a call twice
                calls.append(it)
        else:
            if blocks:
                found.append(Message(role, name, call_id, tuple(blocks)))
                blocks = []
            whose = role if role in {"tool", "function"} else "tool"
            found.append(Message(whose, it.name or name, it.id or call_id, it.blocks))
    if isinstance(refusal := body.get("refusal"), str):
        blocks.append(Block("refusal", place.below("refusal").text(refusal)))
    if blocks or calls or not found:
        found.append(Message(role, name, call_id, tuple(blocks), tuple(calls)))
    return found


def blocks_of(parts: object, place: Place) -> tuple[Block, ...]:
    """Read the parts of a message's content, or a text, as what is said; calls in it are JSON."""
    if _is_list(parts):
        return tuple(_block(it, place) for it in sequence(parts))
    text = place.text(parts)
    return () if text is None else (Block("text", text),)


def _parts_of(body: Body, place: Place) -> list[Block | ToolCall | _Response]:
    content = body.get("content")
    content, place = (body.get("parts"), place) if content is None else (content, place.below("content"))
    if _is_list(content):
        return [_part(it, place.inside()) for it in sequence(content) if it is not None]
    if (part := mapping(content)) is not None:
        return [_part(part, place.inside())]
    text = place.text(content)
    return [] if text is None or not text.text else [Block("text", text)]


def _calls_of(body: Body, place: Place, numbers: Sequence[int]) -> list[ToolCall]:
    """Read the calls that a message has beside its content."""
    for holder in (body, mapping(body.get("additional_kwargs")) or {}):
        calls = [*sequence(holder.get("tool_calls")), *sequence(holder.get("invalid_tool_calls"))]
        places = [place.below(f"tool_calls.{it}") for it in numbers]
        places += [place] * max(1, len(calls) - len(places))
        calls = calls or [holder.get("function_call")]
        if any(calls):
            read = zip(calls, places, strict=False)
            return [_call(call, at) for it, at in read if (call := mapping(it)) is not None]
    return []


def _part(value: object, place: Place) -> Block | ToolCall | _Response:
    part = mapping(value) or {}
    kind = _plain(_word(part, "type"))
    for names, known, read in ((_CALLS, _CALLING, _call), (_RESPONSES, _RESPONDING, _response)):
        inner = next((it for name in names if (it := mapping(part.get(name))) is not None), None)
        if kind in known:
            return read(part, place)
        if not kind and inner is not None:
            return read(inner, place)
    return _block(value, place)


def _block(value: object, place: Place) -> Block:
    part = mapping(value)
    if part is None:
        return Block("text", place.text(value))
    kind = _word(part, "type")
    if (plain := _plain(kind)) in _CALLING | _RESPONDING:
        return Block("text", place.text(part))
    if part.get("thought") is True:  # Google's
        return Block("reasoning", place.text(part.get("text")))
    if (medium := _medium(part, plain, place)) is not None:
        return medium
    texts = (part.get(name) for name in _TEXTS if part.get(name) not in (None, "", [], ()))
    text = next(texts, None)
    if (inner := mapping(text)) is not None:  # OpenAI's assistants
        text = inner.get("value")
    block = Block(kind or "text")
    if block.is_reasoning:
        if pieces := [_word(it, "text") for it in map(mapping, sequence(text)) if it]:  # OpenAI's summaries
            text = "\n\n".join(pieces)
        is_sealed = any(isinstance(part.get(it), str) for it in _SEALED)
        if text is None and not is_sealed:
            return Block(kind, place.text(part))
        return Block(kind, place.text(text), is_sealed=is_sealed)
    if isinstance(text, str):
        return Block(kind or "text", place.text(text))
    is_empty = text is None and any(isinstance(part.get(it), str) for it in ("text", "content"))
    return Block(kind or "text", place.text("" if is_empty else part))


def _medium(part: Body, kind: str, place: Place) -> Block | None:
    """Read a picture, a sound, a file; None if it is none, or if nobody knows where that is."""
    holders = [part, *filter(None, (mapping(part.get(name)) for name in _HOLDERS))]
    family = _MEDIA.get(kind)
    if family is None and (kind or len(holders) == 1):
        return None
    mime_type = _first(holders, _MIME_TYPES)
    if not mime_type and (sound := _first(holders, ("format",))):
        mime_type = f"audio/{sound}"
    modality = _word(part, "modality") or mime_type.partition("/")[0]
    url = _first(holders, _URLS)
    if not url and (data := _first(holders, _DATA)):
        is_address = data[:8].lower().startswith(("data:", "http:", "https:"))
        url = data if is_address else f"data:{mime_type};base64,{data}"
    if not url:
        return None
    return Block(
        kind=modality if modality in _FAMILIES else family or "file",
        url=place.text(url),
        name=escaped(_first(holders, ("filename", "file_name", "title"))),
    )


def _call(call: Body, place: Place) -> ToolCall:
    function = mapping(call.get("function")) or call
    given = next((it for name in _ARGUMENTS if (it := function.get(name)) is not None), None)
    return ToolCall(
        name=_word(function, *_NAMES),
        id=_word(call, *_IDS),
        arguments=place.below("arguments").text(given),
    )


def _response(part: Body, place: Place) -> _Response:
    gave = next((it for name in _RESULTS if (it := part.get(name)) is not None), None)
    if (inner := mapping(gave)) is not None and "type" in inner and "value" in inner:  # Vercel's
        gave = inner["value"]
    items = sequence(gave)
    are_parts = bool(items) and all("type" in (mapping(it) or {}) for it in items)
    blocks = blocks_of(gave if are_parts or gave is None else _written(gave), place)
    return _Response(_word(part, *_NAMES), _word(part, *_IDS), blocks)


def mapping(value: object) -> Body | None:
    """Return a mapping; None for anything else."""
    return cast("Body", value) if isinstance(value, Mapping) else None


def sequence(value: object) -> Sequence[object]:
    """Return the items of a list; none of anything else."""
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _plain(kind: str) -> str:
    return kind.replace("-", "_").lower()


def _first(holders: Sequence[Body], names: Sequence[str]) -> str:
    """The first text under these names that is not empty."""
    return next((word for name in names for it in holders if (word := _word(it, name))), "")


def _word(body: Body, *names: str) -> str:
    return next((escaped(it) for name in names if isinstance(it := body.get(name), str) and it), "")


def _written(value: object) -> str:
    """Write a value; JSON may have half a character, which nothing can print."""
    try:
        return escaped(text_of(value))
    except RecursionError:  # it was read just so
        return "…"
