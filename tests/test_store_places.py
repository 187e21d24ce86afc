"""Where a store is, and what becomes of the file of an older version."""

from __future__ import annotations

import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import (
    SQLiteSessionStore,
    StoreError,
    WritableSessionStore,
    open_store,
)
from langchain_sessions.store._sqlite import _connections, _schema
from tests.support.spans import turn
from tests.support.stores import audit, raw

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def a_store(path: Path, turns: int = 1) -> Path:
    """Make a store with some turns."""
    with closing(SQLiteSessionStore(path)) as store:
        store.add([it for number in range(turns) for it in turn(number, "a", "x" * 500)])
    return path


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version, tables and rows; and it is done when it can be."""
    path = a_store(tmp_path / "s.db")
    first = _schema.MIGRATIONS
    broken = "CREATE TABLE more (x);\nINSERT INTO more VALUES (1);\nINSERT INTO nowhere VALUES (1);\n"

    def dump() -> list[object]:
        with raw(path) as db:
            schema = db.execute("SELECT * FROM sqlite_master ORDER BY name").fetchall()
            names = [it[1] for it in schema if it[0] == "table" and it[1] != "words"]
            rows = [db.execute(f"SELECT * FROM {name}").fetchall() for name in names]
            return [db.execute("PRAGMA user_version").fetchone(), schema, rows]

    before = dump()
    monkeypatch.setattr(_connections, "MIGRATIONS", (*first, broken))
    with pytest.raises(StoreError, match="nowhere"):
        SQLiteSessionStore(path)
    assert dump() == before

    monkeypatch.setattr(
        _connections, "MIGRATIONS", (*first, "CREATE TABLE more (x);\n", "DROP TABLE more;\n")
    )
    with closing(SQLiteSessionStore(path)) as store:
        assert store.summary("a").turn_count == 1
    assert dump()[0] == (len(first) + 2,)

    monkeypatch.undo()
    with pytest.raises(StoreError, match="later version"):
        SQLiteSessionStore(path)


def test_a_first_migration_that_fails_leaves_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which the next one who opens it makes a store."""
    path = tmp_path / "s.db"
    monkeypatch.setattr(
        _connections, "MIGRATIONS", (_schema.MIGRATIONS[0] + "INSERT INTO nowhere VALUES (1);\n",)
    )
    with pytest.raises(StoreError, match="nowhere"):
        SQLiteSessionStore(path)
    monkeypatch.undo()
    audit(a_store(path))


def test_a_store_is_written_ahead_and_can_shrink(tmp_path: Path) -> None:
    """What is set up once, when the file is made."""
    with raw(a_store(tmp_path / "s.db")) as db:
        settings = [db.execute(f"PRAGMA {it}").fetchone()[0] for it in ("journal_mode", "auto_vacuum")]
    assert settings == ["wal", 2]


def test_a_store_is_found_by_path_address_and_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They all mean the same file; what names none is an error."""
    path = a_store(tmp_path / "a b.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANGCHAIN_SESSIONS_DB", str(path))
    address = f"sqlite:///{str(path).replace(' ', '%20')}"
    for place in (None, path, str(path), "a b.db", address, "sqlite:///a%20b.db"):
        with closing(open_store(place, create=False)) as store:
            assert isinstance(store, WritableSessionStore)
            assert store.summary("a").turn_count == 1
    for place in ("", ":memory:", "postgres://host/db", "sqlite://host/a.db"):
        with pytest.raises(StoreError):
            open_store(place)


def test_the_default_place_is_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is made for it, which nobody else can look into."""
    monkeypatch.delenv("LANGCHAIN_SESSIONS_DB", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with closing(open_store()) as store:
        assert list(store.sessions()) == []
    [path] = tmp_path.rglob("sessions.db")
    assert path.parent.name == "langchain-sessions"
    assert mode(path.parent) == 0o700
