from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import (
    AmbiguousSessionError,
    SessionNotFoundError,
    SQLiteSessionStore,
    iter_sessions,
)
from tests.support.spans import SECOND, span, trace_id, turn, with_ties
from tests.support.stores import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store


@pytest.mark.parametrize("name", ["nobody", "", "\ud800", "\x00", "' OR '1'='1", "a" * 100_000, "%"])
def test_a_session_that_is_not_there_is_an_error_that_names_it(store: SQLiteSessionStore, name: str) -> None:
    """Whatever reads, or deletes, one session."""
    store.add(turn(1, "a"))
    reads: list[Callable[[], object]] = [
        lambda: store.session(name),
        lambda: store.summary(name),
        lambda: store.turns(name),
        lambda: store.spans(name, trace_id(1)),
        lambda: store.neighbours(name),
        lambda: store.delete(name),
        lambda: store.session("a", project=name),
    ]
    for read in reads:
        with pytest.raises(SessionNotFoundError):
            read()


def test_a_session_in_several_projects_has_to_be_named_with_one(store: SQLiteSessionStore) -> None:
    """The error says which there are."""
    store.add([*turn(1, "a", project="shop"), *turn(2, "a", project="bank")])

    with pytest.raises(AmbiguousSessionError, match="bank, shop") as caught:
        store.session("a")
    assert caught.value.projects == ("bank", "shop")
    assert store.session("a", project="bank").project == "bank"


def test_a_conversation_of_five_thousand_turns_is_read_in_pages(store: SQLiteSessionStore) -> None:
    """From either end, from the middle, and as a whole; each of them the same."""
    spans = [
        span(1, trace=number, session="a", said=f"turn {number}", start=(number // 3) * SECOND)
        for number in range(5_000)
    ]
    assert store.add(spans) == 5_000
    ids = [trace_id(number) for number in range(5_000)]

    forward = [it.trace_id for it in walk(lambda after: store.turns("a", limit=700, after=after))]
    assert forward == ids

    page = store.turns("a", limit=64, starting_with=ids[2_501])
    assert [it.trace_id for it in page] == ids[2_501:2_565]
    back: list[str] = []
    before = page.previous
    while before is not None:
        page = store.turns("a", limit=600, before=before)
        back[:0] = [it.trace_id for it in page]
        assert page.next is not None
        before = page.previous
    assert back == ids[:2_501]

    session = store.session("a")
    assert [it.trace_id for it in session.turns] == ids
    assert (session.turn_count, session.first_input) == (5_000, "turn 0")
    store.add([span(2, 1, trace=4_999, session="a")])
    assert store.summary("a").span_count == 5_001


def test_the_first_page_of_turns_has_none_before_it(store: SQLiteSessionStore) -> None:
    """And the last one none after it; what starts with another session's trace is empty."""
    store.add([it for number in range(1, 4) for it in turn(number, "a")])
    store.add(turn(9, "b"))
    first = store.turns("a", limit=2)
    last = store.turns("a", limit=2, after=first.next)

    assert (first.previous, last.next) == (None, None)
    assert store.turns("a", limit=2, before=last.previous).items == first.items
    assert store.turns("a", after=first.next, before=last.next or last.previous).items == ()
    for stranger in (trace_id(9), trace_id(77), "no id", "", "\ud800"):
        assert store.turns("a", starting_with=stranger).items == ()
        assert store.spans("a", stranger) == []


def test_neighbours_are_those_by_last_activity(store: SQLiteSessionStore) -> None:
    """All sessions in a row, also those that ended at the same time."""
    store.add(with_ties(12))
    listed = list(iter_sessions(store))
    for place, summary in enumerate(listed):
        beside = store.neighbours(summary.id)
        assert beside.newer == (listed[place - 1] if place else None)
        assert beside.older == (listed[place + 1] if place + 1 < len(listed) else None)


def test_changes_are_told_once_and_in_order(store: SQLiteSessionStore) -> None:
    """New turns and changed ones, a page at a time; a deleted turn is told no more."""
    store.add(turn(1, "a"))
    place = store.changes().next
    revision = store.revision()
    assert store.changes(place).items == ()
    assert store.changes(place).next == place

    store.add([*turn(2, "a"), *turn(3, "b")])
    store.add([span(5, 1, trace=1, session="a")])
    store.add([span(5, 1, trace=1, session="a")])
    told: list[str] = []
    while page := store.changes(place, limit=1):
        told += [it.trace_id for it in page]
        place = page.next
    assert told == [trace_id(2), trace_id(3), trace_id(1)]
    assert store.revision() != revision

    revision = store.revision()
    store.delete("b")
    assert store.revision() != revision
    assert store.changes(place).items == ()
