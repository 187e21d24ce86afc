"""Connections to one SQLite file: opened when needed, used by one thread at a time, not kept over a fork."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import finalize

from langchain_sessions.store._protocol import StoreError, StoreMissingError, StoreUnavailableError
from langchain_sessions.store._sqlite._idle import FileId, Idle, is_inherited
from langchain_sessions.store._sqlite._schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

WAIT: Final = 10.0
"""Seconds for which a statement waits when another process writes."""

_SHORT_WAIT_MS: Final = 100
"""For how long a statement waits while a store is opened, before it is asked anew whether there is a need."""

_CACHE_KIB: Final = 32 * 1024
"""Pages that a connection keeps in memory. The index of spans is written to at random places."""

_CHECKPOINT_PAGES: Final = 16_000
"""Pages (64 MB) after which a writer moves the log into the file. A page that was written many times, as
those of the indexes are, is moved once."""


class Connections:
    """A pool of connections.

    Args:
        path: The file.
        may_create: Whether to make the file if it is not there.
        wait: Seconds to wait for other writers; `WAIT` by default.

    Raises:
        StoreMissingError: If there is no file, and none may be made.
        StoreError: If the file cannot be opened, is not a session store, or one of a later version.
    """

    def __init__(self, path: Path, *, may_create: bool = True, wait: float | None = None) -> None:
        self.path: Final = path
        self._wait: Final = WAIT if wait is None else wait
        self._identity: FileId | None = None
        with explained(path):
            if may_create:
                _make_file(path)
            elif not path.exists():
                raise StoreMissingError(path)
            elif not path.is_file():
                msg = f"the session store {path} is no file; name one"
                raise StoreError(msg)
            self._identity = _identity(path)
            self._renew()
            try:
                with self._borrowed() as connection:
                    _prepare(connection, path, self._wait)
            except BaseException:
                self._idle.close()
                raise

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection that sees the store as it is now, whatever is written meanwhile."""
        with explained(self.path), self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:  # SQLite ends it by itself after some errors
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A connection in a transaction that is committed at the end, or undone if there is an error."""
        # Threads wait here, which is fair and costs nothing; processes wait in SQLite, which polls.
        with explained(self.path), self._own().writer, self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite undoes it by itself when the disk is full
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def outside_transactions(self) -> Generator[sqlite3.Connection]:
        """A connection for what makes its own transactions."""
        with explained(self.path), self._borrowed() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses; the others are closed when they come back."""
        self._own().close()

    @contextmanager
    def _borrowed(self) -> Generator[sqlite3.Connection]:
        if _identity(self.path) != self._identity:
            msg = f"the session store {self.path} was replaced while it was in use; open it anew"
            raise StoreError(msg)
        self._check_inheritance()
        idle = self._own()
        connection = idle.take()
        try:
            if connection is None:
                connection = self._open()
            yield connection
        finally:
            idle.put(connection)

    def _check_inheritance(self) -> None:
        if self._identity is not None and is_inherited(self._identity):
            msg = (
                f"the session store {self.path} cannot be used in this process, which was forked while a "
                f"thread was using it; fork before, or start processes by 'spawn'"
            )
            raise StoreError(msg)

    def _own(self) -> Idle:
        if self._idle.process != os.getpid():
            self._renew()
        return self._idle

    def _renew(self) -> None:
        # A connection must not be used, nor even closed, in a process that was forked from its own.
        self._idle = Idle()
        self._idle.file = self._identity
        # Not at the end of the interpreter: exporters may then still have something to store.
        finalize(self, self._idle.close).atexit = False

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",  # a file that was deleted meanwhile is not made anew
            uri=True,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # In a log that is written ahead, NORMAL survives the end of the process, though not always that
            # of the machine: of the last moments before a power cut, something may be missing.
            connection.execute("PRAGMA synchronous = NORMAL")
            # What is deleted is overwritten, as many builds of SQLite do anyway, and others do not.
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn SQLite's errors into one that names the file and the remedy.

    Raises:
        ValueError: If a value cannot be stored at all.
        StoreError: In the place of any other error of SQLite or the file system.
    """
    try:
        yield
    except (
        sqlite3.DataError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
    ) as error:
        # What was asked for is wrong, not the store.
        msg = f"cannot be stored: {error}"
        raise ValueError(msg) from error
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        msg = f"cannot use the session store {path}: {error.strerror or error}"
        raise StoreError(msg) from error


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreUnavailableError(
            f"the session store {path} is locked by another process; close what holds it, or try again"
        )
    if "full" in text:
        return StoreUnavailableError(
            f"the disk that holds the session store {path} is full; make room, or prune the store"
        )
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"the session store {path} is damaged, or no SQLite database ({text}); move it away and start a "
            f"new one, or restore a copy (sqlite3 FILE '.recover' saves what can be read)"
        )
    if "fts5" in text:
        return StoreError("this Python's SQLite was built without full-text search (FTS5), which stores need")
    return StoreError(f"cannot use the session store {path}: {text}")


def _make_file(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives what it puts beside it the same mode.

    A file that is there is not opened here: with the first of its descriptors that a process closes, all the
    locks go that the process has on the file, those of its other connections included.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():
        msg = f"{path} is a folder; name a file in it, such as {path / 'sessions.db'}"
        raise StoreError(msg)
    try:
        with _making:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


_making: Final = Lock()
"""So that no other thread opens a file that is being made, and has its locks taken away."""


def _identity(path: Path) -> FileId:
    """Which file it is that has this name."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _prepare(connection: sqlite3.Connection, path: Path, wait: float) -> None:
    """Bring the file to the newest version, whoever else is about to do the same."""
    give_up = time.monotonic() + wait
    # In short waits: who comes second has nothing to wait for any more as soon as the first is done; but
    # among processes that go on to write, it might not get the lock for long.
    connection.execute(f"PRAGMA busy_timeout = {_SHORT_WAIT_MS}").fetchall()
    while not _is_current(connection, path, give_up):
        time.sleep(0.01)  # SQLite does not always wait itself when another process has just opened the file
    connection.execute(f"PRAGMA busy_timeout = {round(1_000 * wait)}").fetchall()


def _is_current(connection: sqlite3.Connection, path: Path, give_up: float) -> bool:
    """Whether the file is of the newest version now; not if another process has it locked, for a while."""
    try:
        if (version := _version(connection, path)) == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that a pruned file can become smaller
            # Readers and a writer do not wait for each other.
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        while version < len(MIGRATIONS):
            _migrate(connection, path, version)
            version = _version(connection, path)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) or time.monotonic() > give_up:
            raise
        return False
    return True


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Take the file from one version to the next, in one transaction, if nobody was faster."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection, path) == version:
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's version; 0 if it is empty.

    Raises:
        StoreError: If it is of a later version, or of somebody else.
    """
    # In one statement: between two of them, another process may have made the tables.
    [(application, version, has_tables)] = connection.execute(
        "SELECT application_id, user_version, EXISTS (SELECT 1 FROM sqlite_master) "
        "FROM pragma_application_id, pragma_user_version"
    )
    if application != APPLICATION_ID:
        if version or application or has_tables:
            msg = f"{path} is a SQLite database, but not a session store; name another file"
            raise StoreError(msg)
        return 0
    if version > len(MIGRATIONS):
        msg = (
            f"the session store {path} was made by a later version of langchain-sessions (its version is "
            f"{version}, this one knows {len(MIGRATIONS)}): pip install --upgrade langchain-sessions"
        )
        raise StoreError(msg)
    return version


def _statements(script: str) -> Iterator[str]:
    """Divide a script into its statements: `executescript` would commit before the first one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
