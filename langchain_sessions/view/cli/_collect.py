"""`collect`: receive spans from other programs, in any language, until it is stopped."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from langchain_sessions.view._plain import counted, one_line
from langchain_sessions.view.cli._common import (
    console,
    host_option,
    needing,
    opened,
    place_of,
    port_option,
    store_option,
    writable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from langchain_sessions.store import Span

_TO_FINISH: Final = 30
"""Seconds that requests in flight have when it is stopped."""

_IDLE: Final = 75
"""Seconds for which an idle connection is kept: longer than exporters wait between two batches, or they would
now and then send on one that is just being closed."""


@click.command("collect")
@store_option
@host_option
@port_option(4318)
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
    with needing("receiving spans"):
        # Here, and not above: a web server takes a while to import, and --help would wait for it.
        from langchain_sessions.view._collector import PATH, collector
        from langchain_sessions.view.cli._serving import Endpoint, origin, serve
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise click.UsageError("a token is made of ASCII characters, and of blanks only inside")
    endpoint = Endpoint.of(host, port)
    is_local = endpoint.is_local
    if not is_local and token is None:
        raise click.UsageError(f"{host} can be reached by other machines: that needs a --token")
    with opened(place, create=True) as store, endpoint.listening() as listener:
        tally = _Tally(console(stderr=True))
        chosen = writable(store)
        app = collector(chosen, token=token, is_local=is_local, on_added=tally.add, on_trouble=tally.complain)
        address, bound = listener.getsockname()[:2]
        _announce(place_of(chosen), f"{origin(address, address, bound)}{PATH}", token)
        endpoint.warn()
        with tally.shown():
            serve(app, listener, to_finish=_TO_FINISH, idle=_IDLE)


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


def _announce(place: str, url: str, token: str | None) -> None:
    """Say what to give to the programs that are to send; that alone is on standard output."""
    click.echo(f"Receiving spans into {place}; Ctrl-C stops.", err=True)
    click.echo("Set in the environment of the programs that are to send:", err=True)
    click.echo(f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={url}")
    if token is not None:
        click.echo(f"OTEL_EXPORTER_OTLP_TRACES_HEADERS=Authorization=Bearer%20{quote(token, safe='')}")
