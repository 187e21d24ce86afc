"""Spans that other code opens: where they land, and in which session."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] -- it is typed
    START,
    MessagesState,
    StateGraph,
)
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.instrumentation.utils import suppress_instrumentation

from langchain_sessions import current_session_id, instrument, session, uninstrument
from langchain_sessions._overlay import attached
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute, span_id_of, trace_id_of
from tests.support.tracing_models import (
    CHUNKS,
    Open,
    TracingAsyncChatModel,
    TracingChatModel,
    TracingLLM,
    TracingRetriever,
)

if TYPE_CHECKING:
    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core

IN_A: RunnableConfig = {"metadata": {"session_id": "A", "user_id": "ada"}, "run_name": "run"}


@pytest.fixture
def foreign(traces: Traces) -> Open:
    """What opens spans of another library."""
    return traces.provider.get_tracer("another library").start_as_current_span


# --- bodies -----------------------------------------------------------------------------------------------


def chain(foreign: Open) -> Runnable[Any, Any]:
    def body(given: Any) -> Any:
        with foreign("inside"):
            return given

    return RunnableLambda(body)


def coroutine(foreign: Open) -> Runnable[Any, Any]:
    async def body(given: Any) -> Any:
        await asyncio.sleep(0)
        with foreign("inside"):
            return given

    return RunnableLambda(body)


def a_tool(foreign: Open) -> Runnable[Any, Any]:
    @tool
    def look_up(q: str) -> str:
        """Look it up."""
        with foreign("inside"):
            return q

    return look_up


def chat_model(foreign: Open) -> Runnable[Any, Any]:
    return TracingChatModel(open=foreign)


def async_chat_model(foreign: Open) -> Runnable[Any, Any]:
    return TracingAsyncChatModel(open=foreign)


def completion_model(foreign: Open) -> Runnable[Any, Any]:
    return TracingLLM(open=foreign)


def retriever(foreign: Open) -> Runnable[Any, Any]:
    return TracingRetriever(open=foreign)


def graph_node(foreign: Open) -> Runnable[Any, Any]:
    def run(state: MessagesState) -> dict[str, Any]:
        del state
        with foreign("inside"):
            return {}

    return StateGraph(MessagesState).add_node("run", run).add_edge(START, "run").compile()


Body: TypeAlias = Callable[[Open], Runnable[Any, Any]]
SYNC: tuple[Body, ...] = (
    chain,
    a_tool,
    chat_model,
    async_chat_model,
    completion_model,
    retriever,
    graph_node,
)
INPUTS: dict[Body, Any] = {a_tool: {"q": "hi"}, graph_node: {"messages": [("human", "hi")]}}


def invoke(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    runnable.invoke(given, config)


def ainvoke(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    asyncio.run(runnable.ainvoke(given, config))


def batch(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    runnable.batch([given], config)


def abatch(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    asyncio.run(runnable.abatch([given], config))


def in_a_chain(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    outer = RunnableLambda(lambda x: runnable.invoke(x, {"run_name": "run"}), name="outer")
    outer.invoke(given, {**config, "run_name": "outer"})


def in_a_chain_async(runnable: Runnable[Any, Any], given: Any, config: RunnableConfig) -> None:
    async def body(x: Any) -> Any:
        return await asyncio.create_task(runnable.ainvoke(x, {"run_name": "run"}))

    asyncio.run(RunnableLambda(body, name="outer").ainvoke(given, {**config, "run_name": "outer"}))


Mode: TypeAlias = Callable[[Runnable[Any, Any], Any, RunnableConfig], None]
SYNC_MODES: tuple[Mode, ...] = (invoke, ainvoke, batch, abatch, in_a_chain, in_a_chain_async)


@pytest.mark.parametrize("mode", SYNC_MODES)
@pytest.mark.parametrize("body", [*SYNC, coroutine])
def test_a_span_opened_in_a_body_is_the_runs_child_and_in_its_session(
    body: Body, mode: Mode, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Chains, tools, models, retrievers, graph nodes; sync, async, in batches, alone and nested."""
    if body is coroutine and mode in (invoke, batch, in_a_chain):
        return  # it cannot be called synchronously
    instrumented()
    mode(body(foreign), INPUTS.get(body, "hi"), IN_A)

    inside = traces.named("inside")
    (run,) = [span for span in traces if inside.parent and span_id_of(span) == inside.parent.span_id]
    assert run.name == "run"
    assert {attribute(span, SESSION_ID) for span in traces} == {"A"}
    assert {attribute(span, USER_ID) for span in traces} == {"ada"}
    assert {trace_id_of(span) for span in traces} == {1}


