"""What the commands share: the option for the store, how it is opened, where they print."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from langchain_sessions.store import StoreError, WritableSessionStore, open_store
from langchain_sessions.store._open import VARIABLE, default_path
from langchain_sessions.view._json import to_plain
from langchain_sessions.view._plain import one_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_sessions.store import SessionStore

store_option = click.option(
    "--store",
    "place",
    metavar="PATH-OR-URL",
    help="The session store. By default $LANGCHAIN_SESSIONS_DB, else sessions.db in your data folder.",
)
"""`--store`, passed as `place`."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""`--json`, passed as `as_json`."""

_REMEDY: Final = "name another one with --store, or try one out: langchain-sessions demo"


@contextmanager
def opened(place: str | None, *, create: bool = False) -> Generator[SessionStore]:
    """Open a store, and close it at the end; whatever is wrong with it ends the command with one message.

    Args:
        place: What `--store` says.
        create: Whether a file may be made where there is none.

    Raises:
        click.ClickException: In the place of a StoreError. Its exit code is 1.
    """
    try:
        if not create and (path := missing_file(place)):
            raise StoreError(f"there is no session store at {path}; {_REMEDY}")
        store = open_store(place, create=create)
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        raise click.ClickException(one_line(str(error))) from error


def address_of(place: str | None) -> str | Path:
    """Return where the store is: what `--store` says, else what the environment says, else the usual path.

    Raises:
        StoreError: If no place is named, and the usual one is not known.
    """
    return place if place is not None else os.environ.get(VARIABLE) or default_path()


def missing_file(place: str | None) -> Path | None:
    """Return the file that a store would be in, if it is not there.

    Args:
        place: What `--store` says.

    Returns:
        Its path; None if there is a file, or if the store is none of a file.

    Raises:
        StoreError: If no place is named, and the usual one is not known.
    """
    address = address_of(place)
    if isinstance(address, str) and "://" in address:
        return None
    path = Path(address).expanduser()
    return None if path.exists() else path


def print_json(value: object, *, on_one_line: bool = False) -> None:
    """Print what a store has returned as JSON, in ASCII: no text in it can steer a terminal."""
    click.echo(json.dumps(to_plain(value), indent=None if on_one_line else 2))


def writable(store: SessionStore) -> WritableSessionStore:
    """Return the store if it can be written to.

    Raises:
        click.ClickException: If it can only be read.
    """
    if not isinstance(store, WritableSessionStore):
        raise click.ClickException("this store can only be read")
    return store


def console(*, stderr: bool = False) -> Console:
    """Return where to print. Texts of others must have been made harmless (`clean`, `one_line`) before."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        # An ASCII or legacy code page must not turn an arrow or an emoji into a traceback.
        stream.reconfigure(errors="backslashreplace")
    return Console(stderr=stderr, highlight=False)
