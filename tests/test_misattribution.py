"""Ways in which an id could reach a conversation that it does not belong to; each was one once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import wrapt
from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import set_config_context
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] -- it is typed
    START,
    MessagesState,
    StateGraph,
)
from openinference.instrumentation import using_session
from opentelemetry import trace
from opentelemetry.context import get_current

from langchain_sessions import (
    InvalidSessionIdError,
    SessionCallbackHandler,
    SessionPolicy,
    current_session_id,
    normalize_session_id,
    session,
    session_config,
)
from langchain_sessions._runs import LiveRun
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core


def echo(name: str) -> Runnable[Any, Any]:
    """Return a run of this name that gives back what it gets."""
    return RunnableLambda(lambda value: value).with_config(run_name=name)


def living_runs() -> int:
    """How many runs of ours are in memory."""
    gc.collect()
    return sum(isinstance(thing, LiveRun) for thing in gc.get_objects())


def found(traces: Traces) -> list[tuple[str, object]]:
    """Return name and session of each span, in the order in which they ended."""
    return list(zip(traces.names(), traces.sessions(), strict=True))


# --- late ids ---------------------------------------------------------------------------------------------


def test_a_node_that_changes_its_config_serves_each_conversation(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """LangGraph hands a node the very config that its runs inherit; changing it names no id for the node."""

    def node(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        for id_ in "AB":
            config.setdefault("configurable", {})["thread_id"] = id_
            echo("chain").invoke(f"of {id_}", config)
        return {}

    graph = StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile()
    graph.invoke({"messages": []}, {"callbacks": [handler]})
    assert found(traces) == [("chain", "A"), ("chain", "B"), ("n", None), ("LangGraph", None)]


def test_a_runnable_that_makes_no_run_does_not_name_the_run_around_it(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A config that custom code puts into LangChain's context is not the config of the enclosing run."""

    class Passing(Runnable[Any, Any]):
        def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002
            assert config is not None
            with set_config_context(config) as context:
                return context.run(echo("inner").invoke, input)

    def both(_: object, config: RunnableConfig) -> None:
        for id_ in "AB":
            Passing().invoke(f"of {id_}", {**config, "configurable": {"thread_id": id_}})

    RunnableLambda(both).invoke("x", {"callbacks": [handler]})
    assert found(traces) == [("inner", "A"), ("inner", "B"), ("both", None)]


