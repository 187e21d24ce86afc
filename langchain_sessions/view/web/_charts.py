"""Pictures of numbers: SVG without styles of its own, which the page's policy would refuse. Pure.

Every picture has a text that says the same in one line; what its columns say, the page also has in a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from langchain_sessions.store import DayStats
from langchain_sessions.view._plain import compact, counted, duration, money, share, tokens
from langchain_sessions.view.web._links import turn_anchor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_sessions.store import SessionStats, Turn

_WIDTH: Final = 240
_HEIGHT: Final = 60
"""Units of the picture, which is stretched to the room that there is."""

_LEAST: Final = 1.5
"""Units of height that a number above zero gets, however small it is."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a day's column.

    Attributes:
        style: Its class.
        value: How high it is.
    """

    style: str
    value: int


@dataclass(frozen=True, slots=True)
class Column:
    """What is drawn of one day, the first layer at the bottom.

    Attributes:
        label: What it says.
        layers: Its parts.
        day: The day that it stands for, as an address has it.
        href: Where it leads.
    """

    label: str
    layers: tuple[Layer, ...]
    day: str = ""
    href: str = ""

    @property
    def height(self) -> int:
        """How high it is."""
        return sum(it.value for it in self.layers)


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, and how it came about.

    Attributes:
        title: What is counted.
        value: The number.
        note: What is to be said beside it.
        picture: It by day.
        most: What the highest column stands for.
        is_alarming: Whether it should be looked at.
    """

    title: str
    value: str
    note: str
    picture: Markup
    most: str
    is_alarming: bool = False


def tiles(stats: SessionStats, first: date, last: date) -> tuple[Tile, ...]:
    """Draw what happened between two days, both included."""
    by_day = {it.day: it for it in stats.days}
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    full = [by_day.get(day) or _nothing(day) for day in days]
    return (
        _sessions(stats, full),
        _turns(stats, full),
        _latency(stats, full),
        _tokens(stats, full),
        _errors(stats, full),
    )


def strip(turns: Sequence[Turn]) -> Markup:
    """Draw how long turns took, one column each."""
    columns = [
        Column(
            f"{turn.started:%H:%M} · {duration(turn.duration_ns)}{' · failed' if turn.error else ''}",
            (Layer("bad" if turn.error else "b", turn.duration_ns),),
            href=f"#{turn_anchor(turn)}",
        )
        for turn in turns
    ]
    failed = sum(turn.error is not None for turn in turns)
    says = f"How long {counted(len(turns), 'turn')} took, {failed} of them failed"
    return picture(columns, says, max((it.height for it in columns), default=0))


def picture(columns: Sequence[Column], says: str, most: int) -> Markup:
    """Draw columns.

    Args:
        columns: From left to right.
        says: The same in one line, for who does not see it.
        most: What the full height stands for.
    """
    step = _WIDTH / max(len(columns), 8)  # a single day is no wall
    drawn = Markup("").join(_group(it, number * step, step, most) for number, it in enumerate(columns))
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>"
    ).format(_WIDTH, _HEIGHT, says, drawn)


def day_name(day: date) -> str:
    """Write a day: Tue 3 Mar."""
    return f"{day:%a} {day.day} {day:%b}"


def _nothing(day: date) -> DayStats:
    return DayStats(
        day=day,
        sessions=0,
        turns=0,
        errors=0,
        prompt_tokens=0,
        completion_tokens=0,
        p50_turn_ns=0,
        p95_turn_ns=0,
    )


def _sessions(stats: SessionStats, days: Sequence[DayStats]) -> Tile:
    columns = [_column(it.day, counted(it.sessions, "session"), ("a", it.sessions)) for it in days]
    return _tile("Sessions", compact(stats.sessions), counted(stats.users, "user"), columns)


def _turns(stats: SessionStats, days: Sequence[DayStats]) -> Tile:
    columns = [_column(it.day, counted(it.turns, "turn"), ("a", it.turns)) for it in days]
    return _tile("Turns", compact(stats.turns), counted(stats.spans, "span"), columns)


def _latency(stats: SessionStats, days: Sequence[DayStats]) -> Tile:
    columns = [
        _column(
            it.day,
            f"p50 {duration(it.p50_turn_ns)}, p95 {duration(it.p95_turn_ns)}" if it.turns else "no turns",
            ("b", it.p50_turn_ns),
            ("b2", it.p95_turn_ns - it.p50_turn_ns),
        )
        for it in days
    ]
    if stats.p50_turn_ns is None or stats.p95_turn_ns is None:
        return _tile("Median turn", "none", "no turns", columns, duration)
    return _tile(
        "Median turn", duration(stats.p50_turn_ns), f"p95 {duration(stats.p95_turn_ns)}", columns, duration
    )


def _tokens(stats: SessionStats, days: Sequence[DayStats]) -> Tile:
    columns = [
        _column(
            it.day,
            tokens(it),
            ("c", it.prompt_tokens),
            ("c2", it.completion_tokens),
        )
        for it in days
    ]
    note = f"{compact(stats.prompt_tokens)} in, {compact(stats.completion_tokens)} out"
    if stats.cost is not None:
        note = f"{note}, {money(stats.cost)}"
    return _tile("Tokens", compact(stats.prompt_tokens + stats.completion_tokens), note, columns)


def _errors(stats: SessionStats, days: Sequence[DayStats]) -> Tile:
    columns = [
        _column(it.day, f"{it.errors:,} of {counted(it.turns, 'turn')} failed", ("bad", it.errors))
        for it in days
    ]
    note = f"{share(stats.errors, stats.turns)} of turns"
    return _tile("Failed turns", compact(stats.errors), note, columns, is_alarming=stats.errors > 0)


def _tile(
    title: str,
    value: str,
    note: str,
    columns: Sequence[Column],
    write: Callable[[int], str] = compact,
    *,
    is_alarming: bool = False,
) -> Tile:
    most = max((it.height for it in columns), default=0)
    drawn = picture(columns, f"{title} by day: {value} in all, {note}, at most {write(most)} on a day", most)
    return Tile(title, value, note, drawn, write(most) if most else "", is_alarming=is_alarming)


def _column(day: date, label: str, *layers: tuple[str, int]) -> Column:
    shown = tuple(Layer(style, value) for style, value in layers)
    return Column(f"{day_name(day)} · {label}", shown, day=day.isoformat())


def _group(column: Column, left: float, step: float, most: int) -> Markup:
    gap = min(step * 0.25, 2)
    bars = Markup("")
    top = float(_HEIGHT)
    for layer in column.layers:
        if layer.value <= 0 or most <= 0:
            continue
        height = max(_LEAST, layer.value / most * (_HEIGHT - 2))
        top = max(0.0, top - height)
        bars += Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            layer.style, left + gap / 2, top, step - gap, height
        )
    return Markup(
        '<g class="column" data-day="{}" data-href="{}"><title>{}</title>'
        '<rect class="back" x="{:.2f}" y="0" width="{:.2f}" height="{}"/>{}</g>'
    ).format(column.day, column.href, column.label, left, step, _HEIGHT, bars)
