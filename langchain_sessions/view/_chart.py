"""The days of some sessions as a small picture (SVG) that takes its colours from the text around it. Pure."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Final

from langchain_sessions.view._plain import compact, counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_sessions.store import DayStats

MOST_DAYS: Final = 90
"""Days in the picture: the latest ones."""

_WIDTH: Final = 640
_LEFT: Final = 52
"""Where the days begin; before that are the labels."""

_TURNS: Final = (18.0, 108.0)
_TIMES: Final = (142.0, 212.0)
"""Top and bottom of the two fields."""

_HEIGHT: Final = 232

_WIDEST: Final = 48.0
"""The width of a day, however few there are."""


def chart(days: Sequence[DayStats]) -> str:
    """Draw a column for each day: its turns, failed ones in red, and below how long they took.

    Args:
        days: By date, at least one.

    Returns:
        An `svg` element.
    """
    shown = [day for day in days if (days[-1].day - day.day).days < MOST_DAYS]
    first, last = shown[0].day, shown[-1].day
    number = (last - first).days + 1
    step = min(_WIDEST, (_WIDTH - _LEFT) / number)
    most, longest = max(it.turns for it in shown), max(it.p95_turn_ns for it in shown) or 1
    parts = [
        *_field(_TURNS, "turns a day", compact(most)),
        *_field(_TIMES, "how long a turn took: median and 95 %", duration(longest)),
        *(
            part
            for day in shown
            for part in _day(day, (day.day - first) / timedelta(days=1), step, most, longest)
        ),
        _text(_LEFT, _HEIGHT - 4, first.isoformat()),
        _text(_LEFT + number * step, _HEIGHT - 4, last.isoformat(), "end") if number * step > 160 else "",
    ]
    label = (
        f"Turns by day, {first} to {last}, at most {counted(most, 'turn')}, 95 % within {duration(longest)}"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _day(day: DayStats, place: float, step: float, most: int, longest: int) -> Iterator[str]:
    left, width = _LEFT + place * step + step * 0.1, max(1.0, step * 0.8)
    middle = left + width / 2
    yield f"<g><title>{escape(_words(day))}</title>"
    top, bottom = _TURNS
    height = max(1.0, (bottom - top) * day.turns / most)
    failed = (bottom - top) * day.errors / most
    yield _rect(left, bottom - height, width, height - failed, "#3f83e8")
    yield _rect(left, bottom - failed, width, failed, "#d9453d")
    top, bottom = _TIMES
    p50, p95 = (bottom - (bottom - top) * it / longest for it in (day.p50_turn_ns, day.p95_turn_ns))
    yield (
        f'<path d="M{middle:.1f} {p50:.1f}V{p95:.1f}" stroke="currentColor" stroke-opacity=".5" '
        f'stroke-width="2"/><circle cx="{middle:.1f}" cy="{p50:.1f}" r="{min(3.0, width / 2):.1f}"/>'
    )
    # What the mouse may be over: the whole height.
    yield f"{_rect(left, _TURNS[0], width, _TIMES[1] - _TURNS[0], 'transparent')}</g>"


def _words(day: DayStats) -> str:
    return (
        f"{day.day}: {counted(day.turns, 'turn')} in {counted(day.sessions, 'session')}, "
        f"{counted(day.errors, 'error')}, {duration(day.p50_turn_ns)} (median), "
        f"{duration(day.p95_turn_ns)} (95 %)"
    )


def _field(edges: tuple[float, float], title: str, most: str) -> Iterator[str]:
    top, bottom = edges
    yield _text(0, top - 6, title)
    yield _text(_LEFT - 6, top + 8, most, "end")
    yield _text(_LEFT - 6, bottom, "0", "end")
    yield (
        f'<path d="M{_LEFT} {bottom + 0.5}H{_WIDTH}" stroke="currentColor" stroke-opacity=".35" '
        f'stroke-width="1"/>'
    )


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    if height <= 0:
        return ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill-opacity=".75">{escape(text)}</text>'
