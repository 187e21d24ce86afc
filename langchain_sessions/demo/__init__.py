"""The demonstration: three conversations through real LangChain machinery, without a network.

`DemoError` is what `run_demo` raises when a chosen model cannot take part. `OfflineChatModel` answers by
rules, from what it is asked and told: a stand-in for a model in notebooks and examples. `openai_server` gives
the same answers to OpenAI's client, and to all that speak its protocol.
"""

try:
    from langchain_sessions.demo._conversations import run_demo
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in {"langchain", "langgraph"}:
        raise
    message = f"the demonstration needs {package}: pip install 'langchain-sessions[demo]'"
    raise ImportError(message, name=package) from error

from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.demo._provider import DemoError
from langchain_sessions.demo._server import OpenAIServer, openai_server

__all__ = ["DemoError", "OfflineChatModel", "OpenAIServer", "openai_server", "run_demo"]
