"""Ways in which a span could take the id of a run in which it was not opened; each was one once."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda
from opentelemetry import baggage
from opentelemetry.context import attach, detach, get_current

from langchain_sessions import SessionCallbackHandler, SessionPolicy, _executing, session
from langchain_sessions._upstream import forget_run
from tests.support import runnables
from tests.support.traces import SESSION_ID, Traces, attribute, span_id_of
from tests.support.tracing_models import (
    Open,
    TracingChatModel,
    TracingLLM,
    TracingRetriever,
)
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.outputs import ChatResult

    from tests.conftest import MakeHandler


def of(id_: str, **config: Any) -> RunnableConfig:
    """Return the config of a call in a conversation, whose run is named after it."""
    return {"metadata": {"session_id": id_}, "run_name": f"{id_} run", **config}  # type: ignore[typeddict-item]


def echo(name: str) -> Runnable[Any, Any]:
    """Return a run of this name that gives back what it gets."""
    return RunnableLambda(lambda value: value, name=name)


@pytest.fixture
def foreign(traces: Traces) -> Open:
    """What opens spans of another library."""
    return traces.provider.get_tracer("another library").start_as_current_span


def forget(handler: SessionCallbackHandler) -> None:
    """End the runs of whose end LangChain tells nobody."""
    for run_id in list(handler.live_runs._runs):
        forget_run(handler, run_id)
        handler.live_runs.remove(run_id)


# --- several prompts --------------------------------------------------------------------------------------


class Naming(TracingLLM):
    """Opens a span for each prompt."""

    def _call(self, prompt: str, *_: Any, **__: Any) -> str:
        with self.open(f"inside for {prompt}"):
            return prompt


@pytest.mark.parametrize("is_async", [False, True])
def test_a_completion_models_batch_over_several_conversations(
    is_async: bool,
    instrumented: MakeHandler,
    traces: Traces,
    foreign: Open,
) -> None:
    """Each run has its own id and trace; one body serves all prompts, so its spans have none."""
    instrumented()
    configs = [of("A"), of("B")]
    if is_async:
        asyncio.run(Naming(open=foreign).abatch(["A", "B"], configs))
    else:
        Naming(open=foreign).batch(["A", "B"], configs)
    assert traces.sessions_by_name() == {
        "inside for A": None,
        "inside for B": None,
        "A run": "A",
        "B run": "B",
    }
    assert set(traces.parents().values()) == {None}


def test_a_completion_models_batch_in_one_conversation(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Its one body is in the session, under the first run."""
    instrumented()
    Naming(open=foreign).batch(["1", "2"], [of("A"), of("A", run_name="second")])
    assert set(traces.sessions()) == {"A"}
    assert traces.parents()["inside for 2"] == "A run"


# --- what is over without LangChain saying so -------------------------------------------------------------


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


class Slow(TracingChatModel):
    """A chat model that never answers."""

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        await never()
        raise AssertionError


class Cycle(TracingRetriever):
    """A retriever whose frame and exception keep each other."""

    async def _aget_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        try:
            await never()
        except BaseException as error:
            kept = error
            raise kept from None
        raise AssertionError


