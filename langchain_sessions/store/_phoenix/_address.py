"""The address of a project in a Phoenix server. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from langchain_sessions.store._facts import DEFAULT_PROJECT
from langchain_sessions.store._protocol import StoreError

SCHEMES: Final = {"phoenix": "http", "phoenixs": "https"}
"""What our addresses begin with, and what the server's does."""

_PORT: Final = 6006
"""Where Phoenix listens unless it is told otherwise. Behind TLS there is a proxy, on the port of HTTPS."""

_FORM: Final = "phoenix://host:port/project (phoenixs:// for HTTPS)"


class Address(NamedTuple):
    """Where a project is.

    Attributes:
        url: The server's, without a slash at its end.
        project: The project's name.
    """

    url: str
    project: str


def address_of(place: str) -> Address:
    """Read the address of a store.

    The last part of the path is the project, as `quote` writes it: a slash in its name is %2F. What is before
    it is where the server is behind a proxy. Without a project it is the one that Phoenix calls "default".

    Raises:
        StoreError: If it is none.
    """
    try:
        parts = urlsplit(place)
    except ValueError as error:  # it has a bracket, or a host that looks like another one
        msg = f"{place!r} is no address of a Phoenix project, {_FORM}: {error}"
        raise StoreError(msg) from error
    if parts.username is not None or parts.password is not None:
        msg = "an address is no place for a key, others would see it: set PHOENIX_API_KEY"
        raise StoreError(msg)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.query or parts.fragment:
        msg = f"{place!r} is no address of a Phoenix project, {_FORM}; # is %23 in it, and ? is %3F"
        raise StoreError(msg)
    root, _, project = parts.path.rpartition("/")
    url = f"{SCHEMES[parts.scheme]}://{_host(place, parts)}{root}"
    return Address(url, unquote(project) or DEFAULT_PROJECT)


def _host(place: str, parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        msg = f"{place!r} has a port that is none; the address is {_FORM}"
        raise StoreError(msg) from None
    if port is None:
        return parts.netloc if SCHEMES[parts.scheme] == "https" else f"{parts.netloc.rstrip(':')}:{_PORT}"
    return parts.netloc
