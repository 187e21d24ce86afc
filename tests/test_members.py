from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SQLiteSessionStore
from tests.support.spans import MINUTE, expected, members_of, span
from tests.support.stores import all_sessions, audit, found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_sessions.store import Span


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store, which has to be sound at the end."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store
    audit(store.path)


CASES = {
    "one session, and spans without an id above, below and beside": (
        [span(1, kind=""), span(2, 1, session="a"), span(3, 2), span(4, 1, kind=""), span(5, 77, kind="")],
        {"a": {1, 2, 3}},
    ),
    "runs without an id above and beside those of the only session": (
        [span(1), span(2, 1, session="a"), span(3, 2), span(4, 1), span(5, 77)],
        {"a": {2, 3}},
    ),
    "two sessions beside each other; what is above them belongs to none": (
        [span(1), span(2, 1, session="a"), span(3, 2), span(4, 1, session="b"), span(5, 4), span(6, 1)],
        {"a": {2, 3}, "b": {4, 5}},
    ),
    "one session in another; an id-less span belongs to the nearest": (
        [span(1, session="a"), span(2, 1), span(3, 2, session="b"), span(4, 3), span(5, 1)],
        {"a": {1, 2, 5}, "b": {3, 4}},
    ),
    "a session that is left and entered again": (
        [span(1, session="a"), span(2, 1, session="b"), span(3, 2, session="a"), span(4, 3)],
        {"a": {1, 3, 4}, "b": {2}},
    ),
    "orphans, whose parents never came": (
        [span(1, 50, session="a"), span(2, 51, session="b"), span(3, 52), span(4, 1)],
        {"a": {1, 4}, "b": {2}},
    ),
    "a circle of parents belongs to nobody": (
        [span(1, 3), span(2, 1), span(3, 2), span(4, 1), span(5, session="a"), span(6, session="b")],
        {"a": {5}, "b": {6}},
    ),
    "a circle in which one names a session": (
        [span(1, 2, session="a"), span(2, 1), span(3, session="b")],
        {"a": {1, 2}, "b": {3}},
    ),
    "its own parent": ([span(1, 1), span(2, 2, session="a"), span(3, session="b")], {"a": {2}, "b": {3}}),
    "ids that others wrote: blanks around, numbers; what is no id is none": (
        [
            span(1, session=" a "),
            span(2, session="a"),
            span(3, session=7),
            span(4, session=True),
            span(5, session="  "),
            span(6, session=["a"]),
            span(7, session=1.5),
        ],
        {"a": {1, 2}, "7": {3}},
    ),
    "nobody names a session": ([span(1), span(2, 1)], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_span_belongs_to_the_session_it_names_or_its_nearest_ancestor(name: str) -> None:
    """What is left belongs to the trace's session, if there is exactly one; in whatever order they come."""
    spans, wanted = CASES[name]
    for seed in range(5):
        shuffled = random.Random(seed).sample(spans, len(spans))
        assert members_of(shuffled) == wanted


def test_deep_traces_are_no_matter_of_recursion(store: SQLiteSessionStore) -> None:
    """A chain of five thousand spans is one turn, and quick."""
    spans = [span(it, it - 1 if it else None, kind="", start=it) for it in range(5_000)]
    spans.append(span(5_000, 4_999, session="a", said="deep", start=5_000))

    assert members_of(spans) == {"a": set(range(5_001))}
    store.add(spans)
    assert store.session("a").turns[0].input == "deep"


BATCH = [
    span(1, said="alice's words and bob's", answered="both of them"),
    span(2, 1, session="alice", said="alice's words"),
    span(3, 1, session="bob", said="bob's words"),
    span(4, 3, kind="", attributes={"note": "bob's"}),
]
"""A batch of two conversations under a root that has the words of both."""


def nothing_strange(store: SQLiteSessionStore) -> None:
    """Fail if somebody's words are in somebody else's conversation."""
    for name, other in (("alice", "bob"), ("bob", "alice")):
        if found(store, name) - {name}:
            pytest.fail(f"{name}'s words are found elsewhere")
        for key, session in all_sessions(store).items():
            if key[1] != name:
                continue
            for turn in session.turns:
                texts = [str(it.attributes) for it in store.spans(name, turn.trace_id)]
                assert not [text for text in (turn.input, turn.output, *texts) if other in text]


def arrivals() -> dict[str, Callable[[SQLiteSessionStore], object]]:
    """The ways in which the batch may arrive while one of the two conversations is deleted."""
    root, alice, bob, below = BATCH

    def in_turn(*steps: list[Span] | str) -> Callable[[SQLiteSessionStore], object]:
        def run(store: SQLiteSessionStore) -> None:
            for step in steps:
                if isinstance(step, str):
                    store.delete(step)
                else:
                    store.add(step)
                nothing_strange(store)

        return run

    return {
        "no deletion": in_turn(BATCH),
        "deleted afterwards": in_turn(BATCH, "alice"),
        "the root ends after the deletion": in_turn([alice, bob, below], "alice", [root]),
        "the root is delivered again": in_turn(BATCH, "alice", [root]),
        "the others are deleted, too": in_turn(BATCH, "alice", "bob", [root]),
        "something of the one that is left follows": in_turn([alice, bob], "alice", [root], [below]),
    }


@pytest.mark.parametrize("name", arrivals())
def test_the_root_of_a_batch_belongs_to_none_of_its_conversations(
    store: SQLiteSessionStore, name: str
) -> None:
    """Its text is in neither of them, nor in what is left when one is deleted, however late it comes."""
    arrivals()[name](store)


def test_deleting_a_conversation_leaves_the_others_of_its_trace_as_they_were(
    store: SQLiteSessionStore,
) -> None:
    """What is deleted is gone, and so is what belonged to none; the rest stays to the last field."""
    store.add(BATCH)
    before = store.session("bob")
    store.delete("alice")

    assert store.session("bob") == before
    assert [it.span_id for it in store.spans("bob", BATCH[0].trace_id)] == [it.span_id for it in BATCH[2:]]
    assert store.stats().spans == 2
    assert store.add(BATCH[2:]) == 0


def test_a_session_of_the_same_id_in_another_project_is_another_one(store: SQLiteSessionStore) -> None:
    """Its spans cannot be read through the wrong one, and neither is deleted with the other."""
    shop, bank = span(1, session="a", project="shop"), span(1, trace=2, session="a", project="bank")
    store.add([shop, bank])

    assert store.spans("a", shop.trace_id, project="bank") == []
    store.delete("a", project="shop")
    assert store.session("a").project == "bank"
    assert all_sessions(store) == expected([bank])


def test_a_late_span_can_move_a_turn_to_another_project(store: SQLiteSessionStore) -> None:
    """The first of a turn's outermost spans says whose project it is, whenever it comes."""
    inner = span(2, 1, session="a", project="worker", start=1, said="inner")
    outer = span(1, session="a", project="web", said="outer")
    store.add([inner])
    store.add([outer])

    assert all_sessions(store) == expected([inner, outer])
    assert store.stats().projects == (("web", 1),)


def test_ids_are_the_same_in_upper_case(store: SQLiteSessionStore) -> None:
    """Parents are found whatever the case in which one of the two writes the id."""
    parent = span(0xAB, session="a", said="above")
    child = span(0xCD, 0xAB, kind="", start=MINUTE)
    shouted = {
        "trace_id": child.trace_id.upper(),
        "span_id": "00000000000000CD",
        "parent_id": "00000000000000AB",
    }
    other = span(0xEF, session="b")
    store.add([replace(child, **shouted), other])
    store.add([parent])

    assert all_sessions(store) == expected([parent, child, other])
    assert store.add([child]) == 0


@pytest.mark.parametrize("field", ["trace_id", "span_id", "parent_id"])
def test_an_id_that_is_none_is_refused_with_the_whole_batch(store: SQLiteSessionStore, field: str) -> None:
    """A ValueError, and nothing is stored."""
    with pytest.raises(ValueError, match="hexadecimal"):
        store.add([span(1, session="a"), replace(span(2, session="a"), **{field: "' OR 1=1"})])
    assert list(store.sessions()) == []


def test_one_id_in_two_projects_is_two_sessions_unless_one_calls_the_other(
    store: SQLiteSessionStore,
) -> None:
    """Customer 42 of the shop is not employee 42; what a service does inside a turn is part of the turn."""
    store.add(
        [
            span(1, kind=""),
            span(2, 1, session="42", project="shop", said="shop question", start=1),
            span(3, 2, session="42", project="stock", said="stock", start=2),
            span(4, 1, session="42", project="hr", said="hr question", start=3),
        ]
    )

    found = {it.project: store.session("42", project=it.project).turns for it in store.sessions()}
    assert {project: [it.input for it in turns] for project, turns in found.items()} == {
        "shop": ["shop question"],
        "hr": ["hr question"],
    }
    ids = {
        project: [it.span_id[-1] for it in store.spans("42", turns[0].trace_id, project=project)]
        for project, turns in found.items()
    }
    assert ids == {"shop": ["2", "3"], "hr": ["4"]}
    store.delete("42", project="shop")
    assert [it.input for it in store.session("42").turns] == ["hr question"]


def test_a_span_that_a_turn_was_written_to_lends_its_session_to_nobody(store: SQLiteSessionStore) -> None:
    """The request that shows a turn may also have served somebody else, who has no id."""
    shown = span(1, kind="", session="a", attributes={"langchain_sessions.enclosing": True})
    store.add([shown, span(2, 1, session="a", said="hi"), span(3, 1, said="anonymous", start=1)])

    [turn] = store.session("a").turns
    assert (turn.input, turn.span_count) == ("hi", 2)
