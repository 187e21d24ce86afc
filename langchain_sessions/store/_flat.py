"""Lists that were flattened into attributes. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_sessions.store._span import Attributes, Value

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,7}")
"""Python refuses to read very long numbers, and no list is so long."""


def items(attributes: Attributes, prefix: str) -> list[dict[str, Value]]:
    """Put a flattened list (`prefix.0.role`, `prefix.1.role`, ...) together again, by index."""
    return list(numbered(attributes, prefix).values())


def numbered(attributes: Attributes, prefix: str) -> dict[int, dict[str, Value]]:
    """Return the items of a flattened list (`prefix.0.role`, `prefix.1.role`, ...), in their order.

    Args:
        attributes: A span's, or the fields of such an item.
        prefix: The name of the list.

    Returns:
        The fields of each item by its number. Numbers may be missing; what has none that Python would write,
        "01" for one, is no item.
    """
    found: dict[int, dict[str, Value]] = {}
    start = f"{prefix}."
    for key, value in attributes.items():
        if not key.startswith(start):
            continue
        index, _, field = key[len(start) :].partition(".")
        if _INDEX.fullmatch(index):
            found.setdefault(int(index), {})[field] = value
    return {index: found[index] for index in sorted(found)}