def test_a_group_by_hand_belongs_to_none_of_its_conversations(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A run that user code starts has no config; the first call inside does not name it."""
    group_id = uuid4()
    handler.on_chain_start({}, {}, run_id=group_id, name="group")
    for id_ in "AB":
        handler.on_chain_start(
            {},
            {},
            run_id=(run_id := uuid4()),
            parent_run_id=group_id,
            name="call",
            metadata={"session_id": id_},
        )
        handler.on_chain_end({}, run_id=run_id)
    handler.on_chain_end({}, run_id=group_id)
    assert found(traces) == [("call", "A"), ("call", "B"), ("group", None)]


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_configurable_that_shows_late_outranks_the_surroundings(
    nested: Any, make_handler: MakeHandler, traces: Traces
) -> None:
    """`abatch` in a `session()`, or inside a run: each conversation has the id of its own call."""
    handler = make_handler(policy=SessionPolicy(nested=nested))
    configs = [RunnableConfig(callbacks=[handler], configurable={"thread_id": id_}) for id_ in ("T1", "T2")]
    chain = echo("one") | echo("two")

    async def run() -> None:
        with session("A"):
            await chain.abatch(["1", "2"], configs)

    asyncio.run(run())
    assert sorted(found(traces)) == sorted(
        (name, id_) for name in ("one", "two", "RunnableSequence") for id_ in ("T1", "T2")
    )


def test_inner_conversations_of_an_abatch_have_their_own(make_handler: MakeHandler, traces: Traces) -> None:
    """With `nested="own"`, also the chain's own span, whose start could not see its id."""
    handler = make_handler(policy=SessionPolicy(nested="own"))

    async def outer(_: object) -> None:
        configs = [RunnableConfig(configurable={"thread_id": id_}) for id_ in "CD"]
        await (RunnableLambda(str, name="one") | RunnableLambda(str, name="two")).abatch(["1", "2"], configs)

    asyncio.run(
        RunnableLambda(outer).ainvoke("x", {"callbacks": [handler], "configurable": {"thread_id": "R"}})
    )
    assert sorted(map(str, traces.sessions())) == [*"CCCDDD", "R"]


def test_metadata_outranks_a_configurable_that_shows_late(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Whatever is provisional in a run, its session id is not, if metadata gave it."""
    config = RunnableConfig(
        callbacks=[handler], metadata={"session_id": "M"}, configurable={"thread_id": "T"}
    )
    asyncio.run((echo("one") | echo("two")).abatch(["x"], [config]))
    assert set(traces.sessions()) == {"M"}


def test_an_inner_abatch_keeps_the_outer_id(handler: SessionCallbackHandler, traces: Traces) -> None:
    """One id per trace, also where the inner chain brings its own in a way that shows late."""

    async def outer(_: object) -> None:
        chain = RunnableLambda(str, name="one") | RunnableLambda(str, name="two")
        await chain.abatch(["x"], [session_config("T")])

    config: Any = {"callbacks": [handler], "metadata": {"session_id": "R"}}
    asyncio.run(RunnableLambda(outer).ainvoke("x", config))
    assert traces.sessions() == ["R"] * 4


def test_the_conversation_id_is_the_session_id_also_when_it_shows_late(
    make_handler: MakeHandler, traces: Traces
) -> None:
    """Two names of one id never hold two."""
    handler = make_handler(policy=SessionPolicy(conversation_id=True))

    async def run() -> None:
        config = RunnableConfig(callbacks=[handler], configurable={"thread_id": "T1"})
        with session("A"):
            await (echo("one") | echo("two")).abatch(["x"], [config])

    asyncio.run(run())
    ids = [(attribute(s, SESSION_ID), attribute(s, "gen_ai.conversation.id")) for s in traces]
    assert ids == [("T1", "T1")] * 3


def test_a_run_by_hand_in_a_task_serves_each_conversation(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """What its start could not see is not taken from the first call inside it."""

    async def run() -> None:
        manager = AsyncCallbackManager.configure(inheritable_callbacks=[handler])
        start = manager.on_chain_start({}, {}, name="hand")
        by_hand = await asyncio.wait_for(start, timeout=PATIENCE)
        for id_ in "AB":
            config: Any = {"callbacks": by_hand.get_child(), "configurable": {"thread_id": id_}}
            await RunnableLambda(str, name="call").ainvoke("x", config)
        await by_hand.on_chain_end({})

    asyncio.run(run())
    assert found(traces) == [("call", "A"), ("call", "B"), ("hand", None)]


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_chain_whose_steps_are_told_elsewhere_takes_no_id_of_the_worker(
    nested: Any, make_handler: MakeHandler, traces: Traces
) -> None:
    """LangChain tells bound steps of a nested `abatch` beside their chain, which then has no id."""
    handler = make_handler(policy=SessionPolicy(nested=nested))

    async def job(_: object) -> None:
        with session("worker"):
            configs = [RunnableConfig(configurable={"thread_id": id_}) for id_ in "CD"]
            await (echo("step") | echo("step")).abatch(["1", "2"], configs)

    asyncio.run(RunnableLambda(job).ainvoke("x", {"callbacks": [handler]}))
    assert "worker" not in traces.sessions()
    assert {id_ for name, id_ in found(traces) if name == "step"} == {"C", "D"}
    assert {id_ for _, id_ in traces.at_start} == {None, "C", "D"}


def test_a_settled_id_is_written_at_the_start_beside_a_provisional_one(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A user of the surroundings may turn out to be another one; the session of the metadata may not."""

    async def job(_: object) -> None:
        with session("worker", user_id="ada"):
            chain = RunnableLambda(str, name="one") | RunnableLambda(str, name="two")
            await chain.abatch(["1"], RunnableConfig(metadata={"session_id": "M"}))

    asyncio.run(RunnableLambda(job).ainvoke("x", {"callbacks": [handler]}))
    assert traces.at_start == [("job", None), ("RunnableSequence", "M"), ("one", "M"), ("two", "M")]
    assert {(attribute(s, SESSION_ID), attribute(s, USER_ID)) for s in traces} == {("M", "ada")}


@pytest.mark.parametrize("nested", ["root", "own"])
def test_a_nested_abatch_in_a_block_is_in_the_session(
    nested: Any, make_handler: MakeHandler, traces: Traces
) -> None:
    """The runs inside confirm what their chain could only suppose; the outer run takes it at its end."""
    handler = make_handler(policy=SessionPolicy(nested=nested))

    async def job(_: object) -> None:
        with session("A"):
            chain = RunnableLambda(str, name="one") | RunnableLambda(str, name="two")
            await chain.abatch(["1", "2"])

    asyncio.run(RunnableLambda(job).ainvoke("x", {"callbacks": [handler]}))
    assert traces.sessions() == ["A"] * 7


# --- the context around -----------------------------------------------------------------------------------


def test_a_worker_does_not_lend_its_session_to_a_late_child(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A config that is used after its run has ended, in somebody else's session, brings no id."""
    saved: list[RunnableConfig] = []

    def body(value: str, config: RunnableConfig) -> str:
        saved.append(config)
        return value

    with session("A"):
        RunnableLambda(body).invoke("x", {"callbacks": [handler]})
    with session("B"):
        echo("late child").invoke("of A", saved[0])
    assert found(traces) == [("body", "A"), ("late child", None)]


def test_an_ended_span_says_nothing(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A worker that was started during one request serves the next without that request's id."""
    tracer = traces.provider.get_tracer("test")

    async def serve() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def work() -> None:
            while True:
                await echo(await queue.get()).ainvoke("x", {"callbacks": [handler]})
                queue.task_done()

        with tracer.start_as_current_span("request", attributes={SESSION_ID: "A"}):
            worker = asyncio.create_task(work())
            await queue.put("of A")
            await queue.join()
        await queue.put("of somebody else")
        await queue.join()
        worker.cancel()

    asyncio.run(serve())
    assert found(traces) == [("of A", "A"), ("request", "A"), ("of somebody else", None)]


def test_blocks_that_end_out_of_order_are_over(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Generators that hold a `session()` open, however they are interleaved and closed, leave nothing."""

    def answer(id_: str) -> Iterator[None]:
        with session(id_):
            echo("answer").invoke(id_, {"callbacks": [handler]})
            yield
            yield

    one, other = answer("A"), answer("B")
    for generator in (one, other):
        next(generator)
    one.close()  # type: ignore[attr-defined]
    assert current_session_id() == "B"
    other.close()  # type: ignore[attr-defined]
    assert current_session_id() is None
    one, other = answer("C"), answer("D")
    for generator in (one, other):
        next(generator)
    del other, one, generator
    gc.collect()
    echo("afterwards").invoke("x", {"callbacks": [handler]})
    assert found(traces) == [*(("answer", id_) for id_ in "ABCD"), ("afterwards", None)]
    assert dict(get_current()) == {}


def test_a_block_is_over_also_when_somebody_elses_token_brings_it_back(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A span or `using_session` entered inside a block and left after it restores the block's context."""
    tracer = traces.provider.get_tracer("test")

    def mine() -> Iterator[None]:
        with session("A"):
            yield

    def others(what: Any) -> Iterator[None]:
        with what:
            yield

    def finish() -> None:
        for what in (tracer.start_as_current_span("other"), using_session("U")):
            one, other = mine(), others(what)
            for generator in (one, other):
                next(generator)
            one.close()  # type: ignore[attr-defined]
            assert current_session_id() in (None, "U")
            other.close()  # type: ignore[attr-defined]
            assert current_session_id() is None
            echo("unrelated").invoke("x", {"callbacks": [handler]})

    copy_context().run(finish)
    assert [id_ for name, id_ in found(traces) if name == "unrelated"] == [None, None]


def test_a_foreign_context_on_top_of_a_block_stays_when_it_ends(traces: Traces) -> None:
    """Leaving a block takes out what the block put in, and nothing else."""
    block, tracer = session("A"), traces.provider.get_tracer("test")

    def run() -> None:
        block.__enter__()
        with tracer.start_as_current_span("span") as span, using_session("U"):
            block.__exit__(None, None, None)
            assert current_session_id() == "U"
            assert trace.get_current_span() is span

    copy_context().run(run)


def test_a_task_that_outlives_its_block_stays_in_it(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Also after a block of its own, and though the block is over where it was opened."""

    async def background(go: asyncio.Event) -> None:
        await go.wait()
        with session("B"):
            pass
        await echo("of A").ainvoke("x", {"callbacks": [handler]})

    async def run() -> None:
        go = asyncio.Event()
        with session("Z"):
            with session("A"):
                task = asyncio.create_task(background(go))
            go.set()
            await task
            assert current_session_id() == "Z"

    asyncio.run(run())
    assert found(traces) == [("of A", "A")]


def test_a_block_may_end_in_another_context() -> None:
    """A block entered in one task or context and left in another neither raises nor leaks."""

    async def generate() -> AsyncIterator[str | None]:
        with session("A"):
            yield current_session_id()
            yield current_session_id()

    async def read() -> list[str | None]:
        items, generator = [], generate()

        async def step() -> str | None:
            return await anext(generator, "end")

        while (item := await asyncio.create_task(step())) != "end":  # each item in a task of its own
            items.append(item)
        return items

    assert asyncio.run(read()) == ["A", None]
    block = session("B")
    copy_context().run(block.__enter__)
    copy_context().run(block.__exit__, None, None, None)
    with session("C"):
        block.__exit__(None, None, None)
        assert current_session_id() == "C"
    assert dict(get_current()) == {}


def test_blocks_leave_nothing_in_a_long_lived_context() -> None:
    """Any number of sessions in one thread leave its context as large as it was."""
    before = len(copy_context())
    for number in range(100):
        with session(f"s{number}"):
            pass
    assert len(copy_context()) <= before + 1


# --- one id for two runs, several for one -----------------------------------------------------------------


def test_two_runs_with_one_run_id_do_not_share_an_id(
    make_handler: MakeHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """A run id that an application uses twice at once costs a span, and is reported, but lends no id."""
    traces = Traces()
    handler = make_handler(tracer_provider=traces.provider)
    handler.raise_error = False
    run_id, barrier = uuid4(), Barrier(2)

    def body(value: str) -> str:
        barrier.wait(PATIENCE)
        echo(f"child of {value}").invoke("x")
        barrier.wait(PATIENCE)
        return value

    def call(id_: str) -> None:
        with session(id_):
            RunnableLambda(body).invoke(id_, {"callbacks": [handler], "run_id": run_id})

    threads = [Thread(target=call, args=id_) for id_ in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    children = {name: id_ for name, id_ in found(traces) if name.startswith("child")}
    assert children == {"child of A": "A", "child of B": "B"}
    assert "is given to two runs at once" in caplog.text


@pytest.mark.parametrize("id_", [None, "null", ["x"], "  "])
def test_a_job_with_a_conversation_of_unknown_id_takes_none(
    id_: object, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Exactly one id among several conversations is not the id of all."""

    def job(_: object) -> None:
        echo("chain").invoke("of ada", {"metadata": {"session_id": "A"}})
        echo("chain").invoke("of bob", {"metadata": {"session_id": id_}})

    RunnableLambda(job).invoke("x", {"callbacks": [handler]})
    assert found(traces) == [("chain", "A"), ("chain", None), ("job", None)]


def test_a_value_that_pretends_to_be_text_is_refused_and_splits_no_trace(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Lazy proxies are no ids; the run keeps the outer one, and so do the runs inside it."""
    lazy = wrapt.ObjectProxy("A")
    with pytest.raises(InvalidSessionIdError, match="got a ObjectProxy"):
        normalize_session_id(lazy)
    leaf = echo("leaf").with_config(metadata={"session_id": "B"})
    middle = RunnableLambda(leaf.invoke, name="middle").with_config(metadata={"session_id": lazy})
    RunnableLambda(middle.invoke, name="root").invoke(
        "x", {"callbacks": [handler], "metadata": {"session_id": "A"}}
    )
    assert found(traces) == [("leaf", "A"), ("middle", "A"), ("root", "A")]


def test_when_the_ids_cannot_be_found_a_nested_run_stays_in_its_trace(
    handler: SessionCallbackHandler, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours costs no run the id of the run around it, and reaches nobody."""
    handler.raise_error = False
    identify = handler._discovery.identify

    def fail(run_id: Any, name: str, *arguments: Any) -> LiveRun:
        if name == "middle":
            raise RuntimeError
        return identify(run_id, name, *arguments)

    monkeypatch.setattr(handler._discovery, "identify", fail)
    middle = RunnableLambda(echo("leaf").invoke, name="middle")
    RunnableLambda(middle.invoke, name="root").invoke(
        "x", {"callbacks": [handler], "metadata": {"session_id": "A"}}
    )
    assert found(traces) == [("leaf", "A"), ("middle", "A"), ("root", "A")]
    assert handler.error_count == 1


def test_frames_without_a_module_name_are_passed_over(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Code that was made by hand may have any globals."""
    code = "chain.invoke('x', {'callbacks': [handler], 'configurable': {'thread_id': 'A'}})"
    exec(code, {"__name__": None, "chain": echo("chain"), "handler": handler})
    assert found(traces) == [("chain", "A")]


def test_a_user_is_not_taken_from_another_session(make_handler: MakeHandler, traces: Traces) -> None:
    """An outer run of one session does not get the user of an inner one."""
    handler = make_handler(policy=SessionPolicy(nested="own"))
    inner = RunnableLambda(
        lambda _: echo("inner").invoke("x", {"metadata": {"session_id": "B", "user_id": "bob"}}), name="outer"
    )
    inner.invoke("x", {"callbacks": [handler], "metadata": {"session_id": "A"}})
    assert [attribute(span, USER_ID) for span in traces] == ["bob", None]


# --- what stays behind ------------------------------------------------------------------------------------


def test_an_agent_that_schedules_itself_keeps_no_past(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Each turn is a task that the turn before it started; ended runs are not held by those after them."""

    async def run(turns: int) -> int:
        done = asyncio.Event()

        async def turn(number: int) -> None:
            if number == turns:
                done.set()
            else:
                tasks.append(asyncio.create_task(RunnableLambda(turn).ainvoke(number + 1)))

        tasks = [
            asyncio.create_task(
                RunnableLambda(turn).ainvoke(0, {"callbacks": [handler], "metadata": {"session_id": "A"}})
            )
        ]
        await done.wait()
        await asyncio.gather(*tasks)
        return living_runs()

    before = living_runs()
    assert asyncio.run(run(100)) - before <= 2
    assert set(traces.sessions()) == {"A"}


def test_an_exception_that_cannot_be_printed_ends_its_run(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """The span is there, with its id and an error that says what can be said."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    def fail(_: object) -> None:
        raise UnprintableError

    with pytest.raises(UnprintableError):
        RunnableLambda(fail).invoke("x", {"callbacks": [handler], "metadata": {"session_id": "A"}})
    (span,) = traces
    assert attribute(span, SESSION_ID) == "A"
    assert "UnprintableError, which fails to describe itself" in str(span.status.description)


def test_a_handler_in_a_models_constructor_takes_the_session_around(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """The enclosing run is not ours, so its body's context decides."""
    model = FakeListChatModel(responses=["fine"], callbacks=[handler])
    with session("A"):
        (runnables.chain() | RunnableLambda(str) | model).invoke({"q": "hi"})
    assert traces.sessions() == ["A"]


@pytest.mark.parametrize("order", [("T", None), (None, "T")])
def test_a_job_that_also_serves_somebody_without_an_id_belongs_to_nobody(
    handler: SessionCallbackHandler, traces: Traces, order: tuple[str | None, ...]
) -> None:
    """The one id that is found below a run is not the run's if what has it was called without one, too."""

    def job(questions: list[str]) -> list[str]:
        configs = [RunnableConfig(metadata={"session_id": it} if it else {}) for it in order]
        return echo("chat").batch(questions, configs)

    RunnableLambda(job, name="job").invoke(["1", "2"], {"callbacks": [handler]})

    assert {(span.name, attribute(span, SESSION_ID)) for span in traces} == {
        ("job", None),
        ("chat", "T"),
        ("chat", None),
    }
