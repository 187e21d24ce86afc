"""Processes that are forked while a store is open, and many that open one at once."""

from __future__ import annotations

import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from langchain_sessions.store import SQLiteSessionStore, StoreError
from langchain_sessions.store._sqlite import _connections, _idle
from langchain_sessions.store._sqlite._connections import _statements
from langchain_sessions.store._sqlite._schema import APPLICATION_ID, MIGRATIONS
from tests.support.forks import in_a_fork, signal_pair, wait_for
from tests.support.spans import span, turn
from tests.support.stores import audit, raw
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

# Python 3.12 warns of what these tests are about: a fork while other threads run.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def test_what_a_forked_process_stores_outlives_its_parents_store(tmp_path: Path) -> None:
    """The parent closes the store, somebody else opens it and goes: nothing of the child's is lost.

    SQLite would take locks of the parent for the child's own; and whoever closes the file last, as it seems,
    does away with the log.
    """
    path = tmp_path / "s.db"
    store = SQLiteSessionStore(path)
    store.add(turn(1, "a"))
    child_has_written, wait_for_child = signal_pair()
    go_on, wait_for_go = signal_pair()

    def work() -> None:
        store.add(turn(2, "a"))
        child_has_written()
        wait_for_go()
        assert store.add(turn(3, "a")) == 2
        child_has_written()
        wait_for_go()

    child = in_a_fork(work)
    wait_for_child()
    store.close()
    go_on()
    wait_for_child()
    with closing(SQLiteSessionStore(path)) as other:
        assert other.summary("a").turn_count == 3
        other.add(turn(4, "a"))
    go_on()
    wait_for(child)
    with closing(SQLiteSessionStore(path)) as other:
        assert other.summary("a").turn_count == 4
    audit(path)


def test_opening_a_store_takes_no_locks_from_others_of_the_process(tmp_path: Path) -> None:
    """One to write and one to read in the same process, and another process that comes and goes.

    It would take the log away that the first one goes on writing to, if it saw no lock.
    """
    path = tmp_path / "s.db"

    def come_and_go() -> int:
        with closing(SQLiteSessionStore(path)) as other:
            return other.summary("a").turn_count

    come, wait_for_come = signal_pair()
    gone, wait_for_gone = signal_pair()

    def work() -> None:
        for turns in (1, 2):
            wait_for_come()
            assert come_and_go() == turns
            gone()

    child = in_a_fork(work)  # before there is a store: what it has is its own
    with closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a"))
        SQLiteSessionStore(path).close()
        come()
        wait_for_gone()
        store.add(turn(2, "a"))
        come()
        wait_for_gone()
    wait_for(child)
    audit(path)


def test_generations_of_processes_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children and grandchildren, while threads of their parent write."""
    monkeypatch.setattr(_idle, "_BEFORE_A_FORK", 2 * PATIENCE)  # longer than who writes may have to wait
    path = tmp_path / "s.db"
    with closing(SQLiteSessionStore(path, wait=PATIENCE)) as store:
        stop = threading.Event()
        written = [0]

        def write() -> None:
            while not stop.is_set():
                written[0] += store.add(turn(1_000 + written[0], "parent"))

        def child(number: int) -> None:
            store.add(turn(number, "child"))
            wait_for(in_a_fork(lambda: store.add(turn(100 + number, "grandchild"))))
            store.add(turn(200 + number, "child"))

        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write)
            try:
                children = [in_a_fork(lambda number=number: child(number)) for number in range(6)]
                for one in children:
                    wait_for(one)
            finally:
                stop.set()
            writer.result()
        assert store.summary("child").turn_count == 12
        assert store.summary("grandchild").turn_count == 6
        assert store.summary("parent").span_count == written[0]
    audit(path)


def test_a_fork_from_within_a_reading_comes_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for the thread that forks."""
    monkeypatch.setattr(_idle, "_BEFORE_A_FORK", 0.05)
    with closing(SQLiteSessionStore(tmp_path / "s.db")) as store:
        with store._connections.reading():
            child = os.fork()
        if child == 0:  # has left the reading, like its parent
            os._exit(0)
        wait_for(child)
        store.add(turn(1, "a"))


