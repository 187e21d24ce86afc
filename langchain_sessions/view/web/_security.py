"""Who may see the page, and what a browser may do with it.

Four walls, the first before anything else is looked at:

* **The name by which we are called**, which no page of somebody else's has: see `_access`.
* **The site that asks.** Pages of others may lead a visitor here, and may not make requests behind his back.
* **The token**, where other machines can connect. It comes once, in the address, and goes on as a cookie.
* **Headers** by which the browser runs no script and loads nothing but ours, whatever a message contains.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse

from langchain_sessions.view._access import host_name, is_address, is_bearer, is_same, is_same_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of a machine for itself."""

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_OPEN: Final = "/static/"
"""What is the same for everybody, and makes the page that asks for a token readable."""

_SHORTEST_TOKEN: Final = 16
"""Characters. Who may try any number of times must not get there."""


def make_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Access:
    """Who may see the page, and whether they may delete.

    Attributes:
        names: The host names that we answer to.
        any_address: Whether we also answer to all addresses that are numbers. A page of somebody else's
            cannot use those to reach us: it would have to be from that address itself.
        token: What a visitor has to know, or None if everybody who can connect may see the page.
        allow_delete: Whether sessions may be deleted.

    Raises:
        ValueError: If the token is short.
    """

    names: frozenset[str] = LOOPBACK
    any_address: bool = False
    token: str | None = field(default=None, repr=False)
    allow_delete: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            msg = f"a token must have {_SHORTEST_TOKEN} characters or more"
            raise ValueError(msg)

    def knows(self, host: str) -> bool:
        """Tell whether we answer to a `Host` header."""
        name = host_name(host)
        return name in map(host_name, self.names) or (self.any_address and is_address(name))

    def is_token(self, text: str) -> bool:
        """Compare a token in constant time."""
        return self.token is not None and is_same(text, self.token)

    def is_cookie(self, text: str) -> bool:
        """Compare a cookie in constant time."""
        return is_same(text, self.cookie)

    @property
    def cookie(self) -> str:
        """What a visitor's browser keeps: it proves the token, and does not contain it."""
        return sha256(f"cookie of {self.token}".encode()).hexdigest()

    @property
    def cookie_name(self) -> str:
        """Its name: another one for another token, since all ports of a machine share their cookies."""
        return f"langchain_sessions_{sha256(f'name of {self.token}'.encode()).hexdigest()[:8]}"


class Guard:
    """The ASGI middleware that puts all three around the application.

    Args:
        app: The application.
        access: Who may see it.
        explain: Makes a page of a title and a text; what is refused is said to a person.
    """

    def __init__(self, app: ASGIApp, access: Access, explain: Callable[[str, str], str]) -> None:
        self._app: Final = app
        self._access: Final = access
        self._explain: Final = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered in the place of the page, or None if it may be seen."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.knows(hosts[0]):
            return self._page(
                400,
                "Not known by this name",
                "This page answers to the names that it was started for. Behind a proxy, start it with "
                "--allowed-host NAME.",
            )
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return self._page(403, "Not for other sites", "A page of another site has asked for this.")
        if self._access.token is None or scope["path"].startswith(_OPEN):
            return None
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in parameters if name == "token"]
        if tokens and self._access.is_token(tokens[0]):
            return self._let_in(scope, [it for it in parameters if it[0] != "token"])
        if self._has_token(headers):
            return None
        return self._page(
            401,
            "A token is needed",
            "Open the address that langchain-sessions ui printed when it was started: it ends in ?token=…",
            {"www-authenticate": "Bearer"},
        )

    def _has_token(self, headers: Headers) -> bool:
        authorization = headers.get("authorization", "")
        if self._access.token is not None and is_bearer(authorization, self._access.token):
            return True
        cookies = cookie_parser(headers.get("cookie", ""))
        return self._access.is_cookie(cookies.get(self._access.cookie_name, ""))

    def _let_in(self, scope: Scope, parameters: list[tuple[str, str]]) -> Response:
        """Exchange the token for a cookie, so that it does not stay in the address, nor in the history."""
        # One slash: two would be the address of another host.
        path = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(
            f"{path}?{urlencode(parameters)}" if parameters else path, status_code=303
        )
        # Lax, not strict: a link that a colleague has sent opens with it; a form of another site does not.
        response.set_cookie(
            self._access.cookie_name,
            self._access.cookie,
            httponly=True,
            samesite="lax",
            secure=scope["scheme"] == "https",
        )
        return response

    def _page(self, status: int, title: str, text: str, headers: dict[str, str] | None = None) -> Response:
        return HTMLResponse(self._explain(title, text), status, headers)


class Forms:
    """Tokens for forms that change something: only who has read a page of ours has one (CSRF).

    They are good for one thing, and until the process ends.
    """

    def __init__(self) -> None:
        self._key: Final = secrets.token_bytes(32)

    def token(self, *purpose: str) -> str:
        """Return the token for a purpose."""
        text = "".join(f"{len(it)}:{it}" for it in purpose)
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()

    def is_good(self, headers: Headers, token: str, *purpose: str) -> bool:
        """Tell whether a form comes from a page of ours, by its token and what the browser says."""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        # Our pages are told to send no referrer, for which browsers make the origin of a form "null".
        origin = headers.get("origin", "null")
        if origin != "null" and not is_same_origin(origin, headers.get("host")):
            return False
        return is_same(token, self.token(*purpose))
