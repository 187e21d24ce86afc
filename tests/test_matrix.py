"""Every way to run a runnable, times every way to give an id: each span of a conversation carries its id."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.history import RunnableWithMessageHistory
from openinference.instrumentation import using_session

from langchain_sessions import SessionCallbackHandler, session
from tests.support import runnables
from tests.support.runnables import Histories
from tests.support.traces import SESSION_ID, Traces, attribute
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.core

METADATA = ("metadata session_id", "metadata thread_id", "metadata conversation_id")
CONFIGURABLE = ("configurable session_id", "configurable thread_id", "configurable conversation_id")
SURROUNDING = {"session()": session, "using_session": using_session}
HISTORY = "message history"
NOTHING = "nothing"
SOURCES = (*METADATA, *CONFIGURABLE, HISTORY, *SURROUNDING, NOTHING)


@dataclass
class Case:
    """One way to give an id."""

    source: str
    handler: SessionCallbackHandler
    started: list[str | None] = field(default_factory=list)
    histories: Histories = field(default_factory=Histories)

    def wrap(self, runnable: Runnable[Any, Any], *, key: str | None = "q") -> Runnable[Any, Any]:
        """Give the runnable a message history, where that is the way."""
        if self.source != HISTORY:
            return runnable
        return RunnableWithMessageHistory(runnable, self.histories.of, input_messages_key=key)

    def config(self, id_: str) -> RunnableConfig:
        """Return the config of a call that belongs to this conversation."""
        config = RunnableConfig(callbacks=[self.handler])
        if self.source in (*METADATA, *CONFIGURABLE):
            mapping, key = self.source.split()
            config[mapping] = {key: id_}  # type: ignore[literal-required]
        elif self.source == HISTORY:
            config["configurable"] = {"session_id": id_}
        self.started.append(None if self.source == NOTHING else id_)
        return config

    def around(self, id_: str) -> AbstractContextManager[object]:
        """Return what has to surround the call."""
        return SURROUNDING[self.source](id_) if self.source in SURROUNDING else nullcontext()

    def ids(self, number: int) -> Sequence[str]:
        """Return ids for several conversations in one call: different ones, where the way allows it."""
        return ["a"] * number if self.source in SURROUNDING else list("abcdef")[:number]


QUESTION = {"q": "how are you?"}
Mode: TypeAlias = Callable[[Case], None]


def invoke(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.chain()).invoke(QUESTION, case.config("a"))


def ainvoke(case: Case) -> None:
    with case.around("a"):
        asyncio.run(case.wrap(runnables.chain()).ainvoke(QUESTION, case.config("a")))


def batch(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.chain()).batch([QUESTION] * 3, [case.config(id_) for id_ in case.ids(3)])


def abatch(case: Case) -> None:
    with case.around("a"):
        configs = [case.config(id_) for id_ in case.ids(3)]
        asyncio.run(case.wrap(runnables.chain()).abatch([QUESTION] * 3, configs))


def stream(case: Case) -> None:
    with case.around("a"):
        list(case.wrap(runnables.chain()).stream(QUESTION, case.config("a")))


def astream(case: Case) -> None:
    async def read() -> None:
        async for _ in case.wrap(runnables.chain()).astream(QUESTION, case.config("a")):
            pass

    with case.around("a"):
        asyncio.run(read())


def astream_events(case: Case) -> None:
    async def read() -> None:
        runnable = case.wrap(runnables.chain())
        async for _ in runnable.astream_events(QUESTION, case.config("a"), version="v2"):
            pass

    with case.around("a"):
        asyncio.run(read())


def runnable_parallel(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.parallel()).invoke(QUESTION, case.config("a"))


def nested_tools_and_retrievers(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.nested()).invoke(QUESTION, case.config("a"))


def chat_model_alone(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.chat_model(), key=None).invoke("hi", case.config("a"))


def chat_model_alone_async(case: Case) -> None:
    with case.around("a"):
        asyncio.run(case.wrap(runnables.chat_model(), key=None).ainvoke("hi", case.config("a")))


def chat_model_alone_streamed(case: Case) -> None:
    with case.around("a"):
        list(case.wrap(runnables.chat_model(), key=None).stream("hi", case.config("a")))


def completion_model_alone(case: Case) -> None:
    with case.around("a"):
        case.wrap(runnables.completion_model(), key=None).invoke("hi", case.config("a"))


def completion_model_alone_async(case: Case) -> None:
    with case.around("a"):
        asyncio.run(case.wrap(runnables.completion_model(), key=None).ainvoke("hi", case.config("a")))


def create_task_fan_out(case: Case) -> None:
    with case.around("a"):
        asyncio.run(case.wrap(runnables.tasks()).ainvoke(QUESTION, case.config("a")))


def error(case: Case) -> None:
    with case.around("a"), pytest.raises(RuntimeError, match="out of order"):
        case.wrap(runnables.failing()).invoke(QUESTION, case.config("a"))


def cancellation(case: Case) -> None:
    async def cancel() -> None:
        reached = asyncio.Event()
        task = asyncio.create_task(case.wrap(runnables.waiting(reached)).ainvoke(QUESTION, case.config("a")))
        await asyncio.wait_for(reached.wait(), timeout=PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with case.around("a"):
        asyncio.run(cancel())


def early_break(case: Case) -> None:
    with case.around("a"):
        chunks = case.wrap(runnables.chain()).stream(QUESTION, case.config("a"))
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]


def early_break_async(case: Case) -> None:
    async def read() -> None:
        chunks = case.wrap(runnables.chain()).astream(QUESTION, case.config("a"))
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]

    with case.around("a"):
        asyncio.run(read())


def interleaved_streams(case: Case) -> None:
    """Begin three streams, each in its conversation, and read them in turns, outside of all of them."""
    streams = []
    for id_ in "abc":
        with case.around(id_):
            streams.append(case.wrap(runnables.chain()).stream(QUESTION, case.config(id_)))
            next(streams[-1])
    while streams:
        streams = [chunks for chunks in streams if next(chunks, None) is not None]


MODES: tuple[Mode, ...] = (
    invoke,
    ainvoke,
    batch,
    abatch,
    stream,
    astream,
    astream_events,
    runnable_parallel,
    nested_tools_and_retrievers,
    chat_model_alone,
    chat_model_alone_async,
    chat_model_alone_streamed,
    completion_model_alone,
    completion_model_alone_async,
    create_task_fan_out,
    error,
    cancellation,
    early_break,
    early_break_async,
    interleaved_streams,
)

UNSEEN = {(completion_model_alone_async, source) for source in CONFIGURABLE}
"""Where LangChain shows the id to nobody: it starts a completion model's async run in a task of its own, and
passes its callbacks no `configurable`. The README's limits say so. No id, and never a wrong one."""

