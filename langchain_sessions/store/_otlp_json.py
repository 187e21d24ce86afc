"""OTLP's JSON: as OpenTelemetry's Collector writes it, and as leniently read as the Collector reads it.

It is protobuf's mapping to JSON but for this: ids of traces and spans are hexadecimal, enums are numbers, and
what is not known is ignored (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). That is
little enough to follow the messages' own descriptions; to mend what protobuf's functions do would be slower.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.descriptor import FieldDescriptor as Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

_IDS: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
"""The bytes fields that are hexadecimal, and how many bytes they have."""

NO_ID: Final = b"?"
"""Stands for a text that is no id: of a length that no id has, so that this span is refused, and no other."""

_DEEPEST: Final = 100
"""Messages within messages, as protobuf's binary form has it."""

_WIDE: Final = {Kind.TYPE_INT64, Kind.TYPE_UINT64, Kind.TYPE_FIXED64, Kind.TYPE_SFIXED64, Kind.TYPE_SINT64}
"""Integers that JavaScript's numbers cannot hold: they are written as text."""

_FLOATS: Final = {Kind.TYPE_DOUBLE, Kind.TYPE_FLOAT}


class DecodeError(ValueError):
    """What was received is not OTLP; the text says where not."""


def fill(message: Message, values: object, depth: int = 0) -> None:
    """Fill a message with what was read from JSON.

    Args:
        message: An empty one.
        values: A JSON object. Keys may be written in either of protobuf's ways (`traceId`, `trace_id`).
        depth: In how many messages this one is.

    Raises:
        DecodeError: If a value cannot be what its field asks for.
    """
    if not isinstance(values, dict):
        msg = f"{message.DESCRIPTOR.name}: this is no JSON object, but {_shown(values)}"
        raise DecodeError(msg)
    if depth > _DEEPEST:
        msg = f"values are nested more than {_DEEPEST} deep"
        raise DecodeError(msg)
    fields = _readers(message.DESCRIPTOR)
    for key, value in cast("dict[str, object]", values).items():
        if value is not None and key in fields:
            fields[key](message, value, depth)


def to_json(message: Message) -> str:
    """Write a message as one line."""
    return _encode(_plain(message))


def text(value: str) -> str:
    """Escape half of a surrogate pair, which Python's texts may have and UTF-8 may not, as the store does."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@cache
def _readers(descriptor: Descriptor) -> dict[str, Callable[[Any, object, int], None]]:
    readers = [(field, _reader(field)) for field in descriptor.fields]
    return {name: reader for field, reader in readers for name in (field.name, field.json_name)}


def _reader(field: FieldDescriptor) -> Callable[[Any, object, int], None]:
    """How a field is filled: one of a message, several messages, one value, several values."""
    name = field.name
    convert = _converter(field)

    def message(into: Any, value: object, depth: int) -> None:
        inner = getattr(into, name)
        inner.SetInParent()
        fill(inner, value, depth + 1)

    def messages(into: Any, value: object, depth: int) -> None:
        container = getattr(into, name)
        for item in _list(field, value):
            fill(container.add(), {} if item is None else item, depth + 1)

    def scalar(into: Any, value: object, _depth: int) -> None:
        try:
            setattr(into, name, convert(value))
        except (TypeError, ValueError, OverflowError):
            msg = f"{field.json_name} cannot be {_shown(value)}"
            raise DecodeError(msg) from None

    def scalars(into: Any, value: object, _depth: int) -> None:
        try:
            getattr(into, name).extend([convert(item) for item in _list(field, value)])
        except (TypeError, ValueError, OverflowError):
            msg = f"{field.json_name} cannot be {_shown(value)}"
            raise DecodeError(msg) from None

    if field.message_type is not None:
        return messages if _is_repeated(field) else message
    return scalars if _is_repeated(field) else scalar


def _is_repeated(field: FieldDescriptor) -> bool:
    # `label` is deprecated in protobuf 7, `is_repeated` is not in 5.
    return field.default_value == []


def _list(field: FieldDescriptor, value: object) -> list[object]:
    if not isinstance(value, list):
        msg = f"{field.json_name} is no list, but {_shown(value)}"
        raise DecodeError(msg)
    return cast("list[object]", value)


def _converter(field: FieldDescriptor) -> Callable[[Any], object]:
    """What makes a JSON value one of the field's; it raises TypeError or ValueError if it cannot."""
    if field.name in _IDS:
        return lambda value: _id(value, _IDS[field.name])
    if (enum := field.enum_type) is not None:
        return lambda value: _enum(value, enum)
    if field.type in _FLOATS:
        return _float
    special: dict[int, Callable[[Any], object]] = {
        Kind.TYPE_STRING: _str,
        Kind.TYPE_BYTES: _base64,
        Kind.TYPE_BOOL: _bool,
    }
    return special.get(field.type, _int)


def _id(value: object, size: int) -> bytes:
    """Read an id in hexadecimal, or in base64, as protobuf's own JSON functions write it, and shorter."""
    if not isinstance(value, str):
        return NO_ID
    try:
        if len(value) == size * 2:
            return bytes.fromhex(value)
        return _base64(value) if len(value) == -(-size // 3) * 4 else NO_ID if value else b""
    except ValueError:
        return NO_ID


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value.translate(_URL_SAFE), validate=True)
    except binascii.Error as error:
        raise ValueError from error


_URL_SAFE: Final = {ord("-"): "+", ord("_"): "/"}


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return text(value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _int(value: object) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(cast("str | int", value))


def _float(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(cast("str | int", value))  # it reads "NaN", "Infinity" and "-Infinity", as OTLP writes them


def _enum(value: object, of: EnumDescriptor) -> int:
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        named = of.values_by_name.get(value)
        return 0 if named is None else named.number
    return _int(value)


def _plain(message: Message) -> dict[str, object]:
    """A message as what `json` writes."""
    plain: dict[str, object] = {}
    for field, value in message.ListFields():
        write = _writer(field)
        plain[field.json_name] = [write(item) for item in value] if _is_repeated(field) else write(value)
    if message.DESCRIPTOR.name == "Span":
        plain.setdefault("parentSpanId", "")  # the Collector writes it for roots, too
    return plain


@cache
def _writer(field: FieldDescriptor) -> Callable[[Any], object]:
    if field.message_type is not None:
        return _plain
    if field.name in _IDS:
        return bytes.hex
    if field.type in _WIDE:
        return str
    if field.type in _FLOATS:
        return _number
    return _as_base64 if field.type == Kind.TYPE_BYTES else _same


def _as_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _same(value: object) -> object:
    return value


def _shown(value: object) -> str:
    """A value as an error shows it, without what may be secret or long in it."""
    if isinstance(value, str):
        return "such a text"
    return {dict: "an object", list: "a list"}.get(cast("type", type(value)), repr(value)[:40])
