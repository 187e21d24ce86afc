from __future__ import annotations

import base64
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import (
    SessionFilter,
    SQLiteSessionStore,
)
from langchain_sessions.store._measures import moment
from tests.support.spans import MINUTE, NOON, span, turn, with_ties
from tests.support.stores import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_sessions.store import Page, SessionSummary
    from langchain_sessions.store._answers import Sort

SORTS: dict[Sort, Callable[[SessionSummary], int]] = {
    "last_activity": lambda it: it.last_activity_ns,
    "turns": lambda it: it.turn_count,
    "tokens": lambda it: it.prompt_tokens + it.completion_tokens,
    "latency": lambda it: it.p50_turn_ns,
    "errors": lambda it: it.error_count,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store


@pytest.mark.parametrize("limit", [1, 2, 7, 30, 31])
@pytest.mark.parametrize("sort", SORTS)
def test_all_pages_have_each_session_once_the_largest_first(
    store: SQLiteSessionStore, sort: Sort, limit: int
) -> None:
    """Also where many are alike, and where the last page is full."""
    store.add(with_ties())
    listed = list(walk(lambda after: store.sessions(sort=sort, limit=limit, after=after)))

    assert sorted(it.id for it in listed) == sorted(f"s{number}" for number in range(30))
    values = [SORTS[sort](it) for it in listed]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
def test_a_list_that_is_written_to_can_be_read_on(store: SQLiteSessionStore, sort: Sort) -> None:
    """Nothing is raised or listed twice unless it moved; what did not change meanwhile is there."""
    store.add(with_ties())
    listed: list[str] = []
    after: str | None = None
    for number in range(100):
        page = store.sessions(sort=sort, limit=4, after=after)
        listed += [it.id for it in page]
        store.add(turn(1_000 + number, "s3", tokens=(9, 9)))
        store.add(turn(2_000 + number, f"new {number}", start=-MINUTE, tokens=(1, 1)))
        if number == 2:
            store.delete("s5")
        after = page.next
        if after is None:
            break
    unchanged = {f"s{number}" for number in range(30)} - {"s3", "s5"}
    assert unchanged <= set(listed)
    stayed = [it for it in listed if it != "s3"]
    assert len(set(stayed)) == len(stayed)


def filtered(store: SQLiteSessionStore, **conditions: object) -> set[str]:
    """The ids of the sessions that meet the conditions, read in small pages."""
    where = SessionFilter(**conditions)  # type: ignore[arg-type]
    return {it.id for it in walk(lambda after: store.sessions(where, limit=3, after=after))}


def test_filters_hold_together(store: SQLiteSessionStore) -> None:
    """Each alone, and all at once; by every sort the same."""
    store.add(with_ties())
    every = {it.id: it for it in walk(lambda after: store.sessions(after=after))}
    half_past = moment(NOON + 3 * MINUTE)

    def wanted(condition: Callable[[SessionSummary], bool]) -> set[str]:
        return {key for key, it in every.items() if condition(it)}

    assert filtered(store, project="shop") == wanted(lambda it: it.project == "shop")
    assert filtered(store, user="ada") == wanted(lambda it: it.user == "ada")
    assert filtered(store, has_errors=True) == wanted(lambda it: it.error_count > 0)
    assert filtered(store, min_turns=3) == wanted(lambda it: it.turn_count >= 3)
    assert filtered(store, since=half_past) == wanted(lambda it: it.last_activity >= half_past)
    assert filtered(store, until=half_past) == wanted(lambda it: it.started < half_past)
    assert filtered(store, text="question") == set(every)
    assert filtered(store, text="nothing of this") == set()
    combined = SessionFilter(project="shop", min_turns=2, since=half_past, text="answer", has_errors=True)
    for sort in SORTS:
        pages = walk(lambda after, sort=sort: store.sessions(combined, sort=sort, limit=1, after=after))
        assert {it.id for it in pages} == wanted(
            lambda it: (
                it.project == "shop"
                and it.turn_count >= 2
                and it.last_activity >= half_past
                and it.error_count > 0
            )
        )


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 1),
        (datetime.max.replace(tzinfo=UTC), None, 0),
        (None, datetime.min.replace(tzinfo=UTC), 0),
    ],
)
def test_the_beginning_and_the_end_of_time_are_times(
    store: SQLiteSessionStore, since: datetime | None, until: datetime | None, count: int
) -> None:
    """Whoever means "whenever" may say so."""
    store.add(turn(1, "a"))
    where = SessionFilter(since=since, until=until, min_turns=1)

    assert len(store.sessions(where)) == len(store.search("question", where)) == count
    assert store.stats(where).sessions == count
    assert store.sessions(SessionFilter(min_turns=2**80)).items == ()


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody knows which time it is."""
    with pytest.raises(ValueError, match="since must have a time zone"):
        SessionFilter(since=datetime(2026, 1, 1))  # noqa: DTZ001 -- that is the point


def test_what_is_compared_is_exact_to_the_microsecond(store: SQLiteSessionStore) -> None:
    """`since` includes the moment itself, `until` does not."""
    store.add([span(1, session="a", length=0)])
    noon = moment(NOON)

    assert filtered(store, since=noon) == {"a"}
    assert filtered(store, since=noon + timedelta(microseconds=1)) == set()
    assert filtered(store, until=noon) == set()
    assert filtered(store, until=noon + timedelta(microseconds=1)) == {"a"}


def test_unknown_sorts_are_refused(store: SQLiteSessionStore) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="sort must be one of last_activity, turns, tokens, latency, errors"):
        store.sessions(sort="id; DROP TABLE sessions")  # type: ignore[arg-type]


def marked(*values: object) -> str:
    """A place in a list, as a page has it."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "place",
    [
        "",
        "x",
        "é",
        "====",
        "\ud800",
        "' OR 1=1 --",
        marked(),
        marked("sessions by turns", 1, 1),
        marked("sessions by last_activity", 1),
        marked("sessions by last_activity", "1", "1"),
        marked("sessions by last_activity", True, True),
        marked("sessions by last_activity", 1.0, 1.0),
        marked("sessions by last_activity", 2**63, 1),
        marked("turns", 1, 2),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"[" + b"9" * 10_000 + b"]").decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"null").decode(),
        base64.urlsafe_b64encode(b"\xff\xff").decode(),
    ],
    ids=repr,
)
def test_a_place_that_no_page_has_given_is_refused(store: SQLiteSessionStore, place: str) -> None:
    """A ValueError, whatever it is; one of another list included."""
    store.add(turn(1, "a"))
    reads: list[Callable[[], Page[object]]] = [
        lambda: store.sessions(after=place),
        lambda: store.turns("a", after=place),
        lambda: store.turns("a", before=place),
        lambda: store.search("question", after=place),
        lambda: store.changes(place),
    ]
    for read in reads:
        with pytest.raises(ValueError, match="is not a place in this list"):
            read()


@pytest.mark.parametrize("limit", [0, -1, -100])
def test_no_more_than_asked_for(store: SQLiteSessionStore, limit: int) -> None:
    """Nothing, when nothing is asked for."""
    store.add(with_ties(3))
    for page in (
        store.sessions(limit=limit),
        store.turns("s2", limit=limit),
        store.search("question", limit=limit),
        store.changes(marked("changes", 0, 0), limit=limit),
    ):
        assert len(page) == 0


def test_a_limit_may_be_as_large_as_one_likes(store: SQLiteSessionStore) -> None:
    """For all of it."""
    store.add(with_ties(3))
    assert len(store.sessions(limit=2**80)) == 3
