from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from langchain_sessions.store import Pruned, SQLiteSessionStore
from langchain_sessions.store._sqlite import _retention
from tests.support.spans import MINUTE, NOON, span, turn
from tests.support.stores import all_sessions, all_spans, audit, found, raw
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import Span

DAY = 24 * 60 * MINUTE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store, which has to be sound at the end."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store
    audit(store.path)


def ago(days: float) -> int:
    """A time before now, as the builders of spans take it: nanoseconds after `NOON`."""
    return time.time_ns() - NOON - int(days * DAY)


def conversation(number: int, days: float, words: str = "word " * 200) -> list[Span]:
    """A conversation that took place some days ago."""
    return turn(number, f"s{number}", f"unique{number} {words}", words, start=ago(days))


def names(store: SQLiteSessionStore) -> set[str]:
    """The ids of all sessions."""
    return {key[1] for key in all_sessions(store)}


def test_what_was_not_active_for_so_long_is_deleted(store: SQLiteSessionStore) -> None:
    """With all its spans. What had a turn since stays as a whole; spans outside of sessions go by age."""
    store.add([*conversation(1, 40), *conversation(2, 20)])
    store.add([*turn(3, "old and new", start=ago(50)), *turn(4, "old and new", start=ago(1))])
    store.add(
        [span(1, trace=5, start=ago(45)), span(2, 1, trace=5, start=ago(45)), span(1, trace=6, start=ago(1))]
    )
    told: list[tuple[int, int]] = []

    pruned = store.prune(
        older_than=timedelta(days=30), progress=lambda done, total: told.append((done, total))
    )

    assert (pruned.sessions, pruned.spans) == (1, 4)
    assert names(store) == {"s2", "old and new"}
    assert told == [(1, 1)]
    with raw(store.path) as db:
        assert db.execute("SELECT count(*) FROM spans").fetchone() == (7,)
    assert store.prune(older_than=timedelta(days=30)).sessions == 0


@pytest.mark.parametrize(
    ("age", "left"), [(timedelta.max, 1), (timedelta(0), 0), (timedelta(days=10_000), 1)]
)
def test_any_age_is_an_age(store: SQLiteSessionStore, age: timedelta, left: int) -> None:
    """From nothing to forever."""
    store.add(conversation(1, 1))
    store.prune(older_than=age)
    assert len(names(store)) == left


def forecast(store: SQLiteSessionStore, **limits: Any) -> tuple[Pruned, Pruned]:
    """What a dry run tells, and what a prune then does; fails if the former changes anything."""
    before = (store.revision(), all_spans(store))
    told = store.prune(**limits, dry_run=True)
    assert (store.revision(), all_spans(store)) == before
    return told, store.prune(**limits)


def test_a_dry_run_tells_what_would_be_deleted_by_age(store: SQLiteSessionStore) -> None:
    """Exactly, with spans outside of sessions, and those of traces of which another session has a part."""
    store.add(
        [*conversation(1, 40), *conversation(2, 35), *turn(3, "s2", start=ago(34)), *conversation(4, 20)]
    )
    store.add([span(1, trace=5, start=ago(45)), span(1, trace=6, start=ago(1))])
    store.add([span(1, trace=7, start=ago(50)), span(2, 1, trace=7, session="old", start=ago(50), length=1)])
    store.add([span(3, 1, trace=7, session="new", start=ago(2)), span(4, 2, trace=7, start=ago(50))])
    last = store.summary("s2").last_activity_ns

    told, done = forecast(store, older_than=timedelta(days=30))

    assert (told.sessions, told.turns, told.spans, told.newest_ns) == (3, 4, 10, last)
    assert replace(told, bytes=done.bytes) == done
    assert names(store) == {"s4", "new"}
    nothing = Pruned(0, 0, 0)
    assert forecast(store, older_than=timedelta(days=30)) == (nothing, nothing)
    assert forecast(store) == (nothing, nothing)


