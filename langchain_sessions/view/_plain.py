"""What is shown of texts, numbers and times that come from elsewhere. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

_KEPT: Final = frozenset("\n\u200c\u200d")
"""Line ends, and the joiners without which emoji and some scripts fall apart."""

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories of what may steer a terminal (escape sequences, changes of the writing direction) or
cannot be encoded (lone surrogates)."""


def clean(text: str) -> str:
    r"""Make a text harmless for a terminal; what is taken out stays visible as an escape such as `\x1b`."""
    lines = "\n".join(text.expandtabs(4).splitlines())
    return "".join(map(_visible, lines))


def one_line(text: str) -> str:
    """Make a text harmless, and its line ends and runs of blanks single spaces."""
    return " ".join(clean(text).split())


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
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M} UTC"


def counted(number: int, noun: str) -> str:
    """Write a number of things: "1 turn", "1,200 turns"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
