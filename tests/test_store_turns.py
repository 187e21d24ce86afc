from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SessionFilter, SQLiteSessionStore, Turn
from langchain_sessions.store._texts import output_text
from tests.support.spans import MINUTE, SECOND, expected, span
from tests.support.stores import all_sessions, audit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import Span
    from langchain_sessions.store._span import Attributes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store, which has to be sound at the end."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store
    audit(store.path)


def turn_of(store: SQLiteSessionStore, *spans: Span) -> Turn:
    """Store the spans one by one, the last first, and return the turn that they make."""
    for it in reversed(spans):
        store.add([it])
    assert all_sessions(store) == expected(spans)
    [turn] = store.session("a").turns
    return turn


def model(said: str, answered: str) -> Attributes:
    """What a model's span has beside its input and output."""
    return {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "be brief",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": said,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": answered,
    }


def test_the_root_speaks_for_the_turn(store: SQLiteSessionStore) -> None:
    """Not what is inside of it."""
    turn = turn_of(
        store,
        span(1, session="a", said="hi", answered="hello", length=MINUTE),
        span(2, 1, session="a", kind="LLM", attributes=model("rewritten", "raw")),
    )
    assert (turn.input, turn.output, turn.duration_ns) == ("hi", "hello", MINUTE)


def test_a_failing_root_has_an_input_and_no_output(store: SQLiteSessionStore) -> None:
    """The turn says what went wrong in one line; there is no answer, unless a model gave one."""
    turn = turn_of(
        store, span(1, session="a", said="hi", error="ValueError('no')Traceback (most recent call last):")
    )
    assert (turn.input, turn.output, turn.error) == ("hi", "", "ValueError('no')")


CUT_OFF: Attributes = {
    "input.value": '{"a": "cut o',
    "input.mime_type": "application/json",
    "output.value": '[{"b": "cut o',
    "output.mime_type": "application/json",
}


@pytest.mark.parametrize("state", [{}, CUT_OFF], ids=["none", "cut off"])
def test_models_speak_where_the_root_has_no_text(store: SQLiteSessionStore, state: Attributes) -> None:
    """Or one that was cut off: the user's last words to the first of them, and the answer of the last."""
    turn = turn_of(
        store,
        span(1, session="a", attributes=state, length=MINUTE),
        span(2, 1, session="a", kind="LLM", attributes=model("first", "calls a tool"), start=1),
        span(3, 1, session="a", kind="LLM", attributes=model("second", "done"), start=2 * SECOND),
    )
    assert (turn.input, turn.output) == ("first", "done")


def test_what_went_in_and_out_is_shown_as_it_is_when_there_is_nothing_better(
    store: SQLiteSessionStore,
) -> None:
    """Better than nothing."""
    turn = turn_of(
        store, span(1, session="a", attributes={"input.value": '{"a": 1, "b": 2}', "output.value": "[1]"})
    )
    assert (turn.input, turn.output) == ('{"a": 1, "b": 2}', "[1]")


def test_spans_of_other_libraries_above_the_run_do_not_speak(store: SQLiteSessionStore) -> None:
    """A web server's span is part of the turn, but the turn begins, and fails, with the run."""
    turn = turn_of(
        store,
        span(1, kind="", said="POST /chat", length=MINUTE, error="500"),
        span(2, 1, session="a", said="hi", answered="hello", start=5, length=SECOND),
    )
    assert (turn.input, turn.output, turn.error, turn.span_count) == ("hi", "hello", None, 2)
    assert turn.duration_ns == SECOND


def test_several_heads_make_one_turn(store: SQLiteSessionStore) -> None:
    """It begins with the first and ends with the last, which answers."""
    turn = turn_of(
        store,
        span(1, session="a", said="one", answered="first", length=SECOND),
        span(2, session="a", said="two", answered="second", start=MINUTE, length=SECOND, error="late"),
    )
    assert (turn.input, turn.output, turn.duration_ns) == ("one", "second", MINUTE + SECOND)
    assert turn.error == "late"


