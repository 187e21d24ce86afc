"""What a conversation is to a reader: a session, its turns, the tools used in a turn.

All times are nanoseconds; points in time count from the Unix epoch, as OpenTelemetry's do.
"""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Turn:
    """One trace: what the user said and what came of it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        input: What the user said.
        output: What was answered; empty when nothing was.
        tools: The tools used, in the order in which they started.
        prompt_tokens: Tokens sent to models, summed over the trace's LLM spans.
        completion_tokens: Tokens received from models, summed likewise.
        started_ns: When the turn began.
        duration_ns: How long it took.
        error: One line about why the turn failed, or None. A failed tool from which the turn
            recovered is not a failed turn.
        spans: How many spans the trace has.
    """

    trace_id: str
    input: str
    output: str
    tools: tuple[ToolUse, ...]
    prompt_tokens: int
    completion_tokens: int
    started_ns: int
    duration_ns: int
    error: str | None
    spans: int


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation.

    Attributes:
        id: The session id that its spans carry.
        user: The user's id, or None when no span names one.
        turns: At least one turn, by start.
    """

    id: str
    user: str | None
    turns: tuple[Turn, ...]

    @property
    def started(self) -> int:
        """When the first turn began."""
        return min(turn.started_ns for turn in self.turns)

    @property
    def last_activity(self) -> int:
        """When the turn that lasted longest into the session ended."""
        return max(turn.started_ns + turn.duration_ns for turn in self.turns)

    @property
    def spans(self) -> int:
        """How many spans the session has."""
        return sum(turn.spans for turn in self.turns)

    @property
    def errors(self) -> int:
        """How many turns failed."""
        return sum(turn.error is not None for turn in self.turns)

    @property
    def prompt_tokens(self) -> int:
        """Tokens sent to models."""
        return sum(turn.prompt_tokens for turn in self.turns)

    @property
    def completion_tokens(self) -> int:
        """Tokens received from models."""
        return sum(turn.completion_tokens for turn in self.turns)
