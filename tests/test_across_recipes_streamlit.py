"""The recipe for Streamlit, run by Streamlit for two users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from langchain_sessions import SessionCallbackHandler
from tests.support.pages import DOCS, Page
from tests.support.recipes import ids_of_spans, stored, told
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = Page(DOCS / "recipes" / "streamlit.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the recipe's page is, and its store will be."""
    monkeypatch.chdir(tmp_path)
    PAGE.write_files(tmp_path)
    yield tmp_path
    st.cache_resource.clear()


def ask(tab: AppTest, question: str) -> list[str]:
    """Ask, and return all that the tab shows then."""
    tab.chat_input[0].set_value(question).run()
    assert not tab.exception
    return [message.markdown[0].value for message in tab.chat_message]


def test_tabs_do_not_mix(folder: Path) -> None:
    """Two tabs and a new conversation are three sessions, whose turns are those that the tabs have shown."""
    file = str(folder / "chat.py")
    ada, bob = (AppTest.from_file(file, default_timeout=PATIENCE).run() for _ in range(2))
    ids = [tab.session_state["session_id"] for tab in (ada, bob)]

    assert ask(ada, "I'm Ada.") == ["I'm Ada.", "Nice to meet you, Ada."]
    assert ask(bob, "I'm Bob.") == ["I'm Bob.", "Nice to meet you, Bob."]
    assert ask(ada, "What is my name?")[2:] == ["What is my name?", "Your name is Ada."]
    assert ask(bob, "What is my name?")[2:] == ["What is my name?", "Your name is Bob."]
    bob.sidebar.button[0].click().run()
    ids.append(bob.session_state["session_id"])
    assert not bob.chat_message
    assert ask(bob, "What is my name?") == ["What is my name?", "You have not told me your name."]
    assert ask(ada, "Thanks!")[-1] == "You are welcome, Ada!"

    expected = [
        [
            ("I'm Ada.", "Nice to meet you, Ada."),
            ("What is my name?", "Your name is Ada."),
            ("Thanks!", "You are welcome, Ada!"),
        ],
        [("I'm Bob.", "Nice to meet you, Bob."), ("What is my name?", "Your name is Bob.")],
        [("What is my name?", "You have not told me your name.")],
    ]
    with stored(folder / "sessions.db", turns=6) as store:
        assert [told(store, session_id) for session_id in ids] == expected
        for session_id in ids:
            for turn in store.session(session_id).turns:
                spans = store.spans(session_id, turn.trace_id)
                assert [span.name for span in spans] == ["LangGraph", "model", "OfflineChatModel"]
                assert ids_of_spans(spans) == {(session_id, None)}


def test_the_script_makes_one_handler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the script runs, and in however many tabs."""
    made: list[SessionCallbackHandler] = []
    init = SessionCallbackHandler.__init__

    def counting(self: SessionCallbackHandler, **arguments: object) -> None:
        made.append(self)
        init(self, **arguments)  # pyright: ignore[reportArgumentType] -- passed on as they came

    monkeypatch.setattr(SessionCallbackHandler, "__init__", counting)
    for _ in range(2):
        tab = AppTest.from_file(str(folder / "chat.py"), default_timeout=PATIENCE).run()
        ask(tab, "Hello.")
        ask(tab, "Thanks!")
    assert len(made) == 1
