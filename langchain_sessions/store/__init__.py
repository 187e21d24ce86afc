"""Conversations as plain data: kept in a store, or read from spans with OpenInference attributes."""

from langchain_sessions.store._exporter import SessionStoreExporter
from langchain_sessions.store._model import (
    DayStats,
    Fragment,
    Neighbours,
    Page,
    Pruned,
    SearchHit,
    Session,
    SessionFilter,
    SessionStats,
    SessionSummary,
    Span,
    SpanEvent,
    SpanLink,
    ToolUse,
    Turn,
)
from langchain_sessions.store._open import default_place, open_store
from langchain_sessions.store._protocol import (
    AmbiguousSessionError,
    SessionNotFoundError,
    SessionStore,
    StoreError,
    StoreMissingError,
    StoreUnavailableError,
    WritableSessionStore,
)
from langchain_sessions.store._reading import sessions_from_spans
from langchain_sessions.store._sqlite import SQLiteSessionStore

__all__ = [
    "AmbiguousSessionError",
    "DayStats",
    "Fragment",
    "Neighbours",
    "Page",
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
    "Turn",
    "WritableSessionStore",
    "default_place",
    "open_store",
    "sessions_from_spans",
]
