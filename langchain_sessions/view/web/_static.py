"""Files that are the same for everybody, and a sign of life."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from langchain_sessions.view.web._render import STATIC, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from langchain_sessions.store import SessionStore


def static_file(request: Request) -> Response:
    """Send one of the files that were read at the start: no path of a request ever meets the file system."""
    name = request.path_params.get("name", "icon.svg")
    if name not in STATIC:
        raise HTTPException(404)
    content, kind = STATIC[name]
    is_this = request.query_params.get("v") == VERSION
    keep = "public, max-age=31536000, immutable" if is_this else "no-cache"
    return Response(content, media_type=kind, headers={"cache-control": keep})


def health(store: SessionStore) -> Callable[[Request], Response]:
    """Make what tells whether the store can be read."""

    def answer(_request: Request) -> Response:
        store.revision()
        return PlainTextResponse("ok\n")

    return answer
