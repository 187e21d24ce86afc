"""How much of a text is shown: the beginning at once, the rest when it is asked for. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from langchain_sessions.view.web._markdown import html_of

if TYPE_CHECKING:
    from langchain_sessions.store import Fragment

RENDERED: Final = 12_000
"""Characters of a message that are rendered, some pages of print. The rest is behind a link."""

PREVIEWED: Final = 2_000
"""Characters of what a tool got and gave, and of an attribute of a span, that are shown at once."""

PAGE: Final = 100_000
"""Characters on a page of a long text."""

_DEEPEST: Final = 20
"""Brackets in brackets of JSON that is laid out. Each line is indented by as many."""

_PRETTY: Final = 20_000
"""Characters of JSON that are worth being laid out."""

_LINE: Final = 80
"""Characters that need no box of their own."""

_MASKED: Final = "__REDACTED__"
"""What OpenInference writes in the place of what is hidden. In markdown it would be another word in bold."""

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What HTML has no place for: escape sequences of terminals, for instance, and what cannot be encoded: halves
of characters. They stay visible as `\\x1b`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of a text that is shown.

    Attributes:
        html: As HTML.
        left: How many characters are not shown.
        length: How many there are.
    """

    html: Markup
    left: int
    length: int

    @property
    def is_short(self) -> bool:
        """Whether it is part of a line."""
        return self.length <= _LINE and "\n" not in self.html


def written(text: str, most: int = RENDERED) -> Shown:
    """Show a text that a person wrote as it was written: people who type `*` or `#` mean that."""
    start = cut(text, most)
    return Shown(escape(visible(start)), len(text) - len(start), len(text))


def rendered(text: str, most: int = RENDERED) -> Shown:
    """Show a text that a model wrote: markdown."""
    if text == _MASKED:
        return written(text)
    start = cut(text, most)
    return Shown(html_of(visible(start)), len(text) - len(start), len(text))


def previewed(text: str, most: int = PREVIEWED) -> Shown:
    """Show what a program wrote, JSON with its lines and indents."""
    pretty = laid_out(text)
    start = cut(pretty, most)
    return Shown(escape(visible(start)), len(pretty) - len(start), len(text))


def marked(excerpt: tuple[Fragment, ...]) -> Markup:
    """Show an excerpt with what was found in it highlighted."""
    pieces = (
        Markup("<mark>{}</mark>").format(visible(it.text)) if it.is_match else escape(visible(it.text))
        for it in excerpt
    )
    return Markup("").join(pieces)


def visible(text: str) -> str:
    """Make the characters visible that HTML cannot show."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def cut(text: str, length: int) -> str:
    """The beginning of a text, if possible up to the end of a line."""
    if len(text) <= length:
        return text
    end = text.rfind("\n", length // 2, length)
    return text[: end if end > 0 else length]


def laid_out(text: str) -> str:
    """Give JSON lines and indents; any other text stays as it is."""
    if len(text) > _PRETTY or not text.lstrip().startswith(("{", "[")) or _depth(text) > _DEEPEST:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text


def is_data(text: str) -> bool:
    """Tell whether a text is JSON; one that is too long to be looked at, whether it begins and ends so."""
    start, end = text.lstrip()[:1], text.rstrip()[-1:]
    if (start, end) not in {("{", "}"), ("[", "]")}:
        return False
    if len(text) > _PRETTY:
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _depth(text: str) -> int:
    """How deep the brackets of a text go, those in its words included."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
