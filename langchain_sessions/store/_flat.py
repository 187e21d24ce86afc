"""Lists that were flattened into attributes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_sessions.store._span import Attributes, Value

_INDEX_DIGITS: Final = 9
"""Python refuses to read very long numbers, and no list is so long."""


def items(attributes: Attributes, prefix: str) -> list[dict[str, Value]]:
    """Put a flattened list (`prefix.0.role`, `prefix.1.role`, ...) together again, by index."""
    found: dict[int, dict[str, Value]] = {}
    start = f"{prefix}."
    for key, value in attributes.items():
        if not key.startswith(start):
            continue
        index, _, field = key[len(start) :].partition(".")
        if index.isdecimal() and index.isascii() and len(index) < _INDEX_DIGITS:
            found.setdefault(int(index), {})[field] = value
    return [found[index] for index in sorted(found)]
