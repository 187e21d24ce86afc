"""What several of the views write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.text import Text

from langchain_sessions.view._plain import call, one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from langchain_sessions.store import ToolUse

LABEL: Final = 16
"""Cells for a speaker's name; a longer one (an e-mail address, a UUID) is in full above the transcript."""

INDENT: Final = "  "

_NARROWEST: Final = 20
"""Cells that a text gets, however narrow the terminal."""

_GAP: Final = "  "


@dataclass(frozen=True)
class Entry:
    """A label and, beside it, a text that keeps clear of the label's column when it wraps."""

    label: Text
    body: Text
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = self.label.copy()
        label.pad_right(self.width - label.cell_len)
        margin = self.width + len(INDENT) + len(_GAP)
        for line in self.body.wrap(console, max(_NARROWEST, options.max_width - margin), overflow="fold"):
            line.rstrip()
            yield Text.assemble(INDENT, label, _GAP, line, no_wrap=True)
            label = Text(" " * self.width)


def speaker(user: str | None, width: int = LABEL) -> Text:
    """The user's name, or "user", cut to a label's width."""
    name = Text(one_line(user or "") or "user", style="bold cyan")
    name.truncate(width, overflow="ellipsis")
    return name


def assistant() -> Text:
    """The other one's name."""
    return Text("assistant", style="bold green")


def tool_text(tool: ToolUse) -> Text:
    """A tool call and what came of it."""
    written = call(tool.name, tool.input)
    if tool.error is not None:
        return Text.assemble(written, (f" failed: {one_line(tool.error)}", "red"))
    return Text(f"{written} → {one_line(tool.output)}")
