"""Switching it on without a line of code, and in whatever order an application sets itself up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_sessions.store import open_store
from tests.support.otlp_receiver import otlp_receiver
from tests.support.waiting import PATIENCE

APPLICATION = """
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace

def body(question):
    with trace.get_tracer("another library").start_as_current_span("inside"):
        return FakeListChatModel(responses=["fine"]).invoke(question).text

chain = RunnableLambda(body, name="chain")
"""

CALL = 'chain.invoke("hi", {"metadata": {"session_id": "abc"}})\n'

LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")

EXPECTED = {
    "chain": (None, "abc"),
    "inside": ("chain", "abc"),
    "FakeListChatModel": ("inside", "abc"),
}
"""Each span's parent and session."""


def run(code: str, *command: str, **environment: str) -> str:
    """Run an application in an interpreter of its own; return what it printed."""
    quiet = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", **environment}
    result = subprocess.run(
        [*command, sys.executable, "-W", "error::UserWarning", "-c", code],
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def printed_spans(text: str) -> list[dict[str, Any]]:
    """Read what a console exporter printed."""
    spans: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        span, end = decoder.raw_decode(text)
        spans.append(span)
        text = text[end:]
    return spans


def seen(spans: list[dict[str, Any]]) -> dict[str, tuple[str | None, str | None]]:
    """Return each span's parent and session by its name, which has to be its own."""
    names = {span["context"]["span_id"]: span["name"] for span in spans}
    found = {
        span["name"]: (names.get(span["parent_id"]), span["attributes"].get("session.id")) for span in spans
    }
    assert len(found) == len(spans), f"a run has two spans: {sorted(span['name'] for span in spans)}"
    return found


PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
"""


def test_under_opentelemetry_instrument() -> None:
    """OpenTelemetry's launcher finds OpenInference's instrumentor and ours; each run has one span, ours."""
    assert (
        seen(printed_spans(run(APPLICATION + CALL, str(LAUNCHER), OTEL_TRACES_EXPORTER="console")))
        == EXPECTED
    )


def test_left_out_under_opentelemetry_instrument() -> None:
    """As any instrumentor; OpenInference's then does what it always did."""
    spans = printed_spans(
        run(
            APPLICATION + CALL,
            str(LAUNCHER),
            OTEL_TRACES_EXPORTER="console",
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="langchain_sessions",
        )
    )
    assert seen(spans)["inside"] == (None, None)


@pytest.mark.parametrize("first", ["", "from langchain_sessions import current_session_id\n"])
def test_the_overlay_by_opentelemetrys_own_plug_in_point(first: str) -> None:
    """`OTEL_PYTHON_CONTEXT` with a handler for each call; whatever is imported first."""
    code = f"""{first}{PROVIDER}{APPLICATION}
trace.set_tracer_provider(provider)
from langchain_sessions import SessionCallbackHandler
from langchain_sessions.otel import SessionSpanProcessor

provider.add_span_processor(SessionSpanProcessor())
chain.invoke("hi", {{"callbacks": [SessionCallbackHandler()], "metadata": {{"session_id": "abc"}}}})
"""
    assert seen(printed_spans(run(code, OTEL_PYTHON_CONTEXT="langchain_sessions"))) == EXPECTED


def test_the_plug_in_point_with_instrument() -> None:
    """Both ways at once are one way."""
    code = f"""{PROVIDER}{APPLICATION}
trace.set_tracer_provider(provider)
from langchain_sessions import instrument, uninstrument

instrument()
{CALL}
uninstrument()
"""
    assert seen(printed_spans(run(code, OTEL_PYTHON_CONTEXT="langchain_sessions"))) == EXPECTED


def test_a_provider_that_is_set_after_instrument() -> None:
    """The global provider is asked for when it is needed; the processor is added to it then."""
    code = f"""{PROVIDER}{APPLICATION}
from langchain_sessions import instrument

instrument()
chain.invoke("not traced: there is no provider yet")
trace.set_tracer_provider(provider)
{CALL}
"""
    assert seen(printed_spans(run(code))) == EXPECTED


@pytest.mark.parametrize(("ratio", "is_kept"), [("0.3", True), ("0.1", False), ("", True)])
def test_the_sampler_by_its_name(ratio: str, is_kept: bool) -> None:
    """`OTEL_TRACES_SAMPLER=langchain_sessions`, with the ratio in `OTEL_TRACES_SAMPLER_ARG`."""
    spans = printed_spans(
        run(
            APPLICATION + CALL,
            str(LAUNCHER),
            OTEL_TRACES_EXPORTER="console",
            OTEL_TRACES_SAMPLER="langchain_sessions",
            OTEL_TRACES_SAMPLER_ARG=ratio,
        )
    )
    assert bool(spans) is is_kept


@pytest.mark.parametrize("also", ["", "from langchain_sessions import instrument\ninstrument()\n"])
def test_phoenix_auto_instrument(also: str) -> None:
    """`register(auto_instrument=True)` activates both instrumentors: one span per run, each sent on."""
    with otlp_receiver() as receiver:
        code = f"""
from phoenix.otel import register

register(endpoint="{receiver.endpoint}", auto_instrument=True, batch=False, verbose=False)
{also}{APPLICATION}{CALL}
"""
        run(code, PHOENIX_PROJECT_NAME="test")
        received = list(receiver.spans)
    spans = [
        {
            "name": span.name,
            "context": {"span_id": span.span_id},
            "parent_id": span.parent_id or None,
            "attributes": span.attributes,
        }
        for span in received
    ]
    assert seen(spans) == EXPECTED


def test_a_variable_stores_conversations(place: Path) -> None:
    """OpenTelemetry finds the exporter by its name, and the exporter the default store."""
    run(APPLICATION + CALL, str(LAUNCHER), OTEL_TRACES_EXPORTER="langchain_sessions")

    store = open_store(place)
    assert [(turn.input, turn.output, turn.span_count) for turn in store.session("abc").turns] == [
        ("hi", "fine", 3)
    ]
    store.close()
