"""Turns in which a text was found, whatever found it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_sessions.store import _words
from langchain_sessions.store._answers import SearchHit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.store._model import Turn


def hit_of(turn: Turn, wanted: Sequence[_words.Phrase], literal: str) -> SearchHit:
    """Show where in a turn the text is; how it begins if that cannot be shown."""
    found = _words.excerpt(turn.input, wanted, literal)
    if found is not None:
        return SearchHit(turn=turn, role="user", excerpt=found)
    found = _words.excerpt(turn.output, wanted, literal)
    if found is not None:
        return SearchHit(turn=turn, role="assistant", excerpt=found)
    return SearchHit(turn=turn, role="user", excerpt=_words.beginning(turn.input))


def is_in(texts: Sequence[str], wanted: Sequence[_words.Phrase], literal: str) -> bool:
    """Whether all that was asked for is in one of these texts or another."""
    if not wanted:
        return bool(literal) and any(_words.excerpt(it, (), literal) is not None for it in texts)
    return all(any(_words.excerpt(it, (phrase,)) is not None for it in texts) for phrase in wanted)
