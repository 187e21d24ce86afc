"""A session as the chat that it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from langchain_sessions.view._plain import about, clean, clock, counted, day, one_line, taken
from langchain_sessions.view.terminal._spans import span_tree
from langchain_sessions.view.terminal._texts import INDENT, Entry, assistant, speaker, tool_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from langchain_sessions.store import Session, SessionSummary, Span, Turn


def transcript(session: Session) -> RenderableType:
    """Lay out a session as a chat: who said what, the tools used, tokens and time of each turn.

    Args:
        session: The conversation.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    chat = Transcript(session)
    return Group(*chat.heading(), *(line for turn in session.turns for line in chat.turn(turn)))


class Transcript:
    """The same in pieces, for conversations that are read, and printed, bit by bit.

    Args:
        session: What is known of the conversation as a whole.
    """

    def __init__(self, session: SessionSummary) -> None:
        self._session = session
        self._width = max(speaker(session.user).cell_len, assistant().cell_len)
        self._day = day(session.started_ns)

    def heading(self) -> Iterator[RenderableType]:
        """The id and the sums, each wrapping as it must."""
        session = self._session
        yield Rule(style="dim")
        yield Text.assemble("Session ", (one_line(session.id), "bold"), overflow="fold")
        sums = about(session)
        sums += [counted(session.error_count, "error")] if session.error_count else []
        yield Text(" · ".join(sums), style="dim", overflow="fold")

    def turn(self, turn: Turn, spans: Sequence[Span] | None = None) -> Iterator[RenderableType]:
        """A turn as it went: the question, the tools, the answer, what it took.

        Args:
            turn: The turn.
            spans: Its spans, if they are to be shown.
        """
        if (today := day(turn.started_ns)) != self._day:
            self._day = today
            yield Text(f"\n{INDENT}{today}", style="dim")
        who = speaker(turn.user)  # not the session's user: in a room, this may be somebody else's turn
        width = max(self._width, who.cell_len)
        yield Text()
        yield Entry(who, Text(clean(turn.input) or "(nothing)"), width)
        for tool in turn.tools:
            yield Entry(Text("tool", style="bold yellow"), tool_text(tool), width)
        if turn.output or not turn.error:
            yield Entry(assistant(), Text(clean(turn.output) or "(no answer)"), width)
        if turn.error:
            yield Entry(Text("error", style="bold red"), Text(one_line(turn.error), style="red"), width)
        yield Entry(Text(), Text(" · ".join([clock(turn.started_ns), *taken(turn)]), style="dim"), width)
        if spans is not None:
            yield Entry(Text(), Text(f"trace {one_line(turn.trace_id)}", style="dim"), width)
            yield Padding(span_tree(spans), (0, 0, 0, width + 2 * len(INDENT)))
