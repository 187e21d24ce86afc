"""How every process of these tests exports its spans: the one that asks, and the services."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from langchain_sessions import SessionPolicy, instrument, uninstrument
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

__all__ = ["exporting_to", "front", "instrumented", "tracer_provider"]


def exporting_to(endpoint: str) -> dict[str, str]:
    """Return what a process finds in its environment, in any language, to export there."""
    return {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}


def tracer_provider(service: str, endpoint: str | None = None) -> TracerProvider:
    """Return a provider that exports each span as it ends, by default to where the environment says."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    exporter = OTLPSpanExporter(endpoint=endpoint, compression=Compression.Gzip, timeout=PATIENCE)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@contextmanager
def front(endpoint: str, policy: SessionPolicy | None = None) -> Generator[TracerProvider]:
    """Trace this process as the service "front", until the block ends."""
    provider = tracer_provider("front", endpoint)
    instrument(provider, policy=policy)
    try:
        yield provider
    finally:
        uninstrument()
        provider.shutdown()


@contextmanager
def instrumented(instrumentor: BaseInstrumentor, provider: TracerProvider) -> Generator[None]:
    """Let OpenTelemetry's instrumentor of a library work, until the block ends."""
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()
