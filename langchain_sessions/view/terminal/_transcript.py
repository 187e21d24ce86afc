"""A session as the chat that it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from langchain_sessions.view._plain import clean, clock, counted, day, duration, moment, one_line
from langchain_sessions.view.terminal._spans import span_tree
from langchain_sessions.view.terminal._texts import INDENT, Entry, assistant, speaker, spent, tool_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from langchain_sessions.store import Session, SessionSummary, Span, Turn

_USUAL_PROJECT: Final = "default"


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
        self._speaker = speaker(session.user)
        self._width = max(self._speaker.cell_len, assistant().cell_len)
        self._day = day(session.started_ns)

    def heading(self) -> Iterator[RenderableType]:
        """The id and the sums, each wrapping as it must."""
        session = self._session
        yield Rule(style="dim")
        yield Text.assemble("Session ", (one_line(session.id), "bold"), overflow="fold")
        sums = [one_line(session.user)] if session.user else []
        sums += [f"project {one_line(session.project)}"] if session.project != _USUAL_PROJECT else []
        sums += [counted(session.turn_count, "turn"), counted(session.span_count, "span"), *spent(session)]
        sums += [f"began {moment(session.started_ns)}"]
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
        who = self._speaker if turn.user in {None, self._session.user} else speaker(turn.user)
        width = max(self._width, who.cell_len)
        yield Text()
        yield Entry(who, Text(clean(turn.input) or "(nothing)"), width)
        for tool in turn.tools:
            yield Entry(Text("tool", style="bold yellow"), tool_text(tool), width)
        if turn.output or not turn.error:
            yield Entry(assistant(), Text(clean(turn.output) or "(no answer)"), width)
        if turn.error:
            yield Entry(Text("error", style="bold red"), Text(one_line(turn.error), style="red"), width)
        taken = [clock(turn.started_ns), duration(turn.duration_ns), *spent(turn)]
        yield Entry(Text(), Text(" · ".join(taken), style="dim"), width)
        if spans is not None:
            yield Entry(Text(), Text(f"trace {one_line(turn.trace_id)}", style="dim"), width)
            yield Padding(span_tree(spans), (0, 0, 0, width + 2 * len(INDENT)))
