"""What was found, with what surrounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from langchain_sessions.view._plain import clean, moment, one_line
from langchain_sessions.view.terminal._texts import Entry, assistant, speaker

if TYPE_CHECKING:
    from rich.console import RenderableType

    from langchain_sessions.store import SearchHit


def search_hit(hit: SearchHit) -> RenderableType:
    """Lay out a hit: the session and the turn, and the excerpt with what was found in it standing out.

    Args:
        hit: A turn in which something was found.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    turn = hit.turn
    who = speaker(turn.user) if hit.role == "user" else assistant()
    excerpt = Text()
    for fragment in hit.excerpt:
        # Not `one_line`: the blanks at the edges of fragments are those between words.
        text = " ".join(clean(fragment.text).split("\n"))
        excerpt.append(text, style="bold black on yellow" if fragment.is_match else "")
    where = f" · {moment(turn.started_ns)} · trace {one_line(turn.trace_id)}"
    return Group(
        Text.assemble((one_line(turn.session_id), "bold"), (where, "dim"), overflow="fold"),
        Entry(who, excerpt, max(who.cell_len, assistant().cell_len)),
        Text(),
    )
