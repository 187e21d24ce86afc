r"""How texts are searched: what is indexed of them, what a query means, what of a text is shown. Pure.

SQLite's full-text index knows words only: it finds no part of a Chinese sentence, and neither `C++` nor an
emoji. So the index is given a text in which each character of a script without blanks between words, and each
symbol, stands alone; a symbol is written as a letter of its own, since the index's table of characters is
older than most emoji. A query is treated alike, and what a person wrote together is a phrase.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_sessions.store._answers import Fragment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHARACTERS: Final = 1_000_000
"""What of a text can be found, and is looked at for an excerpt."""

MAX_QUERY: Final = 1_000
MAX_PHRASES: Final = 64
"""Characters and words of a query that count: more than anybody types. A phrase of ten thousand characters
would keep SQLite busy for half a minute."""

MAX_LITERAL: Final = 100
"""Characters of a query without words that count: texts as a whole are searched for them."""

TOKENIZER: Final = "unicode61 remove_diacritics 2 categories ''L* N* Co''"
"""As SQL writes it inside of a string. Co is private use: the letters that stand for symbols."""

_SYMBOL: Final = "\ue000"
"""Begins the word that stands for a symbol."""

_LOOKED_AT: Final = 100_000
_WORDS_LOOKED_FOR: Final = 16
"""Characters of a text, and words of a phrase, that an excerpt is made from. A long phrase that almost
matches at every place would keep a page busy for minutes."""

_BEFORE: Final = 60
_AROUND: Final = 240
"""Characters of an excerpt before the first match, and in all."""

# Han, kana, Hangul, bopomofo, and the scripts of South-East Asia that write no blanks between words.
_UNSPACED: Final = (
    r"\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3105-\u31bf"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    r"\U00016fe0-\U000187ff\U0001b000-\U0001b2ff\U00020000-\U0003ffff"
)
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")

_IS_TAKEN_FOR_A_MARK: Final = re.compile("[\u19b0-\u19c0\u19c8\u19c9\u1cf2\u1cf3]")
"""Letters of New Tai Lue and Vedic that the index's older table of characters does not know as such."""

_PIECES: Final = re.compile(r'"([^"]*)"?|[^\s"]+')
"""A phrase in quotes, the last of which may be open, or what stands between blanks."""


class Phrase(NamedTuple):
    """What has to be found, in this order and side by side.

    Attributes:
        text: What was typed.
        is_prefix: Whether the last word may go on.
    """

    text: str
    is_prefix: bool


class _Spread(dict[int, str]):
    """Maps the number of a character to what the index is given for it; `str.translate` asks once each."""

    def __missing__(self, number: int) -> str:
        character = chr(number)
        is_symbol = character == "#" or unicodedata.category(character)[0] == "S"
        if is_symbol or _IS_TAKEN_FOR_A_MARK.match(character):
            spread = f" {_SYMBOL}{number:x} "
        elif _IS_UNSPACED.match(character):
            spread = f" {character} "
        elif character in '"\x00' or unicodedata.category(character) in {"Cs", "Co"}:
            spread = " "
        else:
            spread = character
        self[number] = spread
        return spread


_spread: Final = _Spread()


def indexed(text: str) -> str:
    """What the index is given for a text."""
    text = text[:MAX_CHARACTERS]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.translate(_spread)


def phrases(query: str) -> list[Phrase]:
    """What a query asks for; empty if there is nothing in it that the index could find."""
    query = re.sub("[\u201c\u201d\u201e\u00ab\u00bb\uff02]", '"', query[:MAX_QUERY])
    found: list[Phrase] = []
    for piece in _PIECES.finditer(query):
        quoted = piece[1]
        text = piece[0] if quoted is None else quoted
        is_prefix = quoted is None and len(text) > 1 and text.endswith("*")
        phrase = Phrase(text.rstrip("*") if is_prefix else text, is_prefix)
        if _has_words(phrase.text) and phrase not in found:
            found.append(phrase)
        if len(found) == MAX_PHRASES:
            break
    return found


def match_expression(wanted: Sequence[Phrase]) -> str:
    """Write phrases in the language of SQLite's FTS5. What was typed is inside of strings only."""
    return " AND ".join(f'"{indexed(it.text)}"{" *" if it.is_prefix else ""}' for it in wanted)


def literal(query: str) -> str:
    """What a query without phrases asks for: these characters, as they stand; empty if there are none."""
    text = query[:MAX_LITERAL].replace("\x00", "").strip()
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair, as it is stored


