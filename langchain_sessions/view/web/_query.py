"""What a reader asks for: the parameters of an address in, filters out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, cast

from langchain_sessions.store import SessionFilter
from langchain_sessions.view.web._links import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_sessions.store._answers import Sort

PERIODS: Final[Mapping[str, tuple[str, int]]] = {
    "1d": ("Today", 1),
    "7d": ("7 days", 7),
    "30d": ("30 days", 30),
    "90d": ("90 days", 90),
}
"""What may be chosen as `period`: its name and how many days (of UTC) it has, today included."""

SORTS: Final[Mapping[str, str]] = {
    "last_activity": "Last activity",
    "turns": "Turns",
    "tokens": "Tokens",
    "latency": "Median turn",
    "errors": "Errors",
}

SHOWN_DAYS: Final = 30
"""Days that are summed up when no time was asked for."""

_MOST_DAYS: Final = 366
"""Days that are summed up at most, and drawn."""

_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 2200
"""Years whose nanoseconds fit into 64 bits, with room for a time zone."""

_MOST_TURNS: Final = 10**9


class BadRequestError(ValueError):
    """An address makes no sense; the text says which part of it."""


@dataclass(frozen=True, slots=True)
class Query:
    """What sessions are wanted, as the address says it.

    Attributes:
        text: What to search for.
        project: Of this project.
        user: Of this user.
        tag: With this tag.
        period: A key of PERIODS, or empty.
        first: The first day, or None.
        last: The last day, or None.
        has_errors: With at least one failed turn.
        min_turns: With at least so many turns.
        sort: A key of SORTS.
        after: The page's place in the list, or None for its beginning.
    """

    text: str = ""
    project: str = ""
    user: str = ""
    tag: str = ""
    period: str = ""
    first: date | None = None
    last: date | None = None
    has_errors: bool = False
    min_turns: int = 1
    sort: Sort = "last_activity"
    after: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """Read the parameters of an address.

        Raises:
            BadRequestError: If one of them makes no sense.
        """
        period = parameters.get("period", "")
        if period and period not in PERIODS:
            msg = f"period must be one of {', '.join(PERIODS)}"
            raise BadRequestError(msg)
        sort = parameters.get("sort") or "last_activity"
        if sort not in SORTS:
            msg = f"sort must be one of {', '.join(SORTS)}"
            raise BadRequestError(msg)
        return cls(
            text=parameters.get("q", "").strip(),
            project=parameters.get("project", ""),
            user=parameters.get("user", ""),
            tag=parameters.get("tag", ""),
            period=period,
            first=_day(parameters, "from"),
            last=_day(parameters, "to"),
            has_errors=parameters.get("errors", "") not in {"", "0"},
            min_turns=_number(parameters, "turns"),
            sort=cast("Sort", sort),
            after=parameters.get("after") or None,
        )

    def parameters(self) -> dict[str, str | int | None]:
        """The parameters that say the same, without the place in the list."""
        return {
            "q": self.text,
            "project": self.project,
            "user": self.user,
            "tag": self.tag,
            "period": self.period,
            "from": self.first.isoformat() if self.first else None,
            "to": self.last.isoformat() if self.last else None,
            "errors": "1" if self.has_errors else None,
            "turns": self.min_turns if self.min_turns > 1 else None,
            "sort": self.sort if self.sort != "last_activity" else None,
        }

    def address(self, path: str = "", **changes: str | int | None) -> str:
        """Where the same is shown with some parameters changed.

        Args:
            path: The page; the list, or the search if there is a text, by default.
            **changes: What is different. None takes a parameter away.
        """
        merged = self.parameters() | changes
        return address(path or ("/search" if merged["q"] else "/"), **merged)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the text restricts what is shown."""
        return bool(
            self.project
            or self.user
            or self.tag
            or self.period
            or self.first
            or self.last
            or self.has_errors
            or self.min_turns > 1
        )

    @property
    def has_more(self) -> bool:
        """Whether one of the filters is in use that the page keeps folded."""
        return bool(self.user or self.tag or self.first or self.last or self.min_turns > 1)

    def where(self, now: datetime) -> SessionFilter:
        """Which sessions are listed."""
        since = self.first
        if self.period:
            start = now.date() - timedelta(days=PERIODS[self.period][1] - 1)
            since = max(since, start) if since else start
        return SessionFilter(
            project=self.project or None,
            user=self.user or None,
            tag=self.tag or None,
            since=_midnight(since) if since else None,
            until=_midnight(self.last + timedelta(days=1)) if self.last else None,
            has_errors=self.has_errors,
            min_turns=self.min_turns,
        )

    def days(self, now: datetime, newest: date | None) -> tuple[date, date]:
        """The first and the last day that are summed up.

        Without a time, those are the last days in which something happened, so that a store in which nothing
        is new shows something nevertheless.

        Args:
            now: The time.
            newest: The day of the last activity, if there was any.
        """
        where = self.where(now)
        last = now.date()
        if self.last is not None:
            last = min(last, self.last)
        elif not self.period and newest is not None:
            last = min(last, newest)
        first = where.since.date() if where.since else last - timedelta(days=SHOWN_DAYS - 1)
        return max(min(first, last), last - timedelta(days=_MOST_DAYS - 1)), last

    def summed(self, days: tuple[date, date], now: datetime) -> SessionFilter:
        """Which turns are summed up; equal for all requests of one day, so that it can be kept."""
        where = self.where(now)
        return SessionFilter(
            project=where.project,
            user=where.user,
            tag=where.tag,
            since=_midnight(days[0]),
            until=_midnight(days[1] + timedelta(days=1)),
            has_errors=where.has_errors,
            min_turns=where.min_turns,
        )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _day(parameters: Mapping[str, str], name: str) -> date | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        msg = f"{name} must be a day such as 2026-03-01"
        raise BadRequestError(msg)
    return day


def _number(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "").strip()
    if not text:
        return 1
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        msg = f"{name} must be a number"
        raise BadRequestError(msg)
    return max(1, min(int(text), _MOST_TURNS))
