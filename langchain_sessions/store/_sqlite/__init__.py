"""Sessions in one SQLite file: nothing to start, many processes may write while others read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import SessionFilter
from langchain_sessions.store._sqlite import (
    _annotations,
    _forecast,
    _queries,
    _retention,
    _rows,
    _search,
    _stats,
)
from langchain_sessions.store._sqlite._connections import Connections
from langchain_sessions.store._sqlite._ingest import Batch, Origins, prepare

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from langchain_sessions.store._annotation import Annotation
    from langchain_sessions.store._answers import Neighbours, Page, Pruned, SearchHit, SessionStats, Sort
    from langchain_sessions.store._model import Session, SessionSummary, Turn
    from langchain_sessions.store._span import Span
    from langchain_sessions.store._sqlite._ingest import Origin, OriginKey

__all__ = ["SQLiteSessionStore"]

_EVERYTHING: Final = SessionFilter()

_MOST_ORIGINS: Final = 1_000
"""Processes and instrumentations that are remembered; a collector hears of many in its life."""


class SQLiteSessionStore:
    """A `WritableSessionStore` in a SQLite file.

    Threads may share it; a process that is forked from one that has it opens connections of its own. The file
    has to be on a local disk: SQLite's log needs memory that is shared by all who use it.

    Args:
        path: The file. It is made, for its owner's eyes only, if it is not there.
        create: Whether it may be made. Without, a missing file is a StoreMissingError.
        wait: Seconds to wait while another process writes; ten by default.

    Raises:
        StoreError: If the file cannot be opened, is damaged, not a session store, or one of a later version.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: bool = True, wait: float | None = None
    ) -> None:
        self.path: Final = Path(path).expanduser().absolute()
        self._connections: Final = Connections(self.path, may_create=create, wait=wait)
        self._origins: dict[OriginKey, Origin] = {}

    def __repr__(self) -> str:
        return f"SQLiteSessionStore({str(self.path)!r})"

    def add(self, spans: Iterable[Span]) -> int:
        """Keep spans; see `WritableSessionStore.add`.

        Raises:
            ValueError: If an id of a span is not made of hexadecimal digits.
        """
        some = list(spans)
        try:
            return self._add(some)
        except (UnicodeEncodeError, OverflowError):
            return self._add([_rows.storable(it) for it in some])

    def _add(self, spans: list[Span]) -> int:
        prepared = prepare(spans)
        if not prepared:
            return 0
        with self._connections.writing() as db:
            origins = Origins(self._origins)
            added = Batch(db, origins).add(prepared)
        # Now, and not before: what is not committed has no number, or will have another one.
        if len(self._origins) > _MOST_ORIGINS:
            self._origins = {}
        self._origins |= origins.found
        return added

    def sessions(
        self,
        where: SessionFilter | None = None,
        *,
        sort: Sort = "last_activity",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[SessionSummary]:
        """List sessions; see `SessionStore.sessions`."""
        with self._connections.reading() as db:
            return _queries.sessions(db, where or _EVERYTHING, sort, limit, after)

    def session(self, session_id: str, *, project: str | None = None) -> Session:
        """Read a whole conversation."""
        with self._connections.reading() as db:
            return _queries.session(db, _queries.find(db, session_id, project).key)

    def summary(self, session_id: str, *, project: str | None = None) -> SessionSummary:
        """Read a conversation's line in the list."""
        with self._connections.reading() as db:
            return _queries.summary(db, _queries.find(db, session_id, project).key)

    def turns(
        self,
        session_id: str,
        *,
        project: str | None = None,
        limit: int = 100,
        after: str | None = None,
        before: str | None = None,
        starting_with: str | None = None,
        last: bool = False,
    ) -> Page[Turn]:
        """Read a part of a conversation; see `SessionStore.turns`."""
        with self._connections.reading() as db:
            key = _queries.find(db, session_id, project).key
            return _queries.turns(
                db, key, limit, after=after, before=before, starting_with=starting_with, last=last
            )

    def spans(self, session_id: str, trace_id: str, *, project: str | None = None) -> list[Span]:
        """Read the spans of a turn, by start."""
        with self._connections.reading() as db:
            return _queries.spans(db, _queries.find(db, session_id, project).key, trace_id)

    def search(
        self, text: str, where: SessionFilter | None = None, *, limit: int = 50, after: str | None = None
    ) -> Page[SearchHit]:
        """Find turns by what was said in them; see `SessionStore.search`."""
        with self._connections.reading() as db:
            return _search.search(db, text, where or _EVERYTHING, limit, after)

    def stats(self, where: SessionFilter | None = None) -> SessionStats:
        """Sum sessions up; see `SessionStore.stats`."""
        with self._connections.reading() as db:
            return _stats.stats(db, where or _EVERYTHING)

    def neighbours(self, session_id: str, *, project: str | None = None) -> Neighbours:
        """Find the sessions that were active next and before."""
        with self._connections.reading() as db:
            return _queries.neighbours(db, _queries.find(db, session_id, project).key)

    def changes(self, after: str | None = None, *, limit: int = 100) -> Page[Turn]:
        """Read the turns that are new or have changed; see `SessionStore.changes`."""
        with self._connections.reading() as db:
            return _queries.changes(db, after, limit)

    def revision(self) -> str:
        """Return a text that is another one whenever anything has changed."""
        with self._connections.reading() as db:
            return _queries.revision(db)

    def annotate(self, session_id: str, annotation: Annotation, *, project: str | None = None) -> None:
        """Keep what somebody thinks of a session; see `AnnotatableSessionStore.annotate`."""
        with self._connections.writing() as db:
            _annotations.annotate(db, _queries.find(db, session_id, project).key, annotation)

    def annotations(
        self, sessions: Iterable[SessionSummary]
    ) -> dict[tuple[str, str], tuple[Annotation, ...]]:
        """Read what was thought of sessions; see `AnnotatableSessionStore.annotations`."""
        with self._connections.reading() as db:
            return _annotations.read(db, sessions)

    def delete(self, session_id: str, *, project: str | None = None) -> None:
        """Delete a session with all its turns and spans."""
        with self._connections.writing() as db:
            _retention.delete(db, [_queries.find(db, session_id, project).key])

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        max_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Delete the sessions that were active least recently; see `WritableSessionStore.prune`."""
        oldest = None if older_than is None else _retention.oldest(older_than)
        if dry_run:
            with self._connections.reading() as db:
                return _forecast.forecast(db, oldest, max_bytes)
        return _retention.prune(self._connections, oldest, max_bytes, progress)

    def close(self) -> None:
        """Close the connections; those in use are closed when they come back."""
        self._connections.close()
