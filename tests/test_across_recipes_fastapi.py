"""The recipe for FastAPI, served by uvicorn to two users at a time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.across.processes import python_module, running
from tests.support.pages import DOCS, Page
from tests.support.recipes import SERVING, ids_of_spans, stored, told
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = Page(DOCS / "recipes" / "fastapi.md")
USERS = ("ada", "bob")


@pytest.fixture(scope="module", params=["instrument_app", "FastAPI's own spans"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recipe's file is, also without the line that may be left out, and its store will be."""
    folder = tmp_path_factory.mktemp("fastapi")
    (file,) = (block for block in PAGE.blocks if block.file)
    line = 'FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])\n'
    assert line in file.code
    code = file.code if request.param == "instrument_app" else file.code.replace(line, "")
    (folder / file.file).write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of the recipe's server, started as the page says, but for its port."""
    (command,) = [line.split() for line in PAGE.commands if line.startswith("uvicorn")]
    arguments = python_module(command[0], *command[1:], "--port", "0")
    with running(*arguments, ready=SERVING, log=folder / "log", folder=folder) as said:
        yield said[1]


def client(address: str, user: str) -> httpx.AsyncClient:
    """Return the browser of a user who has logged in."""
    headers = {"Authorization": f"Bearer secret of {user.title()}"}
    return httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE)


async def ask(browser: httpx.AsyncClient, path: str, text: str) -> str:
    """Ask, and return the answer, put together if it comes in pieces."""
    response = (await browser.post(path, json={"text": text})).raise_for_status()
    if path == "/chat":
        return response.json()
    return "".join(json.loads(line[6:]) for line in response.text.splitlines() if line)


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
async def test_conversations_of_two_users_do_not_mix(address: str, folder: Path, path: str) -> None:
    """Both talk at the same time; each is remembered by his own words, and filed under his own id."""

    async def converse(user: str) -> tuple[str, list[tuple[str, str]]]:
        async with client(address, user) as browser:
            await browser.post("/conversations")
            turns = [
                (question, await ask(browser, path, question))
                for question in (f"I'm {user.title()}.", *("What is my name?",) * 3)
            ]
            assert [answer for _, answer in turns[1:]] == [f"Your name is {user.title()}."] * 3
            return browser.cookies["conversation"], turns

    said = await asyncio.gather(*map(converse, USERS))

    with stored(folder / "sessions.db", *(session_id for session_id, _ in said), turns=8) as store:
        for user, (session_id, turns) in zip(USERS, said, strict=True):
            assert told(store, session_id) == turns
            for turn in store.session(session_id).turns:
                spans = store.spans(session_id, turn.trace_id)
                spans = [span for span in spans if span.name != "fastapi.endpoint"]
                assert [span.name for span in spans][:2] == [f"POST {path}", "LangGraph"]
                assert ids_of_spans(spans) == {(session_id, user)}
                assert spans[0].attributes["input.value"] == turn.input
                assert spans[0].attributes["output.value"] == turn.output


async def test_a_cookie_is_not_believed(address: str) -> None:
    """Whoever brings the id of somebody else's conversation, or none, gets no answer."""
    async with client(address, "ada") as ada, client(address, "bob") as bob:
        await ada.post("/conversations")
        bob.cookies = ada.cookies
        assert (await bob.post("/chat", json={"text": "What is my name?"})).status_code == 404
        assert (
            await bob.post("/chat", json={"text": "hi"}, headers={"Authorization": "Bearer x"})
        ).status_code == 401


async def test_a_reader_who_leaves_is_not_forgotten(address: str, folder: Path) -> None:
    """What was asked is stored under its id, whether or not the answer was ready when the reader left."""
    async with client(address, "bob") as bob:
        await bob.post("/conversations")
        async with bob.stream("POST", "/chat/stream", json={"text": "I'm Bob."}) as response:
            await anext(response.aiter_raw())
        session_id = bob.cookies["conversation"]
    with stored(folder / "sessions.db", session_id, turns=1) as store:
        (turn,) = store.session(session_id).turns
        assert (turn.input, turn.user) == ("I'm Bob.", "bob")
