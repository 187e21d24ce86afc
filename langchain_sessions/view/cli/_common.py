"""What the commands share: the option for the store, how it is opened, where they print."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing, contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from langchain_sessions.store import StoreError, StoreMissingError, WritableSessionStore, open_store
from langchain_sessions.view._extra import missing
from langchain_sessions.view._json import to_plain
from langchain_sessions.view._plain import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from langchain_sessions.store import SessionStats, SessionStore

store_option = click.option(
    "--store",
    "place",
    metavar="PATH-OR-URL",
    help="The session store. By default $LANGCHAIN_SESSIONS_DB, else sessions.db in your data folder.",
)
"""`--store`, passed as `place`."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""`--json`, passed as `as_json`."""

host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen."
)
"""`--host`, passed as `host`."""


def port_option(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make `--port`, passed as `port`."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=default,
        show_default=True,
        metavar="N",
        help="The port; 0 takes a free one.",
    )


_REMEDY: Final = "name another one with --store, or try one out: langchain-sessions demo"


@contextmanager
def opened(place: str | None, *, create: bool = False) -> Generator[SessionStore]:
    """Open a store, and close it at the end; whatever is wrong with it ends the command with one message.

    Args:
        place: What `--store` says.
        create: Whether a file may be made where there is none.

    Raises:
        click.ClickException: In the place of a StoreError.
    """
    with explained(), closing(open_store(place, create=create)) as store:
        yield store


@contextmanager
def explained() -> Generator[None]:
    """Say in one line what is wrong with a store.

    Raises:
        click.ClickException: In the place of a StoreError. Its exit code is 1.
    """
    try:
        yield
    except StoreMissingError as error:
        raise click.ClickException(f"{one_line(str(error))}; {_REMEDY}") from error
    except StoreError as error:
        raise click.ClickException(one_line(str(error))) from error


@contextmanager
def needing(what: str) -> Generator[None]:
    """Say in one line which package is not installed.

    Args:
        what: What needs it.

    Raises:
        click.ClickException: In the place of an ImportError.
    """
    try:
        yield
    except ImportError as error:
        is_said = "[view]" in str(error)
        raise click.ClickException(str(error if is_said else missing(what, error))) from error


def place_of(store: SessionStore) -> str:
    """Write where a store is."""
    return one_line(str(getattr(store, "path", getattr(store, "address", store))))


def print_json(value: object, *, on_one_line: bool = False) -> None:
    """Print what a store has returned as JSON, in ASCII: no text in it can steer a terminal."""
    click.echo(json.dumps(to_plain(value), indent=None if on_one_line else 2))


def no_sessions(stats: SessionStats) -> str:
    """Say that a store has no sessions and, if spans have come without an id, what to do."""
    if not stats.traces_without_session:
        return "No sessions."
    traces = counted(stats.traces_without_session, "trace")
    return (
        f"No sessions, but {traces} in which no span names one. Give each call its id, in its config: "
        '"metadata": {"session_id": ...}'
    )


def writable(store: SessionStore) -> WritableSessionStore:
    """Return the store if it can be written to.

    Raises:
        click.ClickException: If it can only be read.
    """
    if not isinstance(store, WritableSessionStore):
        raise click.ClickException(f"{place_of(store)} can only be read")
    return store


def ask(question: str) -> None:
    """Let pass what is agreed to.

    Raises:
        click.UsageError: If there is nobody to ask.
        click.Abort: If it is not agreed to.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: add --yes to delete without being asked")
    # Not `click.confirm`, which writes a part of the question to standard output in some versions.
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise click.Abort


def console(*, stderr: bool = False) -> Console:
    """Return where to print. Texts of others must have been made harmless (`clean`, `one_line`) before."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        # An ASCII or legacy code page must not turn an arrow or an emoji into a traceback.
        stream.reconfigure(errors="backslashreplace")
    # Rich takes FORCE_COLOR, which notebooks set, to mean a terminal: files would have the cursor moved, too.
    is_terminal = stream.isatty()
    colours = "standard" if os.environ.get("FORCE_COLOR") and not is_terminal else "auto"
    return Console(stderr=stderr, highlight=False, force_terminal=is_terminal, color_system=colours)
