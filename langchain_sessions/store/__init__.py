"""Conversations as plain data, read from OpenTelemetry spans with OpenInference attributes."""

from langchain_sessions.store._model import Session, ToolUse, Turn
from langchain_sessions.store._reading import sessions_from_spans

__all__ = ["Session", "ToolUse", "Turn", "sessions_from_spans"]
