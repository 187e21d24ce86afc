"""The ASGI application: which address is answered by what, and what is said when something is wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from langchain_sessions.store import AmbiguousSessionError, SessionNotFoundError, StoreError
from langchain_sessions.view._plain import beginning, one_line
from langchain_sessions.view.web import _render
from langchain_sessions.view.web._deleting import Deleting
from langchain_sessions.view.web._links import address
from langchain_sessions.view.web._listing import Listing
from langchain_sessions.view.web._query import BadRequestError
from langchain_sessions.view.web._reading import Reading
from langchain_sessions.view.web._security import Access, Forms, Guard
from langchain_sessions.view.web._static import health, static_file
from langchain_sessions.view.web._stats import StatsCache

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from langchain_sessions.store import SessionStore

_EVERYBODY_HERE = Access()


def create_app(store: SessionStore, *, access: Access = _EVERYBODY_HERE) -> ASGIApp:
    """Make the web page of a store.

    Args:
        store: What is shown. Whoever opened it closes it, after the application has stopped.
        access: Who may see it; by default whoever uses the machine, and they may not delete.

    Returns:
        An ASGI application. Its lifespan has to be run, as servers do.
    """
    stats = StatsCache(store)
    forms = Forms()
    deleting = Deleting(store, access, forms)
    listing = Listing(store, stats)
    reading = Reading(store, can_delete=deleting.is_possible)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            stats.close()

    routes = [
        Route("/", listing.sessions),
        Route("/search", listing.search),
        Route("/session", reading.session),
        Route("/trace", reading.trace),
        Route("/span", reading.span),
        Route("/text", reading.text),
        Route("/delete", deleting.ask),
        Route("/delete", deleting.delete, methods=["POST"]),
        Route("/static/{name}", static_file),
        Route("/favicon.ico", static_file),
        Route("/healthz", health(store)),
    ]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS, lifespan=lifespan)
    return Guard(app, access, _render.message)


def _bad_request(_request: Request, error: Exception) -> Response:
    return _said(400, "This address makes no sense", f"{error}.")


def _ambiguous(request: Request, error: Exception) -> Response:
    session_id = request.query_params.get("id", "")
    given = dict(request.query_params)
    choices = [
        (project, address(request.url.path, **given | {"project": project}))
        for project in cast("AmbiguousSessionError", error).projects
    ]
    return _said(
        300,
        "Which one?",
        f"Several projects have a session of the id {beginning(session_id, 120)}.",
        choices=choices,
    )


def _not_found(_request: Request, error: Exception) -> Response:
    said = one_line(str(error))
    return _said(404, "No such session", f"{said[:1].upper()}{said[1:]}. It may have been deleted.")


def _store_failed(_request: Request, error: Exception) -> Response:
    said = one_line(str(error))
    return _said(
        503,
        "The session store cannot be read",
        f"{said[:1].upper()}{said[1:]}{'' if said.endswith('?') else '.'}",
    )


def _http(_request: Request, error: Exception) -> Response:
    failed = cast("HTTPException", error)
    texts = {404: "There is nothing at this address.", 405: "This address can only be read."}
    status = HTTPStatus(failed.status_code)
    said = (
        failed.detail if failed.detail != status.phrase else texts.get(failed.status_code, status.description)
    )
    return _said(failed.status_code, status.phrase, said, headers=dict(failed.headers or {}))


def _failed(_request: Request, _error: Exception) -> Response:
    return _said(
        500,
        "Something went wrong here",
        "That is our fault. What went wrong is in the terminal in which langchain-sessions ui runs.",
    )


def _said(
    status: int,
    title: str,
    text: str,
    *,
    choices: list[tuple[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    return HTMLResponse(_render.message(title, text, choices=choices or []), status, headers)


_HANDLERS: dict[int | type[Exception], Callable[[Request, Exception], Response]] = {
    BadRequestError: _bad_request,
    AmbiguousSessionError: _ambiguous,
    SessionNotFoundError: _not_found,
    StoreError: _store_failed,
    HTTPException: _http,
    Exception: _failed,
}
