"""The web page, served by a real server on a port of the loopback interface."""

from __future__ import annotations

import html
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from langchain_sessions.view.cli._serving import Endpoint
from langchain_sessions.view.web import Access, _stats, create_app
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_sessions.store import SessionStore


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
    with Endpoint.of("127.0.0.1", 0).listening() as listener, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stats, "_WAIT", PATIENCE)  # the first page has its sums, however long they take
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), "the server did not start")
            assert server.started, "the server ended before it was ready"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def visiting(store: SessionStore, **access: Any) -> Generator[httpx.Client]:
    """Serve a store, and yield a client for it that follows no redirects and trusts no proxy of ours."""
    with (
        serving(store, **access) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=PATIENCE) as client,
    ):
        yield client


def text_of(response: httpx.Response) -> str:
    """What a reader sees, roughly: without tags and ends of lines, and with plain dashes."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.text)).replace("\N{EN DASH}", "-").split())


def links(response: httpx.Response, containing: str = "") -> list[str]:
    """The links of a page."""
    found = re.findall(r'href="([^"]*)"', response.text)
    return [html.unescape(it) for it in found if containing in html.unescape(it)]


def addresses(client: httpx.Client, session_id: str = "abc") -> list[str]:
    """Where the inner spans of a session's turns are shown, turn by turn."""
    found: list[str] = []
    for trace in dict.fromkeys(links(client.get("/session", params={"id": session_id}), "/trace?")):
        found += list(dict.fromkeys(links(client.get(trace), "/span?")))[-1:]
    return found


def said(page: httpx.Response) -> str:
    """What the page of a span shows between what every span has and its attributes, as a reader sees it."""
    part = re.search(
        r'class="span-page">.*?</p>(.*?)<details class="folded"><summary>All', page.text, re.DOTALL
    )
    assert part is not None, text_of(page)

    class Part:
        text = part[1]

    return text_of(Part())  # type: ignore[arg-type] -- all that it looks at
