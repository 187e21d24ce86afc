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

from langchain_sessions import SessionCallbackHandler, SessionPolicy, session
from tests.support import runnables
from tests.support.openai_server import OpenAIServer, openai_server
from tests.support.traces import SESSION_ID, Traces, attribute

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.documents import Document
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.conftest import MakeHandler

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
    return ChatOpenAI(
        model="test", base_url=server.base_url, api_key=_key(), max_retries=0, stream_usage=True
    )


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


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        (complete, (2, 3, 5)),
        (complete_async, (2, 3, 5)),
        (complete_streamed, (None, None, None)),  # LangChain does not ask the server for them
    ],
)
def test_a_completion_model(
    call: Call,
    tokens: tuple[object, ...],
    server: OpenAIServer,
    handler: SessionCallbackHandler,
    traces: Traces,
) -> None:
    """A completion model's span carries the id from its start, too, and its name and tokens."""
    config = RunnableConfig(callbacks=[handler], metadata={"session_id": "abc"})

    assert call(server, config) == "echo: hello there"

    assert sessions(traces) == [("OpenAI", "abc")]
    assert traces.at_start == [("OpenAI", "abc")]
    assert usage(traces.named("OpenAI")) == ("test", *tokens)


# What stock OpenInference records, and what we do


def tools(server: OpenAIServer, config: RunnableConfig) -> object:
    """Let the chat model call a tool, and run the tool."""
    [call] = chat(server).bind_tools([add]).invoke("use add 2 3", config).tool_calls
    return add.invoke(call, config)


def retriever(server: OpenAIServer, config: RunnableConfig) -> object:
    """Answer from what a retriever finds."""
    context = runnables.OneDocument() | RunnableLambda(
        lambda found: cast("list[Document]", found)[0].page_content
    )
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


ALIKE: Final[tuple[Call, ...]] = (
    *MODES,
    complete,
    complete_streamed,
    tools,
    retriever,
    error,
    error_in_completion,
    abandoned,
    agent,
    agent_async,
    image,
)


AS_OPENINFERENCE: Final = SessionPolicy(readable_turns=False)


def stock_handler(traces: Traces) -> OpenInferenceTracer:
    """Return the tracer that OpenInference's instrumentor would use."""
    tracer: Any = OITracer(
        traces.provider.get_tracer("openinference.instrumentation.langchain"), config=TraceConfig()
    )
    return OpenInferenceTracer(tracer, separate_trace_from_runtime_context=False)


def recorded(traces: Traces) -> list[dict[str, Any]]:
    """Return all that was recorded of each span but ids, times and the session."""
    names = {span.context.span_id: span.name for span in traces if span.context}
    return [
        {
            "name": span.name,
            "parent": names[parent.span_id] if (parent := span.parent) else None,
            "kind": span.kind,
            "status": (span.status.status_code, span.status.description),
            "attributes": {key: value for key, value in (span.attributes or {}).items() if key != SESSION_ID},
            "events": [(event.name, dict(event.attributes or {})) for event in span.events],
            "links": span.links,
            "scope": span.instrumentation_scope and span.instrumentation_scope.name,
        }
        for span in traces
    ]


