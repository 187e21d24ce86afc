"""Graphs: threads, interrupts, fan-out, subgraphs, agents, streams, and many conversations at once."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import operator
import re
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, TypedDict, cast

import pytest
from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs] -- it is typed
from langgraph.types import Command, Send, interrupt
from openinference.instrumentation import using_attributes
from openinference.semconv.trace import SpanAttributes
from opentelemetry.trace import StatusCode

from langchain_sessions import SessionCallbackHandler, SessionPolicy, session, session_config
from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.demo._tools import demo_tools
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from langchain_core.prompt_values import PromptValue
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core

OK, ERROR = StatusCode.OK, StatusCode.ERROR


class Talk(TypedDict):
    """The state of every graph here: what was said so far."""

    said: Annotated[list[str], operator.add]


Graph: TypeAlias = Runnable[Any, Any]
Node: TypeAlias = Callable[[Talk], Any]
Nested: TypeAlias = Literal["root", "own"]
Mode: TypeAlias = Callable[[Graph, object, RunnableConfig], Any]
"""One way to run a graph; returns its final state."""

HI: Final[Talk] = {"said": ["hi"]}
CHAIN: Final = ["ChatPromptTemplate", "FakeListChatModel", "StrOutputParser", "RunnableSequence"]
"""The spans of `runnables.chain()`, in the order in which they end."""

ANSWERED: Final = [*CHAIN, "answer", "close", "LangGraph"]
"""The spans of a turn of `conversation()`."""


def build(checkpointer: InMemorySaver | None = None, /, **nodes: Node) -> Graph:
    """Return a graph that runs these nodes one after the other."""
    builder = StateGraph(Talk)
    previous = START
    for name, node in nodes.items():
        builder.add_node(name, cast("Any", node))
        builder.add_edge(previous, name)
        previous = name
    return cast("Graph", builder.compile(checkpointer=checkpointer))


def answer(state: Talk) -> Talk:
    """Answer what was said last, with a chain."""
    return {"said": [runnables.chain().invoke({"q": state["said"][-1]})]}


async def answer_async(state: Talk) -> Talk:
    """Do so in a coroutine."""
    return {"said": [await runnables.chain().ainvoke({"q": state["said"][-1]})]}


def close(state: Talk) -> Talk:
    """Say goodbye."""
    del state
    return {"said": ["bye"]}


def fail(state: Talk) -> Talk:
    """Raise an error."""
    msg = f"no answer to {state['said'][-1]}"
    raise RuntimeError(msg)


def conversation(checkpointer: InMemorySaver | None = None, *, answering: Node = answer) -> Graph:
    """Return the graph that most tests talk to."""
    return build(checkpointer, answer=answering, close=close)


def thread(handler: SessionCallbackHandler, id_: object, key: str = "thread_id") -> RunnableConfig:
    """Return the config of a turn in a LangGraph thread."""
    return RunnableConfig(callbacks=[handler], configurable={key: id_})


def turns(traces: Traces) -> list[tuple[list[str], set[object]]]:
    """Return each trace, in the order in which they began: the names of its spans, and the ids they carry."""
    return [
        ([span.name for span in spans], {attribute(span, SESSION_ID) for span in spans})
        for _, spans in sorted(traces.by_trace().items())
    ]


def parents(traces: Traces) -> list[tuple[str, str | None]]:
    """Return the name of each span and of its parent."""
    names = {span.context.span_id: span.name for span in traces if span.context}
    return [(span.name, names[parent.span_id] if (parent := span.parent) else None) for span in traces]


def statuses(traces: Traces) -> list[tuple[str, StatusCode]]:
    """Return the name and the status of each span."""
    return [(span.name, span.status.status_code) for span in traces]


def metadata(span: ReadableSpan) -> dict[str, Any]:
    """Return the metadata that a span shows."""
    return json.loads(str(attribute(span, SpanAttributes.METADATA)))


def invoke(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Run the graph at once."""
    return graph.invoke(given, config)