def wanted_in(query: str) -> tuple[list[Phrase], str]:
    """What a query asks for: phrases or, if it has none, a literal text; neither if it asks for nothing."""
    found = phrases(query)
    return found, "" if found else literal(query)


def like_pattern(text: str) -> str:
    r"""Write a text as a pattern of SQL's `LIKE ... ESCAPE '\'`."""
    escaped = re.sub(r"([%_\\])", r"\\\1", text)
    return f"%{escaped}%"


def excerpt(text: str, wanted: Sequence[Phrase], literal: str = "") -> tuple[Fragment, ...] | None:
    """Cut out what surrounds the first match.

    Args:
        text: Where to look.
        wanted: What was asked for.
        literal: What to look for as it stands when there are no phrases.

    Returns:
        Fragments, those that match marked; None if nothing is found.
    """
    folded, places = _fold(text[:_LOOKED_AT])
    patterns = [_pattern(it) for it in wanted] or [re.escape(_fold(literal)[0])]
    pattern = re.compile("|".join(filter(None, patterns)) or r"(?!)")
    first = pattern.search(folded)
    if first is None or not first[0]:
        return None
    start = max(0, places(first.start()) - _BEFORE)
    end = start + _AROUND
    marks = list(_within(pattern, folded, places, start, end))
    return tuple(_fragments(text, start, min(end, len(text)), marks))


def beginning(text: str) -> tuple[Fragment, ...]:
    """Show how a text begins: for a match that cannot be shown."""
    return (Fragment(text[:_AROUND] + ("…" if len(text) > _AROUND else "")),)


def _has_words(text: str) -> bool:
    return any(character.isalnum() or character == _SYMBOL for character in indexed(text))


class _Places:
    """From a place in a folded text to the place in the text that it was."""

    def __init__(self, places: Sequence[int] | None) -> None:
        self._places = places

    def __call__(self, index: int) -> int:
        return index if self._places is None else self._places[index]


def _fold(text: str) -> tuple[str, _Places]:
    """Make a text comparable: without case, accents and compatibility forms."""
    if text.isascii():
        return text.lower(), _Places(None)
    folded: list[str] = []
    places: list[int] = []
    for index, character in enumerate(text):
        plain = _plain.get(character)
        if plain is None:
            decomposed = unicodedata.normalize("NFKD", character).casefold()
            plain = _plain[character] = "".join(it for it in decomposed if not unicodedata.combining(it))
        folded.append(plain)
        places.extend([index] * len(plain))
    places.append(len(text))
    return "".join(folded), _Places(places)


_plain: Final[dict[str, str]] = {}
"""What characters are without case and accents, as far as it was asked for."""


def _pattern(phrase: Phrase) -> str:
    """A regular expression that finds the phrase in a folded text, as the index finds it."""
    words = re.findall(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[^\w\s]", _fold(phrase.text)[0])
    words = [word for word in words if word.isalnum() or _is_symbol(word)][:_WORDS_LOOKED_FOR]
    if not words:
        return ""
    letters = rf"[^\W_{_UNSPACED}]"
    before = rf"(?<!{letters})" if re.match(letters, words[0]) else ""
    after = ""
    if re.match(letters, words[-1]):
        after = rf"{letters}*" if phrase.is_prefix else rf"(?!{letters})"
    return before + r"(?:(?![+$<=>^`|~#])[\W_])*".join(map(re.escape, words)) + after


def _is_symbol(word: str) -> bool:
    return word == "#" or unicodedata.category(word)[0] == "S"


def _within(
    pattern: re.Pattern[str], folded: str, places: _Places, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Where in the text the matches begin and end, those that are in a part of it."""
    for match in pattern.finditer(folded):
        left = places(match.start())
        if left >= end:
            return
        if match[0]:
            # With the accents that follow; and as a whole, a character that stands for several.
            right = max(places(match.end()), places(match.end() - 1) + 1)
            if right > start:
                yield left, right


def _fragments(text: str, start: int, end: int, marks: Sequence[tuple[int, int]]) -> Iterator[Fragment]:
    at = start
    lead = "…" if start else ""
    for left, right in marks:
        if right <= at:  # two matches in one character
            continue
        if left > at or lead:
            yield Fragment(lead + text[at:left])
        lead = ""
        yield Fragment(text[max(left, at) : min(right, end)], is_match=True)
        at = min(right, end)
    if at < end or end < len(text):
        yield Fragment(text[at:end] + ("…" if end < len(text) else ""))
