"""Chat messages and their content, in several dialects. Pure.

They come as LangChain's objects, or as the JSON that they become in a span. All of them are read as mappings
of field names (`fields_of`), so that one reader serves them all.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

Fields: TypeAlias = Mapping[Any, Any]
"""A mapping, or the fields of an object by their names."""

MAX_CALL_CHARACTERS: Final = 200
"""A tool call is shown to say which one it was; a whole document may be among its arguments."""

HUMAN, AI, TOOL, SYSTEM, REMOVED = "human", "ai", "tool", "system", "remove"

_ROLES: Final = {
    **dict.fromkeys((HUMAN, "user"), HUMAN),
    **dict.fromkeys((AI, "assistant", "model"), AI),
    **dict.fromkeys((TOOL, "function"), TOOL),
    **dict.fromkeys((SYSTEM, "developer"), SYSTEM),
    REMOVED: REMOVED,
}
"""The roles of LangChain, OpenAI and Google."""

_MEDIA: Final = {
    **dict.fromkeys(("image", "image_url", "input_image", "image_generation_call"), "[image]"),
    **dict.fromkeys(("audio", "input_audio", "output_audio", "audio_url"), "[audio]"),
    **dict.fromkeys(("video", "video_url", "input_video"), "[video]"),
    **dict.fromkeys(("file", "input_file", "document", "text-plain", "media", "blob", "uri"), "[file]"),
}
"""Types of content blocks that are no text, and what stands for them in one."""

_CALLS: Final = ("tool_use", "tool_call", "function_call")
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_UNSPOKEN: Final = ("think", "reason", "tool", "call", "result", "search", "citation", "non_standard")
"""Parts of the types of blocks that are not addressed to the reader: reasoning, calls and their results."""


class Message(NamedTuple):
    """A message: whose it is, and its fields."""

    role: str
    body: Fields

    @property
    def text(self) -> str:
        """What it says. A model's text may be cut into blocks anywhere; a user's blocks are things apart."""
        text = text_of(_content_of(self.body), "" if self.role == AI else "\n")
        return text or (_responses(self.body) if self.role == TOOL else "")

    @property
    def calls(self) -> list[str]:
        """The tools it calls, as code."""
        return list(filter(None, map(call_as_code, _calls(self.body))))

    @property
    def words(self) -> str:
        """What it says, or else what it does."""
        text = self.text
        return text if text.strip() else "\n".join(self.calls) or _said_otherwise(self.body)


def conversation(value: Any, *, in_state: bool = False) -> Sequence[Any] | None:
    """Return the items of a list that ends with a message; None if the value is anything else.

    Args:
        value: What may be one.
        in_state: Whether it is where messages are expected: then a text is a message of the user's, as
            LangChain has it, a message alone is a list of it, and an empty list is a conversation.
    """
    if in_state and (isinstance(value, str) or message_of(value) is not None):
        return (value,)
    if not isinstance(value, (list, tuple)):
        return None
    items = cast("Sequence[Any]", value)
    if not items:
        return items if in_state else None
    last = items[-1]
    if message_of(last) is not None or (in_state and isinstance(last, str)):
        return items
    if isinstance(items[0], (list, tuple)):  # a model is given a list of conversations, one per run
        first = cast("Sequence[Any]", items[0])
        return first if first and message_of(first[-1]) is not None else None
    return None


def backwards(items: Sequence[Any]) -> Iterator[Message]:
    """Yield the messages of a conversation from its end."""
    for item in reversed(items):
        message = Message(HUMAN, {"content": item}) if isinstance(item, str) else message_of(item)
        if message is not None and message.role != REMOVED:
            yield message


def message_of(value: Any) -> Message | None:
    """Read one message in any dialect; None if the value is not one."""
    if isinstance(value, (list, tuple)):  # ("human", "hi")
        pair = cast("Sequence[Any]", value)
        is_pair = len(pair) == 2 and isinstance(pair[1], (str, list)) and isinstance(pair[0], str)
        role = _ROLES.get(pair[0]) if is_pair else None
        return None if role is None else Message(role, {"content": pair[1]})
    fields = fields_of(value)
    if fields is None:
        return None
    if isinstance(role := fields.get("role"), str):
        is_message = "content" in fields or "parts" in fields or "tool_calls" in fields
        return Message(_ROLES.get(role.lower(), AI), fields) if is_message else None
    kind, body = fields.get("type"), fields
    if isinstance(path := fields.get("id"), (list, tuple)) and path and "kwargs" in fields:
        kind, body = cast("Sequence[Any]", path)[-1], fields_of(fields["kwargs"])  # LangChain's constructors
    elif "data" in fields and "content" not in fields:
        body = fields_of(fields["data"])  # its message_to_dict
    return _of_class(kind, body) if isinstance(kind, str) and body is not None else None


def _of_class(kind: str, body: Fields) -> Message | None:
    """Read a message whose class is named, as in "human", "HumanMessage", "AIMessageChunk"."""
    if "content" not in body:
        return None
    name = kind.removesuffix("Chunk").removesuffix("Message").lower()
    if name == "chat" and isinstance(body.get("role"), str):  # a role of the application's own
        return Message(_ROLES.get(body["role"].lower(), AI), body)
    role = _ROLES.get(name)
    return None if role is None else Message(role, body)


def _content_of(body: Fields) -> Any:
    content = body.get("content")
    return body.get("parts") if content is None else content  # Google's, and OpenTelemetry's


def text_of(content: Any, separator: str) -> str:
    """Return the text of a message's content: a text, or blocks."""
    if isinstance(content, str):
        return plain(content)
    pieces: list[str] = []
    after_medium = False
    for block in _blocks_of(content):
        text, is_medium = _read_block(block)
        if text:
            pieces += ("\n" if is_medium or after_medium else separator, text)
            after_medium = is_medium
    return "".join(pieces[1:])


