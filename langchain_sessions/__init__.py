"""Give LangChain a session id, and every span of that conversation carries it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_sessions._context import current_session_id, session, session_config
    from langchain_sessions._handler import SessionCallbackHandler
    from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id
    from langchain_sessions._instrument import instrument, uninstrument
    from langchain_sessions._policy import SessionPolicy

__all__ = [
    "InvalidSessionIdError",
    "SessionCallbackHandler",
    "SessionPolicy",
    "current_session_id",
    "instrument",
    "normalize_session_id",
    "session",
    "session_config",
    "uninstrument",
]

# Imported when they are asked for: OTEL_PYTHON_CONTEXT has OpenTelemetry load `_overlay` from this package
# while `opentelemetry.context`, which the others need, is still being imported.
_HOMES = {
    "InvalidSessionIdError": "_ids",
    "SessionCallbackHandler": "_handler",
    "SessionPolicy": "_policy",
    "current_session_id": "_context",
    "instrument": "_instrument",
    "normalize_session_id": "_ids",
    "session": "_context",
    "session_config": "_context",
    "uninstrument": "_instrument",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    member = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    member.__module__ = __name__  # what users import is what tracebacks and help() show
    globals()[name] = member
    return member


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
