"""A place in a list, as a text that a page gives and that one goes on from. Pure."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

_LARGEST: Final = 2**63 - 1
"""No time and no number of a row is larger, and databases take no larger ones."""


def mark(of: str, *values: object) -> str:
    """Write a place in a list as a text that can be part of an address."""
    return base64.urlsafe_b64encode(json.dumps([of, *values]).encode()).decode().rstrip("=")


def place(text: str, of: str, *kinds: type) -> list[Any]:
    """Read what `mark` has written.

    Raises:
        ValueError: If it was not, or for another list.
    """
    try:
        read = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        marked, *values = read
    except (ValueError, TypeError, RecursionError):
        marked, values = None, []
    is_good = marked == of and [type(it) for it in values] == list(kinds)
    if not is_good or any(isinstance(it, int) and abs(it) > _LARGEST for it in values):
        msg = f"{text[:100]!r} is not a place in this list"
        raise ValueError(msg)
    return values
