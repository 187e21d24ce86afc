"""Conversations as plain data: kept in a store, or read from spans with OpenInference attributes."""

from typing import TYPE_CHECKING, Any

from langchain_sessions.store._annotation import Annotation
from langchain_sessions.store._answers import (
    DayStats,
    Exported,
    Fragment,
    Imported,
    Neighbours,
    Page,
    Pruned,
    SearchHit,
    SessionFilter,
    SessionStats,
)
from langchain_sessions.store._exporter import SessionStoreExporter
from langchain_sessions.store._model import Session, SessionSummary, ToolUse, Turn
from langchain_sessions.store._open import default_place, open_store
from langchain_sessions.store._protocol import (
    AmbiguousSessionError,
    AnnotatableSessionStore,
    SessionNotFoundError,
    SessionStore,
    StoreError,
    StoreMissingError,
    StoreUnavailableError,
    TransferError,
    WritableSessionStore,
)
from langchain_sessions.store._reading import sessions_from_spans
from langchain_sessions.store._span import Span, SpanEvent, SpanLink
from langchain_sessions.store._sqlite import SQLiteSessionStore
from langchain_sessions.store._transfer import export_sessions, import_sessions
from langchain_sessions.store._walk import iter_sessions, iter_turns

if TYPE_CHECKING:
    from langchain_sessions.store._phoenix._store import PhoenixSessionStore

__all__ = [
    "AmbiguousSessionError",
    "AnnotatableSessionStore",
    "Annotation",
    "DayStats",
    "Exported",
    "Fragment",
    "Imported",
    "Neighbours",
    "Page",
    "PhoenixSessionStore",
    "Pruned",
    "SQLiteSessionStore",
    "SearchHit",
    "Session",
    "SessionFilter",
    "SessionNotFoundError",
    "SessionStats",
    "SessionStore",
    "SessionStoreExporter",
    "SessionSummary",
    "Span",
    "SpanEvent",
    "SpanLink",
    "StoreError",
    "StoreMissingError",
    "StoreUnavailableError",
    "ToolUse",
    "TransferError",
    "Turn",
    "WritableSessionStore",
    "default_place",
    "export_sessions",
    "import_sessions",
    "iter_sessions",
    "iter_turns",
    "open_store",
    "sessions_from_spans",
]


def __getattr__(name: str) -> Any:
    if name != "PhoenixSessionStore":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from langchain_sessions.store._phoenix._store import PhoenixSessionStore  # needs an extra

    return PhoenixSessionStore
