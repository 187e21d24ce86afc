"""A table of sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from langchain_sessions.view._annotated import annotations_of, thoughts
from langchain_sessions.view._plain import ago, compact, duration, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from langchain_sessions.store import SessionSummary
    from langchain_sessions.view._annotated import Annotated

_NARROWEST_ID: Final = 36
"""A UUID in one line, so that it can be copied."""

_NARROWEST_ANNOTATIONS: Final = 12
_NARROWEST_NAME: Final = 7
"""Cells that ids, and the names of users and projects, get before they wrap."""

_NARROWEST_INPUT: Final = 14
"""Cells for the beginning of a first input. Before it gets less, long ids wrap."""

_NOBODY: Final = "-"
"""In the place of a user who is not known."""


def sessions_table(
    sessions: Iterable[SessionSummary], *, annotations: Annotated | None = None, now_ns: int | None = None
) -> RenderableType:
    """Lay out sessions as a table, one row each; with their projects if there are several.

    Where there is no room for all columns, those go that matter least.

    Args:
        sessions: In the order in which they are to appear.
        annotations: What was thought of them.
        now_ns: What time it is, in nanoseconds since the epoch; by default the clock is asked.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    return _Sessions(tuple(sessions), annotations or {}, time.time_ns() if now_ns is None else now_ns)


@dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
        heading: What is above it.
        cells: Its cells.
        least: How narrow it may be; None if it has to be as wide as its widest cell.
        kind: Whether it wraps, is a number, or a teaser that is cut.
        rank: Columns with a higher one are left out first.
    """

    heading: str
    cells: Sequence[Text]
    least: int | None
    kind: Literal["wraps", "number", "teaser"]
    rank: int = 0

    @property
    def widest(self) -> int:
        """The cells that it could fill."""
        return max([*map(len, self.heading.split("\n")), *(cell.cell_len for cell in self.cells)])

    @property
    def narrowest(self) -> int:
        """The cells that it needs."""
        return self.widest if self.least is None else min(self.widest, self.least)

    def add_to(self, table: Table, width: int) -> None:
        """Make the column of rich's table."""
        if self.kind == "wraps":
            table.add_column(self.heading, width=width, overflow="fold")
        elif self.kind == "number":
            table.add_column(self.heading, width=width, justify="right", no_wrap=True)
        else:
            table.add_column(self.heading, width=width, no_wrap=True, overflow="ellipsis")


@dataclass(frozen=True)
class _Sessions:
    sessions: tuple[SessionSummary, ...]
    annotations: Annotated
    now_ns: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self._columns()
        while len(columns) > 1 and _needed(columns) > options.max_width:
            columns.remove(max(columns, key=lambda column: column.rank))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for column, width in zip(columns, _widths(columns, options.max_width), strict=True):
            column.add_to(table, width)
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*row)
        yield table

    def _columns(self) -> list[_Column]:
        ids = self._cells(lambda it: one_line(it.id), "bold")
        projects = self._cells(lambda it: one_line(it.project))
        users = self._cells(lambda it: one_line(it.user or "") or _NOBODY)
        turns = self._cells(lambda it: compact(it.turn_count))
        errors = [
            Text(compact(n), style="red" if n else "") for n in (it.error_count for it in self.sessions)
        ]
        tokens = self._cells(lambda it: f"{compact(it.prompt_tokens)} / {compact(it.completion_tokens)}")
        median = self._cells(lambda it: duration(it.p50_turn_ns))
        active = self._cells(lambda it: ago(it.last_activity_ns, self.now_ns))
        inputs = self._cells(lambda it: one_line(it.first_input))
        columns = [
            _Column("session", ids, _NARROWEST_ID, "wraps"),
            _Column("project", projects, _NARROWEST_NAME, "wraps", rank=4),
            _Column("user", users, _NARROWEST_NAME, "wraps", rank=3),
            _Column("turns", turns, None, "number", rank=2),
            _Column("errors", errors, None, "number", rank=5),
            _Column("tokens\nin / out", tokens, None, "number", rank=6),
            _Column("median\nturn", median, None, "number", rank=7),
            _Column("last\nactive", active, None, "number", rank=1),
            _Column("first input", inputs, _NARROWEST_INPUT, "teaser", rank=2),
        ]
        if self.annotations:
            thought = self._cells(
                lambda it: " · ".join(it.text for it in thoughts(annotations_of(self.annotations, it)))
            )
            columns.insert(-1, _Column("annotations", thought, _NARROWEST_ANNOTATIONS, "wraps", rank=1))
        if len({it.project for it in self.sessions}) < 2:
            del columns[1]
        return columns

    def _cells(self, content: Callable[[SessionSummary], str], style: str = "") -> list[Text]:
        return [Text(content(session), style=style) for session in self.sessions]


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Share out the cells that are left when every column has what it needs, from the left to the right."""
    left = width - _needed(columns)
    widths: list[int] = []
    for column in columns:
        more = max(0, min(left, column.widest - column.narrowest))
        left -= more
        widths.append(column.narrowest + more)
    if len(columns) == 1:
        widths[0] += min(0, left)
    return widths


def _needed(columns: Sequence[_Column]) -> int:
    """The cells that columns need, with two between them and one at each edge."""
    return sum(column.narrowest for column in columns) + 2 * len(columns)
