"""Sessions in a Phoenix server, read over its own client.

What a turn is and where it belongs is worked out here from the spans, by the rule that every store follows.
Phoenix's own list files a whole trace under the session whose span came in first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.store._answers import SessionFilter
from langchain_sessions.store._phoenix import _annotations, _changes, _lists, _search, _sums
from langchain_sessions.store._phoenix._address import address_of
from langchain_sessions.store._phoenix._server import Server
from langchain_sessions.store._phoenix._snapshot import Snapshot
from langchain_sessions.store._protocol import SessionNotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_sessions.store._annotation import Annotation
    from langchain_sessions.store._answers import Neighbours, Page, SearchHit, SessionStats, Sort
    from langchain_sessions.store._model import Session, SessionSummary, Turn
    from langchain_sessions.store._span import Span

__all__ = ["PhoenixSessionStore"]

_EVERYTHING: Final = SessionFilter()


class PhoenixSessionStore:
    """A `SessionStore` of one project in a Phoenix server. Threads may share it.

    Sessions are listed, searched and summed up among the latest 10,000 traces of the project; one that is
    asked for by its id is read whole. The order by last activity is that in which their traces end.

    Args:
        address: `phoenix://host:port/project`, or `phoenixs://` for HTTPS. Without a port it is 6006, or that
            of HTTPS; without a project it is "default". A key is taken from PHOENIX_API_KEY, other headers
            from PHOENIX_CLIENT_HEADERS, as Phoenix's client does.

    Raises:
        StoreError: If the server, or the project, is not there, or wants a key.
    """

    def __init__(self, address: str) -> None:
        self.address: Final = address
        self._server: Final = Server(address_of(address))
        self._known: Snapshot | None = None

    def __repr__(self) -> str:
        return f"PhoenixSessionStore({self.address!r})"

    def sessions(
        self,
        where: SessionFilter | None = None,
        *,
        sort: Sort = "last_activity",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[SessionSummary]:
        """List sessions; see `SessionStore.sessions`. A short page, too, may have a next one."""
        return _lists.sessions(self._snapshot(), _without_tag(where), sort, limit, after)

    def session(self, session_id: str, *, project: str | None = None) -> Session:
        """Read a whole conversation."""
        return self._found(self._snapshot(), session_id, project)

    def summary(self, session_id: str, *, project: str | None = None) -> SessionSummary:
        """Read a conversation's line in the list."""
        return _lists.summary_of(self._found(self._snapshot(), session_id, project))

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
        every = self._found(self._snapshot(), session_id, project).turns
        return _changes.turns(
            every, limit, after=after, before=before, starting_with=starting_with, last=last
        )

    def spans(self, session_id: str, trace_id: str, *, project: str | None = None) -> list[Span]:
        """Read the spans of a turn, by start. Kinds, links and resources are not among what Phoenix keeps."""
        of = self._snapshot()
        session = self._found(of, session_id, project)
        is_turn = any(it.trace_id == trace_id for it in session.turns)
        return of.spans(session_id, trace_id) if is_turn else []

    def search(
        self, text: str, where: SessionFilter | None = None, *, limit: int = 50, after: str | None = None
    ) -> Page[SearchHit]:
        """Find turns by what was said in them; see `SessionStore.search`.

        It is done here, over the texts of turns: Phoenix finds no words, and may take minutes for a rare one.
        A call reads 2,000 traces at most; where it ends before the last one, the page has a next one.
        """
        return _search.search(self._snapshot(), text, _without_tag(where), limit, after)

    def stats(self, where: SessionFilter | None = None) -> SessionStats:
        """Sum sessions up; see `SessionStore.stats`."""
        where = _without_tag(where)
        of = self._snapshot()
        wanted = (session for _, session in _lists.wanted(of, where))
        return _sums.stats_of(
            wanted, where, self._server.project, traces_without_session=of.without_session()
        )

    def neighbours(self, session_id: str, *, project: str | None = None) -> Neighbours:
        """Find the sessions of the project that were active next and before."""
        of = self._snapshot()
        return _lists.neighbours(of, self._found(of, session_id, project))

    def changes(self, after: str | None = None, *, limit: int = 100) -> Page[Turn]:
        """Read the turns that are new or have got spans; see `SessionStore.changes`."""
        return _changes.changes(self._server, self._snapshot(), after, limit)

    def revision(self) -> str:
        """Return a text that is another one whenever spans of the project came or went."""
        return self._server.revision()

    def annotate(self, session_id: str, annotation: Annotation, *, project: str | None = None) -> None:
        """Add to a session of Phoenix's what somebody thinks of it; nothing else is ever written there.

        Raises:
            StoreError: If Phoenix has the session's id in another project, or files its traces under others.
        """
        self._found(self._snapshot(), session_id, project)
        _annotations.annotate(self._server, session_id, annotation)

    def annotations(
        self, sessions: Iterable[SessionSummary]
    ) -> dict[tuple[str, str], tuple[Annotation, ...]]:
        """Read what was thought of sessions, on Phoenix's pages for instance."""
        mine = [it.id for it in sessions if it.project == self._server.project]
        return {
            (self._server.project, key): some for key, some in _annotations.read(self._server, mine).items()
        }

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _snapshot(self) -> Snapshot:
        """The project as it is now; what is known of it is forgotten when it has changed."""
        revision = self._server.revision()
        known = self._known
        if known is None or known.revision != revision:
            known = self._known = Snapshot(self._server, revision)
        return known

    def _found(self, of: Snapshot, session_id: str, project: str | None) -> Session:
        session = of.session(session_id) if project in {None, self._server.project} else None
        if session is None:
            msg = f"there is no session {session_id!r} in project {project or self._server.project!r}"
            raise SessionNotFoundError(msg)
        return session


def _without_tag(where: SessionFilter | None) -> SessionFilter:
    """What is wanted, if that can be told here.

    Raises:
        StoreError: If it is a tag: every trace of the project would have to be read with all of its spans.
    """
    where = where or _EVERYTHING
    if where.tag is not None:
        msg = (
            "sessions of a Phoenix server cannot be chosen by tag; export them, and import the file into a "
            "store of your own, which can: langchain-sessions export --help"
        )
        raise StoreError(msg)
    return where
