"""Connections to one file: threads, closing, errors."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SQLiteSessionStore, StoreError, StoreUnavailableError
from tests.support.spans import span, turn
from tests.support.stores import audit, raw

if TYPE_CHECKING:
    from pathlib import Path


def test_threads_share_a_store(tmp_path: Path) -> None:
    """Some write, others read, all of it arrives; more of them than connections are kept."""
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store:

        def work(number: int) -> int:
            store.sessions()
            store.search("question")
            return sum(store.add(turn(100 * number + place, f"s{number % 5}")) for place in range(5))

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(work, range(40))) == 400
        assert store.stats().spans == 400
        assert len(store._connections._idle._connections) <= 8
    audit(tmp_path / "s.db")


def test_a_reading_sees_one_moment(tmp_path: Path) -> None:
    """What is written in between is not seen, nor does it wait."""
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store:
        store.add(turn(1, "a"))
        with store._connections.reading() as db:
            before = db.execute("SELECT count(*) FROM spans").fetchone()
            store.add(turn(2, "a"))
            assert db.execute("SELECT count(*) FROM spans").fetchone() == before


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Closing is done once or more often; a connection in use is closed when it comes back."""
    store = SQLiteSessionStore(tmp_path / "s.db")
    store.add(turn(1, "a"))
    with store._connections.reading() as db:
        store.close()
        store.close()
        assert db.execute("SELECT count(*) FROM spans").fetchone() == (2,)
    for call in (store.sessions, lambda: store.add(turn(2, "a")), lambda: store.delete("a")):
        with pytest.raises(StoreError, match="the session store was closed"):
            call()
    assert [it.name for it in tmp_path.iterdir()] == ["s.db"]


def test_a_store_that_is_forgotten_is_closed(tmp_path: Path) -> None:
    """Without a warning, and without anything being left beside the file."""
    store = SQLiteSessionStore(tmp_path / "s.db")
    store.add(turn(1, "a"))
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    assert [it.name for it in tmp_path.iterdir()] == ["s.db"]


def test_an_error_undoes_the_batch_and_leaves_the_store_usable(tmp_path: Path) -> None:
    """All spans of a batch are kept, or none."""
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store:
        for bad in (object(), {"deep": object()}):
            with pytest.raises(TypeError):
                store.add([*turn(1, "a"), span(5, trace=1, attributes={"bad": bad})])  # type: ignore[dict-item]
        assert store.add([]) == 0
        assert store.add(turn(1, "a")) == 2
    audit(tmp_path / "s.db")


def test_a_full_disk_is_unavailable_and_undone(tmp_path: Path) -> None:
    """Nothing of the batch is kept, what is there can be read, and it goes on when there is room."""
    path = tmp_path / "s.db"
    with closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a"))
        with store._connections.outside_transactions() as db:
            [(most,)] = db.execute("PRAGMA max_page_count")
            db.execute("PRAGMA max_page_count = 1").fetchall()  # no more than there are
        with pytest.raises(StoreUnavailableError, match=f"disk that holds the session store {path} is full"):
            store.add(turn(2, "a", "word " * 10_000))
        assert store.summary("a").turn_count == 1
        with store._connections.outside_transactions() as db:
            db.execute(f"PRAGMA max_page_count = {most}").fetchall()
        assert store.add(turn(2, "a", "word " * 10_000)) == 2
    audit(path)


def test_more_processes_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector hears of many, and each keeps its project."""
    from langchain_sessions.store import _sqlite

    monkeypatch.setattr(_sqlite, "_MOST_ORIGINS", 3)
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store:
        for number in [*range(10), *range(10)]:
            store.add([span(number, trace=number, session=f"s{number}", project=f"p{number}")])
            store.add([span(100 + number, number, trace=number, project=f"p{number}")])
        assert {it.id: it.project for it in store.sessions()} == {f"s{it}": f"p{it}" for it in range(10)}
        assert len(store._origins) <= 5
    with raw(tmp_path / "s.db") as db:
        assert db.execute("SELECT count(*) FROM origins").fetchone() == (10,)
    audit(tmp_path / "s.db")
