"""Going through all sessions of a store, of any size, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.store._protocol import SessionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_sessions.store._answers import SessionFilter
    from langchain_sessions.store._model import SessionSummary, Turn
    from langchain_sessions.store._protocol import SessionStore

_SESSIONS_A_PAGE: Final = 200

_TURNS_A_PAGE: Final = 20
"""Turns come with their texts and tools, which may be large."""


def all_sessions(store: SessionStore, where: SessionFilter) -> Iterator[SessionSummary]:
    """Yield each session once, the one that was active last first.

    A session that is written to meanwhile moves to the front of the list, past the place that was reached;
    those are found at the end, among what has changed. To know them, a number for each session is kept.

    Args:
        store: The store.
        where: Which sessions. Their `text` is not looked at for those that are found at the end.
    """
    begin = store.changes().next
    seen: set[int] = set()
    after: str | None = None
    while True:
        page = store.sessions(where, limit=_SESSIONS_A_PAGE, after=after)
        for summary in page:
            if _is_new(summary.project, summary.id, seen):
                yield summary
        after = page.next
        if after is None:
            break
    yield from _changed_since(store, where, begin, seen)


def all_turns(store: SessionStore, session: SessionSummary) -> Iterator[Turn]:
    """Yield the turns of a session by start; none if it was deleted meanwhile."""
    after: str | None = None
    while True:
        try:
            page = store.turns(session.id, project=session.project, limit=_TURNS_A_PAGE, after=after)
        except SessionNotFoundError:
            return
        yield from page
        after = page.next
        if after is None:
            return


def _changed_since(
    store: SessionStore, where: SessionFilter, mark: str | None, seen: set[int]
) -> Iterator[SessionSummary]:
    while turns := store.changes(mark):
        mark = turns.next
        for turn in turns:
            if not _is_new(turn.project, turn.session_id, seen):
                continue
            try:
                summary = store.summary(turn.session_id, project=turn.project)
            except SessionNotFoundError:
                continue
            if matches(summary, where, all_turns(store, summary)):
                yield summary


def _is_new(project: str, session_id: str, seen: set[int]) -> bool:
    number = hash((project, session_id))
    if number in seen:
        return False
    seen.add(number)
    return True


def matches(summary: SessionSummary, where: SessionFilter, turns: Iterable[Turn]) -> bool:
    """Whether a session is one of those that are wanted; `text` aside.

    Args:
        summary: The session.
        where: What is wanted.
        turns: Those of the session; looked at only if a user is wanted.
    """
    return (
        (where.project is None or summary.project == where.project)
        and (where.since is None or summary.last_activity >= where.since)
        and (where.until is None or summary.started < where.until)
        and (not where.has_errors or summary.error_count > 0)
        and summary.turn_count >= where.min_turns
        and (where.user is None or any(it.user == where.user for it in turns))
    )
