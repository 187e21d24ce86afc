"""Pieces of HTML for notebooks: every text is escaped here, every length bounded. Pure.

What is shown stands inside of somebody else's page, be that light or dark. So text and background have no
colours of their own: tones are mixed with the colour that text has there, lines and areas are transparent.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from langchain_sessions.view._plain import beginning, call, clean

if TYPE_CHECKING:
    from langchain_sessions.store import ToolUse

_FOLDED: Final = 1_200
"""Characters above which a text is folded."""

_LINES: Final = 16
"""Likewise, lines."""

_TEASER: Final = 280
"""Characters of a folded text that are seen."""

_LONGEST: Final = 20_000
"""Characters of a text that are in the notebook at all: it is saved with what it shows."""

_TOOL_LINE: Final = 120

# A browser that does not know `color-mix` takes the declaration before it. Tables repeat the class because
# JupyterLab has two classes in the rules by which it aligns those of others to the right.
_STYLE: Final = """\
<style>
.langchain-sessions{--ls-line:rgba(128,128,128,.35);--ls-area:rgba(128,128,128,.1);--ls-user:#3f83e8;
--ls-other:#2f9e6e;--ls-tool:#b7791f;--ls-bad:#d9453d;font-size:13px;line-height:1.5;max-width:62em;
overflow-wrap:anywhere}
.langchain-sessions *{box-sizing:border-box}
.langchain-sessions .ls-dim{opacity:.72}
.langchain-sessions .ls-head{margin:4px 0 8px}
.langchain-sessions .ls-id{font-weight:600;font-size:1.1em}
.langchain-sessions .ls-turn{border-top:1px solid var(--ls-line);padding:8px 0}
.langchain-sessions .ls-row{display:grid;grid-template-columns:7.5em minmax(0,1fr);gap:0 12px;margin:4px 0}
.langchain-sessions .ls-who{font-weight:600;text-align:right;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;padding-top:2px}
.langchain-sessions .ls-text{white-space:pre-wrap;border-left:3px solid var(--ls-line);
padding:2px 0 2px 10px;min-width:0}
.langchain-sessions .ls-user .ls-text{border-color:var(--ls-user);background:var(--ls-area);
border-radius:0 4px 4px 0}
.langchain-sessions .ls-other .ls-text{border-color:var(--ls-other)}
.langchain-sessions .ls-tool .ls-text{border-color:var(--ls-tool);white-space:normal}
.langchain-sessions .ls-bad .ls-text{border-color:var(--ls-bad)}
.langchain-sessions .ls-red{color:var(--ls-bad);color:color-mix(in srgb,var(--ls-bad) 78%,currentColor)}
.langchain-sessions .ls-meta{font-size:.88em}
.langchain-sessions summary{cursor:pointer}
.langchain-sessions details .ls-all{white-space:pre-wrap;margin:4px 0 2px;padding:4px 8px;
background:var(--ls-area);border-radius:4px}
.langchain-sessions details[open]>summary>.ls-teaser{display:none}
.langchain-sessions summary code{word-break:break-all}
.langchain-sessions code{font-size:.95em;background:none;padding:0;color:inherit;white-space:pre-wrap}
.langchain-sessions mark{background:rgba(240,190,40,.45);color:inherit;border-radius:2px;padding:0 1px}
.langchain-sessions .ls-wide{overflow-x:auto}
.langchain-sessions table{table-layout:auto;border-collapse:collapse;margin:0;font-size:1em;width:100%}
.langchain-sessions.langchain-sessions :is(th,td){padding:3px 6px;border:0;
border-bottom:1px solid var(--ls-line);text-align:left;vertical-align:top;white-space:nowrap}
.langchain-sessions.langchain-sessions th{font-weight:600;white-space:normal;overflow-wrap:normal;
vertical-align:bottom}
.langchain-sessions.langchain-sessions .ls-n{text-align:right;font-variant-numeric:tabular-nums}
.langchain-sessions.langchain-sessions td.ls-long{width:100%;max-width:0;min-width:9em;
overflow:hidden;text-overflow:ellipsis}
.langchain-sessions.langchain-sessions td.ls-key{white-space:normal;min-width:11em;font-weight:600}
.langchain-sessions .ls-tiles{display:flex;flex-wrap:wrap;gap:8px;margin:4px 0 10px}
.langchain-sessions .ls-tile{border:1px solid var(--ls-line);border-radius:6px;padding:4px 12px}
.langchain-sessions .ls-tile b{display:block;font-size:1.15em;font-weight:600}
.langchain-sessions svg{display:block;max-width:100%;height:auto;overflow:visible}
</style>"""


def page(body: str) -> str:
    """Put HTML into the one element whose class the style is for."""
    return f'{_STYLE}<div class="langchain-sessions">{body}</div>'


def line(text: str, most: int = _TEASER) -> str:
    """Escape a text and make it one line, with an ellipsis if it is longer than `most`."""
    return escape(beginning(text, most))


def element(tag: str, classes: str, content: str, *, title: str = "") -> str:
    """Write an element around HTML."""
    hover = f' title="{line(title)}"' if title else ""
    return f'<{tag} class="{classes}"{hover}>{content}</{tag}>'


def block(text: str) -> str:
    """Write a text as it was written; a long one is folded, a very long one cut, and says so."""
    if len(text) <= _FOLDED and text.count("\n") < _LINES:
        return f'<span dir="auto">{_whole(text)}</span>'
    teaser = element("span", "ls-teaser", line(text))
    size = element("span", "ls-dim", f" ({len(text):,} characters)")
    whole = f'<div class="ls-all" dir="auto">{_whole(text)}</div>'
    return f"<details><summary>{teaser}{size}</summary>{whole}</details>"


def row(kind: str, label: str, content: str, *, title: str = "") -> str:
    """Write a label and HTML beside it.

    Args:
        kind: What colour its edge has: "user", "other", "tool" or "bad".
        label: A text.
        content: HTML.
        title: What is shown when the mouse is over the label: the whole of a long name.
    """
    return element(
        "div",
        f"ls-row ls-{kind}",
        element("div", "ls-who", line(label, 60), title=title) + element("div", "ls-text", content),
    )


def tool(use: ToolUse) -> str:
    """Write a tool call: a line that unfolds to what went in and what came out."""
    called = f"<code>{line(call(use.name, use.input[:_LONGEST]), _TOOL_LINE)}</code>"
    if use.error is not None:
        came = element("span", "ls-red", f" failed: {line(use.error, _TOOL_LINE)}")
    else:
        came = f" → {line(use.output, _TOOL_LINE)}"
    inside = [("in", use.input), ("out", use.output), ("error", use.error or "")]
    parts = [
        element("div", "ls-dim", name) + element("div", "ls-all", _whole(text))
        for name, text in inside
        if text
    ]
    return f"<details><summary>{called}{came}</summary>{''.join(parts)}</details>"


def _whole(text: str) -> str:
    left = len(text) - _LONGEST
    cut = element("div", "ls-dim", f"… and {left:,} more characters that are not here") if left > 0 else ""
    return escape(clean(text[:_LONGEST])) + cut
