"""From a path or an address to a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from langchain_sessions.store._phoenix._address import SCHEMES
from langchain_sessions.store._protocol import SessionStore, StoreError
from langchain_sessions.store._sqlite import SQLiteSessionStore

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "LANGCHAIN_SESSIONS_DB"
"""The environment variable that says where the store is if nothing else does."""

_FOLDER: Final = "langchain-sessions"

_FILE: Final = "sessions.db"


def open_store(place: str | os.PathLike[str] | None = None, *, create: bool = True) -> SessionStore:
    """Open a session store.

    Args:
        place: A path, or an address: `sqlite:///path.db`, or, with the extra `phoenix`,
            `phoenix://host:port/project` (see `PhoenixSessionStore`). By default what the environment
            variable `LANGCHAIN_SESSIONS_DB` says, else `sessions.db` in the user's data folder.
        create: Whether a file may be made where there is none.

    Raises:
        StoreMissingError: If there is no such file, and none may be made.
        StoreError: If it cannot be opened, or nothing says where it is.
    """
    if place is None:
        place = default_place()
    if isinstance(place, str) and "://" in place:
        if place.partition("://")[0].lower() in SCHEMES:
            return _phoenix(place)
        return SQLiteSessionStore(_path_of(place), create=create)
    if os.fspath(place) in {"", ":memory:"}:
        msg = f"{os.fspath(place)!r} is no place for a session store; name a file"
        raise StoreError(msg)
    return SQLiteSessionStore(place, create=create)


def default_place() -> str | Path:
    """Return where the store is if nobody says where: see `open_store`.

    Raises:
        StoreError: If the extra `view`, which knows the user's folders, is not installed.
    """
    if named := os.environ.get(VARIABLE):
        return named
    try:
        from platformdirs import user_data_path
    except ModuleNotFoundError:
        msg = (
            f"no session store was named: give a path, set {VARIABLE}, or install what knows the place for "
            f"it: pip install 'langchain-sessions[view]'"
        )
        raise StoreError(msg) from None
    return user_data_path(_FOLDER, appauthor=False) / _FILE


def _phoenix(address: str) -> SessionStore:
    try:
        from langchain_sessions.store._phoenix._store import PhoenixSessionStore
    except ImportError as error:
        raise StoreError(str(error)) from error
    return PhoenixSessionStore(address)


def _path_of(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        msg = f"{address!r} is no address: {error}"
        raise StoreError(msg) from error
    if parts.scheme != "sqlite":
        msg = f"there is no kind of session store for {parts.scheme}://; name a file, sqlite:///path or phoenix://host:port/project"
        raise StoreError(msg)
    if parts.netloc:
        msg = f"{address!r} names a host; a file is sqlite:///path (three slashes, four for an absolute path)"
        raise StoreError(msg)
    return unquote(parts.path.removeprefix("/"))
