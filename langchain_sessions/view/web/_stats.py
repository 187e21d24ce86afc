"""Sums that no request waits for: kept for a while, and counted anew beside the requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from langchain_sessions.view.web._charts import tiles

if TYPE_CHECKING:
    from langchain_sessions.store import SessionFilter, SessionStats, SessionStore
    from langchain_sessions.view.web._charts import Tile

_MOST: Final = 64
"""Filters whose sums are kept. Who tries out others pushes out those that nobody asked for lately."""

_WAIT: Final = 0.3
"""Seconds for which a request waits when nothing is known yet."""

_FRESH: Final = 2.0
"""Seconds for which sums are not counted again, whatever happens."""

_SHARE: Final = 20
"""Counting rests for so many times as long as it took: on a busy store it takes a twentieth of one core."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Sums, and when they were counted.

    Attributes:
        stats: The sums.
        tiles: Pictures of them.
        revision: The store's revision just before.
        number: Of all counts of this process, which one it is: another one whenever it was counted again.
        fresh_until: The time (monotonic) before which it is not counted again.
    """

    stats: SessionStats
    tiles: tuple[Tile, ...]
    revision: str
    number: int
    fresh_until: float


class StatsCache:
    """Sums up a store. Its lock guards the two dictionaries, and no call."""

    def __init__(self, store: SessionStore) -> None:
        self._store: Final = store
        self._lock: Final = threading.Lock()
        self._known: Final[OrderedDict[SessionFilter, Counted]] = OrderedDict()
        self._counting: Final[dict[SessionFilter, Future[Counted]]] = {}
        self._worker: Final = ThreadPoolExecutor(1, "langchain-sessions-stats")
        self._number = 0

    def get(self, where: SessionFilter, revision: str) -> Counted | None:
        """Return the sums as they are known, and have them counted again if the store has changed.

        Args:
            where: What is summed up.
            revision: The store's, now.

        Returns:
            None if they are counted for the first time, and that takes longer than a reader wants to wait.

        Raises:
            StoreError: If the store cannot be read.
        """
        with self._lock:
            known = self._known.get(where)
            if known is not None:
                self._known.move_to_end(where)
                if known.revision == revision or time.monotonic() < known.fresh_until:
                    return known
            counting = self._count_later(where)
        if known is not None or counting is None:
            return known
        try:
            return counting.result(_WAIT)
        except (TimeoutError, CancelledError):
            return None

    def close(self) -> None:
        """Wait for what is being counted, and count no more."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _count_later(self, where: SessionFilter) -> Future[Counted] | None:
        counting = self._counting.get(where)
        if counting is None and len(self._counting) < _MOST:
            counting = self._counting[where] = self._worker.submit(self._count, where)
        return counting

    def _count(self, where: SessionFilter) -> Counted:
        try:
            began = time.monotonic()
            revision = self._store.revision()
            stats = self._store.stats(where)
            drawn = _drawn(stats, where)
            ended = time.monotonic()
            with self._lock:
                self._number += 1
                fresh_until = ended + max(_FRESH, _SHARE * (ended - began))
                counted = self._known[where] = Counted(stats, drawn, revision, self._number, fresh_until)
                self._known.move_to_end(where)
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
            return counted
        finally:
            with self._lock:
                self._counting.pop(where, None)


def _drawn(stats: SessionStats, where: SessionFilter) -> tuple[Tile, ...]:
    """Draw the days that were summed up; without both ends, those in which something happened."""
    days = [it.day for it in stats.days] or [datetime.now(UTC).date()]
    first = where.since.date() if where.since else days[0]
    last = where.until.date() - timedelta(days=1) if where.until else days[-1]
    return tiles(stats, first, last)
