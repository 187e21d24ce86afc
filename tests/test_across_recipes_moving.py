"""What `docs/recipes/moving.md` says of others and of us: each row of its tables is tried on both sides."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda
from langfuse import Langfuse, propagate_attributes
from langfuse.langchain import CallbackHandler
from openinference.instrumentation import using_attributes, using_session, using_tags
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_sessions import SessionCallbackHandler, session
from tests.support.otlp_receiver import otlp_receiver
from tests.support.pages import DOCS, Page
from tests.support.recipes import ids_of_spans, stored
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import MakeHandler
    from tests.support.traces import Traces

PAGE = Page(DOCS / "recipes" / "moving.md")
APP = RunnableLambda(str.upper)
NAMES = {
    each.__name__: each
    for each in (propagate_attributes, session, using_attributes, using_session, using_tags)
}
PROVIDER = TracerProvider()
"""Langfuse's, which in applications is the global one."""

LANGFUSE = {
    "session.id": "session.id",
    "user.id": "user.id",
    "tag.tags": "langfuse.trace.tags",
    "name": "langfuse.trace.name",
}
"""What an attribute of ours is called by Langfuse."""


def rows(heading: str) -> list[Any]:
    """Return the rows of the table under a heading as parameters of a test."""
    return [pytest.param(*row, id=row[0]) for row in PAGE.rows(heading)]


def outcome(cell: str) -> dict[str, Any]:
    """Read a cell such as `session.id="abc"`, `user.id="ada"`."""
    found = {name: ast.literal_eval(value) for name, value in re.findall(r"`([\w.]+)=([^`]+)`", cell)}
    assert found or cell.startswith("nothing")
    return found


def call(way: str, *handlers: Any) -> None:
    """Call as a cell says: with a config, or in a block."""
    given: Any = eval(way.strip("`"), dict(NAMES))
    with nullcontext() if isinstance(given, dict) else given:
        config: Any = {**(given if isinstance(given, dict) else {}), "callbacks": list(handlers)}
        APP.invoke("hi", config)


def on(span: Any, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a span has of the ids, and of whatever else is expected."""
    found = {"name": span.name, **span.attributes}
    return {name: found[name] for name in {"session.id", "user.id", *expected} if name in found}


@pytest.fixture
def openinference(traces: Traces) -> Iterator[None]:
    """OpenInference's instrumentor, alone."""
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=traces.provider)
    yield
    instrumentor.uninstrument()


@pytest.fixture(scope="module")
def langfuse() -> Iterator[tuple[Langfuse, InMemorySpanExporter]]:
    """Langfuse's client, whose spans stay here."""
    exporter = InMemorySpanExporter()
    client = Langfuse(
        public_key="none",
        secret_key="none",
        base_url="http://127.0.0.1:9",
        tracer_provider=PROVIDER,
        span_exporter=exporter,
    )
    yield client, exporter
    client.shutdown()


FROM_OPENINFERENCE = rows("From OpenInference's LangChainInstrumentor")


@pytest.mark.usefixtures("openinference")
@pytest.mark.parametrize(("way", "alone", "here"), FROM_OPENINFERENCE)
def test_openinference_alone(traces: Traces, way: str, alone: str, here: str) -> None:
    """Its instrumentor records what the page says it does."""
    call(way)
    (span,) = traces
    assert on(span, outcome(alone)) == outcome(alone)


@pytest.mark.parametrize(("way", "alone", "here"), FROM_OPENINFERENCE)
def test_ours_instead(
    handler: SessionCallbackHandler, traces: Traces, way: str, alone: str, here: str
) -> None:
    """Ours records what the page says, for the same call."""
    call(way, handler)
    (span,) = traces
    assert on(span, outcome(here)) == outcome(here)


@pytest.mark.usefixtures("openinference")
def test_both_at_once(instrumented: Any, traces: Traces) -> None:
    """With both active, a run has one span, ours."""
    instrumented()
    APP.invoke("hi", {"configurable": {"session_id": "abc"}})
    assert traces.sessions() == ["abc"]


@pytest.mark.parametrize(("today", "instead", "here"), rows("From Phoenix's helpers"))
def test_phoenix(
    handler: SessionCallbackHandler, traces: Traces, today: str, instead: str, here: str
) -> None:
    """The old way and the new have the same effect."""
    call(today, handler)
    call(instead, handler)
    assert [on(span, outcome(here)) for span in traces] == [outcome(here)] * 2


@pytest.mark.parametrize(("today", "instead", "here"), rows("From Langfuse"))
def test_langfuse(
    handler: SessionCallbackHandler,
    traces: Traces,
    langfuse: tuple[Langfuse, InMemorySpanExporter],
    today: str,
    instead: str,
    here: str,
) -> None:
    """Langfuse's handler records the same of the old way as ours of the new one."""
    client, exporter = langfuse
    exporter.clear()
    call(today, CallbackHandler())
    client.flush()
    call(instead, handler)
    (theirs,), (ours,), expected = exporter.get_finished_spans(), traces, outcome(here)
    assert {name: (theirs.attributes or {})[LANGFUSE[name]] for name in expected} == expected
    assert on(ours, expected) == expected


def test_langfuse_and_ours_side_by_side(tmp_path: Path) -> None:
    """Both record a call with Langfuse's keys, once, and under its ids."""
    (block,) = PAGE.of("python")
    with otlp_receiver() as receiver:
        keys = {"LANGFUSE_PUBLIC_KEY": "none", "LANGFUSE_SECRET_KEY": "none"}
        subprocess.run(
            [sys.executable, "-c", block.code],
            cwd=tmp_path,
            env=os.environ | keys | {"LANGFUSE_BASE_URL": receiver.endpoint.removesuffix("/v1/traces")},
            check=True,
            timeout=PATIENCE,
        )
        (theirs,) = receiver.spans
    assert (theirs.name, theirs.attributes["session.id"], theirs.attributes["user.id"]) == (
        "upper",
        "abc",
        "ada",
    )
    with stored(tmp_path / "sessions.db", turns=1) as store:
        (turn,) = store.session("abc").turns
        assert (turn.input, turn.output, turn.user) == ("hi", "HI", "ada")
        assert ids_of_spans(store.spans("abc", turn.trace_id)) == {("abc", "ada")}


def test_one_provider_for_both_is_one_too_few(
    langfuse: tuple[Langfuse, InMemorySpanExporter], make_handler: MakeHandler
) -> None:
    """Langfuse sends what we write to its provider; after its handler, ours writes children of its spans."""
    client, exporter = langfuse
    exporter.clear()
    call("{}", CallbackHandler(), make_handler(tracer_provider=PROVIDER))
    client.flush()
    assert len(exporter.get_finished_spans()) == 2
    assert sorted(span.parent is None for span in exporter.get_finished_spans()) == [False, True]


def test_what_langfuse_puts_around_a_call_is_not_read(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """`propagate_attributes` alone gives our spans no id."""
    call('propagate_attributes(session_id="abc")', handler)
    assert traces.sessions() == [None]


@pytest.mark.parametrize(("way", "here"), rows("From LangSmith"))
def test_langsmith(handler: SessionCallbackHandler, traces: Traces, way: str, here: str) -> None:
    """The keys of LangSmith's threads are ours."""
    call(way, handler)
    (span,) = traces
    assert on(span, outcome(here)) == outcome(here)
