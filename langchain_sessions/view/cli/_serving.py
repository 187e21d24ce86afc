"""What the commands that serve share: where they listen, how they run, and how they end."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import click
from uvicorn import Config, Server

from langchain_sessions.view._access import is_loopback
from langchain_sessions.view._plain import one_line

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from starlette.types import ASGIApp

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Endpoint:
    """Where to listen.

    Attributes:
        host: The name or the address of this machine, as the user gave it.
        family: The family of its address.
        address: Its address, as sockets of the family take it.
    """

    host: str
    family: socket.AddressFamily
    address: tuple[Any, ...]

    @classmethod
    def of(cls, host: str, port: int) -> Endpoint:
        """Look up a host.

        Raises:
            click.ClickException: If there is none of this name.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            msg = f"there is no host {one_line(host)} ({_reason(error)}): choose another --host"
            raise click.ClickException(msg) from error
        family, _, _, _, address = found[0]
        return cls(host, family, address)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(str(self.address[0]))

    def warn(self) -> None:
        """Say so if other machines can connect."""
        if not self.is_local:
            click.echo("Other machines can connect, and what is sent is not encrypted.", err=True)

    @contextmanager
    def listening(self) -> Generator[socket.socket]:
        """Take the port at once: what is wrong with it is said before anything is printed or opened.

        Raises:
            click.ClickException: If it cannot be had.
        """
        try:
            number = socket.create_server(self.address, family=self.family).detach()
        except OSError as error:
            where = f"{one_line(self.host)}, port {self.address[1]}"
            hint = "another --port (0: a free one)" if self.address[1] else "another --host"
            msg = f"cannot listen on {where} ({_reason(error)}): {hint} may do"
            raise click.ClickException(msg) from error
        # asyncio sends at once (TCP_NODELAY) only on sockets that say they are TCP, which those of
        # `create_server` do not; on others, each answer waits for 40 ms.
        with socket.socket(self.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=number) as listener:
            yield listener


def origin(name: str, address: str, port: int) -> str:
    """Write where a server is reached: by a name of its host, or by this machine's if that means them all."""
    host = socket.gethostname() if ip_address(address).is_unspecified else name
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, *, to_finish: int, idle: int = 5) -> None:
    """Answer requests until a signal asks to end.

    Args:
        app: The application.
        listener: Where they come in.
        to_finish: Seconds that requests in flight have then.
        idle: Seconds for which a connection is kept on which nothing comes.
    """
    config = Config(
        app,
        access_log=False,  # it would have tokens in it, and what people search for
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=to_finish,
        timeout_keep_alive=idle,
        ws="none",
    )
    server = Server(config)
    with _ending(server):
        server.run(sockets=[listener])


@contextmanager
def _ending(server: Server) -> Generator[None]:
    """Make a signal a request to end.

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


def _reason(error: OSError | UnicodeError) -> str:
    """What went wrong, without what Python adds to it."""
    if not isinstance(error, OSError):
        return "no name is like that"
    if isinstance(error.errno, int) and error.errno > 0:
        return os.strerror(error.errno)
    return one_line(error.strerror or str(error))