def test_a_dry_run_estimates_what_would_be_deleted_by_size(store: SQLiteSessionStore) -> None:
    """As if all spans were of one size, and says so; where nothing is too much, it knows."""
    store.add([it for number in range(400) for it in conversation(number, 400 - number)])
    store.add([span(1, trace=1_000 + number, start=ago(500)) for number in range(100)])
    with store._connections.reading() as db:
        in_use = _retention.used(db)

    assert store.prune(max_bytes=in_use, dry_run=True) == Pruned(0, 0, 0)
    told, done = forecast(store, max_bytes=in_use // 2)

    assert (told.spans, told.bytes) == (450, in_use // 2)
    assert (told.sessions, told.turns, told.newest_ns) == (175, 175, told.newest_ns)
    assert told.is_estimate
    assert 0.7 * told.sessions < done.sessions < 1.3 * told.sessions
    assert forecast(store, max_bytes=0)[0].sessions == 400 - done.sessions
    assert names(store) == set()


def test_a_dry_run_by_age_and_size_adds_up(store: SQLiteSessionStore) -> None:
    """What is old goes first; as much of the rest as it takes comes on top."""
    store.add([it for number in range(100) for it in conversation(number, 100 - number)])
    with store._connections.reading() as db:
        in_use = _retention.used(db)
    some = store.prune(older_than=timedelta(days=80), max_bytes=in_use // 2, dry_run=True)
    most = store.prune(older_than=timedelta(days=20), max_bytes=in_use // 2, dry_run=True)
    assert (some.sessions, most.sessions) == (50, 80)


def test_nothing_is_deleted_unless_something_is_asked_for(store: SQLiteSessionStore) -> None:
    """Neither by age nor by size."""
    store.add(conversation(1, 1_000))
    assert store.prune().sessions == store.prune(max_bytes=10**9).sessions == 0
    assert names(store) == {"s1"}


def test_the_file_becomes_as_small_as_asked_and_no_smaller_than_it_must(store: SQLiteSessionStore) -> None:
    """What was active least recently goes first."""
    store.add([it for number in range(400) for it in conversation(number, 400 - number)])
    with raw(store.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = store.path.stat().st_size
    most = before // 2

    pruned = store.prune(max_bytes=most)

    after = store.path.stat().st_size
    assert most // 2 < after <= most
    assert pruned.bytes == before - after
    left = names(store)
    assert left == {f"s{number}" for number in range(400 - len(left), 400)}
    assert 100 < len(left) < 300


def test_spans_outside_of_sessions_do_not_drive_the_sessions_out(store: SQLiteSessionStore) -> None:
    """A store that is full of what belongs to no conversation gets rid of that, the oldest first."""
    words = {"http.body": "x" * 2_000}
    store.add([span(1, trace=number, start=ago(10), attributes=words) for number in range(1, 500)])
    store.add([it for number in range(1_000, 1_010) for it in conversation(number, 5)])
    store.add([span(1, trace=number, start=ago(1), attributes=words) for number in range(2_000, 2_010)])

    pruned = store.prune(max_bytes=500_000)

    assert (pruned.sessions, len(names(store))) == (0, 10)
    assert pruned.spans >= 499
    store.prune(max_bytes=0)
    with raw(store.path) as db:
        assert db.execute(
            "SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM traces)"
        ).fetchone() == (0, 0)


def test_what_was_deleted_is_no_longer_in_the_file(store: SQLiteSessionStore) -> None:
    """Nor in the log beside it, after a prune: neither as text nor in the index of words."""
    secret = "Xylophonquartett"
    store.add([it for number in range(200) for it in conversation(number, 1)])
    store.add([it for number in range(900, 950) for it in conversation(number, 90, f"{secret} " * 50)])
    store.add([it for number in range(200, 400) for it in conversation(number, 1)])

    def traces_of_it() -> set[str]:
        needles = [secret.encode(), secret.lower().encode()]
        return {
            it.name
            for it in store.path.parent.iterdir()
            if any(needle in it.read_bytes() for needle in needles)
        }

    with store._connections.outside_transactions() as db:
        assert db.execute("PRAGMA secure_delete").fetchone() == (1,)
    assert traces_of_it()
    store.prune(older_than=timedelta(days=30))

    assert traces_of_it() == set()
    assert found(store, secret) == set()
    assert len(names(store)) == 400


def test_a_deleted_session_is_gone_from_every_reading(store: SQLiteSessionStore) -> None:
    """List, search, sums; what is delivered anew begins a new session of that name."""
    store.add([*conversation(1, 1), *conversation(2, 1)])
    store.delete("s1")

    assert names(store) == {"s2"}
    assert found(store, "unique1") == set()
    assert store.stats().turns == 1
    store.add(conversation(1, 1))
    assert found(store, "unique1") == {"s1"}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the threads of other tests
def test_writers_go_on_while_it_is_pruned(tmp_path: Path) -> None:
    """Those of the same process and of others; what they write is there at the end."""
    store = SQLiteSessionStore(tmp_path / "busy.db", wait=PATIENCE)
    store.add([it for number in range(1_000) for it in conversation(number, 60, "word " * 50)])
    done = threading.Event()
    batches = 0

    def write() -> None:
        nonlocal batches
        while not done.is_set():
            store.add(turn(100_000 + batches, "live", start=ago(0) + batches))
            batches += 1

    def wait_for_a_batch(_done: int, _total: int) -> None:
        before = batches
        until(lambda: batches > before, "nothing is written while it is pruned")

    child = os.fork()
    if child == 0:
        try:
            for number in range(60):
                store.add(turn(200_000 + number, "other process", start=ago(0)))
            os._exit(0)
        finally:
            os._exit(1)
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            pruned = store.prune(older_than=timedelta(days=30), progress=wait_for_a_batch)
        finally:
            done.set()
        writer.result()
    assert os.waitpid(child, 0)[1] == 0

    assert pruned.sessions == 1_000
    assert batches >= 10, "one for each step of a hundred sessions"
    assert store.summary("other process").turn_count == 60
    assert store.summary("live").turn_count == batches
    store.close()


def test_a_slow_reader_keeps_nobody_waiting(
    store: SQLiteSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is not emptied as long as somebody reads an earlier state; the next time it is."""
    monkeypatch.setattr(_retention, "_CHECKPOINT_WAIT_MS", 1)
    store.add(conversation(1, 60))
    with store._connections.reading() as db:
        db.execute("SELECT count(*) FROM spans").fetchone()
        assert store.prune(older_than=timedelta(days=30)).sessions == 1
        assert db.execute("SELECT count(*) FROM spans").fetchone() == (2,)
    log = store.path.with_name("sessions.db-wal")
    assert log.stat().st_size > 0
    store.add(conversation(2, 60))
    store.prune(older_than=timedelta(days=30))
    assert log.stat().st_size == 0
