"""`langchain-sessions ui`: serve the web page."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import webbrowser
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import opened, store_option

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_sessions.view.web import Access

_PORT: Final = 8377

_WAITING: Final = 64
"""Connections that may wait to be taken."""

_TO_STOP: Final = 3
"""Seconds that answers get to be finished when the server is stopped."""


@click.command(name="ui")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 takes a free one.",
)
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
    try:
        # Here, and not above: a web server takes a while to import, and --help would wait for it.
        from uvicorn import Config, Server

        from langchain_sessions.view import web
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        msg = f"the web page needs {package}: pip install 'langchain-sessions[view]'"
        raise click.ClickException(msg) from error
    with opened(place, create=True) as store, closing(_listen(host, port)) as listener:
        address, bound = listener.getsockname()[:2]
        is_local = ipaddress.ip_address(address).is_loopback
        access = _access({host, *allowed}, token, is_local=is_local, allow_delete=allow_delete)
        url = _url(host, address, bound, access.token)
        click.echo(f"Sessions are at {url} (Ctrl-C stops)")
        if not is_local:
            click.echo("Other machines can connect, and what is sent is not encrypted.", err=True)
        if show:
            webbrowser.open(url)
        config = Config(
            web.create_app(store, access=access),
            access_log=False,  # it would have the token in it, and what people search for
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_TO_STOP,
            ws="none",
        )
        with _quiet_end():
            Server(config).run(sockets=[listener])


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


def _listen(host: str, port: int) -> socket.socket:
    """Take the port at once: what is wrong with it is said before anything is printed or opened.

    Raises:
        click.ClickException: If it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_WAITING)
        # asyncio sends at once (TCP_NODELAY) only on sockets that say they are TCP, which this one does not
        # yet; on others, each answer waits for 40 ms.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())
    except OSError as error:
        reason = (
            os.strerror(error.errno)
            if isinstance(error.errno, int) and error.errno > 0
            else error.strerror or str(error)
        )
        hint = "another --port, or --port 0 for a free one, may do" if port else "choose another --host"
        msg = f"cannot listen on {one_line(host)}, port {port} ({one_line(reason)}): {hint}"
        raise click.ClickException(msg) from error
    except UnicodeError:
        msg = f"{host!r} is not the name of a host"
        raise click.BadParameter(msg, param_hint="--host") from None


def _url(host: str, address: str, port: int, token: str | None) -> str:
    """The address to open here."""
    is_any = ipaddress.ip_address(address).is_unspecified
    name = socket.gethostname() if is_any else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")


@contextmanager
def _quiet_end() -> Generator[None]:
    """Let Ctrl-C and SIGTERM end the command as it should end; uvicorn sends itself the signal again."""
    before = signal.signal(signal.SIGTERM, _ignore)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing. SIG_IGN would be inherited by the browser that is opened."""