@pytest.mark.parametrize("keeps", ["nothing", "the error", "it in an except block"])
@pytest.mark.parametrize("kind", [Slow, Cycle])
def test_a_worker_goes_on_with_another_conversation_after_a_timeout(
    kind: Any, keeps: str, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Whatever keeps the traceback alive: tasks started from then on are in no run of the first one."""
    errors: list[BaseException] = []

    async def note() -> None:
        with foreign("B foreign"):
            pass

    async def next_conversation() -> None:
        await asyncio.gather(echo("B chain").ainvoke("x", {"metadata": {"session_id": "B"}}), note())

    async def worker() -> None:
        try:
            async with asyncio.timeout(0.01):
                await kind(open=foreign).ainvoke("q", of("A"))
        except TimeoutError as error:
            if keeps == "the error":
                errors.append(error)
            if keeps == "it in an except block":
                await next_conversation()
        if keeps != "it in an except block":
            await next_conversation()

    handler = instrumented()
    asyncio.run(worker())
    assert traces.sessions_by_name() == {"B foreign": None, "B chain": "B"}
    assert set(traces.parents().values()) == {None}
    forget(handler)


def test_a_notebook_goes_on_after_an_interrupt(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """The interpreter keeps the last traceback; threads that are started later are in no run."""

    class Interrupted(TracingRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            raise KeyboardInterrupt

    handler = instrumented()
    last: list[BaseException] = []
    try:
        Interrupted(open=foreign).invoke("q", of("A"))
    except KeyboardInterrupt as error:
        last.append(error)
    echo("x").batch([1, 2], [of("B"), of("C")])
    assert traces.sessions_by_name() == {"B run": "B", "C run": "C"}
    assert set(traces.parents().values()) == {None}
    forget(handler)


def test_a_task_that_outlives_its_run_serves_anybody(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """It has a span of the run in its context for ever, and no id any more; a block of its own counts."""

    async def application() -> None:
        over = asyncio.Event()
        started: list[asyncio.Task[None]] = []

        async def worker() -> None:
            await over.wait()
            with foreign("B foreign"):
                pass
            with session("B"), foreign("B in a block"):
                pass

        async def body(_: Any) -> None:
            with foreign("request"):
                started.append(asyncio.create_task(worker()))

        await RunnableLambda(body).ainvoke("x", of("A"))
        over.set()
        await started[0]

    instrumented()
    asyncio.run(application())
    assert traces.sessions_by_name() == {"request": "A", "A run": "A", "B foreign": None, "B in a block": "B"}


def test_a_run_in_a_task_that_outlived_another_run(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """It nests what is opened in it as everywhere, in its own session."""

    async def application() -> None:
        over = asyncio.Event()
        started: list[asyncio.Task[None]] = []

        def inner(_: Any) -> None:
            with foreign("B foreign"):
                pass

        async def worker() -> None:
            await over.wait()
            await RunnableLambda(inner).ainvoke("x", of("B", callbacks=[]))

        async def body(_: Any) -> None:
            with foreign("request"):
                started.append(asyncio.create_task(worker(), context=contextvars.copy_context()))

        await RunnableLambda(body).ainvoke("x", of("A"))
        over.set()
        await started[0]

    instrumented()
    asyncio.run(application())
    assert traces.parents()["B foreign"] == "B run"
    assert traces.sessions_by_name() == {"request": "A", "A run": "A", "B foreign": "B", "B run": "B"}


def test_a_thread_that_was_given_a_runs_context_serves_anybody(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """As OpenTelemetry's instrumentor of threads gives it, to a worker that is started lazily."""
    jobs: queue.Queue[str | None] = queue.Queue()
    threads: list[threading.Thread] = []

    def body(_: Any) -> None:
        context = get_current()

        def work() -> None:
            token = attach(context)
            while (job := jobs.get()) is not None:
                with foreign(f"{job} foreign"):
                    pass
                echo(f"{job} run").invoke(job)
            detach(token)

        threads.append(threading.Thread(target=work))
        threads[0].start()

    instrumented()
    RunnableLambda(body).invoke("x", of("A"))
    jobs.put("B")
    jobs.put(None)
    threads[0].join()
    assert traces.sessions_by_name() == {"A run": "A", "B foreign": None, "B run": None}


# --- streams that are read elsewhere ----------------------------------------------------------------------


def test_a_stream_that_is_read_on_inside_another_run(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Its body's spans are in its own run, not in the one in which it happens to be read."""
    instrumented()
    chunks = TracingChatModel(open=foreign, label="B ").stream("q", of("B"))
    next(chunks)
    RunnableLambda(lambda _: next(chunks)).invoke("x", of("A"))
    list(chunks)
    assert all(id_ == name[0] for name, id_ in traces.sessions_by_name().items())
    assert {p for n, p in traces.parents().items() if "inside" in n} == {"B run"}


def test_a_stream_begun_in_a_thread_and_read_on_in_a_models_body(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """The innermost body counts."""
    chunks = TracingChatModel(open=foreign, label="B ").stream("q", of("B"))

    class Reading(TracingChatModel):
        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            next(chunks)
            return super()._generate()

    instrumented()
    thread = threading.Thread(target=lambda: next(chunks))
    thread.start()
    thread.join()
    Reading(open=foreign, label="A ").invoke("x", of("A"))
    list(chunks)
    assert all(id_ == name[0] for name, id_ in traces.sessions_by_name().items())


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_stream_with_fallbacks(
    nested: Any, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """LangChain reads its first chunk in a context of its own, and the others in the consumer's."""
    instrumented(policy=SessionPolicy(nested=nested))
    model = TracingChatModel(open=foreign, label="B ").with_config(run_name="B model")
    RunnableLambda(lambda _: list(model.with_fallbacks([model]).stream("q", of("B")))).invoke("x", of("A"))
    expected = "A" if nested == "root" else "B"
    assert {id_ for name, id_ in traces.sessions_by_name().items() if name != "A run"} == {expected}
    assert {p for n, p in traces.parents().items() if "inside" in n} == {"B model"}


def test_an_asynchronous_stream_of_a_synchronous_model_read_inside_another_run(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """Begun in a task that is gone, and read in an executor's threads: its own id, or none."""

    async def application() -> None:
        chunks: Any = TracingChatModel(open=foreign, label="A ").astream("q", of("A"))

        async def read_on(_: Any = None) -> None:
            await anext(chunks)

        await asyncio.create_task(read_on())
        await RunnableLambda(read_on).ainvoke("x", of("B"))
        with session("B"):
            async for _ in chunks:
                pass

    instrumented()
    asyncio.run(application())
    for name, id_ in traces.sessions_by_name().items():
        assert id_ == name[0] or (id_ is None and "inside" in name), name


def test_a_thread_goes_on_with_a_stream_whose_reader_was_cancelled(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """While the same model answers another conversation, which alone is seen to be waiting for it."""
    began = {id_: threading.Event() for id_ in "AB"}
    go_on = {id_: threading.Event() for id_ in "AB"}
    done = {id_: threading.Event() for id_ in "AB"}

    class Waiting(TracingChatModel):
        def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[Any]:
            id_ = messages[-1].text
            began[id_].set()
            go_on[id_].wait(PATIENCE)
            with self.open(f"{id_} inside"):
                pass
            done[id_].set()
            yield ChatGenerationChunk(message=AIMessageChunk(content="fine"))

    async def application() -> None:
        model = Waiting(open=foreign)

        async def read(id_: str) -> None:
            attach(baggage.set_baggage("some", "baggage"))
            async for _ in model.astream(id_, of(id_)):
                pass

        tasks = {id_: asyncio.create_task(read(id_)) for id_ in "AB"}
        for event in began.values():
            await asyncio.to_thread(event.wait, PATIENCE)
        tasks["A"].cancel()
        await asyncio.gather(tasks["A"], return_exceptions=True)
        go_on["A"].set()
        await asyncio.to_thread(done["A"].wait, PATIENCE)
        go_on["B"].set()
        await tasks["B"]

    instrumented()
    asyncio.run(application())
    inside = {name: id_ for name, id_ in traces.sessions_by_name().items() if name.endswith(" inside")}
    assert inside == {"A inside": None, "B inside": "B"}


@pytest.mark.parametrize("accepts", [False, True])
def test_a_stream_read_on_in_another_conversations_request(
    accepts: bool,
    instrumented: MakeHandler,
    traces: Traces,
    foreign: Open,
) -> None:
    """Whose id is on the span around, or in baggage, and nowhere else."""
    instrumented(policy=SessionPolicy(accept_baggage=accepts))
    chunks = TracingChatModel(open=foreign, label="A ").stream("q", of("A"))
    thread = threading.Thread(target=lambda: next(chunks))
    thread.start()
    thread.join()
    if accepts:
        token = attach(baggage.set_baggage(SESSION_ID, "B"))
        list(chunks)
        detach(token)
    else:
        tracer = traces.provider.get_tracer("web")
        with tracer.start_as_current_span("B request", attributes={SESSION_ID: "B"}):
            list(chunks)
    assert all(id_ == name[0] for name, id_ in traces.sessions_by_name().items())


def call_chain(_: Open) -> None:
    echo("A child").invoke("x")


def call_tool(_: Open) -> None:
    runnables.shout.with_config(run_name="A child").invoke({"text": "x"})


def call_retriever(foreign: Open) -> None:
    TracingRetriever(open=foreign).with_config(run_name="A child").invoke("x")


def call_bound_model(foreign: Open) -> None:
    TracingChatModel(open=foreign, label="A ").bind(stop=["x"]).with_config(run_name="A child").invoke("x")


def stream_model(foreign: Open) -> None:
    list(TracingChatModel(open=foreign, label="A ").stream("x", {"run_name": "A child"}))


@pytest.mark.parametrize(
    "call",
    [call_chain, call_tool, call_retriever, call_bound_model, stream_model],
    ids=lambda it: it.__name__,
)
def test_a_run_that_a_models_body_calls_is_in_the_models_run(
    call: Any, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """LangChain does not know of a run around; a block around the model does not come before it."""

    class Calling(TracingChatModel):
        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            call(foreign)
            return super()._generate()

    instrumented()
    with session("B"):
        Calling(open=foreign).invoke("q", of("A"))
    assert set(traces.sessions()) == {"A"}
    (child,) = [span for span in traces if span.name == "A child"]
    assert child.parent
    assert child.parent.span_id == span_id_of(traces.named("A run"))


def test_a_stream_of_events_that_is_dropped_is_not_looked_for_any_more(
    instrumented: MakeHandler, foreign: Open
) -> None:
    """LangChain does not tell of its end; looking for its body would cost everybody's time."""
    handler = instrumented()
    gc.collect()
    before = len(_executing._streams)
    events: Any = TracingChatModel(open=foreign).stream_events("q", of("A"), version="v3")
    next(iter(events))
    assert len(_executing._streams) == before + 1
    del events
    gc.collect()
    assert len(_executing._streams) == before
    forget(handler)


# --- tasks ------------------------------------------------------------------------------------------------


def test_two_tasks_that_share_one_context(instrumented: MakeHandler, traces: Traces, foreign: Open) -> None:
    """What a model's call leaves in the context is not taken for the other task's."""

    async def application() -> None:
        began, go_on, shared = asyncio.Event(), asyncio.Event(), contextvars.copy_context()

        class Waiting(TracingChatModel):
            async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
                began.set()
                await go_on.wait()
                return self._generate()

        async def other() -> None:
            await began.wait()
            with foreign("B foreign"):
                pass
            echo("x").invoke("x", of("B"))
            go_on.set()

        async def call() -> None:
            await Waiting(open=foreign, label="A ").ainvoke("x", of("A"))

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.create_task(it(), context=shared) for it in (call, other)))

    instrumented()
    asyncio.run(application())
    assert traces.sessions_by_name() == {"B foreign": None, "B run": "B", "A inside": "A", "A run": "A"}


REENTRANT = """
import asyncio, json
import nest_asyncio2
from langchain_core.runnables import RunnableLambda
from langchain_sessions import instrument
from tests.support.traces import Traces
from tests.support.tracing_models import TracingAsyncChatModel

nest_asyncio2.apply()  # for the whole process
traces = Traces()
foreign = traces.provider.get_tracer("another library").start_as_current_span
instrument(traces.provider)
entered, noted = asyncio.Event(), asyncio.Event()

class Entering(TracingAsyncChatModel):
    async def _astream(self, *_, **__):
        async for chunk in super()._astream():
            yield chunk
            entered.set()
            asyncio.get_running_loop().run_until_complete(noted.wait())

async def note():
    await entered.wait()
    with foreign("B foreign"):
        pass
    RunnableLambda(str).invoke("x", {"metadata": {"session_id": "B"}, "run_name": "B run"})
    noted.set()

async def application():
    config = {"metadata": {"session_id": "A"}, "run_name": "A run"}
    chunks = Entering(open=foreign, label="A ").astream("x", config)
    await asyncio.gather(*[asyncio.create_task(note()) async for chunk in chunks if chunk.text == "0"])

asyncio.run(application())
print(json.dumps(traces.sessions_by_name()))
"""


def test_an_event_loop_that_is_entered_again() -> None:
    """As notebooks do it: the stack below a task's own frames belongs to another task."""
    pytest.importorskip("nest_asyncio2")
    run = subprocess.run([sys.executable, "-c", REENTRANT], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found.pop("B foreign") is None
    assert len(found) == 5
    assert all(id_ == name[0] for name, id_ in found.items())


# --- one id for several runs ------------------------------------------------------------------------------


def conversation(id_: str, foreign: Open, **config: Any) -> Iterator[Any]:
    """Stream a run that opens a span and calls another one after its first item."""

    def body(given: Iterator[Any]) -> Iterator[int]:
        for _ in given:
            pass
        yield 1
        with foreign(f"{id_} foreign"):
            pass
        echo(f"{id_} child").invoke("x")
        yield 2

    return RunnableGenerator(body).stream("x", of(id_, **config))


def read_in_turns(*streams: Iterator[Any]) -> None:
    """Read one item of each, then the rest of each."""
    for stream in streams:
        next(stream)
    for stream in streams:
        list(stream)


def test_one_run_id_for_three_runs(
    instrumented: MakeHandler, traces: Traces, foreign: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell whose spans are whose: none takes another conversation's id, and nothing stays open."""
    instrumented()
    run_id = uuid4()
    read_in_turns(*(conversation(id_, foreign, run_id=run_id) for id_ in "ABC"))
    for name, id_ in traces.sessions_by_name().items():
        assert id_ in (name[0], None), name
    assert "given to two runs at once" in caplog.text


def test_one_run_id_for_two_runs_of_two_handlers(
    make_handler: MakeHandler, instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """A handler for each request: neither takes the other's run for its own."""
    instrumented()
    run_id = uuid4()
    streams = [conversation(id_, foreign, run_id=run_id, callbacks=[make_handler()]) for id_ in "AB"]
    read_in_turns(*streams)
    for name, id_ in traces.sessions_by_name().items():
        assert id_ in (name[0], None), name
    assert traces.sessions_by_name()["B run"] == "B"


# --- the enclosing span -----------------------------------------------------------------------------------


def test_what_the_enclosing_span_shows_is_not_handed_on(
    instrumented: MakeHandler, traces: Traces, foreign: Open
) -> None:
    """A worker's main span that shows its first turn says nothing of what else it encloses."""
    instrumented(policy=SessionPolicy(stamp_enclosing=True))
    with foreign("worker"):
        echo("x").invoke("a", of("A"))
        with foreign("load B"):
            pass
        runnables.shout.invoke({"text": "no id"})
    assert attribute(traces.named("worker"), SESSION_ID) == "A"
    assert attribute(traces.named("load B"), SESSION_ID) is None
    assert attribute(traces.named("shout"), SESSION_ID) is None
