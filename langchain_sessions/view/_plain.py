"""What is shown of texts, numbers and times that come from elsewhere. Pure."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_sessions.store import DayStats, SessionStats, SessionSummary, Turn

_KEPT: Final = frozenset("\n\u200c\u200d")
"""Line ends, and the joiners without which emoji and some scripts fall apart."""

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories of what may steer a terminal (escape sequences, changes of the writing direction) or
cannot be encoded (lone surrogates)."""

UNFINISHED: Final = "still going on, or cut off"
"""What is said of a turn whose outermost span is missing."""

_USUAL_PROJECT: Final = "default"

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
"""The calendar's ends."""


def clean(text: str) -> str:
    r"""Make a text harmless for a terminal; what is taken out stays visible as an escape such as `\x1b`."""
    lines = "\n".join(text.expandtabs(4).splitlines())
    return "".join(map(_visible, lines))


def one_line(text: str) -> str:
    """Make a text harmless, and its line ends and runs of blanks single spaces."""
    return " ".join(clean(text).split())


def beginning(text: str, most: int) -> str:
    """Make a text harmless and one line of at most so many characters; a longer one ends in an ellipsis."""
    start = text[: 4 * most]
    line = one_line(start)
    return line if len(line) <= most and len(start) == len(text) else f"{line[:most]}…"


def call(name: str, arguments: str) -> str:
    """Write a tool call as in Python; arguments that are not a JSON object stay as they are."""
    return one_line(f"{name}({_named(arguments)})")


def duration(nanoseconds: float) -> str:
    """Write a duration with the precision that a reader needs: "12 ms", "3.4 s", "2 min 5 s"."""
    seconds = nanoseconds / 1e9
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def moment(nanoseconds: int) -> str:
    """Write a point in time, given in nanoseconds since the epoch."""
    return f"{_date_time(nanoseconds):%Y-%m-%d %H:%M} UTC"


def clock(nanoseconds: int) -> str:
    """Write the time of the day (UTC) of a point in time."""
    return f"{_date_time(nanoseconds):%H:%M:%S}"


def day(nanoseconds: int) -> str:
    """Write the date (UTC) of a point in time."""
    return f"{_date_time(nanoseconds):%Y-%m-%d}"


def ago(nanoseconds: int, now_ns: int) -> str:
    """Write how long ago a point in time is, and its date when that is long: "5m ago", "2026-11-01".

    Args:
        nanoseconds: The point in time, counted from the epoch.
        now_ns: What time it is, likewise. Clocks differ: what is just about to be is "now", too.
    """
    minutes = (now_ns - nanoseconds) / 60e9
    if not -5 < minutes < 30 * 24 * 60:
        return day(nanoseconds)
    if minutes < 1:
        return "now"
    if minutes < 59.5:
        return f"{minutes:.0f}m ago"
    return f"{minutes / 60:.0f}h ago" if minutes < 36 * 60 else f"{minutes / 60 / 24:.0f}d ago"


def compact(number: int) -> str:
    """Write a number so that it needs no more than six characters: "9,999", "12.3k", "4.0M"."""
    if number < 10_000:
        return f"{number:,}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if number < 999.95 * size:
            return f"{number / size:.1f}{unit}"
    return f"{number / 1e12:,.1f}T"


def money(amount: float) -> str:
    """Write what something cost, with two digits that say something: "$12.30", "$0.0042"."""
    if amount == 0 or amount >= 0.1:
        return f"${amount:,.2f}"
    return f"${amount:.{min(12, 1 - math.floor(math.log10(amount)))}f}"


def size(number: int) -> str:
    """Write a number of bytes: "512 bytes", "4.2 MB"."""
    if number < 1000:
        return counted(number, "byte")
    for unit, factor in (("KB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if number < 999.95 * factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number / 1e12:,.1f} TB"


def counted(number: int, noun: str) -> str:
    """Write a number of things: "1 turn", "1,200 turns"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """Write a part of a whole in per cent: "20 %", "0.5 %", "<0.1 %"."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return "<0.1 %" if percent < 0.1 else f"{percent:.1f} %" if percent < 9.95 else f"{percent:.0f} %"


def tokens(of: SessionSummary | SessionStats | DayStats | Turn) -> str:
    """Write how many tokens models were sent, and sent back: "1,200 tokens in, 34 out"."""
    return f"{of.prompt_tokens:,} tokens in, {of.completion_tokens:,} out"


def spent(of: SessionSummary | SessionStats | Turn) -> list[str]:
    """Write the tokens and, where it is known, what they cost."""
    return [tokens(of)] if of.cost is None else [tokens(of), money(of.cost)]


def taken(turn: Turn) -> list[str]:
    """Write how long a turn took, and what; of one that is not complete, so far."""
    unfinished = [] if turn.is_complete else [UNFINISHED]
    return [duration(turn.duration_ns), *spent(turn), *unfinished]


def about(session: SessionSummary) -> list[str]:
    """Write whose a session is and what it sums up to, but for its errors."""
    facts = [one_line(session.user)] if session.user else []
    facts += [f"project {one_line(session.project)}"] if session.project != _USUAL_PROJECT else []
    facts += [counted(session.turn_count, "turn"), counted(session.span_count, "span"), *spent(session)]
    return [*facts, f"began {moment(session.started_ns)}"]


def _date_time(nanoseconds: int) -> datetime:
    """A point in time in UTC; the first or the last one that there is if the number is out of all reason."""
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    except (OverflowError, ValueError, OSError):
        return _LAST if nanoseconds > 0 else _FIRST


def _named(arguments: str) -> str:
    """`{"a": 1, "b": "x"}` as `a=1, b="x"`."""
    if not re.match(r"\s*\{", arguments):
        return arguments
    try:
        values: dict[str, object] = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _visible(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")
