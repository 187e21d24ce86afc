"""A turn in one line, for those who watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.text import Text

from langchain_sessions.view._plain import UNFINISHED, clock, counted, duration, one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from langchain_sessions.store import Turn

_SESSION: Final = 24
"""Cells for a session's id on a terminal."""

_LEAST: Final = 12
"""Cells that the question and the answer get at least."""


def turn_line(turn: Turn, *, is_new: bool = True) -> RenderableType:
    """Lay out a turn as one line: when, which session, how long, what was said and what came of it.

    On a terminal the line is as long as the terminal is wide; elsewhere it has everything.

    Args:
        turn: The turn.
        is_new: Whether it is new, or one that has changed.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    return _Line(turn, is_new)


@dataclass(frozen=True)
class _Line:
    turn: Turn
    is_new: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        turn = self.turn
        session = Text(one_line(turn.session_id), style="bold")
        if console.is_terminal:
            session.truncate(_SESSION, overflow="ellipsis")
        taken = [duration(turn.duration_ns)] + ([counted(len(turn.tools), "tool")] if turn.tools else [])
        taken += [] if turn.is_complete else [UNFINISHED]
        line = Text.assemble(
            (clock(turn.started_ns), "dim"),
            # Spans of one turn arrive one after the other; what they add is the same turn once more.
            " " if self.is_new else ("↻", "yellow"),
            session,
            (f" {', '.join(taken)} ", "dim"),
        )
        said, came = Text(one_line(turn.input) or "(nothing)"), _outcome(turn)
        if console.is_terminal:
            room = max(_LEAST, options.max_width - line.cell_len - len(" → "))
            said.truncate(max(room - came.cell_len, room // 2, _LEAST), overflow="ellipsis")
            came.truncate(max(room - said.cell_len, _LEAST), overflow="ellipsis")
        yield Text.assemble(line, said, (" → ", "dim"), came, no_wrap=True, overflow="ignore")


def _outcome(turn: Turn) -> Text:
    if turn.error is not None:
        return Text(f"failed: {one_line(turn.error)}", style="red")
    return Text(one_line(turn.output) or "(no answer)")