def test_tokens_of_a_model_call_in_a_model_call_count_once(store: SQLiteSessionStore) -> None:
    """The outer one's, if it has any; else the inner one's."""
    turn = turn_of(
        store,
        span(1, session="a"),
        span(2, 1, session="a", kind="LLM", tokens=(100, 10), cost=0.5),
        span(3, 2, session="a", kind="LLM", tokens=(90, 9), cost=0.25),
        span(4, 1, session="a", kind="LLM", start=5),
        span(5, 4, session="a", kind="LLM", tokens=(7, 1), start=6),
        span(6, 1, session="a", kind="CHAIN", tokens=(1000, 1000), start=7),
    )
    assert (turn.prompt_tokens, turn.completion_tokens, turn.cost) == (107, 11, 0.5)


@pytest.mark.parametrize("count", [-1, True, "12", 1.5, 2**40, 2**80, None])
def test_what_is_no_count_does_not_count(store: SQLiteSessionStore, count: object) -> None:
    """Nor does it keep the span from being stored."""
    values = {"llm.token_count.prompt": count, "llm.token_count.completion": 3}
    turn = turn_of(store, span(1, session="a", kind="LLM", attributes=values))  # type: ignore[arg-type]
    assert (turn.prompt_tokens, turn.completion_tokens) == (0, 3)


@pytest.mark.parametrize("cost", [-1.0, True, "12", float("nan"), float("inf"), None])
def test_what_is_no_cost_costs_nothing(store: SQLiteSessionStore, cost: object) -> None:
    """No cost is something else than nought."""
    turn = turn_of(store, span(1, session="a", kind="LLM", attributes={"llm.cost.total": cost}))  # type: ignore[dict-item]
    assert turn.cost is None


def test_tools_are_listed_by_start_and_fail_in_two_ways(store: SQLiteSessionStore) -> None:
    """By raising, or by answering with a message that calls itself an error; the turn need not fail."""
    message = json.dumps({"content": "no such \ud800 file", "status": "error", "type": "tool"})
    turn = turn_of(
        store,
        span(1, session="a", said="hi"),
        span(4, 1, kind="TOOL", start=3, name="later", said="{}", answered="ok", session="a"),
        span(3, 1, kind="TOOL", start=2, name="raised", error="ValueError('no')", session="a"),
        span(
            2, 1, kind="TOOL", start=1, session="a", attributes={"tool.name": "read", "output.value": message}
        ),
    )
    assert [(it.name, it.output, it.error) for it in turn.tools] == [
        ("read", "no such \\ud800 file", "no such \\ud800 file"),
        ("raised", "", "ValueError('no')"),
        ("later", "ok", None),
    ]
    assert turn.error is None


def test_the_user_is_whom_the_outermost_span_names(store: SQLiteSessionStore) -> None:
    """Failing that, whom any span of the turn names; a session's user is the first who is known."""
    turn = turn_of(
        store,
        span(1, kind="", user="proxy"),
        span(2, 1, session="a", start=1),
        span(3, 2, session="a", user="ada", start=2),
    )
    assert turn.user == "proxy"
    store.add([span(1, trace=2, session="a", start=MINUTE, user="grace")])
    assert store.summary("a").user == "proxy"


@pytest.mark.parametrize(
    ("resource", "project"),
    [
        ({}, "default"),
        ({"service.name": "unknown_service:python"}, "default"),
        ({"service.name": "shop"}, "shop"),
        ({"service.name": "shop", "openinference.project.name": "bank"}, "bank"),
        ({"openinference.project.name": "  ", "service.name": 7}, "7"),
    ],
)
def test_a_session_is_in_the_project_of_its_process(
    store: SQLiteSessionStore, resource: dict[str, str | int], project: str
) -> None:
    """OpenInference's name for it, else the service's, else "default"."""
    store.add([replace(span(1, session="a"), resource=resource)])
    assert store.summary("a").project == project


def test_a_span_that_ends_before_it_begins_takes_no_time(store: SQLiteSessionStore) -> None:
    """Clocks of different machines disagree."""
    assert turn_of(store, span(1, session="a", length=-MINUTE)).duration_ns == 0