def test_the_current_span_in_a_tool_is_the_tools(instrumented: MakeHandler, traces: Traces) -> None:
    """Users may add attributes to the run's span where they stand."""

    @tool
    def look_up(q: str) -> str:
        """Look it up."""
        trace.get_current_span().set_attribute("mine", q)
        return q

    instrumented()
    look_up.invoke({"q": "hi"}, IN_A)
    assert attribute(traces.named("run"), "mine") == "hi"


def test_a_run_inside_a_users_span_is_its_child(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Also where LangChain knows of a run around: the user's span is in between."""

    def body(_: Any) -> Any:
        with foreign("mine"), foreign("deeper"):
            return runnables.shout.invoke({"text": "hi"})

    instrumented()
    with foreign("web"):
        RunnableLambda(body).invoke("hi", IN_A)
    assert traces.parents() == {
        "web": None,
        "run": "web",
        "mine": "run",
        "deeper": "mine",
        "shout": "deeper",
    }
    assert traces.sessions_by_name() == {
        "web": None,
        **dict.fromkeys(("run", "mine", "deeper", "shout"), "A"),
    }


def test_a_model_inside_a_models_body(instrumented: MakeHandler, traces: Traces, foreign: Open) -> None:
    """A chat model that asks another one, as a router does: LangChain knows of no run around, but we do."""

    class Router(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "router"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            other: RunnableConfig = {"run_name": "in", "metadata": {"session_id": "another"}}
            TracingChatModel(open=foreign).invoke("q", other)
            with foreign("after"):
                return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])

    instrumented()
    Router().invoke("hi", IN_A)
    assert traces.parents() == {"run": None, "in": "run", "inside": "in", "after": "run"}
    assert set(traces.sessions()) == {"A"}, "one id per trace"


def test_several_prompts_in_one_call(instrumented: MakeHandler, traces: Traces, foreign: Open) -> None:
    """Each prompt of a chat model's `generate` is a run; a span opened for one is its child."""
    instrumented()
    TracingChatModel(open=foreign).generate([[HumanMessage("1")], [HumanMessage("2")]])
    models = [span for span in traces if span.name != "inside"]
    inner = [span for span in traces if span.name == "inside"]
    assert [span.parent and span.parent.span_id for span in inner] == [span_id_of(span) for span in models]


# --- streams ----------------------------------------------------------------------------------------------


class Consumer:
    """Reads a stream, and opens a span after each chunk."""

    def __init__(self, foreign: Open) -> None:
        self._foreign = foreign
        self._read = 0

    def note(self) -> None:
        with self._foreign(f"consumer {self._read}"):
            self._read += 1
            assert current_session_id() is None

    def read(self, runnable: Runnable[Any, Any]) -> None:
        for _ in runnable.stream("hi", IN_A):
            self.note()

    def read_async(self, runnable: Runnable[Any, Any]) -> None:
        async def read() -> None:
            async for _ in runnable.astream("hi", IN_A):
                self.note()

        asyncio.run(read())

    def read_events(self, runnable: Runnable[Any, Any]) -> None:
        async def read() -> None:
            async for _ in runnable.astream_events("hi", IN_A, version="v2"):
                self.note()

        asyncio.run(read())