def _blocks_of(content: Any) -> Sequence[Any]:
    if isinstance(content, (list, tuple)):
        return cast("Sequence[Any]", content)
    return () if content is None else (content,)


def are_blocks(items: Sequence[Any]) -> bool:
    """Whether a list is a message's content, without the message: known blocks, some of them text."""
    kinds = [(fields_of(item) or {}).get("type") for item in items]
    known = [isinstance(kind, str) and (kind in _TEXTS or kind in _MEDIA) for kind in kinds]
    return all(known) and any(
        kind in _TEXTS and "text" in (fields_of(item) or {}) for kind, item in zip(kinds, items, strict=True)
    )


def _read_block(block: Any) -> tuple[str, bool]:
    """Return the text of a content block, and whether it stands for a medium; empty if it says nothing."""
    if isinstance(block, str):
        return plain(block), False
    fields = fields_of(block) or {}
    kind = fields.get("type")
    if fields.get("thought") is True:  # Google's reasoning
        return "", False
    if not isinstance(kind, str):
        return _read_part(fields)
    if (medium := _MEDIA.get(kind)) is not None:
        return _medium_of(_mime_type_of(fields), medium), True
    if kind not in _TEXTS and any(part in kind for part in _UNSPOKEN):
        return "", False
    if kind == "text" and "text" not in fields:  # OpenTelemetry's
        return _text_field(fields.get("content")), False
    return _text_field(fields.get("refusal" if kind == "refusal" else "text")), False


def _read_part(fields: Fields) -> tuple[str, bool]:
    """Read a block without a type, as Google's are."""
    for name in ("inline_data", "inlineData", "file_data", "fileData"):
        if name in fields:
            return _medium_of(_mime_type_of(fields_of(fields[name]) or {}), "[file]"), True
    return ("[image]", True) if "image_url" in fields else (_text_field(fields.get("text")), False)


def _text_field(text: Any) -> str:
    if not isinstance(text, str):  # {"text": {"value": "..."}} in OpenAI's assistants
        text = (fields_of(text) or {}).get("value")
    return plain(text) if isinstance(text, str) else ""


def _mime_type_of(fields: Fields) -> Any:
    names = ("mime_type", "mimeType", "media_type", "modality")  # the last one is OpenTelemetry's
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _medium_of(mime_type: Any, otherwise: str) -> str:
    family = mime_type.partition("/")[0] if isinstance(mime_type, str) else ""
    return f"[{family}]" if otherwise == "[file]" and family in {"image", "audio", "video"} else otherwise


