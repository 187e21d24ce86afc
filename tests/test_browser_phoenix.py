"""What people see of our conversations on the pages of a real Phoenix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="playwright is missing: group `browser`")

from playwright.sync_api import expect

from langchain_sessions import SessionCallbackHandler
from langchain_sessions.demo import _conversations as demo
from langchain_sessions.demo._model import OfflineChatModel
from tests.support.browser import CHROMIUM, chromium, tab
from tests.support.phoenix import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.support.phoenix import Phoenix

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: `make services`"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

SESSION_ID = 'grace/1?é="日本"'

PROJECT = "pages"

_COMPLAINT = "HydrateFallback"
"""What Phoenix's own page always complains of."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of this file; Playwright's event loop must not outlive them."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def talk(phoenix: Phoenix) -> Phoenix:
    """Let an agent with tools, whose state is the whole conversation so far, talk with somebody."""
    provider = phoenix.provider(PROJECT)
    demo._agent(OfflineChatModel(), SessionCallbackHandler(tracer_provider=provider), SESSION_ID)
    provider.shutdown()
    phoenix.settle(PROJECT)
    return phoenix


def test_the_chat_view_shows_what_was_said(browser: Browser, talk: Phoenix) -> None:
    """Each turn has the user's words and the answer as texts: no JSON, no earlier messages."""
    page_of = f"/projects/{talk.project_id(PROJECT)}/sessions/{talk.session_id(SESSION_ID)}"
    with tab(browser, talk.url, expected=_COMPLAINT) as opened:
        opened.open(page_of)
        expect(opened.page.get_by_text("Turn 04")).to_be_visible()
        opened.shoot("phoenix-session")
        shown = opened.page.inner_text("body")
    assert SESSION_ID in shown
    turns = [" ".join(it.split()) for it in re.split(r"\nTurn \d\d\n", shown)[1:]]
    assert len(turns) == len(demo._FOR_THE_AGENT)
    for number, said in enumerate(demo._FOR_THE_AGENT):
        assert [said in it for it in turns] == [place == number for place in range(len(turns))]
    assert all("USER: grace" in it and "OUTPUT" in it for it in turns)
    assert "391" in turns[0].partition("OUTPUT")[2]
    assert '"messages"' not in shown
    assert "{" not in "".join(turns)


def test_the_list_shows_how_it_began_and_ended(browser: Browser, talk: Phoenix) -> None:
    """The list of sessions has the id, the first input, the last output and the user, as texts."""
    with tab(browser, talk.url, expected=_COMPLAINT) as opened:
        opened.open(f"/projects/{talk.project_id(PROJECT)}/sessions")
        row = opened.page.get_by_role("row").filter(has_text=SESSION_ID)
        expect(row).to_be_visible()
        opened.shoot("phoenix-sessions")
        shown = row.inner_text()
    assert demo._FOR_THE_AGENT[0] in shown
    assert "Grace" in shown.replace(demo._FOR_THE_AGENT[0], "")
    assert "grace" in shown.replace(SESSION_ID, "")


def test_an_address_by_session_id_leads_to_the_session(browser: Browser, talk: Phoenix) -> None:
    """Phoenix's redirect, to which the notebook links, finds any id."""
    with tab(browser, talk.url, expected=_COMPLAINT) as opened:
        opened.open(f"/redirects/sessions/{quote(SESSION_ID, safe='')}")
        expect(opened.page.get_by_text("Turn 04")).to_be_visible()
        assert SESSION_ID in opened.page.inner_text("body")
