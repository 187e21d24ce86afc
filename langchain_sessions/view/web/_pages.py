"""What the templates are given: the plain data of a store, made ready to be shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from langchain_sessions.view._plain import beginning, call
from langchain_sessions.view.web._texts import cut, marked, previewed, rendered, written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from langchain_sessions.store import SearchHit, SessionSummary, ToolUse, Turn
    from langchain_sessions.view.web._texts import Shown

_TOOLS: Final = 50
"""Tools of a turn that are shown. The tree of its spans has them all."""

_CALL: Final = 160
"""Characters of a tool's call on the line that is always seen."""


@dataclass(frozen=True, slots=True)
class ToolView:
    """A tool's call.

    Attributes:
        tool: What the store knows.
        call: It in one line, as Python writes it.
        input: What it got.
        output: What it gave.
    """

    tool: ToolUse
    call: str
    input: Shown
    output: Shown


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn of a conversation.

    Attributes:
        turn: What the store knows.
        number: Its place in the session, from 1, or None if that is not known.
        input: What the user said.
        output: What came of it.
        tools: The tools that were used.
        more_tools: How many more.
    """

    turn: Turn
    number: int | None
    input: Shown
    output: Shown
    tools: tuple[ToolView, ...]
    more_tools: int


@dataclass(frozen=True, slots=True)
class HitView:
    """A turn in which something was found.

    Attributes:
        hit: What the store knows.
        excerpt: The surroundings, with what was found highlighted.
    """

    hit: SearchHit
    excerpt: Markup


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits in one session.

    Attributes:
        session: The session.
        hits: In their order.
    """

    session: SessionSummary
    hits: tuple[HitView, ...]


def turn_views(turns: Sequence[Turn], first: int | None) -> list[TurnView]:
    """Make turns ready.

    Args:
        turns: In their order.
        first: The place of the first of them in the session, if that is known.
    """
    return [
        TurnView(
            turn=turn,
            number=None if first is None else first + place,
            input=written(turn.input),
            output=rendered(turn.output),
            tools=tuple(_tool(it) for it in turn.tools[:_TOOLS]),
            more_tools=max(0, len(turn.tools) - _TOOLS),
        )
        for place, turn in enumerate(turns)
    ]


def hit_groups(
    hits: Sequence[SearchHit], session_of: Callable[[Turn], SessionSummary | None]
) -> list[HitGroup]:
    """Make hits ready; those that follow each other in one session are together.

    Args:
        hits: In their order.
        session_of: Finds the session of a turn; None if it was deleted meanwhile.
    """
    groups = groupby(hits, key=lambda hit: (hit.turn.project, hit.turn.session_id))
    found = [[HitView(hit, marked(hit.excerpt)) for hit in group] for _, group in groups]
    sessions = [session_of(views[0].hit.turn) for views in found]
    return [HitGroup(it, tuple(views)) for it, views in zip(sessions, found, strict=True) if it is not None]


def call_line(name: str, arguments: str) -> str:
    """Write the beginning of a tool's call in one line."""
    return beginning(call(cut(name, _CALL), cut(arguments, _CALL * 4)), _CALL)


def _tool(tool: ToolUse) -> ToolView:
    return ToolView(tool, call_line(tool.name, tool.input), previewed(tool.input), previewed(tool.output))
