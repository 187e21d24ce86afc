"""Markdown that others wrote, as HTML that only shows something.

Raw HTML is text. Links go to the web or to a mail address, or are not links; pictures become links, because
loading one would tell its server who reads what, and when. Headings are bold paragraphs: the outline of the
page is the conversation's. Nothing has a style of its own, which the page's policy would refuse.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

_KEPT: Final = 256
"""Rendered texts that are kept: with the longest that are rendered, some tens of megabytes."""

_COLUMNS: Final = 50
"""Columns of a table. Each row is filled up to its header, so that a few wide rows become megabytes."""

_DEEPEST: Final = 12
"""Nested quotes and lists. More is no text but an attack on who renders it."""

_ALLOWED: Final = re.compile(r"(https?://[^/]|mailto:.)", re.IGNORECASE)

_OUTSIDE: Final = {"rel": "noopener noreferrer nofollow", "target": "_blank"}

_LANGUAGE: Final = re.compile(r"[\w+#.-]{1,30}")


@lru_cache(maxsize=_KEPT)
def html_of(text: str) -> Markup:
    """Render a text. Its length must have been bounded before."""
    is_wide = any(line.count("|") > _COLUMNS for line in text.splitlines())
    return Markup((_WITHOUT_TABLES if is_wide else _MARKDOWN).render(text))


def not_loaded(kind: str, name: str, url: str = "") -> Markup:
    """Stand in for a picture, or whatever else a browser would fetch from elsewhere: a link to it.

    Args:
        kind: What it is, "Image" for one.
        name: What it is called.
        url: Where it is. If that is not on the web, or empty, it is no link.
    """
    label = f'<span class="not-loaded">{escapeHtml(kind)}, not loaded:</span> {escapeHtml(name)}'
    if not _may_link(url):
        return Markup(label)
    return Markup(f'<a class="image" {_attributes(href=url, **_OUTSIDE)}>{label}</a>')


def _may_link(url: str) -> bool:
    return _ALLOWED.match(url) is not None


def _harmless(state: StateCore) -> None:
    """Go over what was parsed, and change what the rules of rendering could not know."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.attrs = {"class": f"heading {token.tag}"} if token.nesting == 1 else {}
            token.tag = "p"
        elif token.type in {"th_open", "td_open"}:
            alignment = str(token.attrs.pop("style", "")).partition(":")[2]
            if alignment:
                token.attrs["class"] = f"to-{alignment}"
        elif token.type == "inline" and token.children:
            _mark_links(token.children)


def _mark_links(children: Sequence[Token]) -> None:
    inside = False
    for child in children:
        if child.type == "link_open":
            inside = True
            child.attrs.update(_OUTSIDE)
        elif child.type == "link_close":
            inside = False
        elif child.type == "image":
            child.meta["inside"] = inside  # a link inside a link is none


def _image(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType
) -> str:
    token = tokens[index]
    url = "" if token.meta.get("inside") else str(token.attrs["src"])
    return not_loaded("Image", token.content or "without a description", url)


def _fence(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType
) -> str:
    token = tokens[index]
    language = _LANGUAGE.match(token.info.strip())
    named = f' data-language="{escapeHtml(language[0])}"' if language else ""
    # What scrolls has to be reachable with the keyboard.
    return (
        f'<div class="code"{named}><pre tabindex="0"><code>{escapeHtml(token.content)}</code></pre></div>\n'
    )


def _table_open(*_: Any) -> str:
    return '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


def _attributes(**values: str) -> str:
    return " ".join(f'{name}="{escapeHtml(value)}"' for name, value in values.items())


def _make() -> MarkdownIt:
    options = {"html": False, "linkify": False, "typographer": False, "breaks": True, "maxNesting": _DEEPEST}
    markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    markdown.validateLink = _may_link
    markdown.core.ruler.push("harmless", _harmless)
    rules = {"image": _image, "fence": _fence, "code_block": _fence}
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", _table_close)
    return markdown


_MARKDOWN: Final = _make()
_WITHOUT_TABLES: Final = _make().disable("table")
