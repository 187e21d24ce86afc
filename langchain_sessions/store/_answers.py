"""What a session store is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, Literal, TypeAlias, TypeVar, overload

from langchain_sessions.store._model import SessionSummary, Turn  # noqa: TC001 -- pydantic reads annotations

Sort: TypeAlias = Literal["last_activity", "turns", "tokens", "latency", "errors"]
"""What sessions may be sorted by, the largest first. Latency is that of the median turn."""

Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of an excerpt, and whether it is what was searched for."""

    text: str
    is_match: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A turn in which the text was found.

    Attributes:
        turn: The turn, without its tools.
        role: Whose words the excerpt is from: "user" or "assistant".
        excerpt: The surroundings of the first match; joined, the fragments are its text.
    """

    turn: Turn
    role: Literal["user", "assistant"]
    excerpt: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayStats:
    """What happened on one day (UTC).

    Attributes:
        day: The date.
        sessions: Sessions with a turn that began on it.
        turns: Turns that began on it.
        errors: Those of them that failed.
        prompt_tokens: Tokens they sent to models.
        completion_tokens: Tokens they received.
        p50_turn_ns: The median of how long they took.
        p95_turn_ns: The time that 95 % of them did not exceed.
    """

    day: date
    sessions: int
    turns: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    p50_turn_ns: int
    p95_turn_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """Sums over sessions, and the same by day.

    Attributes:
        sessions: How many sessions there are.
        users: How many different users they name.
        turns: How many turns.
        spans: How many spans.
        errors: How many turns failed.
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens received from models.
        cost: What model calls cost, or None when no span says so.
        p50_turn_ns: The median of how long turns took, or None when there are no turns.
        p95_turn_ns: The time that 95 % of them did not exceed, likewise.
        traces_without_session: How many traces there are, in the whole store, in which no span names a
            session.
        projects: The projects and how many sessions each has, the largest first.
        days: The days with a turn, by date.
    """

    sessions: int
    users: int
    turns: int
    spans: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    p50_turn_ns: int | None
    p95_turn_ns: int | None
    traces_without_session: int = 0
    projects: tuple[tuple[str, int], ...]
    days: tuple[DayStats, ...]

    def _repr_html_(self) -> str:
        from langchain_sessions.view import notebook

        return notebook.stats_html(self)


@dataclass(frozen=True, slots=True)
class Page(Sequence[Item_co], Generic[Item_co]):
    """A part of a longer list.

    Attributes:
        items: What is on it.
        next: Pass it as `after` to get the next page; None on the last one.
        previous: Pass it as `before` to get the page before, where that is possible; else None.
    """

    items: tuple[Item_co, ...]
    next: str | None = None
    previous: str | None = None

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Item_co: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item_co, ...]: ...

    def __getitem__(self, index: int | slice) -> Item_co | tuple[Item_co, ...]:
        return self.items[index]

    def _repr_html_(self) -> str | None:
        from langchain_sessions.view import notebook

        return notebook.page_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions are wanted; every condition that is given has to hold.

    Attributes:
        project: Of this project.
        user: With a turn of this user. A search, and statistics, then look at that user's turns alone.
        tag: With a turn that has this tag (`"tags"` in the config of its outermost run).
        since: Active at or after this time.
        until: Begun before this time.
        has_errors: With at least one failed turn.
        min_turns: With at least so many turns.
        text: With a turn in which this text is found, as by `SessionStore.search`.

    Raises:
        TypeError: If a time is no datetime.
        ValueError: If it has no time zone.
    """

    project: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    has_errors: bool = False
    min_turns: int = 1
    text: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            time: object = getattr(self, name)
            if time is not None and not isinstance(time, datetime):
                msg = f"{name} must be a datetime, not {time!r}"
                raise TypeError(msg)
            if time is not None and time.tzinfo is None:
                msg = f"{name} must have a time zone, such as datetime.now(timezone.utc)"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The sessions beside one, by last activity.

    Attributes:
        newer: The one that was active next, or None.
        older: The one that was active before, or None.
    """

    newer: SessionSummary | None
    older: SessionSummary | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or what would be.

    Attributes:
        sessions: How many sessions.
        spans: How many spans, those outside of any session included.
        bytes: By how much the file has become smaller. Of what would be deleted, the share of the file that
            so many spans have.
        turns: How many turns.
        newest_ns: When the one of the sessions was active that was active last, in nanoseconds; None if there
            are no sessions.
        is_estimate: Whether what would be deleted is found by the size of the file, as if all spans were of
            one size. Otherwise the numbers are exact.
    """

    sessions: int
    spans: int
    bytes: int
    turns: int = 0
    newest_ns: int | None = None
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported.

    Attributes:
        sessions: How many sessions.
        turns: How many turns.
    """

    sessions: int
    turns: int


@dataclass(slots=True, kw_only=True)
class Imported:
    """What was imported.

    Attributes:
        new: Spans that were added.
        known: Spans that were there already.
        rejected: Spans whose ids are none.
        lines: Lines that were read.
        other_lines: Those of them that have logs, metrics or profiles.
        bad_lines: Those that could not be read.
    """

    new: int = 0
    known: int = 0
    rejected: int = 0
    lines: int = 0
    other_lines: int = 0
    bad_lines: int = 0
