"""OpenAI's models in LangChain, OpenAI's own SDK, and both in one conversation, against a server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from openinference.instrumentation import OITracer, TraceConfig, using_session
from openinference.instrumentation.langchain._tracer import OpenInferenceTracer
from openinference.instrumentation.openai import OpenAIInstrumentor
from openinference.semconv.trace import SpanAttributes
from opentelemetry import trace

from langchain_sessions import SessionCallbackHandler, session
from tests.support import runnables
from tests.support.openai_server import OpenAIServer, openai_server
from tests.support.traces import SESSION_ID, Traces, attribute

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = pytest.mark.core

SYSTEM: Final = ("system", "be brief")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A running server."""
    with openai_server() as server:
        yield server


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, on that server."""
    with openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def openai_instrumented(traces: Traces) -> Iterator[None]:
    """OpenInference's instrumentor of the SDK, at work while the test runs."""
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=traces.provider, skip_dep_check=True)
    yield
    instrumentor.uninstrument()


def chat(server: OpenAIServer) -> ChatOpenAI:
    """Return LangChain's chat model, on that server."""
    return ChatOpenAI(model="test", base_url=server.base_url, api_key=_key(), max_retries=0, stream_usage=True)


def completion(server: OpenAIServer) -> OpenAI:
    """Return LangChain's completion model, on that server."""
    return OpenAI(model="test", base_url=server.base_url, api_key=_key(), max_retries=0)


def chat_chain(server: OpenAIServer) -> Runnable[Any, Any]:
    """Return prompt | chat model | parser."""
    return ChatPromptTemplate.from_messages([SYSTEM, ("human", "{q}")]) | chat(server) | StrOutputParser()


def _key() -> Any:
    return "x"  # the field is a SecretStr, which pydantic makes of a str


QUESTION: Final = {"q": "hello there"}
Call: TypeAlias = Callable[[OpenAIServer, RunnableConfig], object]
"""Something an application does with OpenAI through LangChain."""


def invoke(server: OpenAIServer, config: RunnableConfig) -> object:
    """Run the chain at once."""
    return chat_chain(server).invoke(QUESTION, config)


def stream(server: OpenAIServer, config: RunnableConfig) -> object:
    """Read its answer word by word."""
    return "".join(chat_chain(server).stream(QUESTION, config))


def ainvoke(server: OpenAIServer, config: RunnableConfig) -> object:
    """Run it in a coroutine."""
    return asyncio.run(chat_chain(server).ainvoke(QUESTION, config))


def astream(server: OpenAIServer, config: RunnableConfig) -> object:
    """Read its answer in a coroutine."""

    async def read() -> str:
        return "".join([text async for text in chat_chain(server).astream(QUESTION, config)])

    return asyncio.run(read())


MODES: Final[tuple[Call, ...]] = (invoke, stream, ainvoke, astream)
CHAIN: Final = ["ChatPromptTemplate", "ChatOpenAI", "StrOutputParser", "RunnableSequence"]


def sessions(traces: Traces) -> list[tuple[str, object]]:
    """Return the name and the session of each span, in the order in which they ended."""
    return [(span.name, attribute(span, SESSION_ID)) for span in traces]


def usage(span: ReadableSpan) -> tuple[object, ...]:
    """Return a model's name and its tokens: prompt, completion, total."""
    return tuple(
        attribute(span, key)
        for key in (
            SpanAttributes.LLM_MODEL_NAME,
            SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
            SpanAttributes.LLM_TOKEN_COUNT_COMPLETION,
            SpanAttributes.LLM_TOKEN_COUNT_TOTAL,
        )
    )


@pytest.mark.parametrize("call", MODES)
def test_a_chain_with_a_chat_model(
    call: Call, server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Every span carries the id from its start; the model's span has its name and its tokens."""
    config = RunnableConfig(callbacks=[handler], metadata={"session_id": "abc"})

    assert call(server, config) == "echo: hello there"

    assert sessions(traces) == [(name, "abc") for name in CHAIN]
    assert {id_ for _, id_ in traces.at_start} == {"abc"}
    assert usage(traces.named("ChatOpenAI")) == ("test", 4, 3, 7)


def complete(server: OpenAIServer, config: RunnableConfig) -> object:
    """Ask a completion model."""
    return completion(server).invoke("hello there", config)


def complete_streamed(server: OpenAIServer, config: RunnableConfig) -> object:
    """Read its answer word by word."""
    return "".join(completion(server).stream("hello there", config))


def complete_async(server: OpenAIServer, config: RunnableConfig) -> object:
    """Ask it in a coroutine."""
    return asyncio.run(completion(server).ainvoke("hello there", config))


@pytest.mark.parametrize(("call", "tokens"), [(complete, 2), (complete_async, 2), (complete_streamed, None)])
def test_a_completion_model(
    call: Call, tokens: int | None, server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A completion model's span carries the id from its start, too, and its name and tokens."""
    config = RunnableConfig(callbacks=[handler], metadata={"session_id": "abc"})

    assert call(server, config) == "echo: hello there"

    assert sessions(traces) == [("OpenAI", "abc")]
    assert traces.at_start == [("OpenAI", "abc")]
    assert usage(traces.named("OpenAI")) == ("test", tokens, 3, 5)


# What stock OpenInference records, and what we do


def tools(server: OpenAIServer, config: RunnableConfig) -> object:
    """Let the chat model call a tool, and run the tool."""
    [call] = chat(server).bind_tools([add]).invoke("use add 2 3", config).tool_calls
    return add.invoke(call, config)


def retriever(server: OpenAIServer, config: RunnableConfig) -> object:
    """Answer from what a retriever finds."""
    context = runnables.OneDocument() | RunnableLambda(lambda found: found[0].page_content)
    return (context | chat(server)).invoke("cats", config)


def error(server: OpenAIServer, config: RunnableConfig) -> object:
    """Get an error from the server."""
    with suppress(openai.InternalServerError):
        chat_chain(server).invoke({"q": "fail 500"}, config)


def error_in_completion(server: OpenAIServer, config: RunnableConfig) -> object:
    """Get an error from the server for a completion."""
    with suppress(openai.InternalServerError):
        completion(server).invoke("fail 500", config)


def abandoned(server: OpenAIServer, config: RunnableConfig) -> object:
    """Leave a stream after its first word."""
    chunks = chat_chain(server).stream(QUESTION, config)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]


def agent(server: OpenAIServer, config: RunnableConfig) -> object:
    """Ask an agent something that it needs a tool for."""
    agent = cast("Runnable[Any, Any]", create_agent(chat(server), [add], name="calculating_agent"))
    return agent.invoke({"messages": [("human", "use add 2 3")]}, config)


def agent_async(server: OpenAIServer, config: RunnableConfig) -> object:
    """Ask it in a coroutine."""
    agent = cast("Runnable[Any, Any]", create_agent(chat(server), [add]))
    return asyncio.run(agent.ainvoke({"messages": [("human", "use add 2 3")]}, config))


def image(server: OpenAIServer, config: RunnableConfig) -> object:
    """Send an image with the text."""
    url = {"url": "data:image/png;base64,AA=="}
    content: Any = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": url}]
    return chat(server).invoke([{"role": "user", "content": content}], config)
