"""Pseudonymization of whatever a span records, not of its ids alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

MIN_SCRUBBED_CHARACTERS = 6
"""Raw ids shorter than this are replaced where they are a whole value, not inside text: in "42 apples" the
user's 42 is not the id."""

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
    if isinstance(value, str):
        if (replacement := secrets.get(value)) is not None:
            return replacement
        return _scrub_text(value, secrets)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_scrub(key, secrets): _scrub(item, secrets) for key, item in mapping.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_scrub(item, secrets) for item in cast("Sequence[Any]", value)]
    if isinstance(value, bool | float) or value is None:
        return value
    return secrets.get(str(value), value)


def _scrub_text(text: str, secrets: Mapping[str, str]) -> str:
    pattern = _pattern(frozenset(secrets))
    if pattern is None:
        return text
    return pattern.sub(lambda found: _pseudonym_of(found.group(), secrets), text)


def _pseudonym_of(found: str, secrets: Mapping[str, str]) -> str:
    return secrets.get(found) or secrets[json.loads(f'"{found}"')]


@lru_cache(maxsize=512)
def _pattern(raw_ids: frozenset[str]) -> re.Pattern[str] | None:
    """Compile what finds raw ids in text, as they are and as JSON writes them."""
    forms = {
        form for raw in raw_ids if len(raw) >= MIN_SCRUBBED_CHARACTERS for form in (raw, *_json_forms(raw))
    }
    if not forms:
        return None
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def _json_forms(raw: str) -> tuple[str, str]:
    return json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1]
