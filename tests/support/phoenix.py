"""A real Phoenix server, in an environment of its own, and what the tests ask it."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
from openinference.semconv.resource import ResourceAttributes
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from langchain_sessions.store._otlp import PROTOBUF, request_from_spans
from tests.across.processes import ROOT, free_port, running
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from langchain_sessions.store import Span

PROJECT_NAME: Final = ResourceAttributes.PROJECT_NAME

INSTALLED: Final = ROOT / ".cache/phoenix"
"""Where scripts/services puts the server, and the list of what is in its environment."""

PYTHON: Final = INSTALLED / "bin/python"

_LIST: Final = ROOT / "constraints/phoenix.txt"

_READY: Final = r"(?s)^pid (\d+)\n.*Uvicorn running on (http://\S+)"

PROGRAM: Final = """
import os
import sys

print("pid", os.getpid())
from grpc.aio._server import Server

listen = Server.add_insecure_port
Server.add_insecure_port = lambda self, address: listen(self, address.replace("[::]", "127.0.0.1"))

from phoenix.server.main import main

sys.argv = ["phoenix", "serve"]
main()
"""
"""`phoenix serve`, but that its gRPC port is open to this machine alone, whatever PHOENIX_HOST says."""


def missing() -> str:
    """Say what is not there that a Phoenix server needs; nothing if all is."""
    installed = INSTALLED / "installed.txt"
    if not installed.exists() or installed.read_bytes() != _LIST.read_bytes():
        return "the Phoenix server of constraints/phoenix.txt is missing: `make services`"
    return ""


@dataclass(frozen=True)
class Phoenix:
    """A server that runs.

    Attributes:
        url: Where, such as "http://127.0.0.1:6006".
        pid: Its process.
        sent: How many spans each project was sent.
    """

    url: str
    pid: int
    sent: Counter[str] = field(default_factory=Counter[str])

    def place(self, project: str) -> str:
        """Return the address of a project's store."""
        return f"{self.url.replace('http', 'phoenix')}/{quote(project, safe='')}"

    def provider(self, project: str) -> TracerProvider:
        """Return a provider that sends each span to a project as it ends: children first."""
        provider = TracerProvider(resource=Resource.create({PROJECT_NAME: project}))
        provider.add_span_processor(SimpleSpanProcessor(_Exporter(self, project)))
        return provider

    def send(self, project: str, spans: Iterable[Span]) -> None:
        """Send spans to a project, each of them for the first time, and wait until they are there."""
        some = [replace(span, resource={PROJECT_NAME: project}) for span in spans]
        headers = {"Content-Type": PROTOBUF}
        body = request_from_spans(some).SerializeToString()
        address = f"{self.url}/v1/traces"
        httpx.post(address, content=body, headers=headers, timeout=PATIENCE).raise_for_status()
        self.sent[project] += len(some)
        self.settle(project)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask in GraphQL, and return the data of the answer."""
        asked = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=asked, timeout=PATIENCE).raise_for_status().json()
        assert "errors" not in answer, answer
        return answer["data"]

    def project_id(self, project: str) -> str:
        """Return Phoenix's own id of a project."""
        query = "query ($name: String!) { getProjectByName(name: $name) { id } }"
        return self.ask(query, name=project)["getProjectByName"]["id"]

    def session_id(self, session_id: str) -> str:
        """Return Phoenix's own id of a session."""
        query = "query ($id: String!) { getProjectSessionById(sessionId: $id) { id } }"
        return self.ask(query, id=session_id)["getProjectSessionById"]["id"]

    def delete_project(self, project: str) -> None:
        """Delete a project."""
        address = f"{self.url}/v1/projects/{self.project_id(project)}"
        httpx.delete(address, timeout=PATIENCE).raise_for_status()
        del self.sent[project]

    def delete_trace(self, project: str, spans: Sequence[Span]) -> None:
        """Delete the trace that these are the spans of."""
        address = f"{self.url}/v1/traces/{spans[0].trace_id}"
        httpx.delete(address, timeout=PATIENCE).raise_for_status()
        self.sent[project] -= len(spans)

    def settle(self, project: str) -> None:
        """Wait until a project has all the spans that it was sent: Phoenix answers before it stores."""
        query = "query ($name: String!) { getProjectByName(name: $name) { recordCount } }"

        def count() -> int:
            found = self.ask(query, name=project)["getProjectByName"]
            return found["recordCount"] if found else 0

        until(lambda: count() >= self.sent[project], f"Phoenix has not all of {self.sent[project]} spans")
        assert count() == self.sent[project]


def distinct(salt: str, spans: Iterable[Span]) -> list[Span]:
    """Give spans ids that no other test has: Phoenix knows a trace, and also a span, by its id alone."""

    def new(digits: int, *ids: str) -> str:
        return sha256("\n".join((salt, *ids)).encode()).hexdigest()[:digits]

    return [
        replace(
            it,
            trace_id=new(32, it.trace_id),
            span_id=new(16, it.trace_id, it.span_id),
            parent_id=new(16, it.trace_id, it.parent_id) if it.parent_id else None,
        )
        for it in spans
    ]


class _Exporter(OTLPSpanExporter):
    def __init__(self, phoenix: Phoenix, project: str) -> None:
        super().__init__(endpoint=f"{phoenix.url}/v1/traces", timeout=PATIENCE)
        self._phoenix = phoenix
        self._project = project

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._phoenix.sent[self._project] += len(spans)
        return super().export(spans)


@contextmanager
def phoenix_server(folder: Path, **environment: str) -> Generator[Phoenix]:
    """Run a server on free ports of the loopback interface, in a folder that it may fill."""
    settings = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(free_port()),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        **environment,
    }
    with running(str(PYTHON), "-c", PROGRAM, ready=_READY, log=folder / "log", **settings) as started:
        yield Phoenix(started[2], int(started[1]))
