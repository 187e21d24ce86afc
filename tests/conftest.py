"""Fixtures: a real provider, handlers whose errors are raised, and proof that nothing is left behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from langchain_core.runnables.config import var_child_runnable_config
from opentelemetry.context import get_current

from langchain_sessions import SessionCallbackHandler, _overlay, instrument, uninstrument
from langchain_sessions._executing import executing
from langchain_sessions._runs import everywhere
from langchain_sessions.store._open import VARIABLE
from tests.support.traces import Traces

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.phoenix import Phoenix

# Timings belong in benchmarks/, and how long it takes to make examples says more of the machine than of them.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so the programs that they start.
# Some tests want to know that Ctrl-C ends these.
signal.signal(signal.SIGINT, signal.default_int_handler)

MakeHandler: TypeAlias = Callable[..., SessionCallbackHandler]


def assert_nothing_kept(handlers: list[SessionCallbackHandler]) -> None:
    """Fail if a handler keeps runs after they ended."""
    for handler in handlers:
        kept = (len(handler.live_runs), len(handler.run_map), len(handler._spans_by_run))
        assert kept == (0, 0, 0), f"a handler keeps runs after they ended: {kept}"


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """A Phoenix server for all tests: it takes long to start. Each test has projects and ids of its own."""
    from tests.support.phoenix import phoenix_server

    with phoenix_server(tmp_path_factory.mktemp("phoenix")) as server:
        yield server


@pytest.fixture
def traces() -> Iterator[Traces]:
    """A provider that keeps its spans; fails the test if one is still open at its end."""
    traces = Traces()
    yield traces
    assert [span.name for span in traces.open.values()] == [], "spans left open"


@pytest.fixture
def make_handler(traces: Traces) -> Iterator[MakeHandler]:
    """Make handlers that raise their own errors; fails the test if one of them keeps anything."""
    made: list[SessionCallbackHandler] = []

    def make(**arguments: Any) -> SessionCallbackHandler:
        arguments.setdefault("tracer_provider", traces.provider)
        handler = SessionCallbackHandler(**arguments)
        handler.raise_error = True
        made.append(handler)
        return handler

    yield make
    assert_nothing_kept(made)


@pytest.fixture
def handler(make_handler: MakeHandler) -> SessionCallbackHandler:
    """A handler with every default but its provider."""
    return make_handler()


@pytest.fixture
def instrumented(traces: Traces) -> Iterator[MakeHandler]:
    """Switch `instrument` on, with the test's provider; off again, and nothing kept, after the test."""
    made: list[SessionCallbackHandler] = []

    def switch_on(**arguments: Any) -> SessionCallbackHandler:
        arguments.setdefault("tracer_provider", traces.provider)
        handler = instrument(**arguments)
        handler.raise_error = True
        made.append(handler)
        return handler

    yield switch_on
    uninstrument()
    assert_nothing_kept(made)


@pytest.fixture(autouse=True)
def _no_store_of_the_users(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a test runs, in this process or another, finds or fills the user's own store."""
    monkeypatch.setenv(VARIABLE, str(tmp_path_factory.getbasetemp() / "nobodys" / "sessions.db"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is the default store in a test; there is none yet."""
    path = tmp_path / "sessions.db"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


@pytest.fixture(autouse=True)
def _no_context_left() -> Iterator[None]:
    """Fail a test that leaves OpenTelemetry or LangChain context attached."""
    yield
    assert dict(get_current()) == {}, "OpenTelemetry context left attached"
    assert var_child_runnable_config.get() is None, "LangChain context left set"
    assert executing() is None, "a model's or a retriever's run is still taken for the executing one"
    assert everywhere == {}, "a run is kept after it ended"
    assert not _overlay.is_on(), "uninstrument() was not called"
