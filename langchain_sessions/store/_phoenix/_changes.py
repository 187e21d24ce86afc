"""What is new in a project, and a session's turns by the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_sessions.store._answers import Page
from langchain_sessions.store._places import mark, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.store._model import Turn
    from langchain_sessions.store._phoenix._server import Server
    from langchain_sessions.store._phoenix._snapshot import Snapshot

_CHANGES = "changes of Phoenix"
_TURNS = "turns of Phoenix"


def changes(server: Server, of: Snapshot, after: str | None, limit: int) -> Page[Turn]:
    """Read the turns to which spans were added, in the order in which Phoenix stored them.

    The turns of one trace stay together, so a page may have more than `limit` where a trace has several.
    """
    if after is None:
        return Page((), mark(_CHANGES, server.last_row()))
    [row] = place(after, _CHANGES, int)
    while arrived := server.arrived(row):
        traces: dict[str, None] = {}
        for number, trace_id in arrived:
            if trace_id not in traces and len(traces) >= max(1, limit):
                break
            traces[trace_id] = None
            row = number
        if turns := of.fresh(list(traces)):
            return Page(tuple(turns), mark(_CHANGES, row))
    # Where the latest spans were deleted, Phoenix may give their numbers to those that come next.
    return Page((), mark(_CHANGES, min(row, server.last_row())))


def turns(
    every: Sequence[Turn],
    limit: int,
    *,
    after: str | None = None,
    before: str | None = None,
    starting_with: str | None = None,
    last: bool = False,
) -> Page[Turn]:
    """Cut a page out of a session's turns; see `SessionStore.turns`."""
    first, end = 0, len(every)
    is_backward = last
    if after is not None:
        began = _place(after)
        first = next((n for n, it in enumerate(every) if _key(it) > began), end)
    if before is not None:
        began = _place(before)
        end = next((n for n, it in enumerate(every) if _key(it) >= began), end)
        is_backward = after is None
    if starting_with is not None:
        at = next((n for n, it in enumerate(every) if it.trace_id == starting_with), end)
        first = max(first, at)
    if is_backward:
        first = max(first, end - max(0, limit))
    else:
        end = min(end, first + max(0, limit))
    items = tuple(every[first:end])
    if not items:
        return Page(())
    return Page(
        items,
        mark(_TURNS, *_key(items[-1])) if end < len(every) else None,
        mark(_TURNS, *_key(items[0])) if first > 0 else None,
    )


def _key(turn: Turn) -> tuple[int, str]:
    return turn.started_ns, turn.trace_id


def _place(text: str) -> tuple[int, str]:
    started, trace_id = place(text, _TURNS, int, str)
    return started, trace_id