def stream(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Read it state by state."""
    return list(graph.stream(given, config, stream_mode="values"))[-1]


def stream_tokens(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Read it word by word, too."""
    *_, last = graph.stream(given, config, stream_mode=["messages", "values"])
    return last[1]


def ainvoke(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Run it in a coroutine."""
    return asyncio.run(graph.ainvoke(given, config))


def astream(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Read it state by state in a coroutine."""

    async def read() -> Any:
        return [state async for state in graph.astream(given, config, stream_mode="values")][-1]

    return asyncio.run(read())


def astream_events(graph: Graph, given: object, config: RunnableConfig) -> Any:
    """Read its events."""

    async def read() -> Any:
        events = [event async for event in graph.astream_events(given, config, version="v2")]
        return events[-1]["data"].get("output")

    return asyncio.run(read())


SYNC: Final[tuple[Mode, ...]] = (invoke, stream, stream_tokens)
ASYNC: Final[tuple[Mode, ...]] = (ainvoke, astream, astream_events)
WAYS: Final = [
    *(pytest.param(mode, answer, id=mode.__name__) for mode in (*SYNC, *ASYNC)),
    *(pytest.param(mode, answer_async, id=f"{mode.__name__}-coroutine") for mode in ASYNC),
]
"""Every mode, with nodes that fit it."""


@pytest.mark.parametrize(("mode", "answering"), WAYS)
def test_all_turns_of_a_thread_are_one_session(
    mode: Mode, answering: Node, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Every span of every turn carries its thread's id from the start, and two threads stay apart."""
    graph = conversation(InMemorySaver(), answering=answering)

    states = [
        mode(graph, {"said": [said]}, thread(handler, id_))
        for id_, said in [("a", "one"), ("b", "two"), ("a", "three")]
    ]

    assert states == [
        {"said": ["one", "fine", "bye"]},
        {"said": ["two", "fine", "bye"]},
        {"said": ["one", "fine", "bye", "three", "fine", "bye"]},
    ]
    assert turns(traces) == [(ANSWERED, {"a"}), (ANSWERED, {"b"}), (ANSWERED, {"a"})]
    assert [id_ for _, id_ in traces.at_start] == ["a"] * 7 + ["b"] * 7 + ["a"] * 7
    assert traces.sampler.sessions == traces.at_start


@pytest.mark.parametrize(("id_", "canonical"), [(42, "42"), (0, "0")])
@pytest.mark.parametrize("mode", [invoke, ainvoke])
def test_a_number_as_thread_is_written_as_text(
    mode: Mode, id_: int, canonical: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A thread may be an int, also 0; the session's id is its decimal text."""
    mode(conversation(InMemorySaver()), HI, thread(handler, id_))

    assert turns(traces) == [(ANSWERED, {canonical})]
    assert {id_ for _, id_ in traces.at_start} == {canonical}


@pytest.mark.parametrize("key", ["session_id", "conversation_id"])
@pytest.mark.parametrize(("mode", "answering"), WAYS)
def test_an_id_that_langgraph_does_not_copy_to_metadata_is_found(
    mode: Mode, answering: Node, key: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Other keys of `configurable` count as much as `thread_id`, on the graph and on its nodes."""
    mode(conversation(answering=answering), HI, thread(handler, "s", key))

    assert turns(traces) == [(ANSWERED, {"s"})]
    assert {id_ for _, id_ in traces.at_start} == {"s"}


def test_conversations_of_a_batch_stay_apart(handler: SessionCallbackHandler, traces: Traces) -> None:
    """`batch` and `abatch` of a graph give each input its own config, and each trace its own session."""
    graph = conversation(InMemorySaver())
    graph.batch([HI] * 3, [thread(handler, id_) for id_ in "abc"])
    asyncio.run(graph.abatch([HI] * 3, [thread(handler, id_) for id_ in "def"]))

    found = turns(traces)
    assert [sorted(names) for names, _ in found] == [sorted(ANSWERED)] * 6
    assert sorted(str(*ids) for _, ids in found) == list("abcdef")
    assert {id_ for _, id_ in traces.at_start} == set("abcdef")


@pytest.mark.parametrize("mode", [*SYNC[:2], *ASYNC[:2]])
def test_interrupted_and_resumed_turns_are_one_session(
    mode: Mode, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A turn that stops to ask is no error, and the one that resumes it is in the same session."""

    def ask(state: Talk) -> Talk:
        return {"said": [interrupt(f"what after {state['said'][-1]}?")]}

    graph = build(InMemorySaver(), ask=ask, close=close)

    mode(graph, HI, thread(handler, "a"))
    assert statuses(traces) == [("ask", OK), ("LangGraph", OK)]
    assert traces.open == {}
    assert len(handler.live_runs) == 0
    state = mode(graph, Command(resume="yes"), thread(handler, "a"))

    assert state == {"said": ["hi", "yes", "bye"]}
    assert turns(traces) == [(["ask", "LangGraph"], {"a"}), (["ask", "close", "LangGraph"], {"a"})]
    assert {status for _, status in statuses(traces)} == {OK}
    assert {id_ for _, id_ in traces.at_start} == {"a"}


@pytest.mark.parametrize("mode", [invoke, ainvoke])
def test_fan_out_is_one_session(mode: Mode, handler: SessionCallbackHandler, traces: Traces) -> None:
    """Tasks that a graph sends out side by side, and their tools, belong to its session."""

    def fan_out(state: Talk) -> list[Send]:
        return [Send("part", {"said": [letter]}) for letter in state["said"][-1]]

    def part(state: Talk) -> Talk:
        return {"said": [runnables.shout.invoke({"text": state["said"][0]})]}

    builder = StateGraph(Talk)
    builder.add_node("part", cast("Any", part))
    builder.add_conditional_edges(START, fan_out, ["part"])
    graph = cast("Graph", builder.compile(checkpointer=InMemorySaver()))

    assert mode(graph, {"said": ["xyz"]}, thread(handler, "a")) == {"said": ["xyz", "X", "Y", "Z"]}

    assert set(traces.sessions()) == {"a"}
    assert {id_ for _, id_ in traces.at_start} == {"a"}
    assert len(traces.by_trace()) == 1
    assert Counter(parents(traces)) == {
        ("fan_out", "__start__"): 1,
        ("__start__", "LangGraph"): 1,
        ("shout", "part"): 3,
        ("part", "LangGraph"): 3,
        ("LangGraph", None): 1,
    }


def nesting(inner: RunnableConfig) -> Graph:
    """Return a graph whose node runs another graph in a thread of its own."""
    subgraph = conversation(InMemorySaver())

    def call(state: Talk) -> Talk:
        return {"said": subgraph.invoke({"said": state["said"][-1:]}, inner)["said"][-1:]}

    return build(InMemorySaver(), call=call)


NESTED: Final = [*CHAIN, "answer", "close", "LangGraph", "call", "LangGraph"]
"""The spans of a turn of `nesting()`: all but the last two are the subgraph's."""

INNER: Final = {
    "configurable": RunnableConfig(configurable={"thread_id": "inner"}),
    "metadata": RunnableConfig(configurable={"thread_id": "inner"}, metadata={"thread_id": "inner"}),
    "session_config": session_config("inner"),
}
"""Ways to give a subgraph its own thread."""


@pytest.mark.parametrize("inner", INNER)
def test_a_subgraph_with_its_own_thread_keeps_the_outer_session(
    inner: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """One trace is in one session: the outermost run's."""
    nesting(INNER[inner]).invoke(HI, thread(handler, "outer"))

    assert turns(traces) == [(NESTED, {"outer"})]
    assert {id_ for _, id_ in traces.at_start} == {"outer"}


@pytest.mark.parametrize(("inner", "key"), [("metadata", "thread_id"), ("session_config", "session_id")])
def test_the_thread_that_lost_is_kept_in_metadata_and_logged_once(
    inner: str, key: str, handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """What a subgraph brought is in its spans' metadata still, and in the log once for each pair."""
    graph = nesting(INNER[inner])
    with caplog.at_level(logging.INFO, "langchain_sessions"):
        for _ in range(2):
            graph.invoke(HI, thread(handler, "outer"))

    assert [metadata(span).get(key) for span in traces][:9] == ["inner"] * 7 + (
        ["outer"] * 2 if key == "thread_id" else [None] * 2
    )
    assert [record.getMessage() for record in caplog.records if "trace of" in record.getMessage()] == [
        "langchain_sessions: run 'LangGraph' brought session.id 'inner' into a trace of 'outer', "
        "which it keeps; SessionPolicy(nested='own') lets it have its own"
    ]


@pytest.mark.parametrize("inner", INNER)
def test_a_subgraph_may_have_its_own_session(inner: str, make_handler: MakeHandler, traces: Traces) -> None:
    """With `nested="own"` the subgraph's spans carry its thread, and those around it the outer one."""
    handler = make_handler(policy=SessionPolicy(nested="own"))
    nesting(INNER[inner]).invoke(HI, thread(handler, "outer"))

    assert list(zip(traces.names(), traces.sessions(), strict=True)) == [
        *((name, "inner") for name in NESTED[:7]),
        ("call", "outer"),
        ("LangGraph", "outer"),
    ]


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_subgraph_without_a_thread_of_its_own_is_in_the_outer_session(
    nested: Nested, make_handler: MakeHandler, traces: Traces
) -> None:
    """A compiled graph that is a node of another brings no id, whatever the policy."""
    handler = make_handler(policy=SessionPolicy(nested=nested))
    graph = build(InMemorySaver(), subgraph=cast("Node", conversation()))
    graph.invoke(HI, thread(handler, "outer"))

    assert turns(traces) == [([*ANSWERED, "subgraph", "LangGraph"], {"outer"})]


@pytest.mark.parametrize(("nested", "chain_id"), [("root", "outer"), ("own", "inner")])
@pytest.mark.parametrize(("mode", "is_async"), [(invoke, False), (ainvoke, True)])
def test_a_node_that_names_another_conversation(
    mode: Mode, nested: Nested, chain_id: str, make_handler: MakeHandler, traces: Traces, *, is_async: bool
) -> None:
    """A chain called with explicit metadata inside a node keeps the graph's id, or has its own by policy."""
    explicit = RunnableConfig(metadata={"session_id": "inner"})

    def call(state: Talk) -> Talk:
        return {"said": [runnables.chain().invoke({"q": state["said"][-1]}, explicit)]}

    async def call_async(state: Talk) -> Talk:
        return {"said": [await runnables.chain().ainvoke({"q": state["said"][-1]}, explicit)]}

    handler = make_handler(policy=SessionPolicy(nested=nested))
    graph = build(InMemorySaver(), call=call_async if is_async else call, close=close)
    mode(graph, HI, thread(handler, "outer"))

    assert list(zip(traces.names(), traces.sessions(), strict=True)) == [
        *((name, chain_id) for name in CHAIN),
        ("call", "outer"),
        ("close", "outer"),
        ("LangGraph", "outer"),
    ]


def test_a_graph_that_serves_two_conversations_belongs_to_neither(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Without an id of its own a graph takes no side between the chains that its nodes call."""

    def serve(id_: str) -> Node:
        config = RunnableConfig(metadata={"session_id": id_})
        return lambda state: {"said": [runnables.chain().invoke({"q": state["said"][-1]}, config)]}

    build(first=serve("a"), second=serve("b")).invoke(HI, RunnableConfig(callbacks=[handler]))

    assert list(zip(traces.names(), traces.sessions(), strict=True)) == [
        *((name, "a") for name in [*CHAIN, "first"]),
        *((name, "b") for name in [*CHAIN, "second"]),
        ("LangGraph", None),
    ]


TOOLS_AT_ONCE: Final = (
    "I'm Ada. What is 17 * 23, and how many days are there between 2026-03-01 and 2026-12-24?",
    "Nice to meet you, Ada. 17 * 23 = 391. "
    "From 2026-03-01 to 2026-12-24 it is 298 days (42 weeks and 4 days).",
)
A_MEMORY: Final = ("What's my name?", "Your name is Ada.")
"""Questions to the agent, and what it answers."""


@pytest.mark.parametrize("mode", [*SYNC[:2], *ASYNC[:2]])
def test_an_agent_with_parallel_tools_is_one_session(
    mode: Mode, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """All that `create_agent` runs is in its thread's session: two tools side by side, models and nodes."""
    agent = cast("Graph", create_agent(OfflineChatModel(), demo_tools(), checkpointer=InMemorySaver()))

    for question, expected in (TOOLS_AT_ONCE, A_MEMORY):
        state = mode(agent, {"messages": [("human", question)]}, thread(handler, "a"))
        assert state["messages"][-1].text == expected

    assert [ids for _, ids in turns(traces)] == [{"a"}, {"a"}]
    assert {id_ for _, id_ in traces.at_start} == {"a"}
    kinds = Counter(
        (span.name, attribute(span, SpanAttributes.OPENINFERENCE_SPAN_KIND), span.status.status_code)
        for span in traces
        if span.name in {"OfflineChatModel", "calculator", "days_between", "LangGraph", "tools"}
    )
    assert kinds == {
        ("OfflineChatModel", "LLM", OK): 3,
        ("calculator", "TOOL", OK): 1,
        ("days_between", "TOOL", OK): 1,
        ("tools", "CHAIN", OK): 2,
        ("LangGraph", "CHAIN", OK): 2,
    }


@pytest.mark.parametrize("id_", ["a", None])
def test_what_a_consumer_does_between_chunks_stays_apart(
    id_: str | None, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A chain that the reader of a stream runs in another session is in that one, and the graph is not."""
    graph = build(answer=answer, again=answer, close=close)
    for _ in graph.stream(HI, thread(handler, id_)):
        with session("other"):
            runnables.chain().invoke({"q": "aside"}, RunnableConfig(callbacks=[handler]))

    assert turns(traces) == [
        ([*CHAIN, "answer", *CHAIN, "again", "close", "LangGraph"], {id_}),
        *[(CHAIN, {"other"})] * 3,
    ]


def surrounding_session(traces: Traces) -> AbstractContextManager[object]:
    """Open a session."""
    del traces
    return session("other")


def surrounding_span(traces: Traces) -> AbstractContextManager[object]:
    """Open a span that is in a session, as a web framework's instrumentation may."""
    tracer = traces.provider.get_tracer(__name__)
    return tracer.start_as_current_span("consumer", attributes={SESSION_ID: "other"})


Surrounding: TypeAlias = Callable[[Traces], AbstractContextManager[object]]
SURROUNDINGS: Final[tuple[Surrounding, ...]] = (surrounding_session, surrounding_span)
LATER: Final = ["close", *CHAIN, "later", "LangGraph"]
"""The spans of a graph that answers after its first chunk."""


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("nested", ["root", "own"])
@pytest.mark.parametrize(("key", "id_"), [("thread_id", "a"), ("session_id", "a"), ("thread_id", None)])
def test_a_session_that_its_consumer_opens_is_not_the_graphs(
    key: str,
    id_: str | None,
    nested: Nested,
    surrounding: Surrounding,
    make_handler: MakeHandler,
    traces: Traces,
) -> None:
    """What surrounds the reader of a stream says nothing about the nodes that run meanwhile."""
    handler = make_handler(policy=SessionPolicy(nested=nested))
    chunks = build(close=close, later=answer).stream(HI, thread(handler, id_, key))
    next(chunks)
    with surrounding(traces):
        assert list(chunks) == [{"later": {"said": ["fine"]}}]

    assert turns(traces)[0] == (LATER, {id_})


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("later", [answer, answer_async])
@pytest.mark.parametrize("id_", ["a", None])
async def test_a_session_that_its_async_consumer_opens_is_not_the_graphs(
    id_: str | None, later: Node, surrounding: Surrounding, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Nor does what surrounds the reader of an async stream."""
    chunks = build(close=close, later=later).astream(HI, thread(handler, id_))
    await anext(chunks)
    with surrounding(traces):
        assert [chunk async for chunk in chunks] == [{"later": {"said": ["fine"]}}]

    assert turns(traces)[0] == (LATER, {id_})


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_stream_begun_in_a_session_stays_in_it(
    nested: Nested, make_handler: MakeHandler, traces: Traces
) -> None:
    """The session that surrounds the first step of a stream is the graph's, wherever the rest is read."""
    handler = make_handler(policy=SessionPolicy(nested=nested))
    chunks = build(close=close, later=answer).stream(HI, RunnableConfig(callbacks=[handler]))
    with session("a"):
        next(chunks)
    with session("other"):
        assert list(chunks) == [{"later": {"said": ["fine"]}}]

    assert turns(traces) == [(LATER, {"a"})]


@pytest.mark.parametrize("id_", ["a", None])
def test_a_user_that_its_consumer_names_is_not_the_graphs(
    id_: str | None, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """No span takes the user who surrounds the reader, and what ends there takes nothing else, either."""
    chunks = build(close=close, later=answer).stream(HI, thread(handler, id_))
    next(chunks)
    with using_attributes(session_id="other", user_id="eve", tags=["theirs"], metadata={"theirs": True}):
        assert list(chunks) == [{"later": {"said": ["fine"]}}]

    assert turns(traces) == [(LATER, {id_})]
    assert {attribute(span, USER_ID) for span in traces} == {None}
    graph = traces.named("LangGraph")
    assert attribute(graph, SpanAttributes.TAG_TAGS) is None
    assert "theirs" not in str(attribute(graph, SpanAttributes.METADATA))


def test_interleaved_streams_keep_their_threads(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Three conversations streamed in turns, and one without an id, do not touch each other."""
    graph = conversation(InMemorySaver())
    configs = [*(thread(handler, id_) for id_ in "abc"), RunnableConfig(callbacks=[handler])]
    streams = [
        (graph if "configurable" in config else conversation()).stream(HI, config) for config in configs
    ]
    for _ in range(3):
        for chunks in streams:
            next(chunks, None)

    assert turns(traces) == [(ANSWERED, {"a"}), (ANSWERED, {"b"}), (ANSWERED, {"c"}), (ANSWERED, {None})]


ABANDONED: Final = [*CHAIN, "answer", "LangGraph"]
"""The spans of a stream that is left after its first chunk."""


@pytest.mark.parametrize("leave", ["close", "forget"])
def test_an_abandoned_stream_leaves_nothing_behind(
    leave: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A stream that is closed, or forgotten, ends its spans in its session; the next graph has none."""
    chunks = cast("Generator[Any]", conversation(InMemorySaver()).stream(HI, thread(handler, "a")))
    assert next(chunks) == {"answer": {"said": ["fine"]}}
    if leave == "close":
        chunks.close()
    del chunks
    gc.collect()
    assert turns(traces) == [(ABANDONED, {"a"})]
    assert traces.open == {}
    assert traces.named("LangGraph").status.status_code is ERROR

    conversation().invoke(HI, RunnableConfig(callbacks=[handler]))

    assert turns(traces)[1:] == [(ANSWERED, {None})]


@pytest.mark.parametrize("answering", [answer, answer_async])
@pytest.mark.parametrize("leave", ["close", "forget"])
def test_an_abandoned_async_stream_leaves_nothing_behind(
    leave: str, answering: Node, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """The same goes for an async stream; a forgotten one is ended by the event loop at the latest."""

    async def read() -> None:
        graph = conversation(InMemorySaver(), answering=answering)
        chunks = cast("AsyncGenerator[Any]", graph.astream(HI, thread(handler, "a")))
        assert await anext(chunks) == {"answer": {"said": ["fine"]}}
        if leave == "close":
            await chunks.aclose()
        del chunks
        gc.collect()
        await conversation(answering=answering).ainvoke(HI, RunnableConfig(callbacks=[handler]))

    asyncio.run(read())

    assert turns(traces) == [(ABANDONED, {"a"}), (ANSWERED, {None})]
    assert traces.open == {}


@pytest.mark.parametrize(("mode", "answering"), WAYS)
def test_a_graph_without_an_id_right_after_one_with_an_id(
    mode: Mode, answering: Node, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """An id is not passed on from one run to the next."""
    mode(conversation(InMemorySaver(), answering=answering), HI, thread(handler, "a"))
    mode(conversation(answering=answering), HI, RunnableConfig(callbacks=[handler]))

    assert turns(traces) == [(ANSWERED, {"a"}), (ANSWERED, {None})]


@pytest.mark.parametrize("mode", [*SYNC, *ASYNC])
def test_an_error_in_a_node_is_in_the_session(
    mode: Mode, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A node that raises ends every span, in the session; the ones it passed through are errors."""
    with pytest.raises(RuntimeError, match="no answer to fine"):
        mode(build(InMemorySaver(), answer=answer, fail=fail), HI, thread(handler, "a"))

    assert turns(traces) == [([*CHAIN, "answer", "fail", "LangGraph"], {"a"})]
    assert statuses(traces) == [
        *((name, OK) for name in [*CHAIN, "answer"]),
        ("fail", ERROR),
        ("LangGraph", ERROR),
    ]
    for name in ("fail", "LangGraph"):
        assert (traces.named(name).status.description or "").startswith("RuntimeError('no answer to fine')")


CONVERSATIONS: Final = [f"c{number:02}" for number in range(50)]
CROWDED: Final = ["ChatPromptTemplate", "repeat", "RunnableSequence", "meet", "LangGraph"]
"""The spans of a turn in which all conversations meet."""


def assert_each_span_is_in_the_conversation_it_talks_of(traces: Traces) -> None:
    """Compare the id of every span with the one in its input, which is the text of the conversation."""
    for span in traces:
        said = str(attribute(span, SpanAttributes.INPUT_VALUE))
        assert set(re.findall(r"c\d\d", said)) == {attribute(span, SESSION_ID)}, span.name
    assert sorted(str(*ids) for _, ids in turns(traces)) == CONVERSATIONS
    assert Counter(traces.names()) == Counter(name for name in CROWDED for _ in CONVERSATIONS)
    assert [name for name, id_ in traces.at_start if id_ is None] == []


def repeating() -> Graph:
    """Return a chain whose every span shows what it was asked in its input."""
    prompt = ChatPromptTemplate.from_messages([("human", "{q}")])
    return prompt | RunnableLambda(lambda prompt: cast("PromptValue", prompt).to_string(), name="repeat")


async def test_many_conversations_in_many_tasks(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Fifty conversations in tasks, all inside one node of one graph at once: each span has its own id."""
    everybody = asyncio.Barrier(len(CONVERSATIONS))

    async def meet(state: Talk) -> Talk:
        async with asyncio.timeout(PATIENCE):
            await everybody.wait()
        return {"said": [await repeating().ainvoke({"q": state["said"][-1]})]}

    graph = build(InMemorySaver(), meet=meet)
    states = await asyncio.gather(
        *(graph.ainvoke({"said": [id_]}, thread(handler, id_)) for id_ in CONVERSATIONS)
    )

    assert states == [{"said": [id_, f"Human: {id_}"]} for id_ in CONVERSATIONS]
    assert_each_span_is_in_the_conversation_it_talks_of(traces)


def test_many_conversations_in_many_threads(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Fifty conversations in threads, all inside one node of one graph at once: each span has its own id."""
    everybody = threading.Barrier(len(CONVERSATIONS), timeout=PATIENCE)

    def meet(state: Talk) -> Talk:
        everybody.wait()
        return {"said": [repeating().invoke({"q": state["said"][-1]})]}

    graph = build(InMemorySaver(), meet=meet)
    with ThreadPoolExecutor(len(CONVERSATIONS)) as pool:
        states = list(
            pool.map(lambda id_: graph.invoke({"said": [id_]}, thread(handler, id_)), CONVERSATIONS)
        )

    assert states == [{"said": [id_, f"Human: {id_}"]} for id_ in CONVERSATIONS]
    assert_each_span_is_in_the_conversation_it_talks_of(traces)
