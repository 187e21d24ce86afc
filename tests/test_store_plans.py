"""How SQLite goes about a reading: what would be slow with millions of spans shows in its plan already."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SessionFilter, SQLiteSessionStore
from tests.support.spans import span, trace_id, turn
from tests.support.stores import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_sessions.store._answers import Sort


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store with some conversations, so that there are pages."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        store.add(
            [
                it
                for number in range(1, 200)
                for it in turn(number, f"s{number // 4}", "a rare word" if number == 7 else "a common word")
            ]
        )
        yield store


def plans(store: SQLiteSessionStore, read: Callable[[], object]) -> list[list[str]]:
    """What SQLite plans for each of the statements that the reading consists of."""
    statements: list[str] = []
    with store._connections.outside_transactions() as connection:
        connection.set_trace_callback(statements.append)
    try:
        read()
    finally:
        with store._connections.outside_transactions() as connection:
            connection.set_trace_callback(None)
    with raw(store.path) as db:
        return [
            [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in map(str.lstrip, statements)
            if statement.startswith(("SELECT", "INSERT INTO sessions"))
        ]


def steps(store: SQLiteSessionStore, read: Callable[[], object]) -> list[str]:
    """The steps of all these plans."""
    found = [step for plan in plans(store, read) for step in plan]
    assert found
    return found


def slow(found: list[str]) -> list[str]:
    """Those that read a table as a whole, or sort."""
    return [step for step in found if step.startswith("SCAN") or "TEMP B-TREE" in step]


def test_the_newest_sessions_come_from_the_end_of_an_index(store: SQLiteSessionStore) -> None:
    """The first page as well as the next; what is sorted is the page."""
    first = store.sessions(limit=10)
    for after in (None, first.next):
        found = steps(store, lambda after=after: store.sessions(limit=10, after=after))
        assert found[0] == "SEARCH sessions USING INTEGER PRIMARY KEY (rowid=?)"
        assert "USING COVERING INDEX sessions_by_activity" in found[2]
        assert found[3:] == ["USE TEMP B-TREE FOR ORDER BY"]


@pytest.mark.parametrize("sort", ["turns", "tokens", "latency", "errors"])
def test_other_orders_are_read_from_a_small_index(store: SQLiteSessionStore, sort: Sort) -> None:
    """Not from the sessions themselves, which have texts."""
    scans = [it for it in steps(store, lambda: store.sessions(sort=sort)) if it.startswith("SCAN")]
    assert scans == ["SCAN sessions USING COVERING INDEX sessions_by_sums"]


def test_a_filtered_list_is_read_in_its_order(store: SQLiteSessionStore) -> None:
    """Until there are enough; it is not sorted first."""
    where = SessionFilter(project="default", min_turns=2)
    found = steps(store, lambda: store.sessions(where, limit=10))
    assert found[2:] == ["SCAN sessions USING INDEX sessions_by_activity", "USE TEMP B-TREE FOR ORDER BY"]


def test_a_conversation_is_read_from_where_it_is(store: SQLiteSessionStore) -> None:
    """From its beginning, a place in it, or backwards; and as a whole."""
    place = store.turns("s3", limit=2).next
    reads: list[Callable[[], object]] = [
        lambda: store.turns("s3", limit=2),
        lambda: store.turns("s3", limit=2, after=place),
        lambda: store.turns("s3", limit=2, before=place),
        lambda: store.turns("s3", limit=2, starting_with=trace_id(13)),
        lambda: store.session("s3"),
        lambda: store.summary("s3"),
        lambda: store.neighbours("s3"),
        lambda: store.changes(store.changes().next),
    ]
    for read in reads:
        assert [it for it in slow(steps(store, read)) if it != "SCAN state"] == []


def test_the_spans_of_a_turn_are_read_from_where_they_are(store: SQLiteSessionStore) -> None:
    """They are sorted, being few."""
    found = slow(steps(store, lambda: store.spans("s3", trace_id(13))))
    assert set(found) <= {"USE TEMP B-TREE FOR ORDER BY"}


@pytest.mark.parametrize("word", ["rare", "common", "word common"])
def test_a_search_reads_the_index_of_words_from_its_end(store: SQLiteSessionStore, word: str) -> None:
    """A page at a time, and sorts nothing, be the word rare or common."""
    after = store.search("common", limit=5).next
    for place in (None, after):
        found = slow(steps(store, lambda place=place: store.search(word, after=place)))
        assert len(found) == 1
        assert found[0].startswith("SCAN w VIRTUAL TABLE")


def test_sums_are_read_from_an_index(store: SQLiteSessionStore) -> None:
    """The texts of turns are not."""
    scans = [it for it in steps(store, store.stats) if it.startswith("SCAN turns")]
    assert set(scans) == {"SCAN turns USING COVERING INDEX turns_by_day"}


def test_adding_to_a_trace_reads_only_that_trace(store: SQLiteSessionStore) -> None:
    """And of its session, the sums; nothing grows with the store."""
    harmless = {"SCAN state", "SCAN sums", "SCAN CONSTANT ROW"}
    for spans in ([span(9, 1, trace=13)], turn(900, "s3")):
        found = steps(store, lambda spans=spans: store.add(spans))
        assert [it for it in found if it.startswith("SCAN") and it not in harmless] == []
