"""Saying a thing once: what a user should hear about ids, without one line for every span."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable
from threading import RLock
from typing import Final
from weakref import WeakSet

logger: Final = logging.getLogger("langchain_sessions")

MAX_CAUSES = 1_000
"""Causes remembered for each handler. A process that has heard of a thousand of them needs no more."""


class Reports:
    """Logs a cause when it first appears, and counts our own errors.

    With `is_private` it says neither names nor texts that could hold an id. The lock guards the set of causes
    and the counter; logging happens outside it, because a logging handler is foreign code.
    """

    def __init__(self, *, is_private: bool = False) -> None:
        self._is_private = is_private
        self._causes: set[Hashable] = set()
        self.renew_lock()
        self.error_count = 0
        self.refused_baggage_count = 0
        _all.add(self)

    def renew_lock(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = RLock()  # reentrant: the garbage collector may end a run at any moment

    def name_of(self, run_name: str) -> str:
        """Return how a log may call a run: a name may hold an id that is to be hidden."""
        return "(hidden)" if self._is_private else run_name

    def once(self, cause: Hashable, level: int, message: str, *arguments: object) -> None:
        """Log `message % arguments` unless the same cause was reported before."""
        if self._is_new(cause):
            logger.log(level, f"langchain_sessions: {message}", *arguments)  # noqa: G004 -- a constant prefix

    def error(self, run_name: str, doing: str, error: Exception) -> None:
        """Count an error of ours (or of a processor or sampler that ran in our call); log each kind once."""
        with self._lock:
            self.error_count += 1
        if self._is_new(("error", doing, type(error))):
            logger.error(
                "langchain_sessions could not %s the span of run %r (%s); the application goes on. "
                "Further errors of this kind are counted (SessionCallbackHandler.error_count), not logged.",
                doing,
                self.name_of(run_name),
                type(error).__name__,
                exc_info=None if self._is_private else error,
            )

    def refuse_baggage(self) -> None:
        """Count inbound baggage that is no id; a log line for each would be the sender's to trigger."""
        with self._lock:
            self.refused_baggage_count += 1

    def _is_new(self, cause: Hashable) -> bool:
        with self._lock:
            if cause in self._causes or len(self._causes) >= MAX_CAUSES:
                return False
            self._causes.add(cause)
            return True


_all: Final[WeakSet[Reports]] = WeakSet()


def _renew_locks() -> None:
    """In a forked process: a thread that held a lock is not there to give it back."""
    for reports in tuple(_all):
        reports.renew_lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)
