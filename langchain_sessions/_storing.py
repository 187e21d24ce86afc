"""`store=`: spans go to a session store, through the application's provider or one of our own."""

from __future__ import annotations

import logging
import os
from multiprocessing import util
from threading import RLock
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from opentelemetry import trace as trace_api
from opentelemetry.sdk.environment_variables import (
    OTEL_ATTRIBUTE_COUNT_LIMIT,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT,
)
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from langchain_sessions._reports import Reports
from langchain_sessions._upstream import add_processor, processors_of, remove_processor
from langchain_sessions.store import SessionStoreExporter, WritableSessionStore, default_place

if TYPE_CHECKING:
    from collections.abc import Hashable

Place: TypeAlias = "WritableSessionStore | str | os.PathLike[str] | Literal[True]"
"""A store that can be written to, or where it is, as for `open_store`; True is the default place."""

_DELAY_MS: Final = 200
"""How long a finished span may wait to be stored. OpenTelemetry's five seconds are long for a watcher, and
what a process that is killed has not stored is lost."""

_ATTRIBUTES: Final = 10_000
"""Attributes of a span of our own provider. A long history has more than OpenTelemetry's 128, which then
drops the oldest messages and logs a line for each."""

_QUEUE: Final = 16_384
"""Spans that may wait; OpenTelemetry's 2,048 are less than a second of a busy server."""


class Storing:
    """Brings the spans of providers to a store. There is one for each store in a process, see `storing`.

    Raises:
        StoreError: If the store cannot be opened, see `SessionStoreExporter`.
    """

    def __init__(self, place: WritableSessionStore | str | os.PathLike[str]) -> None:
        self.processor: Final = _StoreProcessor(place)
        self._reports: Final = Reports()
        self._own: TracerProvider | None = None
        self._flush_at_end()
        util.register_after_fork(self, Storing._flush_at_end)

    def _flush_at_end(self) -> None:
        # The processes of `multiprocessing` end without `atexit`, which is where OpenTelemetry flushes.
        util.Finalize(None, self.processor.force_flush, exitpriority=0)

    def add_to(self, provider: object) -> None:
        """Have the spans of a provider stored, unless they are already."""
        with _lock:
            if self.processor in processors_of(provider) or add_processor(provider, self.processor):
                return
        self._reports.once(
            "provider",
            logging.WARNING,
            "the tracer provider (%s) takes no span processors, so nothing is stored",
            type(provider).__name__,
        )

    def remove_from(self, provider: object) -> None:
        """Undo `add_to`; what has ended by now is stored."""
        self.processor.force_flush()
        remove_processor(provider, self.processor)

    def own_provider(self) -> TracerProvider:
        """Return a provider for as long as the application has none. It is not made the global one."""
        with _lock:
            if self._own is None:
                self._own = TracerProvider(span_limits=_limits())
                self._own.add_span_processor(self.processor)
            return self._own


def storing(place: Place) -> Storing:
    """Return what brings spans to a store, the same for the same store.

    Raises:
        StoreError: If the store cannot be opened.
    """
    if place is True:
        place = default_place()
    key: Hashable = place if isinstance(place, WritableSessionStore) else _address(place)
    with _lock:
        found = _known.get(key)
        if found is None or found.processor.is_shut_down:
            found = _known[key] = Storing(place)
        return found


def provide(destination: Storing) -> None:
    """Give the application a provider whose spans are stored, if it has none."""
    if isinstance(trace_api.get_tracer_provider(), trace_api.ProxyTracerProvider):
        trace_api.set_tracer_provider(destination.own_provider())


def _limits() -> SpanLimits | None:
    variables = (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, OTEL_ATTRIBUTE_COUNT_LIMIT)
    is_chosen = any(name in os.environ for name in variables)
    return None if is_chosen else SpanLimits(max_span_attributes=_ATTRIBUTES)


class _StoreProcessor(BatchSpanProcessor):
    """Stores finished spans in batches, in a thread of its own."""

    def __init__(self, place: WritableSessionStore | str | os.PathLike[str]) -> None:
        super().__init__(
            SessionStoreExporter(place),
            schedule_delay_millis=None if OTEL_BSP_SCHEDULE_DELAY in os.environ else _DELAY_MS,
            max_queue_size=None if OTEL_BSP_MAX_QUEUE_SIZE in os.environ else _QUEUE,
        )
        self.is_shut_down = False

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        # Asked once more when the process ends, by when it may be shut down: older SDKs log that.
        return True if self.is_shut_down else super().force_flush(timeout_millis)

    def shutdown(self) -> None:
        self.is_shut_down = True
        super().shutdown()


def _address(place: str | os.PathLike[str]) -> str:
    text = os.fspath(place)
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 -- text


_known: Final[dict[Hashable, Storing]] = {}

_lock: Final = RLock()
"""Guards the above, and that a provider gets a processor once. Opening a store, and a provider's
`add_span_processor`, run under it."""