def test_a_process_that_is_forked_in_the_middle_keeps_off_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write without a lock, and what it writes be lost. It is told; other files are well."""
    monkeypatch.setattr(_idle, "_BEFORE_A_FORK", 0.05)
    path = tmp_path / "s.db"
    link = tmp_path / "link.db"
    reads, may_end = threading.Event(), threading.Event()

    def child() -> None:
        for use in (lambda: store.add(turn(2, "a")), store.stats, lambda: SQLiteSessionStore(link)):
            with pytest.raises(StoreError, match="forked while a thread was using it; fork before"):
                use()
        with closing(SQLiteSessionStore(tmp_path / "other.db")) as other:
            other.add(turn(3, "b"))

    def read() -> None:
        with store._connections.reading():
            reads.set()
            may_end.wait(PATIENCE)

    with closing(SQLiteSessionStore(path)) as store, ThreadPoolExecutor(1) as pool:
        store.add(turn(1, "a"))
        link.symlink_to(path)
        reading = pool.submit(read)
        reads.wait(PATIENCE)
        try:
            wait_for(in_a_fork(child))
        finally:
            may_end.set()
        reading.result()
        store.add(turn(4, "a"))
        assert store.summary("a").turn_count == 2
    audit(path)
    audit(tmp_path / "other.db")


def test_a_process_that_is_forked_during_an_opening_keeps_off_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection with which a store is opened is one that another process must not inherit, too."""
    monkeypatch.setattr(_idle, "_BEFORE_A_FORK", 0.05)
    path = tmp_path / "s.db"
    opens, may_go_on = threading.Event(), threading.Event()
    prepare = _connections._prepare

    def prepare_slowly(*arguments: Any) -> None:
        opens.set()
        may_go_on.wait(PATIENCE)
        prepare(*arguments)

    def child() -> None:
        with pytest.raises(StoreError, match="forked while a thread was using it"):
            SQLiteSessionStore(path)

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(_connections, "_prepare", prepare_slowly)
        opening = pool.submit(SQLiteSessionStore, path)
        opens.wait(PATIENCE)
        try:
            wait_for(in_a_fork(child))
        finally:
            may_go_on.set()
        with closing(opening.result()) as store:
            store.add(turn(1, "a"))
    audit(path)


AT_ONCE = 32


@pytest.mark.parametrize("is_held", [False, True], ids=["free", "held"])
def test_many_first_openings_at_once(tmp_path: Path, is_held: bool) -> None:
    """Processes that all find an empty file make one store, and each stores something in it.

    Where the file is held until all of them wait for it, none has a start.
    """
    path = tmp_path / "s.db"
    go_on, wait_for_go = signal_pair()
    begin, wait_for_begin = signal_pair()

    def work(number: int) -> None:
        wait_for_go()
        begin()
        with closing(SQLiteSessionStore(path, wait=PATIENCE)) as store:
            store.add(turn(number, f"s{number}"))

    children = [in_a_fork(lambda number=number: work(number)) for number in range(AT_ONCE)]
    with raw(path) if is_held else nullcontext() as holder:
        if holder is not None:
            holder.execute("PRAGMA journal_mode = WAL").fetchall()
            holder.execute("BEGIN IMMEDIATE")
        for _ in children:
            go_on()
        for _ in children:
            wait_for_begin()
        if holder is not None:
            time.sleep(0.2)  # they wait inside of SQLite, which does not tell
            holder.execute("COMMIT")
    for child in children:
        wait_for(child)
    with closing(SQLiteSessionStore(path)) as store:
        assert store.stats().sessions == AT_ONCE
    audit(path)


def test_an_opening_does_not_wait_for_a_lock_that_it_does_not_need(tmp_path: Path) -> None:
    """Who opens a new file while another process makes it a store goes on when that is done, lock or not."""
    path = tmp_path / "s.db"
    path.touch()
    with raw(path) as other, ThreadPoolExecutor(1) as pool:
        other.execute("PRAGMA journal_mode = WAL").fetchall()
        other.execute("BEGIN IMMEDIATE")
        opening = pool.submit(SQLiteSessionStore, path, wait=PATIENCE)
        for version, migration in enumerate(MIGRATIONS, 1):
            for statement in _statements(migration):
                other.execute(statement)
            other.execute(f"PRAGMA user_version = {version}")
        other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")
        opening.result().close()
        other.execute("ROLLBACK")
    audit(path)


def test_a_commit_that_fails_is_forgotten_altogether(tmp_path: Path) -> None:
    """What was noted of a batch that was undone must not be used: its numbers will be somebody else's.

    The disk is full at the very end, when the log is written: here, a process may write no larger files.
    """
    path = tmp_path / "s.db"
    with closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a", project="first"))

    def work() -> None:
        store = SQLiteSessionStore(path)
        store.add(turn(2, "a", project="first"))
        log = path.with_name("s.db-wal").stat().st_size
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log, most))
        try:
            store.add(turn(3, "b", project="second"))
        except StoreError:
            pass
        else:
            os._exit(2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with closing(SQLiteSessionStore(path)) as other:
            other.add(turn(4, "c", project="third"))
        store.add(turn(5, "d", project="second"))
        store.add([span(9, 1, trace=5)])  # makes the turn anew, from what is stored
        store.close()

    wait_for(in_a_fork(work))
    with closing(SQLiteSessionStore(path)) as store:
        assert {it.id: it.project for it in store.sessions()} == {"a": "first", "c": "third", "d": "second"}
    with raw(path) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    audit(path)
