from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from openinference.semconv.trace import SpanAttributes

from langchain_sessions.demo import DemoError, run_demo
from langchain_sessions.demo._conversations import record_demo
from langchain_sessions.store import SQLiteSessionStore, StoreError, ToolUse
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_sessions.store import Session

CHAIN = (
    ("Hello, I'm Ada and I live in Oslo.", "Hello! Nice to meet you, Ada. Noted: you live in Oslo."),
    ("What's my name?", "You have not told me your name."),
    (
        "I like fjords and I have a small boat. What do I like?",
        "Noted: you like fjords. Noted: you have a small boat. You like fjords.",
    ),
)
HISTORY = (
    (
        "Hi, I'm Linus. I work in Bergen and I like green tea.",
        "Hello! Nice to meet you, Linus. Noted: you work in Bergen. Noted: you like green tea.",
    ),
    ("My sister is called Eve. Where do I work?", "Noted: your sister is Eve. You work in Bergen."),
    ("Who is my sister, and what do I like?", "Your sister is Eve. You like green tea."),
    (
        "What did we talk about?",
        "You told me: your name is Linus; your sister is Eve; you work in Bergen; you like green tea. "
        'You asked me: "Where do I work?" "Who is my sister" "what do I like?"',
    ),
)
AGENT = (
    ("Hello, I'm Grace. What is 17 * 23?", "Hello! Nice to meet you, Grace. 17 * 23 = 391."),
    (
        "Divide that by 4, and how many days are there between 2026-03-01 and 2026-12-24?",
        "391 / 4 = 97.75. From 2026-03-01 to 2026-12-24 it is 298 days (42 weeks and 4 days).",
    ),
    ("What is 100 / 0?", "The tool calculator refused: 100 / 0 divides by zero."),
    ("Thanks! Do you remember my name?", "You are welcome, Grace! Your name is Grace."),
)


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    """What the demonstration returns."""
    return run_demo()


def test_three_conversations_come_back_as_they_were_held(sessions: list[Session]) -> None:
    """Each session has its id, its user, and every turn's question and answer."""
    assert [
        (session.id, session.user, tuple((turn.input, turn.output) for turn in session.turns))
        for session in sessions
    ] == [
        ("demo-chain", "ada", CHAIN),
        ("demo-history", None, HISTORY),
        ("demo-agent", "grace", AGENT),
    ]


def test_the_agents_tools_are_part_of_its_turns(sessions: list[Session]) -> None:
    """Arguments and results are there, in the order of the calls; a refusal is an error of the tool alone."""
    refusal = "100 / 0 divides by zero"
    dates = '{"start": "2026-03-01", "end": "2026-12-24"}'

    assert [turn.tools for session in sessions for turn in session.turns if turn.tools] == [
        (ToolUse("calculator", "17 * 23", "391"),),
        (
            ToolUse("calculator", "391 / 4", "97.75"),
            ToolUse("days_between", dates, "298 days (42 weeks and 4 days)"),
        ),
        (ToolUse("calculator", "100 / 0", refusal, refusal),),
    ]
    assert [session.error_count for session in sessions] == [0, 0, 0]


def test_every_turn_has_its_tokens(sessions: list[Session]) -> None:
    """The model's own count arrives, turn by turn; it grows where the conversation is remembered."""
    counted = [
        [(turn.prompt_tokens, turn.completion_tokens) for turn in session.turns] for session in sessions
    ]

    assert counted == [
        [(25, 16), (19, 8), (28, 18)],
        [(30, 23), (64, 12), (87, 10), (103, 48)],
        [(72, 26), (210, 68), (351, 23), (204, 11)],
    ]


def test_every_span_of_a_conversation_carries_its_id() -> None:
    """One id per trace, on each of its spans, however the conversation gave it."""
    ids: dict[int, set[str]] = defaultdict(set)
    for span in record_demo():
        context = span.get_span_context()
        assert context is not None
        ids[context.trace_id].add(str((span.attributes or {}).get(SpanAttributes.SESSION_ID)))

    assert sorted(sorted(found) for found in ids.values()) == (
        [["demo-agent"]] * 4 + [["demo-chain"]] * 3 + [["demo-history"]] * 4
    )


def test_a_store_has_what_the_demonstration_returns(tmp_path: Path) -> None:
    """With a store, every turn is in it as it was held."""
    store = SQLiteSessionStore(tmp_path / "demo.db")
    held = run_demo(store=store)

    assert [store.session(session.id) for session in held] == held
    assert len(store.sessions()) == 3


def test_a_second_demonstration_adds_to_nobodys_conversation(tmp_path: Path) -> None:
    """Where the ids are taken, the new ones have a number, the same for all three."""
    store = SQLiteSessionStore(tmp_path / "demo.db")
    first = run_demo(store=store)
    store.delete("demo-chain")
    second, third = run_demo(store=store), run_demo(store=store)

    names = ("demo-chain", "demo-history", "demo-agent")
    assert [[session.id for session in held] for held in (first, second, third)] == [
        list(names),
        [f"{name}-2" for name in names],
        [f"{name}-3" for name in names],
    ]
    assert store.session("demo-agent") == first[2]
    assert [turn.output for turn in third[2].turns] == [answer for _, answer in AGENT]


def test_a_store_that_refuses_is_an_error(tmp_path: Path) -> None:
    """What could not be kept is said, and not only logged."""
    store = SQLiteSessionStore(tmp_path / "demo.db")
    store.close()

    with pytest.raises(StoreError, match="closed"):
        run_demo(store=store)


def test_it_leaves_langsmith_alone() -> None:
    """Tracing to LangSmith that the environment asks for does not happen: offline means offline."""
    code = (
        "from langchain_core.tracers.langchain import wait_for_all_tracers\n"
        "from langchain_sessions.demo import run_demo\n"
        "print(len(run_demo()))\n"
        "wait_for_all_tracers()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asked_for = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_API_KEY": "x",
            "LANGSMITH_ENDPOINT": endpoint,
        }
        # In an interpreter of its own, because LangSmith remembers what it first read from the environment.
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | asked_for,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            listener.accept()

    assert (ran.stdout, ran.stderr) == ("3\n", "")


def test_an_environment_without_telemetry_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """When OpenTelemetry is switched off there is nothing to show, and the error names the switch."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    with pytest.raises(DemoError, match=r"^OpenTelemetry recorded nothing: unset .* OTEL_SDK_DISABLED$"):
        run_demo()
