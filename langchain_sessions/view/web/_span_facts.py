"""What is known of a call in a few words: models, tokens, money. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.view._plain import beginning, money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.view._contents import Sum

_PARTS: Final = {
    "prompt cache_read": "read from a cache",
    "prompt cache_write": "written to a cache",
    "prompt cache_input": "cached",
    "prompt audio": "of audio in",
    "completion audio": "of audio out",
    "completion reasoning": "for reasoning",
}
"""What parts of a sum are for."""


def known(*facts: tuple[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Leave out what is not known."""
    written = [(name, [beginning(it, 300) for it in lines if it]) for name, lines in facts]
    return [(name, lines) for name, lines in written if lines]


def tokens_of(of: Sum) -> list[str]:
    """Write how many tokens a call has used up."""
    sides = [f"{it:,} {way}" for it, way in ((of.prompt, "in"), (of.completion, "out")) if it is not None]
    if not sides and of.total is not None:
        sides = [f"{of.total:,} in all"]
    return [", ".join(sides), *(f"{it:,} {_part(name)}" for name, it in of.details.items() if it)]


def cost_of(of: Sum) -> list[str]:
    """Write what a call has cost. What would be less than nothing is no price."""
    prices = {
        way: money(it)
        for way, it in (("", of.total), (" in", of.prompt), (" out", of.completion))
        if it is not None and it >= 0
    }
    whole = prices.pop("", "")
    sides = ", ".join(f"{it}{way}" for way, it in prices.items())
    return [whole, sides, *(f"{money(it)} {_part(name)}" for name, it in of.details.items() if it > 0)]


def _part(name: str) -> str:
    """Write what a part of a sum is for."""
    return _PARTS.get(name) or name.partition(" ")[2].replace("_", " ")
