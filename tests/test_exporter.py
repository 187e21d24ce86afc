from __future__ import annotations

import logging
import math
import resource
import signal
import sqlite3
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from langchain_sessions.store import (
    SessionStoreExporter,
    SQLiteSessionStore,
    StoreError,
    _exporter,
    open_store,
)
from langchain_sessions.store._sqlite import _connections

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.support.traces import Traces

pytestmark = pytest.mark.core

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a failing attempt takes on a busy machine, the next one follows it at once."""
    monkeypatch.setattr(_exporter, "_LONG", math.inf)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "sessions.db"


def recorded(traces: Traces, count: int = 1, session: str = "abc") -> list[ReadableSpan]:
    """Record turns of one span each, of a session."""
    tracer = traces.provider.get_tracer("tests")
    already = len(traces.ended)
    for number in range(already, already + count):
        span = tracer.start_span("turn", start_time=1_000 * number)
        span.set_attributes({"session.id": session, "input.value": f"question {number}"})
        span.end(end_time=1_000 * number + 500)
    return traces.ended[already:]


def stored(path: Path) -> list[str]:
    """What was asked in the session, read through another store object."""
    store = open_store(path)
    page = store.sessions()
    said = [turn.input for turn in store.session("abc").turns] if page else []
    store.close()
    return said


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Have somebody else write to the store for as long as the block lasts."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, without levels."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_spans_become_turns_of_their_session(traces: Traces, path: Path) -> None:
    """What a provider exports can be read as a conversation."""
    exporter = SessionStoreExporter(path)

    assert exporter.export(recorded(traces, 2)) is SUCCESS
    exporter.shutdown()

    assert stored(path) == ["question 0", "question 1"]


def test_a_store_that_was_given_stays_open(traces: Traces, path: Path) -> None:
    """Whoever opened a store closes it."""
    store = SQLiteSessionStore(path)
    exporter = SessionStoreExporter(store)
    exporter.export(recorded(traces))
    exporter.shutdown()

    assert store.summary("abc").turn_count == 1
    assert exporter.export(recorded(traces)) is FAILURE
    store.close()


def test_spans_wait_while_the_store_is_locked(
    traces: Traces, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be stored is stored with what follows, in order, and said once."""
    store = SQLiteSessionStore(path, wait=0.01)
    exporter = SessionStoreExporter(store)
    with locked(path):
        results = [exporter.export(recorded(traces)) for _ in range(3)]
        assert exporter.force_flush() is False

    assert exporter.export(recorded(traces)) is SUCCESS
    assert results == [FAILURE] * 3
    assert stored(path) == [f"question {number}" for number in range(4)]
    assert exporter.dropped_span_count == 0
    [said] = warnings_of(caplog)
    assert f"the session store {path} is locked by another process" in said
    exporter.shutdown()
    store.close()


def test_the_oldest_spans_are_given_up_when_too_many_wait(
    traces: Traces, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory is bounded: what is given up is counted, and said once."""
    store = SQLiteSessionStore(path, wait=0.01)
    exporter = SessionStoreExporter(store, max_waiting=2)
    with locked(path):
        for _ in range(4):
            exporter.export(recorded(traces))

    assert exporter.force_flush() is True
    assert stored(path) == ["question 2", "question 3"]
    assert exporter.dropped_span_count == 2
    assert [message for message in warnings_of(caplog) if "given up" in message] == [
        "langchain_sessions: the session store has been out of order for too long, and spans are given up; "
        "they are counted (SessionStoreExporter.dropped_span_count)"
    ]
    exporter.shutdown()
    store.close()


def test_a_store_that_cannot_be_opened_now_is_opened_later(
    traces: Traces, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting up does not fail for a reason that passes by itself."""
    monkeypatch.setattr(_connections, "WAIT", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    exporter = SessionStoreExporter(path)
    result = exporter.export(recorded(traces))
    other.close()

    assert exporter.force_flush() is True
    exporter.shutdown()
    assert result is FAILURE
    assert stored(path) == ["question 0"]
    assert "is locked by another process" in warnings_of(caplog)[0]


def test_what_cannot_be_stored_at_the_end_is_counted(traces: Traces, path: Path) -> None:
    """Shutting down tries a last time, and does not raise."""
    store = SQLiteSessionStore(path, wait=0.01)
    exporter = SessionStoreExporter(store)
    with locked(path):
        exporter.export(recorded(traces, 3))
        exporter.shutdown()
        exporter.shutdown()

    assert exporter.dropped_span_count == 3
    store.close()


def test_a_file_that_gets_damaged_does_not_reach_the_application(
    traces: Traces, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The application goes on; the log names the file and the remedy."""
    exporter = SessionStoreExporter(path)
    exporter.export(recorded(traces))
    exporter.force_flush()
    for each in path.parent.iterdir():
        each.write_bytes(b"\xff" * each.stat().st_size)

    assert exporter.export(recorded(traces)) is FAILURE
    exporter.shutdown()
    assert exporter.dropped_span_count == 1
    assert f"the session store {path} is damaged" in warnings_of(caplog)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a database, but long enough to be looked at" * 100, "is damaged, or no SQLite database"),
        (None, "is a folder"),
    ],
)
def test_a_store_that_will_never_open_is_an_error_at_once(
    path: Path, content: bytes | None, message: str
) -> None:
    """What does not pass by itself is said where the exporter is made."""
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    with pytest.raises(StoreError, match=message):
        SessionStoreExporter(path)


@pytest.mark.parametrize("value", [Decimal(1_500), 1_500.9, float("nan"), float("inf"), "noon"])
def test_times_of_any_type_are_taken(traces: Traces, path: Path, value: Any) -> None:
    """OpenTelemetry does not look at the times that it is given; one odd span must not keep the others."""
    spans = recorded(traces, 2)
    odd: Any = spans[0]
    odd._start_time = value
    exporter = SessionStoreExporter(path)

    assert exporter.export(spans) is SUCCESS
    exporter.shutdown()
    assert sorted(stored(path)) == ["question 0", "question 1"]


def test_one_span_that_cannot_be_stored_takes_no_other_with_it(
    traces: Traces, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that no store can take costs its own span only."""

    class Odd:
        """Neither text nor a number nor a sequence."""

    exporter = SessionStoreExporter(path)
    spans = recorded(traces, 3)
    odd: Any = spans[1]
    odd._attributes._dict["odd"] = Odd()  # OpenTelemetry itself would have refused it

    assert exporter.export(spans) is SUCCESS
    exporter.shutdown()
    assert stored(path) == ["question 0", "question 2"]
    assert exporter.dropped_span_count == 1
    assert "could not store the span" in warnings_of(caplog)[0]


def test_spans_wait_while_the_disk_is_full(traces: Traces, path: Path) -> None:
    """A file that cannot grow loses nothing of what fits into memory."""
    exporter = SessionStoreExporter(path)
    exporter.export(recorded(traces))
    with _no_room():
        result = exporter.export(_large(recorded(traces)))
        assert exporter.dropped_span_count == 0
    assert exporter.force_flush() is True
    exporter.shutdown()

    assert result is FAILURE
    assert stored(path) == ["question 0", "question 1"]


def _large(spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
    for span in spans:
        attributes: Any = span._attributes
        attributes._dict["output.value"] = "x" * 3_000_000
    return spans


@contextmanager
def _no_room() -> Generator[None]:
    """Let no file of this process grow beyond two megabytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
