"""Pseudonymization of whatever a span records, not of its ids alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from types import UnionType

MIN_SCRUBBED_CHARACTERS = 6
"""Shorter raw ids are replaced where they are a whole value, also in JSON, but not inside text: in
"42 apples" the user's 42 is not the id."""

MAX_SCRUBBED_CHARACTERS = 1_000
"""Longer raw ids are replaced as whole values only, since each is looked for in every text recorded."""

_Value = TypeVar("_Value")


def scrub(value: _Value, secrets: Mapping[str, str]) -> _Value:
    """Replace raw ids by their pseudonyms, in text and in whatever holds text.

    Args:
        value: Text, or mappings and sequences of it to any depth. Anything else is returned as it is.
        secrets: Raw id to pseudonym.

    Returns:
        A value of the same shape; `value` itself if there is nothing to hide.
    """
    return cast("_Value", _scrub(value, secrets)) if secrets else value


def _scrub(value: Any, secrets: Mapping[str, str]) -> Any:
    if _is(value, str):
        return _scrub_text(str.__str__(value), secrets)
    if _is(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_scrub(key, secrets): _scrub(item, secrets) for key, item in mapping.items()}
    if _is(value, Sequence) and not _is(value, bytes | bytearray):
        return [_scrub(item, secrets) for item in cast("Sequence[Any]", value)]
    if _is(value, bool | float) or value is None:
        return value
    return secrets.get(str(value), value)


def _is(value: object, kind: type | UnionType) -> bool:
    return issubclass(type(value), kind)  # not isinstance(), which believes proxies


def _scrub_text(text: str, secrets: Mapping[str, str]) -> str:
    if (whole := secrets.get(text)) is not None:
        return whole
    for raw in sorted(secrets, key=len, reverse=True):  # an id may be part of another
        if len(raw) <= MAX_SCRUBBED_CHARACTERS:
            for form, replacement in _forms(raw, secrets[raw]):
                text = text.replace(form, replacement)
    return text


@lru_cache(maxsize=1024)
def _forms(raw: str, replacement: str) -> tuple[tuple[str, str], ...]:
    return tuple(_make_forms(raw, replacement))


def _make_forms(raw: str, replacement: str) -> Iterator[tuple[str, str]]:
    """Yield what a raw id looks like in text, in JSON, and in JSON inside JSON, as tool calls have it."""
    for ascii_only in (False, True):
        in_json = json.dumps(raw, ensure_ascii=ascii_only)
        nested = json.dumps(in_json, ensure_ascii=ascii_only)[1:-1]
        if len(raw) < MIN_SCRUBBED_CHARACTERS:
            yield in_json, f'"{replacement}"'
            yield nested, f'\\"{replacement}\\"'
        else:
            yield in_json[1:-1], replacement
            yield nested[2:-2], replacement
    if len(raw) >= MIN_SCRUBBED_CHARACTERS:
        yield raw, replacement
