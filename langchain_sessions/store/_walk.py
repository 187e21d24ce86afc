"""Going through all sessions of a store, or all turns of one of them, of any number: a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.store import _words
from langchain_sessions.store._answers import SessionFilter
from langchain_sessions.store._hits import is_in
from langchain_sessions.store._protocol import SessionNotFoundError
from langchain_sessions.store._tags import has_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_sessions.store._answers import Sort
    from langchain_sessions.store._model import SessionSummary, Turn
    from langchain_sessions.store._protocol import SessionStore

_EVERYTHING: Final = SessionFilter()

_FIRST_PAGE: Final = 20
"""Sessions: who wants a few need not wait for many, which takes seconds where a server is asked for them."""

_SESSIONS_A_PAGE: Final = 200

_TURNS_A_PAGE: Final = 50
"""Turns come with their texts and tools, which may be large."""


def iter_sessions(
    store: SessionStore, where: SessionFilter | None = None, *, sort: Sort = "last_activity"
) -> Iterator[SessionSummary]:
    """Yield sessions, however many there are; each once, and none is missed while others write.

    They are read as they are asked for, a page at a time. A session that is written to meanwhile may move
    past the place that was reached; such ones, and new ones, come last, after those that are in order. To
    know them, a number for each session is kept.

    Args:
        store: Any session store.
        where: Which ones; all of them by default.
        sort: By what, the largest first.

    Raises:
        StoreError: If the store cannot be read.
    """
    where = where or _EVERYTHING
    begin = store.changes().next
    seen: set[int] = set()
    after: str | None = None
    size = _FIRST_PAGE
    while True:
        page = store.sessions(where, sort=sort, limit=size, after=after)
        size = _SESSIONS_A_PAGE
        for summary in page:
            if _is_new(summary.project, summary.id, seen):
                yield summary
        after = page.next
        if after is None:
            break
    yield from _changed_since(store, where, begin, seen)


def iter_turns(
    store: SessionStore, session_id: str, *, project: str | None = None, starting_with: str | None = None
) -> Iterator[Turn]:
    """Yield the turns of a session by start, however many there are; they are read as they are asked for.

    If the session is deleted meanwhile, it ends where it is.

    Args:
        store: Any session store.
        session_id: The session's id.
        project: Its project.
        starting_with: The id of a trace: begin with its turn. Without such a turn there are none.

    Raises:
        SessionNotFoundError: If there is no such session when the first turn is asked for.
        AmbiguousSessionError: If several projects have one, and none is named.
        StoreError: If the store cannot be read.
    """
    page = store.turns(session_id, project=project, limit=_TURNS_A_PAGE, starting_with=starting_with)
    for turn in page[:1]:
        project = turn.project  # meanwhile, another project may get a session of this id
    while True:
        yield from page
        if page.next is None:
            return
        try:
            page = store.turns(session_id, project=project, limit=_TURNS_A_PAGE, after=page.next)
        except SessionNotFoundError:
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
                is_wanted = matches(
                    summary, where, iter_turns(store, summary.id, project=summary.project)
                ) and (where.tag is None or _is_tagged(store, summary, where.tag))
            except SessionNotFoundError:  # deleted since
                continue
            if is_wanted:
                yield summary


def _is_tagged(store: SessionStore, session: SessionSummary, tag: str) -> bool:
    turns = iter_turns(store, session.id, project=session.project)
    return any(
        has_tag(it, store.spans(session.id, it.trace_id, project=session.project), tag) for it in turns
    )


def _is_new(project: str, session_id: str, seen: set[int]) -> bool:
    number = hash((project, session_id))
    if number in seen:
        return False
    seen.add(number)
    return True


def matches(summary: SessionSummary, where: SessionFilter, turns: Iterable[Turn]) -> bool:
    """Whether a session is one of those that are wanted; the tag aside.

    Args:
        summary: The session.
        where: What is wanted.
        turns: Those of the session; looked at only if a user or a text is wanted.
    """
    return (
        (where.project is None or summary.project == where.project)
        and (where.since is None or summary.last_activity >= where.since)
        and (where.until is None or summary.started < where.until)
        and (not where.has_errors or summary.error_count > 0)
        and summary.turn_count >= where.min_turns
        and _is_said(turns, where)
    )


def _is_said(turns: Iterable[Turn], where: SessionFilter) -> bool:
    """Whether there is a turn of the user who is wanted, and one that has the text."""
    phrases, literal = _words.wanted_in(where.text or "")
    is_user = where.user is None
    is_text = not phrases and not literal
    for turn in turns if not (is_user and is_text) else ():
        is_user = is_user or turn.user == where.user
        is_text = is_text or is_in((turn.input, turn.output), phrases, literal)
        if is_user and is_text:
            break
    return is_user and is_text
