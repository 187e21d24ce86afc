"""`collect`: receive spans from other programs, in any language, until it is stopped."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from langchain_sessions.view._plain import counted, one_line
from langchain_sessions.view.cli._common import console, opened, store_option, writable

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from rich.console import Console
    from uvicorn import Server

    from langchain_sessions.store import Span, WritableSessionStore

_TO_FINISH: Final = 30
"""Seconds that requests in flight have when it is stopped."""

_IDLE: Final = 75
"""Seconds for which an idle connection is kept: longer than exporters wait between two batches, or they would
now and then send on one that is just being closed."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@click.command("collect")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4318,
    show_default=True,
    metavar="N",
    help="The port; 0 takes a free one.",
)
@click.option(
    "--token",
    envvar="LANGCHAIN_SESSIONS_TOKEN",
    metavar="SECRET",
    help="What clients have to send as Authorization: Bearer SECRET; needed to listen to other machines. "
    "$LANGCHAIN_SESSIONS_TOKEN says the same, unseen by other users of this one.",
)
def collect_command(place: str | None, host: str, port: int, token: str | None) -> None:
    """Receive spans over HTTP (OTLP) and keep them in a store.

    Any OpenTelemetry SDK can send to it, in protobuf or JSON; the line that is printed tells it where. Only
    programs of this machine can, unless --host and --token say otherwise. Ctrl-C stops it.
    """
    try:
        # Here, and not above: a web server takes a while to import, and --help would wait for it.
        from uvicorn import Config, Server

        from langchain_sessions.view._collector import PATH, collector, is_loopback
    except ImportError as error:
        missing = f"receiving spans needs {error.name}: pip install 'langchain-sessions[view]'"
        raise click.ClickException(str(error) if "[view]" in str(error) else missing) from error
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise click.UsageError("a token is made of ASCII characters, and of blanks only inside")
    family, address = _address(host, port)
    is_local = is_loopback(address[0])
    if not is_local and token is None:
        raise click.UsageError(f"{host} can be reached by other machines: that needs a --token")
    err = console(stderr=True)
    with opened(place, create=True) as store, _listening(family, address) as listener:
        tally = _Tally(err)
        chosen = writable(store)
        app = collector(chosen, token=token, is_local=is_local, on_added=tally.add, on_trouble=tally.complain)
        _announce(listener, PATH, token, chosen)
        if not is_local:
            click.echo("Other machines can connect, and what is sent is not encrypted.", err=True)
        config = Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_TO_FINISH,
            timeout_keep_alive=_IDLE,
            ws="none",
        )
        server = Server(config)
        with tally.shown(), _ending(server):
            server.run(sockets=[listener])


class _Tally:
    """What has come in, for who looks at the terminal."""

    def __init__(self, err: Console) -> None:
        self._err: Final = err
        self._spans = 0
        self._sessions: Final[set[int]] = set()  # numbers, so that long ids take no memory
        self._is_in_trouble = False

    def add(self, spans: Sequence[Span], new: int) -> None:
        """Count spans that were stored."""
        self._spans += new
        self._is_in_trouble = False
        if self._err.is_terminal:
            named = (it.attributes.get("session.id") for it in spans)
            self._sessions.update(hash(str(it)) for it in named if it is not None)

    def complain(self, text: str) -> None:
        """Say what is wrong with the store, once until it is well again."""
        if not self._is_in_trouble:
            self._is_in_trouble = True
            click.echo(f"Warning: {one_line(text).rstrip('.')}. Clients are asked to send again.", err=True)

    def shown(self) -> AbstractContextManager[object]:
        """Show the counts while the block runs, if there is a terminal."""
        if not self._err.is_terminal:
            return nullcontext()
        from rich.live import Live

        return Live(get_renderable=self._line, console=self._err, refresh_per_second=2)

    def _line(self) -> str:
        return f"{counted(self._spans, 'new span')} of {counted(len(self._sessions), 'session')}"


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Look up where to listen.

    Raises:
        click.ClickException: If there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise click.ClickException(f"there is no host {host}: {error.strerror or error}") from error
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


@contextmanager
def _listening(family: socket.AddressFamily, address: tuple[str, int]) -> Generator[socket.socket]:
    """A socket that listens.

    Raises:
        click.ClickException: If it cannot.
    """
    try:
        listener = socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        where = f"{address[0]}, port {address[1]}"
        msg = f"cannot listen on {where}: {error.strerror or error}; another --port? (0: any)"
        raise click.ClickException(msg) from error
    with listener:
        yield listener


def _announce(listener: socket.socket, path: str, token: str | None, store: WritableSessionStore) -> None:
    """Say what to give to the programs that are to send; that alone is on standard output."""
    host, port = listener.getsockname()[:2]
    named = socket.gethostname() if host in {"0.0.0.0", "::"} else host
    address = f"http://{f'[{named}]' if ':' in named else named}:{port}{path}"
    click.echo(
        f"Receiving spans into {one_line(str(getattr(store, 'path', store)))}; Ctrl-C stops.", err=True
    )
    click.echo("Set in the environment of the programs that are to send:", err=True)
    click.echo(f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}")
    if token is not None:
        click.echo(f"OTEL_EXPORTER_OTLP_TRACES_HEADERS=Authorization=Bearer%20{quote(token, safe='')}")


@contextmanager
def _ending(server: Server) -> Generator[None]:
    """Make a signal a request to end; what is in flight then is finished.

    uvicorn raises the signal that has stopped it again when it is done. By then, all is well.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {it: signal.signal(it, end) for it in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
