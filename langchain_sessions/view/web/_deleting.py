"""Deleting a session, where that was allowed: asked for on a page, done by a form that only we make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from langchain_sessions.store import WritableSessionStore
from langchain_sessions.view.web._query import BadRequestError
from langchain_sessions.view.web._responses import html

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_sessions.store import SessionStore
    from langchain_sessions.view.web._security import Access, Forms

_LONGEST_FORM: Final = 4_096
"""Bytes. Our form has one short field."""


class Deleting:
    """Answers for `/delete`."""

    def __init__(self, store: SessionStore, access: Access, forms: Forms) -> None:
        self._store: Final = store
        self._forms: Final = forms
        self._writable: Final = (
            store if access.allow_delete and isinstance(store, WritableSessionStore) else None
        )

    @property
    def is_possible(self) -> bool:
        """Whether sessions can be deleted."""
        return self._writable is not None

    def ask(self, request: Request) -> Response:
        """Show what would be deleted, and the button that does it."""
        self._allowed()
        session_id, project = _session(request)
        session = self._store.summary(session_id, project=project)
        return html("delete.html", session=session, token=self._forms.token("delete", session_id, project))

    async def delete(self, request: Request) -> Response:
        """Delete it."""
        store = self._allowed()
        session_id, project = _session(request)
        token = await _token(request)
        if not self._forms.is_good(request.headers, token, "delete", session_id, project):
            raise HTTPException(
                403,
                "This form is not of this page, or of an earlier run of it. Go back, reload, and try again.",
            )
        await run_in_threadpool(store.delete, session_id, project=project)
        return RedirectResponse("/?deleted=1", status_code=303)

    def _allowed(self) -> WritableSessionStore:
        if self._writable is None:
            raise HTTPException(
                403, "Sessions can be read here. To delete some, start the page with --allow-delete."
            )
        return self._writable


def _session(request: Request) -> tuple[str, str]:
    """Which session is meant. Of an id alone, nothing is deleted.

    Raises:
        BadRequestError: If the address does not say.
    """
    try:
        # In the address, and not in a field of the form, where browsers change the ends of lines.
        return request.query_params["id"], request.query_params["project"]
    except KeyError:
        msg = "the address has to name a session and its project"
        raise BadRequestError(msg) from None


async def _token(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "This form is too long.")
    return parse_qs(body.decode("utf-8", "replace")).get("csrf", [""])[0]
