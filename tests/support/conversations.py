"""What a store returns, made by hand: turns, sessions, sums, spans."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, Final

from langchain_sessions.store import DayStats, Session, SessionStats, Span, ToolUse, Turn

NEW_YEAR: Final = 1_767_225_600_000_000_000
"""The beginning of 2026, in nanoseconds since the epoch."""

MINUTE: Final = 60 * 10**9

QUIET: Final = Turn(
    trace_id="0" * 32,
    session_id="abc",
    input="Where is my boat?",
    output="In Oslo.",
    prompt_tokens=1200,
    completion_tokens=34,
    started_ns=NEW_YEAR,
    duration_ns=12_000_000,
    span_count=4,
)

BUSY: Final = replace(
    QUIET,
    trace_id="1" * 32,
    input="What is 6 * 7,\nand who is there?",
    output="",
    tools=(
        ToolUse("calculator", "6 * 7", "42"),
        ToolUse("people", '{"city": "Oslo", "limit": 2}', "Ada\nGrace"),
        ToolUse("broken", "", "", "ValueError('no')"),
    ),
    started_ns=NEW_YEAR + MINUTE,
    duration_ns=3_400_000_000,
    error="ValueError('no')",
)


DAY: Final = DayStats(
    day=date(2026, 1, 1),
    sessions=2,
    turns=8,
    errors=2,
    prompt_tokens=10,
    completion_tokens=5,
    p50_turn_ns=10**9,
    p95_turn_ns=2 * 10**9,
)

STATS: Final = SessionStats(
    sessions=3,
    users=1,
    turns=10,
    spans=1234,
    errors=2,
    prompt_tokens=20_000,
    completion_tokens=10,
    cost=0.0123,
    p50_turn_ns=10**9,
    p95_turn_ns=2 * 10**9,
    projects=(("shop", 2), ("support", 1)),
    days=(DAY, replace(DAY, day=date(2026, 1, 3), turns=2, errors=0)),
)


def session_of(
    *turns: Turn, session_id: str = "abc", user: str | None = None, project: str = "default"
) -> Session:
    """Make a session of turns, all of them by one user."""
    return Session.of(replace(turn, session_id=session_id, user=user, project=project) for turn in turns)


def hostile_turn(text: str) -> Turn:
    """Make a turn that has the text wherever a text can be."""
    tools = (ToolUse(text, text, text), ToolUse("t", "", "", text))
    return replace(QUIET, session_id=text, user=text, input=text, output=text, tools=tools, error=text)


def span(number: int, parent: int | None = None, **fields: Any) -> Span:
    """Make a span that has a place in a tree; it begins after those of lower numbers, and takes seconds."""
    plain = Span(
        trace_id="1" * 32,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=str(number),
        start_ns=number,
        end_ns=number + number * 10**9,
        attributes={},
    )
    return replace(plain, **fields)
