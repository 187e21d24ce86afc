"""Pages that a browser may ask for again and again: nothing is rendered unless something is new."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, Response

from langchain_sessions.view.web import _render
from langchain_sessions.view.web._query import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.requests import Request

_NO_STORE: Final = "no-store"


def tag(request: Request, *state: object) -> str:
    """Make an ETag: another one for another address, another version of the page and other data."""
    text = repr((str(request.url), _render.VERSION, *state))
    return f'"{sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]}"'


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the browser has this version of the page already."""
    return etag in [
        it.strip().removeprefix("W/") for it in request.headers.get("if-none-match", "").split(",")
    ]


def unchanged(etag: str) -> Response:
    """Say that the browser has it already."""
    return Response(status_code=304, headers={"etag": etag, "cache-control": _NO_STORE})


def html(template: str, *, status: int = 200, etag: str = "", **values: Any) -> Response:
    """Render a page."""
    headers = {"cache-control": _NO_STORE} | ({"etag": etag} if etag else {})
    return HTMLResponse(_render.page(template, etag=etag, **values), status, headers)


@contextmanager
def places_checked() -> Generator[None]:
    """Blame the address if the store does not know the place in a list that it names.

    Raises:
        BadRequestError: In the place of the store's ValueError.
    """
    try:
        yield
    except BadRequestError:
        raise
    except ValueError as error:
        raise BadRequestError(str(error)) from error