# --- tool calls ---------------------------------------------------------------------------------------------


def _calls(body: Fields) -> Iterator[Any]:
    """Yield a message's calls, wherever the dialect has them."""
    extra = fields_of(body.get("additional_kwargs")) or {}
    for holder in (body, extra):
        calls = [*_blocks_of(holder.get("tool_calls")), *_blocks_of(holder.get("invalid_tool_calls"))]
        if calls or (calls := [*_blocks_of(holder.get("function_call"))]):
            yield from calls
            return
    content = _content_of(body)
    for block in () if isinstance(content, str) else _blocks_of(content):
        fields = fields_of(block) or {}
        if fields.get("type") in _CALLS:
            yield fields
        elif "functionCall" in fields or "function_call" in fields:  # Google's
            yield fields.get("functionCall") or fields.get("function_call")


def call_as_code(call: Any) -> str | None:
    """Return a call as one writes it in code; None if it is none."""
    fields = fields_of(call) or {}
    function = fields_of(fields.get("function")) or fields
    name = function.get("name") or function.get("action")
    if not isinstance(name, str):
        return None
    text = f"{name}({_arguments(function)})".replace("\n", " ")
    return text if len(text) <= MAX_CALL_CHARACTERS else f"{text[: MAX_CALL_CHARACTERS - 2]}…)"


def _arguments(function: Fields) -> str:
    given = next((function[name] for name in ("args", "arguments", "input") if name in function), None)
    if isinstance(given, str):  # OpenAI sends them as JSON, not always valid
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return plain(given)
    if (named := fields_of(given)) is not None:
        return ", ".join(f"{name}={_as_literal(value)}" for name, value in named.items())
    return "" if given is None else compact(given)


def _as_literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, skipkeys=True, default=_as_json)


def _responses(body: Fields) -> str:
    """Return what tools returned, where it is a block of its own, as OpenTelemetry has it."""
    content = _content_of(body)
    blocks = [fields_of(it) or {} for it in (() if isinstance(content, str) else _blocks_of(content))]
    found = [it.get("response", it.get("result")) for it in blocks if it.get("type") == "tool_call_response"]
    return "\n".join(compact(it) for it in found if it is not None)


def _said_otherwise(body: Fields) -> str:
    """Return a refusal, or the transcript of an answer that was spoken; both stand beside the content."""
    extra = fields_of(body.get("additional_kwargs")) or {}
    for holder in (body, extra):
        if isinstance(refusal := holder.get("refusal"), str):
            return plain(refusal)
        if (audio := fields_of(holder.get("audio"))) is not None:
            transcript = audio.get("transcript")
            return plain(transcript) if isinstance(transcript, str) and transcript else "[audio]"
    return ""


# --- objects ------------------------------------------------------------------------------------------------


def fields_of(value: Any) -> Fields | None:
    """Return a mapping, or the fields of a pydantic model or a dataclass; other objects are asked nothing."""
    if isinstance(value, Mapping):
        return cast("Fields", value)
    if value is None or isinstance(value, (str, int, float, list, tuple, type)):
        return None
    kind = cast("Any", type(value))
    if dataclasses.is_dataclass(kind):
        names: Any = [field.name for field in dataclasses.fields(kind)]
    elif not isinstance(names := getattr(kind, "model_fields", None), Mapping):
        return None
    return {name: getattr(value, name, None) for name in cast("Iterable[str]", names)}


def compact(value: Any) -> str:
    """Return a text as it is, and anything else as JSON in one line."""
    if isinstance(value, str):
        return plain(value)
    return _as_literal(value)


def _as_json(value: Any) -> Any:
    fields = fields_of(value)
    if fields is not None:
        return dict(fields)
    return list(cast("Iterable[Any]", value)) if isinstance(value, (set, frozenset)) else str(value)


def plain(text: str) -> str:
    """Return a plain text: that of LangChain's messages can be called, and OpenInference would call it."""
    return text if type(text) is str else str.__str__(text)
