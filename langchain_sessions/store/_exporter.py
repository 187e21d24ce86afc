"""`SessionStoreExporter`: OpenTelemetry's spans into a session store."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from langchain_sessions._reports import Reports
from langchain_sessions.store._open import open_store
from langchain_sessions.store._otel import span_of
from langchain_sessions.store._protocol import StoreError, StoreUnavailableError, WritableSessionStore

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from langchain_sessions.store._span import Span

MAX_WAITING: Final = 8_192
"""Spans kept in memory while the store cannot take them, some ten megabytes; the oldest go first."""

_BATCH: Final = 512
"""Spans in one transaction."""

_LONG: Final = 1.0
_REST: Final = 5.0
"""Seconds: a store that took longer than the first to say that it cannot be used is left alone for as long
as it took, and no longer than the second."""


class SessionStoreExporter(SpanExporter):
    """Exports spans to a session store.

    ```python
    provider.add_span_processor(BatchSpanProcessor(SessionStoreExporter("sessions.db")))
    ```

    Never harms the application: spans that the store cannot take (the disk is full, the file is locked or
    damaged) wait in memory, and are tried again with the next ones and at the end. Those that had to be given
    up are counted, and what happened is logged once.

    Args:
        store: A store that can be written to, or where it is, as for `open_store`.
        max_waiting: How many spans may wait.

    Raises:
        StoreError: If the store cannot be opened for a reason that does not pass by itself: it is damaged,
            not a session store, one of a later version, or can only be read.
    """

    def __init__(
        self,
        store: WritableSessionStore | str | os.PathLike[str] | None = None,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._waiting: Final[deque[Span]] = deque()
        self._max_waiting: Final = max_waiting
        self._reports: Final = Reports()
        self._dropped = 0
        self._rests_until = 0.0
        self._is_shut_down = False
        self._place: str | os.PathLike[str] | None = None
        self._store: WritableSessionStore | None = None
        self._is_store_ours = not isinstance(store, WritableSessionStore)
        if isinstance(store, WritableSessionStore):
            self._store = store
            return
        self._place = store
        try:
            self._store = self._opened()
        except StoreUnavailableError as error:
            self._say(error)

    @property
    def dropped_span_count(self) -> int:
        """Spans that were given up."""
        return self._dropped

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep spans, and those that are waiting."""
        if self._is_shut_down:
            return SpanExportResult.FAILURE
        self._waiting.extend(filter(None, map(span_of, spans)))
        return SpanExportResult.SUCCESS if self._store_waiting() else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Try once more to keep what is waiting; return whether nothing is."""
        return self._store_waiting()

    def shutdown(self) -> None:
        """Try a last time to keep what is waiting, and close the store if it was opened here."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._store_waiting()
        self._drop(len(self._waiting))
        if self._is_store_ours and self._store is not None:
            self._store.close()

    def _store_waiting(self) -> bool:
        """Keep what is waiting, a batch at a time; return whether all of it was.

        There is no lock: threads may each take a batch, and what is kept twice counts once.
        """
        if time.monotonic() < self._rests_until:
            return False
        while batch := self._take():
            began = time.monotonic()
            try:
                self._keep(batch)
            except StoreError as error:
                # A store that let us wait for seconds will not be better now. A process that ends does not
                # wait once for every batch.
                took = (ended := time.monotonic()) - began
                self._rests_until = ended + min(took, _REST) if took > _LONG else 0.0
                self._waiting.extendleft(reversed(batch))
                self._say(error)
                self._drop(len(self._waiting) - self._max_waiting)
                return False
        return True

    def _keep(self, batch: list[Span]) -> None:
        if self._store is None:
            self._store = self._opened()
        try:
            self._store.add(batch)
        except StoreError:
            raise
        except Exception as error:
            if len(batch) > 1:  # one span that cannot be kept must not take the others with it
                for span in batch:
                    self._keep([span])
                return
            self._dropped += 1
            self._reports.error(batch[0].name, "store", error)

    def _take(self) -> list[Span]:
        batch: list[Span] = []
        while len(batch) < _BATCH:
            try:
                batch.append(self._waiting.popleft())
            except IndexError:
                break
        return batch

    def _drop(self, count: int) -> None:
        for _ in range(count):
            try:
                self._waiting.popleft()
            except IndexError:
                return
            self._dropped += 1
            self._reports.once(
                "dropped",
                logging.ERROR,
                "the session store has been out of order for too long, and spans are given up; they are "
                "counted (SessionStoreExporter.dropped_span_count)",
            )

    def _opened(self) -> WritableSessionStore:
        store = open_store(self._place)
        if not isinstance(store, WritableSessionStore):
            store.close()
            msg = f"{store!r} can only be read"
            raise StoreError(msg)
        return store

    def _say(self, error: StoreError) -> None:
        self._reports.once(
            ("store", type(error)), logging.WARNING, "%s. The application goes on; spans wait.", error
        )