def generator(foreign: Open) -> Runnable[Any, Any]:
    def transform(given: Iterator[Any]) -> Iterator[str]:
        for _ in given:
            for number in range(CHUNKS):
                with foreign(f"inside {number}"):
                    chunk = str(number)
                yield chunk

    async def atransform(given: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for _ in given:
            for chunk in transform(iter([0])):
                yield chunk

    return RunnableGenerator(transform, atransform)


@pytest.mark.parametrize("read", [Consumer.read, Consumer.read_async, Consumer.read_events])
@pytest.mark.parametrize("body", [generator, async_chat_model, completion_model])
def test_the_consumer_of_a_stream_stays_outside(
    body: Body, read: Any, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Between two chunks the consumer is in no run, also of a model that is streamed directly."""
    instrumented()
    read(Consumer(foreign), body(foreign))
    for name, parent in traces.parents().items():
        assert parent == ("run" if name.startswith("inside") else None), name
    for name, id_ in traces.sessions_by_name().items():
        assert id_ == (None if name.startswith("consumer") else "A"), name
    assert any(name.startswith("inside") for name in traces.names())


def test_a_synchronous_model_streamed_asynchronously(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """LangChain reads it in threads of an executor: the model's body is told by its own frame there."""
    instrumented()
    Consumer(foreign).read_async(TracingChatModel(open=foreign))
    for name, parent in traces.parents().items():
        assert parent == ("run" if name.startswith("inside") else None), name
    for name, id_ in traces.sessions_by_name().items():
        assert id_ == (None if name.startswith("consumer") else "A"), name


def test_two_streams_of_one_synchronous_model_in_one_task(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Which of the two is being read in an executor's thread is told by what the task waits for."""
    model = TracingChatModel(open=foreign)

    async def read() -> None:
        streams = [
            model.astream("hi", {"metadata": {"session_id": id_}, "run_name": f"{id_} run"}) for id_ in "AB"
        ]
        with session("the consumer's"):
            while streams:
                for chunks in list(streams):
                    if await anext(chunks, None) is None:
                        streams.remove(chunks)

    instrumented()
    asyncio.run(read())
    runs = {span_id_of(span): span.name[0] for span in traces if span.name.endswith("run")}
    inside = [(runs[s.parent.span_id], attribute(s, SESSION_ID)) for s in traces if s.parent]
    assert sorted(inside) == [("A", "A")] * CHUNKS + [("B", "B")] * CHUNKS


def test_what_a_consumer_starts_keeps_the_consumers_session(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """As long as it cannot be the model's body's in another one: the usual case is one session for both."""

    def note() -> None:
        with foreign("note"):
            pass

    async def read(id_: str) -> None:
        with session("A"):
            async for chunk in TracingAsyncChatModel(open=foreign).astream(
                "hi", {"metadata": {"session_id": id_}}
            ):
                if chunk.text == "0":
                    await asyncio.to_thread(note)
                    with session("A"):
                        await asyncio.to_thread(note)

    instrumented()
    asyncio.run(read("A"))
    assert {attribute(span, SESSION_ID) for span in traces if span.name == "note"} == {"A"}
    traces.clear()
    asyncio.run(read("B"))
    assert {attribute(span, SESSION_ID) for span in traces if span.name == "note"} == {None}


@pytest.mark.parametrize("kind", [TracingAsyncChatModel, TracingLLM])
def test_interleaved_streams_of_two_conversations(
    kind: Any, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Each body's spans are in its own run, whichever stream was read last, and the consumer in none."""
    instrumented()
    streams = {
        id_: kind(open=foreign, label=f"{id_} ").stream(
            "hi", {"metadata": {"session_id": id_}, "run_name": f"{id_} run"}
        )
        for id_ in "ABC"
    }
    while streams:
        for id_, chunks in list(streams.items()):
            with session("consumer's own"):
                if next(chunks, None) is None:
                    del streams[id_]
    for name, parent in traces.parents().items():
        assert parent == (None if name.endswith("run") else f"{name[0]} run"), name
    for name, id_ in traces.sessions_by_name().items():
        assert id_ == name[0], name


def test_interleaved_async_streams_of_two_conversations(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """The same in one task of an event loop."""

    async def read() -> None:
        streams = [
            TracingAsyncChatModel(open=foreign, label=f"{id_} ").astream(
                "hi", {"metadata": {"session_id": id_}, "run_name": f"{id_} run"}
            )
            for id_ in "AB"
        ]
        while streams:
            for chunks in list(streams):
                if await anext(chunks, None) is None:
                    streams.remove(chunks)

    instrumented()
    asyncio.run(read())
    assert all(
        parent == (None if n.endswith("run") else f"{n[0]} run") for n, parent in traces.parents().items()
    )
    assert all(id_ == name[0] for name, id_ in traces.sessions_by_name().items())


@pytest.mark.parametrize("leave", ["close", "collect", "hold"])
@pytest.mark.parametrize("body", [generator, chat_model, completion_model])
def test_an_abandoned_stream_leaves_nothing_behind(
    body: Body, leave: str, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Whether it is closed, forgotten, or held: what comes after is not in its run."""
    instrumented()
    chunks: Any = body(foreign).stream("hi", IN_A)
    next(chunks)
    held = [chunks]
    del chunks
    if leave == "close":
        held[0].close()
    elif leave == "collect":
        held.clear()
        gc.collect()
    with foreign("later"):
        runnables.shout.invoke({"text": "hi"})
    if leave == "hold":
        held[0].close()
    assert traces.parents()["later"] is None
    assert traces.parents()["shout"] == "later"
    assert traces.sessions_by_name()["later"] is None
    assert traces.sessions_by_name()["shout"] is None


def test_a_task_that_the_consumer_of_a_stream_starts_is_outside(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """It has a copy of the context in which the model was started, and is in no run all the same."""

    async def note() -> None:
        await asyncio.sleep(0)
        with foreign("note"):
            pass

    async def read() -> None:
        tasks = [
            asyncio.create_task(note())
            async for chunk in TracingAsyncChatModel(open=foreign).astream("hi", IN_A)
            if chunk.text == "0"
        ]
        await asyncio.gather(*tasks)

    instrumented()
    asyncio.run(read())
    assert traces.parents()["note"] is None
    assert traces.sessions_by_name()["note"] is None


# --- what LangChain never ends ----------------------------------------------------------------------------


def test_a_cancelled_retriever_is_over_although_langchain_does_not_say_so(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """LangChain ends a retriever's run for exceptions only; what follows in its task is not in it."""

    async def request() -> None:
        model = TracingRetriever(open=foreign, waits_for=asyncio.Event().wait)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await model.ainvoke("hi", IN_A)
        with foreign("next request"):
            pass
        await asyncio.create_task(later())

    async def later() -> None:
        with foreign("later"):
            pass

    handler = instrumented()
    asyncio.run(request())
    assert traces.sessions_by_name() == {"next request": None, "later": None}
    (open_run,) = list(handler.live_runs._runs)
    handler.on_retriever_error(RuntimeError("ended by the test"), run_id=open_run)


def test_a_cached_answer_starts_no_run(instrumented: MakeHandler, traces: Traces, foreign: Open) -> None:
    """LangChain configures a model's callbacks, finds the answer in its cache, and starts nothing."""
    from langchain_core.caches import InMemoryCache

    instrumented()
    model = TracingLLM(open=foreign, cache=InMemoryCache())
    model.invoke("hi", IN_A)
    traces.clear()
    model.invoke("hi", IN_A)
    with foreign("later"):
        pass
    assert traces.sessions_by_name() == {"later": None}


# --- what the user attaches inside ------------------------------------------------------------------------


def test_what_is_attached_inside_a_run_wins(instrumented: MakeHandler, traces: Traces, foreign: Open) -> None:
    """An empty context means a trace of its own, as everywhere in OpenTelemetry."""

    def body(given: Any) -> Any:
        token = attach(Context())
        with foreign("on its own"):
            pass
        detach(token)
        with foreign("inside"):
            return given

    instrumented()
    RunnableLambda(body).invoke("hi", IN_A)
    assert traces.parents() == {"run": None, "on its own": None, "inside": "run"}
    assert traces.sessions_by_name() == {"run": "A", "on its own": None, "inside": "A"}


def test_values_attached_inside_a_run_keep_it(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Baggage, a suppression, a session: contexts made from the current one have the run in them."""

    def body(given: Any) -> Any:
        token = attach(baggage.set_baggage("key", "value"))
        with foreign("with baggage"):
            pass
        detach(token)
        with suppress_instrumentation(), foreign("suppressed"):
            runnables.shout.invoke({"text": "not traced"})
        with session("A2"), foreign("in a session"):
            pass
        with foreign("inside"):
            return given

    instrumented()
    RunnableLambda(body).invoke("hi", IN_A)
    assert traces.parents() == {
        "run": None,
        **dict.fromkeys(("with baggage", "suppressed", "in a session", "inside"), "run"),
    }
    assert set(traces.sessions()) == {"A"}, "one id per trace"


def test_a_block_that_a_models_stream_holds_open_leaves_nothing_in_its_consumer(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """The context that comes back when the block ends is the consumer's, not the run's."""

    class Holding(TracingChatModel):
        def _stream(self, *_: Any, **__: Any) -> Iterator[Any]:
            with session("B"):
                yield from super()._stream()

    instrumented()
    list(Holding(open=foreign).stream("hi", IN_A))
    with foreign("later"):
        pass
    assert traces.parents()["later"] is None
    assert traces.sessions_by_name()["later"] is None


# --- threads, forks, faults -------------------------------------------------------------------------------


def test_another_librarys_thread_is_outside_unless_it_is_given_the_context(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """A plain thread has neither LangChain's nor OpenTelemetry's context."""

    def note() -> None:
        with foreign("thread"):
            pass

    def body(given: Any) -> Any:
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
        return given

    instrumented()
    RunnableLambda(body).invoke("hi", IN_A)
    assert traces.parents() == {"run": None, "thread": None}
    assert traces.sessions_by_name() == {"run": "A", "thread": None}


def test_a_provider_of_none_does_not_hide_a_real_span(traces: Traces, foreign: Open) -> None:
    """With a no-op provider for LangChain, spans of others go on being nested in theirs."""

    def body(given: Any) -> Any:
        with foreign("inside"):
            return given

    instrument(trace.NoOpTracerProvider())
    try:
        with foreign("web"):
            RunnableLambda(body).invoke("hi", IN_A)
    finally:
        uninstrument()
    assert traces.parents() == {"web": None, "inside": "web"}


def test_a_run_that_is_not_traced_breaks_nothing_apart(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Suppressed from outside, a run has no span; a user's spans in it stay together."""
    instrumented()
    with foreign("web"), suppress_instrumentation():
        chain(foreign).invoke("hi", IN_A)
    assert traces.parents() == {"web": None, "inside": "web"}


def test_a_forked_process_goes_on_in_the_run(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """A child process made in a run's body sees the run, and neither waits nor breaks anything."""

    def body(given: Any) -> Any:
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with foreign("child") as span:
                    seen = f"{span.get_span_context().trace_id} {attribute(span, SESSION_ID)}"
                runnables.shout.invoke({"text": "in the child"})
                os.write(write_end, seen.encode())
            finally:
                os._exit(0)
        os.close(write_end)
        os.waitpid(pid, 0)
        with os.fdopen(read_end, "rb") as pipe:
            return pipe.read().decode()

    instrumented()
    assert RunnableLambda(body).invoke("hi", IN_A) == "1 A"
    assert traces.names() == ["run"]


def test_attached_contexts_are_left_alone(instrumented: MakeHandler) -> None:
    """Tokens outlive the switch in both directions, and nothing of a run is ever attached."""
    before = attach(baggage.set_baggage("key", "value"))
    instrumented()
    inside: list[Context] = []
    RunnableLambda(lambda _: inside.extend([attached(), get_current()])).invoke("hi", IN_A)
    assert inside[0] == attached()
    assert inside[1] != attached()
    token = attach(Context())
    uninstrument()
    detach(token)
    assert baggage.get_baggage("key") == "value"
    detach(before)


def test_other_handlers_see_the_enclosing_run(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """A span that somebody's handler opens when a run starts is in the run around it."""

    class Opening(BaseCallbackHandler):
        run_inline = True

        def on_tool_start(self, *_: Any, **__: Any) -> None:
            with foreign("from a handler"):
                pass

    instrumented()
    RunnableLambda(lambda _: runnables.shout.invoke({"text": "hi"})).invoke(
        "hi", {**IN_A, "callbacks": [Opening()]}
    )
    assert traces.parents() == {"run": None, "shout": "run", "from a handler": "run"}


def test_documents_of_two_concurrent_retrievers(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Two leaf runs side by side in one task's children: each span is in its own."""

    class Named(TracingRetriever):
        label: str

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            with self.open(f"{self.label} inside"):
                return [Document(query)]

    async def both(_: Any) -> None:
        await asyncio.gather(
            *(Named(open=foreign, label=n).ainvoke("q", {"run_name": f"{n} run"}) for n in "12")
        )

    instrumented()
    asyncio.run(RunnableLambda(both).ainvoke("hi", IN_A))
    assert traces.parents() == {
        "run": None,
        "1 run": "run",
        "2 run": "run",
        "1 inside": "1 run",
        "2 inside": "2 run",
    }
