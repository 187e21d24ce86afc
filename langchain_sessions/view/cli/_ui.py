"""`ui`: the web page, until it is stopped."""

from __future__ import annotations

import socket
import webbrowser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from langchain_sessions.view.cli._common import (
    host_option,
    needing,
    opened,
    port_option,
    store_option,
    writable,
)

if TYPE_CHECKING:
    from langchain_sessions.view.web import Access

_TO_FINISH: Final = 3
"""Seconds that answers get to be finished when the server is stopped."""


@click.command("ui")
@store_option
@host_option
@port_option(8377)
@click.option(
    "--token",
    envvar="LANGCHAIN_SESSIONS_TOKEN",
    metavar="TOKEN",
    help="What visitors have to know, 16 characters or more. With a host that other machines can reach there "
    "always is one: by default a random one, which is printed. The environment variable "
    "LANGCHAIN_SESSIONS_TOKEN keeps it out of the list of processes.",
)
@click.option(
    "--allowed-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="Another name under which browsers reach the page, through a proxy for instance. May be repeated.",
)
@click.option("--allow-delete", is_flag=True, help="Let visitors delete sessions. Without, they only read.")
@click.option("--open/--no-open", "show", default=False, help="Open the page in a browser.")
def ui_command(
    place: str | None,
    host: str,
    port: int,
    token: str | None,
    allowed: tuple[str, ...],
    *,
    allow_delete: bool,
    show: bool,
) -> None:
    """Read conversations in a browser.

    Shows the session store as a web page: a list with what it sums up to, a search, every session as a chat.
    The page follows what is added while it is open. It needs no internet and calls nobody. The store is made
    if it is not there yet.
    """
    with needing("the web page"):
        # Here, and not above: a web server takes a while to import, and --help would wait for it.
        from langchain_sessions.view import web
        from langchain_sessions.view.cli._serving import Endpoint, origin, serve
    endpoint = Endpoint.of(host, port)
    access = _access({host, *allowed}, token, is_local=endpoint.is_local, allow_delete=allow_delete)
    with opened(place, create=True) as store, endpoint.listening() as listener:
        if allow_delete:
            writable(store)
        address, bound = listener.getsockname()[:2]
        known = f"?token={quote(access.token, safe='')}" if access.token else ""
        url = f"{origin(host, address, bound)}/{known}"
        click.echo(f"Sessions are at {url} (Ctrl-C stops)")
        endpoint.warn()
        if show:
            webbrowser.open(url)
        serve(web.create_app(store, access=access), listener, to_finish=_TO_FINISH)


def _access(names: set[str], token: str | None, *, is_local: bool, allow_delete: bool) -> Access:
    """Decide who may see the page.

    Raises:
        click.BadParameter: If the token is too short.
    """
    from langchain_sessions.view import web

    names = names | web.LOOPBACK
    if not is_local:
        names.add(socket.gethostname())
        token = web.make_token() if token is None else token
    try:
        return web.Access(frozenset(names), not is_local, token, allow_delete)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--token") from None
