"""Points in time, and percentiles. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def moment(nanoseconds: int) -> datetime:
    """Return a point in time, given in nanoseconds since the epoch, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1_000)


def nanoseconds(time: datetime) -> int:
    """Return a point in time that has a time zone, in nanoseconds since the epoch."""
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the value that this share of the values does not exceed (nearest rank).

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        msg = "no values have no percentiles"
        raise ValueError(msg)
    return sorted(values)[rank(len(values), percent)]


def rank(count: int, percent: int) -> int:
    """Return the place of a percentile among so many sorted values, from 0."""
    return max(0, -(-count * percent // 100) - 1)
