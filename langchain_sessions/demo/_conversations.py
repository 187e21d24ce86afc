"""Three conversations, each giving its id in another way, and the one handler that finds it in all."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, cast

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType] -- a bare generic
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableConfig, RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langsmith import tracing_context  # pyright: ignore[reportUnknownVariableType] -- a bare Mapping
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from langchain_sessions import SessionCallbackHandler
from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.demo._provider import DemoError, chosen_model, explained_failures
from langchain_sessions.demo._tools import demo_tools
from langchain_sessions.store import (
    AmbiguousSessionError,
    Session,
    SessionNotFoundError,
    SessionStore,
    WritableSessionStore,
    sessions_from_spans,
)
from langchain_sessions.store._otel import span_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.language_models import BaseChatModel
    from opentelemetry.sdk.trace import ReadableSpan

_SYSTEM: Final = ("system", "You are a friendly assistant. Answer in one or two sentences.")

_WITHOUT_MEMORY: Final = (
    "Hello, I'm Ada and I live in Oslo.",
    "What's my name?",
    "I like fjords and I have a small boat. What do I like?",
)
"""For a chain that forgets every turn at once: the session groups its turns all the same."""

_WITH_HISTORY: Final = (
    "Hi, I'm Linus. I work in Bergen and I like green tea.",
    "My sister is called Eve. Where do I work?",
    "Who is my sister, and what do I like?",
    "What did we talk about?",
)

_FOR_THE_AGENT: Final = (
    "Hello, I'm Grace. What is 17 * 23?",
    "Divide that by 4, and how many days are there between 2026-03-01 and 2026-12-24?",
    "What is 100 / 0?",
    "Thanks! Do you remember my name?",
)


def run_demo(model: str | None = None, *, store: WritableSessionStore | None = None) -> list[Session]:
    """Hold three conversations and read them back from their spans.

    Nothing leaves the process unless a model is named, and nothing goes to LangSmith in any case.

    Args:
        model: PROVIDER:NAME of a chat model to talk to, or None for the offline one.
        store: Where to keep the conversations, too. Those of an earlier demonstration stay as they are: the
            new ones then have numbers in their ids (`demo-agent-2`).

    Returns:
        The three sessions, in the order in which they began.

    Raises:
        DemoError: If the named model cannot be created or does not answer, or if the environment
            switches OpenTelemetry off.
        StoreError: If the store cannot be read or written.
    """
    sessions = sessions_from_spans(record_demo(model, store=store))
    if not sessions:
        raise DemoError("OpenTelemetry recorded nothing: unset the environment variable OTEL_SDK_DISABLED")
    return sessions


def record_demo(
    model: str | None = None, *, store: WritableSessionStore | None = None
) -> tuple[ReadableSpan, ...]:
    """Hold the conversations.

    Args:
        model: As for `run_demo`.
        store: Likewise. Each conversation is there as soon as it has ended.

    Returns:
        The spans of all three, in the order in which they ended.

    Raises:
        DemoError: If the named model cannot be created or does not answer.
        StoreError: If the store cannot be read or written.
    """
    chat = OfflineChatModel() if model is None else chosen_model(model)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = SessionCallbackHandler(tracer_provider=provider, separate_trace_from_runtime_context=True)
    suffix = "" if store is None else _free_suffix(store)
    for name, hold in _CONVERSATIONS.items():
        with tracing_context(enabled=False), explained_failures(model) if model else nullcontext():
            hold(chat, handler, f"{name}{suffix}")
        if store is not None:
            # Not through `SessionStoreExporter`, which keeps errors from an application: here they are told.
            store.add(filter(None, map(span_of, exporter.get_finished_spans())))
    return exporter.get_finished_spans()


def _free_suffix(store: SessionStore) -> str:
    """What makes the ids new: nothing, "-2", "-3", ..."""
    return next(
        suffix
        for suffix in chain([""], (f"-{number}" for number in count(2)))
        if not any(_is_taken(store, f"{name}{suffix}") for name in _CONVERSATIONS)
    )


def _is_taken(store: SessionStore, session_id: str) -> bool:
    try:
        store.summary(session_id)
    except SessionNotFoundError:
        return False
    except AmbiguousSessionError:
        return True
    return True


def _chain(model: BaseChatModel, handler: SessionCallbackHandler, session_id: str) -> None:
    """A prompt, a model and a parser; the id comes with the metadata."""
    prompt = ChatPromptTemplate.from_messages([_SYSTEM, ("human", "{question}")])
    config = RunnableConfig(callbacks=[handler], metadata={"session_id": session_id, "user_id": "ada"})
    _converse(prompt | model | StrOutputParser(), [{"question": said} for said in _WITHOUT_MEMORY], config)


def _history(model: BaseChatModel, handler: SessionCallbackHandler, session_id: str) -> None:
    """The same with a message history; the id is where the history expects it, and only there."""
    histories: dict[str, InMemoryChatMessageHistory] = {}

    def history_of(session_id: str) -> InMemoryChatMessageHistory:
        return histories.setdefault(session_id, InMemoryChatMessageHistory())

    prompt = ChatPromptTemplate.from_messages(
        [_SYSTEM, MessagesPlaceholder("earlier"), ("human", "{question}")]
    )
    with warnings.catch_warnings():
        # LangChain 1.3 deprecates the class in favour of LangGraph, but many applications are built on it.
        warnings.filterwarnings("ignore", "RunnableWithMessageHistory is deprecated")
        remembering = RunnableWithMessageHistory(
            prompt | model, history_of, input_messages_key="question", history_messages_key="earlier"
        )
    config = RunnableConfig(callbacks=[handler], configurable={"session_id": session_id})
    _converse(remembering, [{"question": said} for said in _WITH_HISTORY], config)


def _agent(model: BaseChatModel, handler: SessionCallbackHandler, session_id: str) -> None:
    """An agent with tools and a checkpointer; the id is the checkpointer's thread."""
    agent = cast(
        "Runnable[dict[str, Any], Any]",
        create_agent(
            model,
            demo_tools(),
            system_prompt="You are a friendly assistant. Use the tools for sums and dates. Be brief.",
            checkpointer=InMemorySaver(),
        ),
    )
    config = RunnableConfig(
        callbacks=[handler],
        metadata={"user_id": "grace"},
        configurable={"thread_id": session_id},
        max_concurrency=1,  # so that two tools of one turn always run, and show, in the order of their calls
    )
    turns = [{"messages": [{"role": "user", "content": said}]} for said in _FOR_THE_AGENT]
    _converse(agent, turns, config)


def _converse(
    runnable: Runnable[dict[str, Any], Any], turns: Sequence[dict[str, Any]], config: RunnableConfig
) -> None:
    for turn in turns:
        runnable.invoke(turn, config)


_CONVERSATIONS: Final[Mapping[str, Callable[[BaseChatModel, SessionCallbackHandler, str], None]]] = {
    "demo-chain": _chain,
    "demo-history": _history,
    "demo-agent": _agent,
}
"""What is held, by the session ids, in this order."""
