"""Give LangChain a session id, and every span of that conversation carries it."""

from langchain_sessions._context import current_session_id, session, session_config
from langchain_sessions._handler import SessionCallbackHandler
from langchain_sessions._ids import InvalidSessionIdError, normalize_session_id
from langchain_sessions._policy import SessionPolicy

__all__ = [
    "InvalidSessionIdError",
    "SessionCallbackHandler",
    "SessionPolicy",
    "current_session_id",
    "normalize_session_id",
    "session",
    "session_config",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # what users import is what tracebacks and help() show