def test_texts_that_a_database_finds_hard_are_kept(store: SQLiteSessionStore) -> None:
    """NUL, half a surrogate pair, an emoji, a thousand digits as an index."""
    hard = "a\x00b \ud800 \U0001f642"
    values: Attributes = {f"llm.input_messages.{'9' * 5_000}.message.role": "user", hard: [hard, {"x": hard}]}
    store.add([span(1, session="a", said=hard, answered="x" * 400 + hard, attributes=values)])

    turn = store.session("a").turns[0]
    assert turn.input == "a\ufffdb \\ud800 \U0001f642"
    assert store.summary("a").first_input == turn.input
    assert store.spans("a", turn.trace_id)[0].attributes["input.value"] == "a\x00b \\ud800 \U0001f642"


def test_a_type_of_content_that_is_no_text() -> None:
    """A list, say, which no set can be asked for: the block says nothing, and its span is stored."""
    contents = "llm.output_messages.0.message.contents"
    attributes: Attributes = {
        f"{contents}.0.message_content.type": ["text"],
        f"{contents}.1.message_content.text": "yes",
    }
    assert output_text(attributes) == "yes"


def test_times_that_do_not_fit_are_cut(store: SQLiteSessionStore) -> None:
    """A span from a broken clock is stored, and so are those beside it."""
    broken = replace(span(1, session="a"), start_ns=-(2**70), end_ns=2**70)
    assert store.add([broken, span(1, trace=2, session="b")]) == 2
    assert store.summary("a").turn_count == 1
    assert store.stats().turns == 2


def test_bytes_and_nested_values_come_back_as_json_has_them(store: SQLiteSessionStore) -> None:
    """Everything that an attribute may be, and then some."""
    values: Attributes = {"bytes": b"\xff", "tuple": (1, 2), "map": {"a": [None, True, 1.5]}, "big": 2**80}
    store.add([span(1, session="a", attributes=values)])
    kept = store.spans("a", span(1).trace_id)[0].attributes
    assert {key: kept[key] for key in values} == {
        "bytes": "/w==",
        "tuple": [1, 2],
        "map": {"a": [None, True, 1.5]},
        "big": 2**80,
    }


def test_a_turn_is_incomplete_until_the_span_around_it_has_come(store: SQLiteSessionStore) -> None:
    """Steps are exported before the run that they are steps of; a parent elsewhere may never come."""
    step = span(2, 1, session="a", said="a step")
    store.add([replace(step, parent_is_remote=False)])
    [before] = store.session("a").turns
    store.add([span(1, session="a", said="the turn")])
    [after] = store.session("a").turns
    remote = replace(step, trace_id="9" * 32, parent_is_remote=True)
    store.add([remote])
    [_, alone] = store.session("a").turns

    assert (before.input, before.is_complete) == ("a step", False)
    assert (after.input, after.is_complete) == ("the turn", True)
    assert alone.is_complete
    assert store.spans("a", remote.trace_id) == [remote]


def test_a_stream_that_its_reader_has_left_is_no_failure(store: SQLiteSessionStore) -> None:
    """Whoever presses Stop is content."""
    left = span(1, session="a", error="GeneratorExit()Traceback (most recent call last):\n ...")

    assert turn_of(store, left).error is None


def test_a_user_is_whoever_speaks_in_a_turn(store: SQLiteSessionStore) -> None:
    """In a room of several, a search and statistics for a user look at that user's turns alone."""
    store.add(
        [
            span(1, trace=1, session="room", user="ada", said="alpha one", start=0),
            span(1, trace=2, session="room", user="bob", said="alpha two", start=MINUTE),
            span(1, trace=3, session="room", said="alpha three", start=2 * MINUTE),
        ]
    )
    bobs = SessionFilter(user="bob")

    assert [it.user for it in store.session("room").turns] == ["ada", "bob", None]
    assert [it.id for it in store.sessions(bobs)] == ["room"]
    assert [it.turn.input for it in store.search("alpha", bobs)] == ["alpha two"]
    assert (store.stats(bobs).turns, store.stats(bobs).users, store.stats().users) == (1, 1, 2)
    assert list(store.sessions(SessionFilter(user="eve"))) == []


def test_traces_that_name_no_session_are_counted(store: SQLiteSessionStore) -> None:
    """Whoever has forgotten the id is told that something came."""
    store.add([span(1, trace=1), span(2, 1, trace=1), span(1, trace=2, session="a")])

    assert store.stats().traces_without_session == 1
