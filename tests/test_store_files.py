from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import (
    SQLiteSessionStore,
    StoreError,
    StoreUnavailableError,
)
from tests.support.spans import turn
from tests.support.stores import all_sessions, audit, raw

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def files(path: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    return {it.name: it.read_bytes() for it in path.iterdir()}


def a_store(path: Path, turns: int = 1) -> Path:
    """Make a store with some turns."""
    with closing(SQLiteSessionStore(path)) as store:
        store.add([it for number in range(turns) for it in turn(number, "a", "x" * 500)])
    return path


@contextmanager
def any_mask(mask: int) -> Generator[None]:
    """With another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_what_is_said(tmp_path: Path, mask: int) -> None:
    """Whatever the mask: the file, what SQLite puts beside it, and the folder if it had to be made."""
    path = tmp_path / "new" / "sessions.db"
    with any_mask(mask), closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a"))
        assert {it.name: mode(it) for it in path.parent.iterdir()} == {
            "sessions.db": 0o600,
            "sessions.db-wal": 0o600,
            "sessions.db-shm": 0o600,
        }
        assert mode(path.parent) == 0o700


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """Whoever shares a store with a group has a reason."""
    path = a_store(tmp_path / "s.db")
    path.chmod(0o660)
    a_store(path)
    assert mode(path) == 0o660


@pytest.mark.parametrize("name", ["a b?mode=ro#x%20.db", "Ü旅行.db", "'; DROP TABLE spans; --", ":memory:"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    """Whatever it means elsewhere."""
    a_store(tmp_path / name)
    assert [it.name for it in tmp_path.iterdir()] == [name]
    audit(tmp_path / name)


def test_without_create_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """And is not made."""
    with pytest.raises(StoreError, match=f"there is no session store at {tmp_path / 'x.db'}"):
        SQLiteSessionStore(tmp_path / "x.db", create=False)
    assert files(tmp_path) == {}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The error names one that would do."""
    with pytest.raises(StoreError, match=f"{tmp_path} is a folder; name a file in it, such as"):
        SQLiteSessionStore(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """One clear error, that names the path."""
    (tmp_path / "file").write_text("something")
    with pytest.raises(StoreError, match=f"cannot use the session store {tmp_path / 'file' / 's.db'}"):
        SQLiteSessionStore(tmp_path / "file" / "s.db")


GARBAGE = {
    "text": b"once upon a time " * 500,
    "noise": random.Random(1).randbytes(10_000),
    "the head of a database and noise": b"SQLite format 3\x00" + random.Random(2).randbytes(10_000),
    "short": b"xy",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_file_that_is_something_else_is_an_error_and_untouched(tmp_path: Path, name: str) -> None:
    """The error names it and says what to do."""
    path = tmp_path / "s.db"
    path.write_bytes(GARBAGE[name])

    with pytest.raises(StoreError, match=f"{path}.* is damaged, or no SQLite database .*move it away"):
        SQLiteSessionStore(path)
    assert files(tmp_path) == {"s.db": GARBAGE[name]}


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 1",
        "CREATE TABLE sessions (id); PRAGMA journal_mode = WAL",
    ],
)
def test_somebody_elses_database_is_an_error_and_untouched(tmp_path: Path, script: str) -> None:
    """Also an empty one, if it says whose it is."""
    path = tmp_path / "s.db"
    with raw(path) as db:
        db.executescript(script)
    before = files(tmp_path)

    with pytest.raises(StoreError, match=f"{path} is a SQLite database, but not a session store"):
        SQLiteSessionStore(path)
    assert files(tmp_path) == before


def test_a_store_of_a_later_version_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    """And stays as it is."""
    path = a_store(tmp_path / "s.db")
    with raw(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"later version .*version is 99, .*pip install --upgrade"):
        SQLiteSessionStore(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """As `touch` and `mktemp` make one."""
    path = tmp_path / "s.db"
    path.touch()
    audit(a_store(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_an_error_that_names_it(tmp_path: Path, share: float) -> None:
    """When it is opened, or when what is missing is needed."""
    path = a_store(tmp_path / "s.db", turns=200)
    os.truncate(path, int(path.stat().st_size * share))

    with pytest.raises(StoreError, match=f"{path} is damaged"):
        all_and_add(path)


def all_and_add(path: Path) -> None:
    """Read everything, and add to it."""
    with closing(SQLiteSessionStore(path)) as store:
        all_sessions(store)
        for name in ("question", "x"):
            store.search(name)
        store.stats()
        store.add(turn(1_000, "a"))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_an_error_of_ours_or_still_readable(tmp_path: Path, seed: int) -> None:
    """Pages of noise: no other error than a StoreError, from whatever is called."""
    path = a_store(tmp_path / "s.db", turns=200)
    chance = random.Random(seed)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(6):
            file.seek(4096 * chance.randrange(1, size // 4096))
            file.write(chance.randbytes(4096))
    with suppress(StoreError):
        all_and_add(path)


def test_a_locked_file_is_unavailable(tmp_path: Path) -> None:
    """A writer waits as long as it was told to; readers do not wait at all."""
    path = a_store(tmp_path / "s.db")
    with closing(SQLiteSessionStore(path, wait=0.01)) as store, raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=f"{path} is locked by another process"):
            store.add(turn(2, "a"))
        with pytest.raises(StoreUnavailableError):
            store.delete("a")
        assert store.summary("a").turn_count == 1
        other.execute("ROLLBACK")
        assert store.add(turn(2, "a")) == 2
    audit(path)


def test_a_new_file_that_somebody_holds_is_unavailable(tmp_path: Path) -> None:
    """Not damaged: it may be a store in a moment."""
    path = tmp_path / "s.db"
    with raw(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError):
            SQLiteSessionStore(path, wait=0.01)
    audit(a_store(path))


def test_a_file_that_was_removed_is_missed_and_not_made_anew(tmp_path: Path) -> None:
    """Rather an error than spans in a file that has no name any more."""
    path = tmp_path / "s.db"
    with closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a"))
        path.unlink()
        with pytest.raises(StoreError, match=f"cannot use the session store {path}: No such file"):
            store.add(turn(2, "a"))
    assert not path.exists()


def test_a_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """What a store remembers of one file is nothing for another."""
    path, other = tmp_path / "s.db", a_store(tmp_path / "other.db")
    with closing(SQLiteSessionStore(path)) as store:
        store.add(turn(1, "a"))
        other.replace(path)
        with pytest.raises(StoreError, match=f"{path} was replaced while it was in use; open it anew"):
            store.add(turn(2, "a"))


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and no more rights than its owner has: for the superuser, no file is read-only."""
    path = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, 65_534, 65_534)
        os.seteuid(65_534)
    try:
        yield path
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(0o700)
        shutil.rmtree(path)


def test_a_file_that_must_not_be_written_is_an_error_that_says_so(unprivileged: Path) -> None:
    """When it is opened to write; to read, it may be opened."""
    path = a_store(unprivileged / "s.db")
    path.chmod(0o400)

    with pytest.raises(StoreError, match=f"cannot use the session store {path}: Permission denied"):
        SQLiteSessionStore(path)
    with closing(SQLiteSessionStore(path, create=False)) as store:
        assert store.summary("a").turn_count == 1
        with pytest.raises(StoreError, match="readonly"):
            store.add(turn(2, "a"))


def test_a_folder_that_must_not_be_written_is_an_error_that_names_the_file(unprivileged: Path) -> None:
    """No store can be made there, nor can one be used: SQLite puts files beside it."""
    unprivileged.chmod(0o500)
    with pytest.raises(StoreError, match=f"{unprivileged / 's.db'}: Permission denied"):
        SQLiteSessionStore(unprivileged / "s.db")


def test_errors_of_sqlite_are_explained_and_kept(tmp_path: Path) -> None:
    """What SQLite said is the cause."""
    (tmp_path / "s.db").write_bytes(b"something else " * 1_000)
    with pytest.raises(StoreError) as caught:
        SQLiteSessionStore(tmp_path / "s.db")
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
