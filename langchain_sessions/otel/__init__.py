"""For OpenTelemetry's providers: a processor that stamps spans, and a sampler that keeps whole sessions."""

from langchain_sessions.otel._processor import SessionSpanProcessor
from langchain_sessions.otel._sampler import SessionSampler

__all__ = ["SessionSampler", "SessionSpanProcessor"]

for _member in (SessionSampler, SessionSpanProcessor):
    _member.__module__ = __name__  # what users import is what tracebacks and help() show
