"""The list of sessions with what they sum up to, and the search."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from langchain_sessions.store import SessionNotFoundError
from langchain_sessions.store._measures import moment
from langchain_sessions.view._annotated import annotated
from langchain_sessions.view.web import _pages
from langchain_sessions.view.web._query import Query
from langchain_sessions.view.web._responses import html, is_known, places_checked, tag, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_sessions.store import Page, SessionStore, SessionSummary, Turn
    from langchain_sessions.view.web._stats import Counted, StatsCache

_SESSIONS: Final = 50
_HITS: Final = 30
"""What a page has."""

_PROJECTS: Final = 200
"""Projects that can be chosen."""


class Listing:
    """Answers for `/` and `/search`."""

    def __init__(self, store: SessionStore, stats: StatsCache) -> None:
        self._store: Final = store
        self._stats: Final = stats

    def sessions(self, request: Request) -> Response:
        """List sessions, under what they sum up to."""
        query = Query.of(request.query_params)
        if query.text:
            return RedirectResponse(query.address("/search", after=query.after), status_code=303)
        now = datetime.now(UTC)
        revision = self._store.revision()
        with places_checked():
            page = self._store.sessions(query.where(now), sort=query.sort, limit=_SESSIONS, after=query.after)
        if not page.items and query.after is None and not query.is_narrowed:
            return self._welcome(request, revision)
        days = query.days(now, self._newest(query, page, now))
        summed = self._stats.get(query.summed(days, now), revision)
        everything = self._everything(query, summed, days, now, revision)
        etag = tag(
            request, revision, days, now.date(), summed and summed.number, everything and everything.number
        )
        if is_known(request, etag):
            return unchanged(etag)
        return html(
            "list.html",
            etag=etag,
            query=query,
            page=page,
            annotations=annotated(self._store, page),
            days=days,
            stats=summed.stats if summed else None,
            tiles=summed.tiles if summed else (),
            projects=_projects(query, everything, page),
            is_deleted="deleted" in request.query_params,
        )

    def search(self, request: Request) -> Response:
        """List turns in which a text was found."""
        query = Query.of(request.query_params)
        now = datetime.now(UTC)
        revision = self._store.revision()
        with places_checked():
            page = self._store.search(query.text, query.where(now), limit=_HITS, after=query.after)
        days = Query().days(now, self._newest(Query(), None, now))
        everything = self._stats.get(Query().summed(days, now), revision)
        etag = tag(request, revision, days, now.date(), everything and everything.number)
        if is_known(request, etag):
            return unchanged(etag)
        return html(
            "search.html",
            etag=etag,
            query=query,
            page=page,
            groups=_pages.hit_groups(page.items, self._session_of),
            projects=_projects(query, everything, ()),
        )

    def _session_of(self, turn: Turn) -> SessionSummary | None:
        try:
            return self._store.summary(turn.session_id, project=turn.project)
        except SessionNotFoundError:
            return None

    def _welcome(self, request: Request, revision: str) -> Response:
        etag = tag(request, revision)
        if is_known(request, etag):
            return unchanged(etag)
        return html(
            "welcome.html", etag=etag, code_path=repr(str(getattr(self._store, "path", "sessions.db")))
        )

    def _newest(self, query: Query, page: Page[SessionSummary] | None, now: datetime) -> date | None:
        """The day of the last activity among the sessions that are wanted."""
        if page is None or query.after is not None or query.sort != "last_activity":
            page = self._store.sessions(query.where(now), limit=1)
        return moment(page.items[0].last_activity_ns).date() if page.items else None

    def _everything(
        self, query: Query, summed: Counted | None, days: tuple[date, date], now: datetime, revision: str
    ) -> Counted | None:
        """What there is without filters: it names the projects that can be chosen."""
        if query == Query(sort=query.sort, after=query.after):
            return summed
        if not query.period and query.last is None:
            days = Query().days(now, days[1])
        return self._stats.get(Query().summed(days, now), revision)


def _projects(query: Query, counted: Counted | None, shown: Iterable[SessionSummary]) -> list[str]:
    known = [name for name, _ in counted.stats.projects] if counted else []
    known += [it.project for it in shown]
    known += [query.project] if query.project else []
    return list(dict.fromkeys(known))[:_PROJECTS]
