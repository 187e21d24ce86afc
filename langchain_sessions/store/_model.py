"""What a conversation is to a reader: sessions and their turns.

Times are nanoseconds; points in time count from the Unix epoch, as OpenTelemetry's do, and their names end in
`_ns`. Tokens are counted once: a model call inside another model call (an instrumented client under a
LangChain model) counts only if the outer one has no counts of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_sessions.store._measures import moment, percentile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


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
