"""The way in without code: `opentelemetry-instrument`, and Phoenix's `register(auto_instrument=True)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from langchain_sessions._instrument import instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Collection


class SessionInstrumentor(BaseInstrumentor):
    """`instrument()` and `uninstrument()` as OpenTelemetry's tools call them.

    Found through the entry point groups `opentelemetry_instrumentor` and `openinference_instrumentor` under
    the name `langchain_sessions`; `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=langchain_sessions` leaves it out.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what has to be installed."""
        return ("langchain-core >= 1.4",)

    def _instrument(self, **kwargs: Any) -> None:
        names = ("tracer_provider", "policy", "config", "separate_trace_from_runtime_context")
        given = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
        instrument(given.pop("tracer_provider", None), **given)

    def _uninstrument(self, **kwargs: Any) -> None:
        del kwargs
        uninstrument()
