"""Sums over sessions, and a chart of the days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from langchain_sessions.view._plain import compact, counted, duration, one_line, share, spent
from langchain_sessions.view.terminal._texts import INDENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from langchain_sessions.store import DayStats, SessionStats

_MOST_DAYS: Final = 31
"""Rows of the chart: the latest days."""

_MOST_PROJECTS: Final = 10

_BAR: Final = 40
"""Cells of the longest bar, on a terminal that is wide enough."""

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
"""What fills no, one, two, ... eighths of a cell."""


def stats_report(stats: SessionStats) -> RenderableType:
    """Lay out sums, and the turns of each day as a bar, failed ones in red, with how long they took.

    Args:
        stats: The sums.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    return Group(*_totals(stats), *_chart(stats.days))


def _totals(stats: SessionStats) -> Iterator[RenderableType]:
    counts = [
        counted(stats.sessions, "session"),
        counted(stats.users, "user"),
        counted(stats.turns, "turn"),
        counted(stats.spans, "span"),
    ]
    yield Text(" · ".join(counts), style="bold")
    yield Text(" · ".join(spent(stats)))
    if stats.turns:
        errors = f"{counted(stats.errors, 'error')}, {share(stats.errors, stats.turns)} of the turns"
        yield Text(errors, style="red") if stats.errors else Text("no errors")
    if stats.p50_turn_ns is not None and stats.p95_turn_ns is not None:
        yield Text(f"a turn took {duration(stats.p50_turn_ns)} (median), {duration(stats.p95_turn_ns)} (p95)")
    if stats.traces_without_session:
        yield Text(f"{counted(stats.traces_without_session, 'trace')} in which no span names a session")
    if len(stats.projects) > 1:
        named = [f"{one_line(name)} {number:,}" for name, number in stats.projects[:_MOST_PROJECTS]]
        left = len(stats.projects) - len(named)
        yield Text(f"projects: {', '.join(named)}{f', and {left:,} more' if left else ''}")


def _chart(days: tuple[DayStats, ...]) -> Iterator[RenderableType]:
    shown = days[-_MOST_DAYS:]
    if not shown:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("day (UTC)", no_wrap=True)
    table.add_column("")
    for heading in ("turns", "errors", "sessions", "p50", "p95"):
        table.add_column(heading, justify="right", no_wrap=True)
    most = max(day.turns for day in shown)
    for day in shown:
        table.add_row(
            Text(day.day.isoformat()),
            _Bar(day.turns, day.errors, most),
            Text(compact(day.turns)),
            Text(compact(day.errors), style="red" if day.errors else ""),
            Text(compact(day.sessions)),
            Text(duration(day.p50_turn_ns)),
            Text(duration(day.p95_turn_ns)),
        )
    yield table
    if len(shown) < len(days):
        yield Text(f"{INDENT}the latest {len(shown)} of {counted(len(days), 'day')} with turns", style="dim")


@dataclass(frozen=True)
class _Bar:
    """A bar whose first part is red: of `total` turns, `failed` failed; `most` would fill the width."""

    total: int
    failed: int
    most: int

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(8, max(8, min(_BAR, options.max_width)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not _can_draw(console):
            width = min(_BAR, options.max_width)
            yield Text("#" * max(1, round(width * self.total / self.most)), no_wrap=True)
            return
        eighths = max(1, round(min(_BAR, options.max_width) * 8 * self.total / self.most))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        red = min(len(bar), max(1, round(len(bar) * self.failed / self.total))) if self.failed else 0
        yield Text.assemble((bar[:red], "red"), (bar[red:], "cyan"), no_wrap=True)


def _can_draw(console: Console) -> bool:
    return console.encoding.startswith("utf")
