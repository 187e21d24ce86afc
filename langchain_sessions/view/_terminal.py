"""Sessions on a terminal, or in a pipe: a table of them, and one as the chat it was.

Texts from spans only ever become `rich.text.Text`, where markup is not interpreted, after `clean` or
`one_line` has made them harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from langchain_sessions.view._plain import call, clean, counted, duration, moment, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from langchain_sessions.store import Session, ToolUse, Turn

_NARROWEST_INPUT: Final = 14
"""Cells for the beginning of a first input. Before it gets less, long ids wrap."""

_LABEL: Final = 16
"""Cells for a speaker's name; a longer one (an e-mail address, a UUID) is in full above the transcript."""

_NARROWEST: Final = 20
"""Cells that a text gets, however narrow the terminal."""

_INDENT: Final = "  "

_GAP: Final = "  "

_ASSISTANT: Final = Text("assistant", style="bold green")

_NOBODY: Final = "-"
"""In the place of a user who is not known."""


def sessions_table(sessions: Iterable[Session]) -> Table:
    """Lay out sessions as a table, one row each.

    Args:
        sessions: In the order in which they are to appear.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="bold")
    table.add_column("session", overflow="fold", min_width=12)
    table.add_column("user", overflow="fold")
    for heading in ("turns", "spans", "tokens\nin / out", "errors", "median\nturn"):
        table.add_column(heading, justify="right", no_wrap=True)
    # In an expanded table, rich takes the width of a column with a ratio as its least width.
    table.add_column("first input", width=_NARROWEST_INPUT, ratio=1, no_wrap=True, overflow="ellipsis")
    for session in sessions:
        table.add_row(*_row(session))
    return table


def transcript(session: Session) -> RenderableType:
    """Lay out a session as a chat: who said what, the tools used, tokens and time of each turn.

    Args:
        session: The conversation.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    speaker = Text(one_line(session.user or "") or "user", style="bold cyan")
    speaker.truncate(_LABEL, overflow="ellipsis")
    width = max(speaker.cell_len, _ASSISTANT.cell_len)
    return Group(
        *_heading(session), *(line for turn in session.turns for line in _turn(turn, speaker, width))
    )


@dataclass(frozen=True)
class _Entry:
    """A label and, beside it, a text that keeps clear of the label's column when it wraps."""

    label: Text
    body: Text
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = self.label.copy()
        label.pad_right(self.width - label.cell_len)
        margin = self.width + len(_INDENT) + len(_GAP)
        for line in self.body.wrap(console, max(_NARROWEST, options.max_width - margin), overflow="fold"):
            line.rstrip()
            yield Text.assemble(_INDENT, label, _GAP, line, no_wrap=True)
            label = Text(" " * self.width)


def _row(session: Session) -> Iterator[Text]:
    yield Text(one_line(session.id), style="bold")
    yield Text(one_line(session.user or "") or _NOBODY)
    yield Text(f"{len(session.turns):,}")
    yield Text(f"{session.spans:,}")
    yield Text(f"{session.prompt_tokens:,} / {session.completion_tokens:,}")
    yield Text(f"{session.errors:,}", style="red" if session.errors else "")
    yield Text(duration(median(turn.duration_ns for turn in session.turns)))
    yield Text(one_line(session.turns[0].input))


def _heading(session: Session) -> Iterator[RenderableType]:
    """The id and the sums, each wrapping as it must."""
    yield Rule(style="dim")
    yield Text.assemble("Session ", (one_line(session.id), "bold"), overflow="fold")
    sums = [one_line(session.user)] if session.user else []
    sums += [counted(len(session.turns), "turn"), counted(session.spans, "span")]
    sums += [_tokens(session), f"began {moment(session.started)}"]
    sums += [counted(session.errors, "error")] if session.errors else []
    yield Text(" · ".join(sums), style="dim", overflow="fold")


def _turn(turn: Turn, speaker: Text, width: int) -> Iterator[RenderableType]:
    """A turn as it went: the question, the tools, the answer, what it took."""
    yield Text()
    yield _Entry(speaker, Text(clean(turn.input) or "(nothing)"), width)
    for tool in turn.tools:
        yield _Entry(Text("tool", style="bold yellow"), _tool(tool), width)
    if turn.output or not turn.error:
        yield _Entry(_ASSISTANT, Text(clean(turn.output) or "(no answer)"), width)
    if turn.error:
        yield _Entry(Text("error", style="bold red"), Text(one_line(turn.error), style="red"), width)
    yield _Entry(Text(), Text(f"{duration(turn.duration_ns)} · {_tokens(turn)}", style="dim"), width)


def _tool(tool: ToolUse) -> Text:
    written = call(tool.name, tool.input)
    if tool.error is not None:
        return Text.assemble(written, (f" failed: {one_line(tool.error)}", "red"))
    return Text(f"{written} → {one_line(tool.output)}")


def _tokens(of: Session | Turn) -> str:
    return f"{of.prompt_tokens:,} tokens in, {of.completion_tokens:,} out"
