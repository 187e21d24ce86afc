"""The connections of one process that nobody uses now, and what becomes of them when it is forked.

SQLite notes, for the whole process, which locks on a file it holds. A forked process inherits that note but
not the locks: beside an inherited connection, one that it opens itself would write without a lock, and what
it writes be lost as soon as somebody else, who sees no lock, does away with the log. So there must be no
connection to inherit: those that are idle are closed before a fork, and those in use are waited for. If that
takes too long, the process is forked, and cannot use the file.
"""

from __future__ import annotations

import os
import time
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakValueDictionary

from langchain_sessions.store._protocol import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

FileId: TypeAlias = tuple[int, int]
"""A device and a file on it, whatever its name."""

_KEPT: Final = 8
"""Idle connections kept open. More threads at a time open more, and close them again."""

_BEFORE_A_FORK: Final = 15.0
"""Seconds for which a fork waits for connections that other threads use. These wait themselves, less long,
while another process keeps the file locked or the disk is slow."""


class Idle:
    """The connections of one process that nobody uses now. Its lock guards the list, and no call.

    Attributes:
        process: The process that they belong to.
        writer: Held by the thread that writes.
        file: What they are connected to, once there is a file.
    """

    def __init__(self) -> None:
        self.file: FileId | None = None
        self.process: Final = os.getpid()
        self.writer: Final = Lock()
        self._changed: Final = Condition(Lock())
        self._connections: Final[list[sqlite3.Connection]] = []
        self._in_use = 0
        self._is_closed = False
        self._is_held = False
        _all[id(self)] = self

    @property
    def is_in_use(self) -> bool:
        """Whether somebody uses a connection."""
        return self._in_use > 0

    def take(self) -> sqlite3.Connection | None:
        """Return a connection, or None if one has to be opened; `put` it back in either case."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_held)
            if self._is_closed:
                msg = "the session store was closed"
                raise StoreError(msg)
            self._in_use += 1
            return self._connections.pop() if self._connections else None

    def put(self, connection: sqlite3.Connection | None) -> None:
        """Take a connection back; None if it could not be opened."""
        if self.process != os.getpid():  # forked while it was in use: it is the parent's, and so is the lock
            return
        with self._changed:
            is_kept = not self._is_closed and len(self._connections) < _KEPT
            if connection is not None and is_kept:
                self._connections.append(connection)
                connection = None
        # Closed before it counts as given back: a fork waits for it.
        try:
            if connection is not None:
                connection.close()
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Close the idle connections now, and those in use when they come back."""
        if self.process != os.getpid():
            return
        with self._changed:
            self._is_closed = True
            connections = self._connections[:]
            self._connections.clear()
        for connection in connections:
            connection.close()

    def hold(self, give_up: float) -> None:
        """Close the idle connections, and let nobody have one until `go_on`.

        Args:
            give_up: When not to wait any longer, by the monotonic clock: rather a process that cannot use the
                file than one that never comes, if the thread that forks is itself using a connection.
        """
        if not self._changed.acquire(timeout=max(0.0, give_up - time.monotonic())):
            return
        self._is_held = True
        self._changed.wait_for(lambda: self._in_use == 0, timeout=max(0.0, give_up - time.monotonic()))
        while self._connections:
            self._connections.pop().close()

    def go_on(self) -> None:
        """Undo `hold`."""
        if self._is_held:
            self._is_held = False
            self._changed.notify_all()
            self._changed.release()


_all: Final[WeakValueDictionary[int, Idle]] = WeakValueDictionary()

_inherited: Final[set[FileId]] = set()
"""Files to which this process has connections that are not its own."""


def is_inherited(file: FileId) -> bool:
    """Whether this process was forked while a connection to a file was in use, and so must keep off it."""
    return file in _inherited


def _living() -> Iterable[Idle]:
    # At one go, as other threads may be adding theirs.
    return filter(None, [reference() for reference in _all.valuerefs()])


def _of_this_process() -> list[Idle]:
    return [it for it in _living() if it.process == os.getpid()]


def _before_fork() -> None:
    give_up = time.monotonic() + _BEFORE_A_FORK
    for idle in _of_this_process():
        idle.hold(give_up)


def _after_fork() -> None:
    for idle in _of_this_process():
        idle.go_on()


def _after_fork_in_child() -> None:
    _inherited.update(it.file for it in _living() if it.file is not None and it.is_in_use)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
