"""Spans that OpenTelemetry's exporters, in Python and JavaScript, send to `langchain-sessions collect`."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from langchain_sessions.store import SQLiteSessionStore
from langchain_sessions.store._otel import span_of
from tests.across.processes import ROOT
from tests.support.collecting import Collector, collecting
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import Session, Span

SOURCE: Final = ROOT / "tests/across/node"
INSTALLED: Final = ROOT / ".cache/across-node"


def _missing() -> str:
    """Say what is not there that the test with Node needs."""
    if shutil.which("node") is None:
        return "node is missing: install Node.js 20.6 or newer"
    installed = INSTALLED / "installed.json"
    if not installed.exists() or installed.read_bytes() != (SOURCE / "package.json").read_bytes():
        return "the packages of tests/across/node/package.json are missing: scripts/services node"
    return ""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector as a process."""
    with collecting(tmp_path_factory.mktemp("collector")) as running:
        yield running


def received(running: Collector, session_id: str) -> tuple[Session, list[Span]]:
    """A session of one turn, and its spans."""
    store = SQLiteSessionStore(running.store, create=False)
    try:
        session = store.session(session_id)
        return session, store.spans(session_id, session.turns[0].trace_id)
    finally:
        store.close()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_python_sends_protobuf(
    running: Collector,
    compression: Compression,
    processor: type[SimpleSpanProcessor | BatchSpanProcessor],
) -> None:
    """What the SDK's exporter sends is what a store would have kept in the process itself."""
    session_id = f"{compression.value}-{processor.__name__}"
    provider = TracerProvider(resource=Resource({"service.name": "shop", "n": 1}), shutdown_on_exit=False)
    provider.add_span_processor(
        processor(OTLPSpanExporter(endpoint=running.endpoint, compression=compression, timeout=PATIENCE))
    )
    tracer = provider.get_tracer("mine", "1.0")
    attributes = {
        "session.id": session_id,
        "input.value": "hé 🙂",
        "numbers": (1, 2),
        "ratio": 0.5,
        "on": True,
    }
    with (
        tracer.start_as_current_span("outer", attributes=attributes) as outer,
        tracer.start_as_current_span("inner") as inner,
    ):
        inner.add_event("found", {"count": 2})
        inner.set_status(Status(StatusCode.ERROR, "no"))
    provider.shutdown()
    session, spans = received(running, session_id)
    assert session.project == "shop"
    expected = [span_of(it) for it in (outer, inner)]  # pyright: ignore[reportArgumentType] -- the SDK's spans
    assert [it.name for it in spans] == ["outer", "inner"]
    for one, other in zip(spans, expected, strict=True):
        assert other is not None
        assert (one.trace_id, one.span_id, one.parent_id) == (other.trace_id, other.span_id, other.parent_id)
        assert (one.start_ns, one.end_ns, one.kind) == (other.start_ns, other.end_ns, other.kind)
        assert (one.status, one.status_message, one.scope) == (
            other.status,
            other.status_message,
            other.scope,
        )
        assert [(it.name, it.time_ns, dict(it.attributes)) for it in one.events] == [
            (it.name, it.time_ns, dict(it.attributes)) for it in other.events
        ]
        assert one.resource == dict(other.resource)
    assert spans[0].attributes == attributes | {"numbers": [1, 2]}


def test_the_sdk_sends_again_what_the_store_was_too_busy_for(tmp_path: Path) -> None:
    """While another process writes for longer than the collector waits, nothing is lost."""
    with collecting(tmp_path) as running:
        writer = sqlite3.connect(running.store, isolation_level=None, check_same_thread=False)
        writer.execute("BEGIN IMMEDIATE")

        def release() -> None:
            until(lambda: "busy for 5 s" in running.said, "the collector does not say that it waits in vain")
            writer.execute("ROLLBACK")

        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=running.endpoint, timeout=PATIENCE)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with ThreadPoolExecutor(1) as pool:
            released = pool.submit(release)
            with provider.get_tracer("mine").start_as_current_span("busy", attributes={"session.id": "busy"}):
                pass
            released.result()
        writer.close()
        provider.shutdown()
        session, _ = received(running, "busy")
    assert session.span_count == 1


@pytest.mark.skipif(bool(_missing()), reason=_missing())
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_javascript_sends_json(tmp_path: Path, compression: str) -> None:
    """OTLP in JSON, as OpenTelemetry's exporter for Node writes it, compressed or not."""
    program = INSTALLED / "sender.mjs"  # Node looks for packages beside the program
    shutil.copyfile(SOURCE / program.name, program)
    with collecting(tmp_path) as running:
        subprocess.run(["node", program, running.endpoint, compression], check=True, timeout=PATIENCE)
        session, [chain, tool] = received(running, "from-node")
    assert (session.project, session.turns[0].input, session.turns[0].output) == ("assistant", "hé 🙂", "ok")
    assert (chain.name, chain.kind, chain.parent_id, chain.scope) == ("chain", "SERVER", None, "assistant")
    kept = {key: chain.attributes[key] for key in ("numbers", "flags", "large", "half")}
    assert kept == {"numbers": [1, 2.5, -3], "flags": [True, False], "large": 2**53 - 1, "half": 0.5}
    assert (tool.parent_id, tool.status, tool.status_message) == (chain.span_id, "ERROR", "no")
    assert [it.attributes["exception.type"] for it in tool.events] == ["TypeError"]
    assert 0 < tool.start_ns <= tool.end_ns
