"""What a place for sessions can do, whatever it is, and what may go wrong there.

StoreError                  a store cannot be opened, read or written
├── StoreMissingError       there is none at this place
├── StoreUnavailableError   not now: it is locked, or the disk is full
├── SessionNotFoundError    it has no such session
├── AmbiguousSessionError   several projects have one of that id
└── TransferError           a file of sessions cannot be written or read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from pathlib import Path

    from langchain_sessions.store._annotation import Annotation
    from langchain_sessions.store._answers import (
        Imported,
        Neighbours,
        Page,
        Pruned,
        SearchHit,
        SessionFilter,
        SessionStats,
        Sort,
    )
    from langchain_sessions.store._model import Session, SessionSummary, Turn
    from langchain_sessions.store._span import Span


class StoreError(Exception):
    """A store cannot be opened, read or written; the text says what to do."""


class StoreMissingError(StoreError):
    """There is no store at this place, and none was to be made.

    Attributes:
        path: The file that it would be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"there is no session store at {path}")


class StoreUnavailableError(StoreError):
    """A store cannot be used now, and this may pass: another process holds it, or the disk is full."""


class SessionNotFoundError(StoreError):
    """The store has no such session."""


class AmbiguousSessionError(StoreError):
    """Several projects have a session of this id.

    Attributes:
        projects: Their names.
    """

    def __init__(self, session_id: str, projects: Iterable[str]) -> None:
        self.projects = tuple(projects)
        super().__init__(
            f"session {session_id!r} is in several projects, name one: {', '.join(self.projects)}"
        )


class TransferError(StoreError):
    """A file cannot be written by an export, or read by an import.

    Attributes:
        imported: Of an import, what came before: it is in the store. Else None.
    """

    def __init__(self, message: str, imported: Imported | None = None) -> None:
        self.imported = imported
        super().__init__(message)


@runtime_checkable
class SessionStore(Protocol):
    """Sessions to read.

    Every method may raise `StoreError`. Those that take a `session_id` raise `SessionNotFoundError`, and
    `AmbiguousSessionError` when several projects have one and no project is named. What takes `after` or
    `before` raises ValueError for a text that no page of the same list has given.
    """

    def sessions(
        self,
        where: SessionFilter | None = None,
        *,
        sort: Sort = "last_activity",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[SessionSummary]:
        """List sessions, the largest value of `sort` first.

        Args:
            where: Which ones; all of them by default.
            sort: By what.
            limit: The most that a page has.
            after: `next` of the page before.
        """
        ...

    def session(self, session_id: str, *, project: str | None = None) -> Session:
        """Read a whole conversation."""
        ...

    def summary(self, session_id: str, *, project: str | None = None) -> SessionSummary:
        """Read a conversation's line in the list."""
        ...

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
        """Read a part of a conversation, by start.

        Args:
            session_id: The session's id.
            project: Its project.
            limit: The most turns that a page has.
            after: `next` of another page: what follows it.
            before: `previous` of another page: what precedes it.
            starting_with: The id of a trace: begin with its turn.
            last: End with the last turn, instead of beginning with the first one.
        """
        ...

    def spans(self, session_id: str, trace_id: str, *, project: str | None = None) -> list[Span]:
        """Read the spans of a turn, by start. Empty if the session has no turn of that trace."""
        ...

    def search(
        self, text: str, where: SessionFilter | None = None, *, limit: int = 50, after: str | None = None
    ) -> Page[SearchHit]:
        r"""Find turns by what was said in them, the one that was stored last first.

        All words have to be found, in any order, in one turn's input or output. Upper and lower case and
        accents do not matter. "A phrase in quotes" is found as it stands, and so is what is written together
        (`C++`, `foo-bar`); `conver*` finds words that begin so. Scripts without blanks between the words are
        searched for the characters in their order.

        Args:
            text: What to look for. Any text will do.
            where: In which sessions.
            limit: The most that a page has.
            after: `next` of the page before.
        """
        ...

    def stats(self, where: SessionFilter | None = None) -> SessionStats:
        """Sum sessions up. With `since` or `until`, only turns that began in that time count."""
        ...

    def neighbours(self, session_id: str, *, project: str | None = None) -> Neighbours:
        """Find the sessions that were active next and before, of whatever project."""
        ...

    def changes(self, after: str | None = None, *, limit: int = 100) -> Page[Turn]:
        """Read the turns that are new or have changed, in the order in which they did.

        Args:
            after: `next` of an earlier call, which is never None here; without it nothing is returned but
                the place from which to go on.
            limit: The most that a page has.
        """
        ...

    def revision(self) -> str:
        """Return a text that is another one whenever anything in the store has changed."""
        ...

    def close(self) -> None:
        """Give back what the store holds open. It must not be used afterwards."""
        ...


@runtime_checkable
class AnnotatableSessionStore(SessionStore, Protocol):
    """Sessions to read, and what somebody thinks of them."""

    def annotate(self, session_id: str, annotation: Annotation, *, project: str | None = None) -> None:
        """Keep what somebody thinks of a session.

        It takes the place of what was kept under the same name; a note is kept beside the others.
        """
        ...

    def annotations(
        self, sessions: Iterable[SessionSummary]
    ) -> dict[tuple[str, str], tuple[Annotation, ...]]:
        """Read what was thought of sessions, in the order in which it was written.

        Returns:
            By project and session id; those of which nothing was thought are left out.
        """
        ...


@runtime_checkable
class WritableSessionStore(SessionStore, Protocol):
    """Sessions to read and to write. Safe for threads; others may write to the same place."""

    def add(self, spans: Iterable[Span]) -> int:
        """Keep spans, all of them or, when an error is raised, none.

        Spans may come in any order, in any number of calls, and repeatedly: one that is there already is
        ignored.

        Returns:
            How many of them are new.
        """
        ...

    def delete(self, session_id: str, *, project: str | None = None) -> None:
        """Delete a session with all its turns and spans."""
        ...

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        max_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Delete the sessions that were active least recently, while others read and write.

        Args:
            older_than: Those without activity for so long, and as old spans outside of any session.
            max_bytes: As many as it takes for the file to have at most this size.
            progress: Called with the number of sessions deleted so far and in all.
            dry_run: Delete nothing, and tell what would be deleted.
        """
        ...