LATE = {(abatch, source) for source in (*CONFIGURABLE, HISTORY)}
"""Where the outermost run is started in a task of its own, and takes the id from the runs inside it."""


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_every_span_carries_the_id_of_its_conversation(
    mode: Mode, source: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Whatever the execution mode and the way to give the id, all spans of a conversation carry it."""
    case = Case(source, handler)
    mode(case)

    found: Counter[object] = Counter()
    for spans in traces.by_trace().values():
        ids = {attribute(span, SESSION_ID) for span in spans}
        assert len(ids) == 1, f"one trace has the ids {ids}"
        assert sum(span.parent is None for span in spans) == 1
        found[ids.pop()] += 1
    expected = [None] * len(case.started) if (mode, source) in UNSEEN else case.started
    assert found == Counter(expected)


@pytest.mark.parametrize("source", [source for source in SOURCES if source != NOTHING])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_samplers_and_processors_see_the_id_when_the_span_starts(
    mode: Mode, source: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A sampler and a processor's `on_start` are told the session of every LangChain span."""
    if (mode, source) in UNSEEN:
        return
    mode(Case(source, handler))
    late = {None} if (mode, source) in LATE else set[object]()
    seen = {id_ for _, id_ in traces.sampler.sessions} - late
    assert seen == set(traces.sessions())
    # Branches of a RunnableParallel start their spans in threads of their own: between a sampler's answer and
    # the processor's `on_start` another branch may have its turn.
    assert Counter(traces.at_start) == Counter(traces.sampler.sessions)
