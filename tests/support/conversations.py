"""Turns and sessions as a store returns them, and texts that mean harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from langchain_sessions.store import Session, ToolUse, Turn

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


def session_of(
    *turns: Turn, session_id: str = "abc", user: str | None = None, project: str = "default"
) -> Session:
    """Make a session of turns, all of them by one user."""
    return Session.of(replace(turn, session_id=session_id, user=user, project=project) for turn in turns)


def hostile_turn(text: str) -> Turn:
    """Make a turn that has the text wherever a text can be."""
    tools = (ToolUse(text, text, text), ToolUse("t", "", "", text))
    return replace(QUIET, session_id=text, user=text, input=text, output=text, tools=tools, error=text)
