"""The web page, served by a real server on a port of the loopback interface."""

from __future__ import annotations

import html
import re
import threading
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import httpx
import uvicorn

from langchain_sessions.view.cli._serving import Endpoint
from langchain_sessions.view.web import Access, create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from langchain_sessions.store import SessionStore

_TO_START: Final = 10.0


@contextmanager
def serving(store: SessionStore, **access: Any) -> Generator[str]:
    """Serve a store until the block ends.

    Args:
        store: The store.
        **access: As for `Access`.

    Yields:
        The address, without a slash at its end.
    """
    app = create_app(store, access=Access(**access))
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", ws="none"))
    with Endpoint.of("127.0.0.1", 0).listening() as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _wait_for(server, thread)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def visiting(store: SessionStore, **access: Any) -> Generator[httpx.Client]:
    """Serve a store, and yield a client for it that follows no redirects and trusts no proxy of ours."""
    with (
        serving(store, **access) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=30) as client,
    ):
        yield client


def assert_prompt(ask: Callable[[], object]) -> None:
    """Fail if answers wait for something: those that cost nothing come at once."""

    def seconds() -> float:
        began = time.perf_counter()
        ask()
        return time.perf_counter() - began

    assert median(seconds() for _ in range(21)) < 0.03, "answers wait for something"


def text_of(response: httpx.Response) -> str:
    """What a reader sees, roughly: without tags and ends of lines, and with plain dashes."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.text)).replace("\N{EN DASH}", "-").split())


def links(response: httpx.Response, containing: str = "") -> list[str]:
    """The links of a page."""
    found = re.findall(r'href="([^"]*)"', response.text)
    return [html.unescape(it) for it in found if containing in html.unescape(it)]


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _TO_START
    while not server.started:
        assert thread.is_alive(), "the server ended before it was ready"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
