"""What the command line and the web page give to programs: plain data, for `json.dumps`. Pure.

A dataclass becomes an object of its fields, under their names. A point in time (`started_ns`) has its ISO
8601 text, in UTC, beside it (`started`): the nanoseconds are more than many programs can keep of a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, cast

from langchain_sessions.store._measures import moment

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | int | float | bool | None"
"""What JSON knows."""

_POINTS: Final = frozenset({"started_ns", "last_activity_ns", "start_ns", "end_ns", "time_ns"})
"""Fields that are points in time. Other names that end in `_ns` are durations."""


def to_plain(value: object) -> Plain:
    """Turn what a store returns into plain data.

    Args:
        value: One of `langchain_sessions.store`'s dataclasses, or what attributes of spans may be.

    Returns:
        Objects, lists, texts and numbers; bytes and whatever else JSON does not know as a text.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return as_object(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {str(key): to_plain(each) for key, each in pairs.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [to_plain(each) for each in cast("Iterable[object]", value)]
    return str(value)


def as_object(value: Any) -> dict[str, Plain]:
    """Turn one of the dataclasses into an object of its fields."""
    plain: dict[str, Plain] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if field.name in _POINTS:
            plain[field.name.removesuffix("_ns")] = _moment(content)
        plain[field.name] = to_plain(content)
    return plain


def _moment(nanoseconds: int) -> str | None:
    try:
        return _iso(moment(nanoseconds))
    except OverflowError:
        return None  # nobody's calendar goes so far


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
