"""A pytest plugin that puts our handler in the place of OpenInference's tracer.

For OpenInference's own tests: whatever they ask of its tracer, ours has to do too. See upstream-suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openinference.instrumentation.langchain import _tracer
from opentelemetry.trace import TracerProvider

from langchain_sessions import SessionCallbackHandler, SessionPolicy

if TYPE_CHECKING:
    import pytest
    from opentelemetry.trace import Tracer


class OneTracer(TracerProvider):
    """A provider whose every tracer is the same one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def get_tracer(self, *_: Any, **__: Any) -> Tracer:
        """Return it."""
        return self._tracer


class InPlace(SessionCallbackHandler):
    """Our handler, made with the arguments of OpenInference's tracer."""

    made = 0

    def __init__(self, tracer: Any, separate_trace_from_runtime_context: bool = False) -> None:
        InPlace.made += 1
        super().__init__(
            tracer_provider=OneTracer(getattr(tracer, "__wrapped__", tracer)),
            config=getattr(tracer, "_self_config", None),
            # These tests compare the content of spans with OpenInference's own, of root spans, too.
            policy=SessionPolicy(readable_turns=False),
            separate_trace_from_runtime_context=separate_trace_from_runtime_context,
        )


_tracer.OpenInferenceTracer = InPlace


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that it was really ours that was tested."""
    terminalreporter.line(f"handlers of ours made in place of OpenInference's tracer: {InPlace.made}")
    if not InPlace.made:
        msg = "none of these tests used our handler"
        raise RuntimeError(msg)
