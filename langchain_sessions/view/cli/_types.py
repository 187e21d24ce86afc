"""How times, durations and sizes are written on the command line: functions for the `type` of an option."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNITS: Final[Mapping[str, timedelta]] = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}

_FACTORS: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)},
    **{f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)},
}

_NUMBER: Final = r"(\d{1,15}(?:\.\d{1,9})?)\s*"


def number_from(least: int) -> Callable[[str | int], int]:
    """Make what reads a number; it is not larger than a database can count."""

    def number_of(value: str | int) -> int:
        text = str(value)
        number = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else -1
        if number < least:
            raise click.BadParameter(f"{text!r} is not a number of {least} or more")
        return number

    return number_of


def duration_of(text: str) -> timedelta:
    """Read a number and a unit: `30d`, `1.5h`.

    Raises:
        click.BadParameter: If it is something else.
    """
    length = _duration(text)
    if length is None:
        raise click.BadParameter(f"{text!r} is not a number with s, m, h, d or w, such as 12h or 30d")
    return length


def moment_of(text: str) -> datetime:
    """Read a date, an ISO time, or how long ago it is; in UTC if it does not say.

    Raises:
        click.BadParameter: If it is something else.
    """
    if (ago := _duration(text)) is not None:
        try:
            return datetime.now(UTC) - ago
        except OverflowError:
            raise click.BadParameter(f"{text!r} is too long ago") from None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        form = "2026-11-01 or 2026-11-01T08:30+01:00, nor how long ago, such as 2h or 7d"
        raise click.BadParameter(f"{text!r} is neither a time, such as {form}") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def size_of(text: str) -> int:
    """Read a number of bytes, with or without a unit: `500MB`, `2GiB`.

    Raises:
        click.BadParameter: If it is something else.
    """
    match = re.fullmatch(_NUMBER + r"([a-z]*)", text.strip(), re.ASCII | re.IGNORECASE)
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise click.BadParameter(f"{text!r} is not a size, such as 500MB or 2GiB")
    return int(float(match[1]) * factor)


def _duration(text: str) -> timedelta | None:
    match = re.fullmatch(_NUMBER + "([smhdw])", text.strip(), re.ASCII | re.IGNORECASE)
    if match is None:
        return None
    try:
        return float(match[1]) * _UNITS[match[2].lower()]
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long") from None
