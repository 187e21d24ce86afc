"""What a conversation is to a reader: spans in, sessions and their turns out.

Times are nanoseconds; points in time count from the Unix epoch, as OpenTelemetry's do, and their names end in
`_ns`. Tokens are counted once: a model call inside another model call (an instrumented client under a
LangChain model) counts only if the outer one has no counts of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Generic, Literal, TypeAlias, TypeVar, overload

Value: TypeAlias = "str | bool | int | float | Sequence[Value] | Mapping[str, Value] | None"
"""What an attribute may be. OpenTelemetry for Python has flat sequences only; OTLP allows any nesting."""

Attributes: TypeAlias = "Mapping[str, Value]"

Status: TypeAlias = Literal["UNSET", "OK", "ERROR"]

Sort: TypeAlias = Literal["last_activity", "turns", "tokens", "latency", "errors"]
"""What sessions may be sorted by, the largest first. Latency is that of the median turn."""

Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened in a span at a point in time, an exception for instance."""

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A reference to a span of another trace: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A finished span, wherever it came from.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: The parent's span id, or None for the root of a trace.
        name: The span's name.
        start_ns: When it began.
        end_ns: When it ended.
        attributes: OpenInference's, and whatever else it has.
        kind: OpenTelemetry's kind, such as "INTERNAL" or "SERVER".
        status: OpenTelemetry's status code.
        status_message: What the status says of an error.
        events: In the order in which they were recorded.
        links: Likewise.
        resource: The attributes of the process that made it.
        scope: The name of the instrumentation that made it.
        scope_version: Its version.
        trace_state: The W3C trace state.
        parent_is_remote: Whether the parent is a span of another process; None where that is not known.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    kind: str = "INTERNAL"
    status: Status = "UNSET"
    status_message: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: Attributes = field(default_factory=dict[str, Value])
    scope: str = ""
    scope_version: str = ""
    trace_state: str = ""
    parent_is_remote: bool | None = None

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool.

    Attributes:
        name: The tool's name.
        input: The arguments, as text (JSON when there are several).
        output: The result, as text; empty when the call raised.
        error: One line about what went wrong, or None.
    """

    name: str
    input: str
    output: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one trace contributes to a session: what the user said and what came of it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        session_id: The session that the turn belongs to.
        project: The project of the session.
        user: The user's id, or None when no span of the turn names one.
        input: What the user said.
        output: What was answered; empty when nothing was.
        tools: The tools used, in the order in which they started.
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens received from models.
        cost: What the model calls cost, in the currency of the telemetry (US dollars, as a rule), or None
            when no span says so.
        started_ns: When the turn began.
        duration_ns: How long it took.
        error: One line about why the turn failed, or None. A failed tool from which the turn
            recovered is not a failed turn.
        span_count: How many spans of the trace belong to the turn.
        is_complete: False while the span around those that are there is missing, though it is of the same
            process: the turn is still going on, or its process ended before it did. Its texts are then those
            of a step.
    """

    trace_id: str
    session_id: str
    project: str = "default"
    user: str | None = None
    input: str
    output: str
    tools: tuple[ToolUse, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    started_ns: int
    duration_ns: int
    error: str | None = None
    span_count: int
    is_complete: bool = True

    @property
    def started(self) -> datetime:
        """When the turn began, in UTC."""
        return moment(self.started_ns)

    @property
    def ended_ns(self) -> int:
        """When the turn ended."""
        return self.started_ns + self.duration_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """A conversation in one line.

    Attributes:
        id: The session id that its spans carry. Two projects may each have a session of that id.
        project: `openinference.project.name` of the resource, else its `service.name`, else "default".
        user: The user's id: the first that is known, or None.
        first_input: How the conversation began; the first `TEASER` characters of it.
        last_output: What was answered last; likewise.
        turn_count: How many turns it has, at least one.
        span_count: How many spans its turns have.
        error_count: How many turns failed.
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens received from models.
        cost: What its model calls cost, or None when no span says so.
        started_ns: When the first turn began.
        last_activity_ns: When the turn that lasted longest into the session ended.
        p50_turn_ns: The median of how long the turns took (the lower one of two).
    """

    id: str
    project: str
    user: str | None
    first_input: str
    last_output: str
    turn_count: int
    span_count: int
    error_count: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    started_ns: int
    last_activity_ns: int
    p50_turn_ns: int

    @property
    def started(self) -> datetime:
        """When the first turn began, in UTC."""
        return moment(self.started_ns)

    @property
    def last_activity(self) -> datetime:
        """When the turn that lasted longest into the session ended, in UTC."""
        return moment(self.last_activity_ns)

    def _repr_html_(self) -> str:
        from langchain_sessions.view import notebook

        return notebook.sessions_html([self])


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(SessionSummary):
    """One conversation, with all that was said.

    Attributes:
        turns: At least one turn, by start.
    """

    turns: tuple[Turn, ...] = field(repr=False)

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Session:
        """Put the turns of one session together.

        Args:
            turns: Turns of one session and project, in any order.

        Raises:
            ValueError: If there are none, or if they belong to several sessions.
        """
        ordered = tuple(sorted(turns, key=lambda turn: (turn.started_ns, turn.trace_id)))
        if len({(turn.project, turn.session_id) for turn in ordered}) != 1:
            msg = "a session is made of at least one turn, and of turns of that session only"
            raise ValueError(msg)
        costs = [turn.cost for turn in ordered if turn.cost is not None]
        return cls(
            id=ordered[0].session_id,
            project=ordered[0].project,
            user=next((turn.user for turn in ordered if turn.user is not None), None),
            first_input=ordered[0].input[:TEASER],
            last_output=ordered[-1].output[:TEASER],
            turn_count=len(ordered),
            span_count=sum(turn.span_count for turn in ordered),
            error_count=sum(turn.error is not None for turn in ordered),
            prompt_tokens=sum(turn.prompt_tokens for turn in ordered),
            completion_tokens=sum(turn.completion_tokens for turn in ordered),
            cost=sum(costs) if costs else None,
            started_ns=ordered[0].started_ns,
            last_activity_ns=max(turn.ended_ns for turn in ordered),
            p50_turn_ns=percentile([turn.duration_ns for turn in ordered], 50),
            turns=ordered,
        )

    def _repr_html_(self) -> str:
        from langchain_sessions.view import notebook

        return notebook.session_html(self)


TEASER = 300
"""Characters of the first input and the last output that a summary shows."""


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
    """What was deleted.

    Attributes:
        sessions: How many sessions.
        spans: How many spans, those outside of any session included.
        bytes: By how much the file has become smaller.
    """

    sessions: int
    spans: int
    bytes: int


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
