"""What tests of the recipes ask of the stores that these have filled."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from langchain_sessions.store import SessionStore, open_store
from tests.support.traces import SESSION_ID, USER_ID
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from langchain_sessions.store import Span

__all__ = ["SERVING", "ids_of_spans", "stored", "told"]

SERVING: Final = r"running on (http://127\.0\.0\.1:\d+)"
"""What uvicorn prints when it takes requests, and where."""


@contextmanager
def stored(path: Path, *session_ids: str, turns: int, spans: int = 0) -> Generator[SessionStore]:
    """Read a store, written by another process, when so much is in it, or in these sessions of it."""
    until(path.exists, f"{path} is not there")
    store = open_store(path)
    try:
        until(lambda: _turns(store, session_ids) >= turns, f"fewer than {turns} turns are stored")
        until(lambda: store.stats().spans >= spans, f"fewer than {spans} spans are stored")
        yield store
    finally:
        store.close()


def _turns(store: SessionStore, session_ids: tuple[str, ...]) -> int:
    found = [each.id for each in store.sessions() if not session_ids or each.id in session_ids]
    return sum(turn.is_complete for id_ in found for turn in store.session(id_).turns)


def told(store: SessionStore, session_id: str) -> list[tuple[str | None, str | None]]:
    """Return what was said and answered in a session."""
    return [(turn.input, turn.output) for turn in store.session(session_id).turns]


def ids_of_spans(spans: Iterable[Span]) -> set[tuple[Any, Any]]:
    """Return which pairs of session and user the spans name."""
    return {(span.attributes.get(SESSION_ID), span.attributes.get(USER_ID)) for span in spans}
