"""Reading all of a store without paging by hand."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from langchain_sessions.store import (
    AmbiguousSessionError,
    SessionFilter,
    SessionNotFoundError,
    SQLiteSessionStore,
    iter_sessions,
    iter_turns,
)
from tests.support.turns import turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 450
"""More sessions than three pages have."""


class Counted(SQLiteSessionStore):
    """A store that counts the pages that are read of it."""

    pages = 0

    def sessions(self, *arguments: Any, **options: Any) -> Any:
        self.pages += 1
        return super().sessions(*arguments, **options)

    def turns(self, *arguments: Any, **options: Any) -> Any:
        self.pages += 1
        return super().turns(*arguments, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Counted]:
    """A store of many sessions of a turn each: s1, which was active first, and so on."""
    with closing(Counted(tmp_path / "a.db")) as store:
        store.add([it for number in range(1, MANY + 1) for it in turn(f"s{number}", number)[:1]])
        yield store


def test_all_sessions_come_in_the_order_that_is_asked_for(store: Counted) -> None:
    """The one that was active last first, or the largest; a filter says which."""
    assert [it.id for it in iter_sessions(store)] == [f"s{number}" for number in range(MANY, 0, -1)]
    store.add(turn("s3", 1_000)[:1])
    store.add(turn("other", 1_001, user="bob")[:1])
    assert [it.id for it in iter_sessions(store, sort="turns")][:1] == ["s3"]
    assert [it.id for it in iter_sessions(store, SessionFilter(user="bob"))] == ["other"]
    with pytest.raises(ValueError, match="sort must be one of"):
        next(iter_sessions(store, sort="size"))  # type: ignore[arg-type]


def test_no_more_is_read_than_is_asked_for(store: Counted) -> None:
    """Whoever takes the first one reads one page, of sessions as of turns."""
    store.add([turn("long", number)[0] for number in range(1_000, 1_200)])
    assert next(iter_sessions(store)).id == "long"
    assert next(iter_turns(store, "long")).input == "question 1000"
    assert store.pages == 2


def test_a_session_that_is_written_to_meanwhile_is_not_missed(store: Counted) -> None:
    """It moves to the front of the list while its end is not yet reached, and is found all the same, once."""
    found: list[str] = []
    for summary in iter_sessions(store):
        found.append(summary.id)
        if len(found) == 100:
            store.add(turn("s3", 1_000)[:1])  # would have been one of the last
            store.add(turn("s440", 1_001)[:1])  # was there already
            store.add(turn("fresh", 1_002)[:1])
            store.delete("s5")
    assert sorted(found) == sorted({*(f"s{number}" for number in range(1, MANY + 1)), "fresh"} - {"s5"})


def test_who_else_speaks_meanwhile_does_not_hide_a_users_session(store: Counted) -> None:
    """A session that moves while one user's are read is found if that user has a turn of it."""
    found: list[str] = []
    for summary in iter_sessions(store, SessionFilter(user="ada")):
        found.append(summary.id)
        if len(found) == 100:
            store.add(turn("s3", 1_000, user="bob")[:1])
            store.add(turn("joined", 1_001, user="bob")[:1])
            store.add(turn("joined", 1_002, user="ada")[:1])
            store.add(turn("of bob", 1_003, user="bob")[:1])
    assert sorted(found) == sorted([*(f"s{number}" for number in range(1, MANY + 1)), "joined"])


def test_what_comes_meanwhile_has_to_have_the_text(store: Counted) -> None:
    """A session that is new, or moves, while those with a text are read is one of them if it has it."""
    found: list[str] = []
    for summary in iter_sessions(store, SessionFilter(text="question")):
        found.append(summary.id)
        if len(found) == 100:
            store.add(turn("boat", 1_000, attributes={"input.value": "a boat"})[:1])
            store.add(turn("asked", 1_001, attributes={"input.value": "a QUESTION?"})[:1])
            store.add(turn("s3", 1_002, attributes={"input.value": "a boat"})[:1])
    assert sorted(found) == sorted([*(f"s{number}" for number in range(1, MANY + 1)), "asked"])


def test_all_turns_of_a_session_come_by_start(store: Counted) -> None:
    """From the first one, or from that of a trace."""
    store.add([turn("long", number)[0] for number in range(1_000, 1_120)])
    assert tuple(iter_turns(store, "long")) == store.session("long").turns
    some = iter_turns(store, "long", starting_with=f"{1_100:032x}")
    assert [it.input for it in some] == [f"question {number}" for number in range(1_100, 1_120)]
    assert list(iter_turns(store, "long", starting_with="ff")) == []


def test_turns_of_no_session_are_an_error(store: Counted) -> None:
    """When the first one is asked for; so is an id that two projects have, unless one is named."""
    with pytest.raises(SessionNotFoundError):
        next(iter_turns(store, "nope"))
    store.add(turn("s1", 1_000, project="two")[:1])
    with pytest.raises(AmbiguousSessionError):
        next(iter_turns(store, "s1"))
    assert [it.input for it in iter_turns(store, "s1", project="two")] == ["question 1000"]


def test_turns_are_those_of_the_session_that_was_begun(store: Counted) -> None:
    """Though another project gets one of its id meanwhile; when it is deleted, they end."""
    store.add([turn("long", number)[0] for number in range(1_000, 1_200)])
    turns = iter_turns(store, "long")
    assert next(turns).project == "shop"
    store.add(turn("long", 2_000, project="two")[:1])
    rest = [it.project for _, it in zip(range(100), turns, strict=False)]
    assert rest == ["shop"] * 100
    store.delete("long", project="shop")
    assert {it.project for it in turns} == {"shop"}