def by_name(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort spans whose order depends on threads."""
    return sorted(spans, key=lambda span: (span["name"], str(span["attributes"])))


@pytest.mark.filterwarnings("ignore:Calling .text")  # OpenInference's own tracer calls what it should read
@pytest.mark.parametrize("call", ALIKE)
def test_spans_are_those_of_openinference(
    call: Call, server: OpenAIServer, make_handler: MakeHandler, traces: Traces
) -> None:
    """For one call, ours equal those of OpenInference's own tracer, but for session and readable turn."""
    stock, handler = Traces(), make_handler(policy=AS_OPENINFERENCE)
    callbacks: list[BaseCallbackHandler] = [stock_handler(stock), handler]

    call(server, RunnableConfig(callbacks=callbacks, metadata={"session_id": "abc"}))

    assert by_name(recorded(traces)) == by_name(recorded(stock))
    assert set(traces.sessions()) == {"abc"}
    assert stock.open == {}


@pytest.mark.parametrize("call", [complete_async])
def test_a_completion_model_in_a_coroutine_is_recorded_as_by_openinference(
    call: Call, make_handler: MakeHandler, traces: Traces
) -> None:
    """LangChain tells only inline handlers of this start, so the two calls are made one after the other."""
    stock, handler = Traces(), make_handler(policy=AS_OPENINFERENCE)
    for callback in (stock_handler(stock), handler):
        with openai_server() as server:
            call(server, RunnableConfig(callbacks=[callback], metadata={"session_id": "abc"}))

    ours, theirs = recorded(traces), recorded(stock)
    assert [span["name"] for span in ours] == ["OpenAI"]
    assert ours == theirs


# OpenInference's instrumentor of the SDK, and its context managers

ASK: Final[dict[str, Any]] = {"model": "test", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.usefixtures("openai_instrumented")
def test_the_sdk_called_in_a_session(client: openai.OpenAI, traces: Traces) -> None:
    """What OpenInference records of a plain SDK call inside `session()` carries its id from the start."""
    with session("  abc "):
        answer = client.chat.completions.create(**ASK)

    assert answer.choices[0].message.content == "echo: hello"
    assert sessions(traces) == [("ChatCompletion", "abc")]
    assert traces.at_start == [("ChatCompletion", "abc")]


@pytest.mark.usefixtures("openai_instrumented")
def test_the_sdk_streamed_in_a_session(client: openai.OpenAI, traces: Traces) -> None:
    """So does what it records of a stream, also if that is read outside."""
    with session("abc"):
        chunks = client.chat.completions.create(**ASK, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert text == "echo: hello"
    assert sessions(traces) == [("ChatCompletion", "abc")]


@pytest.mark.usefixtures("openai_instrumented")
async def test_the_asynchronous_sdk_in_sessions(server: OpenAIServer, traces: Traces) -> None:
    """Tasks in sessions of their own, sharing one client, keep apart."""
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:

        async def ask(id_: str) -> None:
            async with session(id_):
                messages: Any = [{"role": "user", "content": id_}]
                await client.chat.completions.create(model="test", messages=messages)
                chunks = await client.chat.completions.create(model="test", messages=messages, stream=True)
                async for _ in chunks:
                    pass

        await asyncio.gather(*(ask(id_) for id_ in "abc"))

    asked = SpanAttributes.LLM_INPUT_MESSAGES + ".0.message.content"
    pairs = [(attribute(span, asked), attribute(span, SESSION_ID)) for span in traces]
    assert sorted(pairs, key=str) == [("a", "a"), ("a", "a"), ("b", "b"), ("b", "b"), ("c", "c"), ("c", "c")]


@pytest.mark.parametrize("call", MODES)
def test_using_session_is_as_good_as_ours(
    call: Call, server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A chain inside OpenInference's own `using_session` is in that session."""
    with using_session("abc"):
        call(server, RunnableConfig(callbacks=[handler]))

    assert sessions(traces) == [(name, "abc") for name in CHAIN]
    assert {id_ for _, id_ in traces.at_start} == {"abc"}


@pytest.mark.usefixtures("openai_instrumented")
def test_a_chain_and_its_sdk_in_one_session(
    server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Inside `session()`, the chat model's span and the one of the SDK beneath it carry the same id."""
    with session("abc"):
        invoke(server, RunnableConfig(callbacks=[handler]))

    assert sorted(sessions(traces)) == sorted((name, "abc") for name in [*CHAIN, "ChatCompletion"])


# The assistant of Phoenix's page "Setup Sessions", with a LangChain chain beside the SDK


class Assistant:
    """Answers with the SDK, in a span of its own, and has a chain think about it first or last."""

    def __init__(
        self,
        traces: Traces,
        client: openai.OpenAI,
        chain: Runnable[Any, Any],
        handler: SessionCallbackHandler,
    ) -> None:
        self._tracer = traces.provider.get_tracer(__name__)
        self._client = client
        self._chain = chain
        self._config = RunnableConfig(callbacks=[handler])

    def __call__(self, messages: list[Any], session_id: str) -> Any:
        kind = {SpanAttributes.OPENINFERENCE_SPAN_KIND: "agent"}
        with self._tracer.start_as_current_span("agent", attributes=kind):
            current_span = trace.get_current_span()
            current_span.set_attribute(SpanAttributes.SESSION_ID, session_id)
            question = dict(messages[-1])["content"]
            current_span.set_attribute(SpanAttributes.INPUT_VALUE, question)
            with using_session(session_id):
                system = {"role": "system", "content": "You are a helpful assistant."}
                completion = self._client.chat.completions.create(
                    model="gpt-3.5-turbo", messages=cast("Any", [system, *messages])
                )
            response = completion.choices[0].message
            self._chain.invoke({"q": question}, self._config)
            current_span.set_attribute(SpanAttributes.OUTPUT_VALUE, response.content or "")
            return response


@pytest.mark.usefixtures("openai_instrumented")
def test_the_assistant_of_phoenixs_page_beside_a_chain(
    client: openai.OpenAI, server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Its turns, the SDK's calls and a chain called in its span are one session, and one trace each turn."""
    assistant = Assistant(traces, client, chat_chain(server), handler)
    session_id = str(uuid.UUID(int=7))
    messages: list[Any] = [{"role": "user", "content": "hi! im bob"}]
    response = assistant(messages, session_id)
    messages = [*messages, response, {"role": "user", "content": "what's my name?"}]
    response = assistant(messages, session_id)

    assert response.content == "echo: what's my name?"
    turn = ["ChatCompletion", "ChatPromptTemplate", "ChatCompletion", *CHAIN[1:], "agent"]
    assert [[span.name for span in spans] for spans in traces.by_trace().values()] == [turn, turn]
    found = sessions(traces)
    # The SDK's call beneath LangChain's chat model sees neither `using_session` nor the run: nesting it is
    # not the handler's business.
    assert [pair for pair in found if pair[0] != "ChatCompletion"] == [
        (name, session_id) for _ in range(2) for name in [*CHAIN, "agent"]
    ]
    assert found.count(("ChatCompletion", session_id)) == 2
    roots = {span.name for span in traces if span.parent is None}
    assert roots == {"agent"}


@pytest.mark.parametrize("call", MODES)
def test_a_chain_in_a_span_that_is_in_a_session(
    call: Call, server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A chain called inside a recording span that has `session.id` takes it, and is the span's child."""
    tracer = traces.provider.get_tracer(__name__)
    with tracer.start_as_current_span("agent", attributes={SESSION_ID: "abc"}):
        call(server, RunnableConfig(callbacks=[handler]))

    assert sessions(traces) == [(name, "abc") for name in [*CHAIN, "agent"]]
    assert {id_ for _, id_ in traces.at_start} == {"abc"}
    [spans] = traces.by_trace().values()
    [root] = [span for span in spans if span.parent is None]
    assert root.name == "agent"


def test_a_chain_in_a_span_without_a_session(
    server: OpenAIServer, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A chain with an id of its own inside a foreign span leaves that span alone."""
    tracer = traces.provider.get_tracer(__name__)
    with tracer.start_as_current_span("http"):
        invoke(server, RunnableConfig(callbacks=[handler], metadata={"session_id": "abc"}))

    assert sessions(traces) == [*((name, "abc") for name in CHAIN), ("http", None)]
    assert len(traces.by_trace()) == 1
