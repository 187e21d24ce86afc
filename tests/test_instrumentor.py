"""Beside OpenInference's `LangChainInstrumentor`: one span for each run, ours where a handler of ours is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from openinference.instrumentation.langchain import (
    LangChainInstrumentor,
    get_ancestor_spans,
    get_current_span,
)

from langchain_sessions import SessionCallbackHandler
from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.demo._tools import demo_tools
from tests.support import runnables
from tests.support.traces import Traces

if TYPE_CHECKING:
    from uuid import UUID

    from opentelemetry.trace import Span

    from tests.conftest import MakeHandler

pytestmark = [
    pytest.mark.core,
    # OpenInference's own tracer calls what it should read, for every answer of a chat model.
    pytest.mark.filterwarnings("ignore:Calling .text"),
]

CHAIN: Final = ["ChatPromptTemplate", "FakeListChatModel", "StrOutputParser", "RunnableSequence"]
QUESTION: Final = {"q": "how are you?"}

Chain: TypeAlias = Runnable[Any, Any]
Call: TypeAlias = Callable[[RunnableConfig], object]
"""Something that an application runs."""


@pytest.fixture
def stock() -> Iterator[Traces]:
    """Where the instrumentor's spans go; fails the test if one is still open at its end."""
    stock = Traces()
    yield stock
    assert [span.name for span in stock.open.values()] == [], "spans of the instrumentor left open"


@pytest.fixture
def instrumentor(stock: Traces) -> Iterator[LangChainInstrumentor]:
    """The instrumentor, not yet active; inactive again after the test."""
    del stock  # outlives it
    instrumentor = LangChainInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
def active(instrumentor: LangChainInstrumentor, stock: Traces) -> LangChainInstrumentor:
    """The instrumentor, active."""
    instrument(instrumentor, stock)
    return instrumentor


def instrument(instrumentor: LangChainInstrumentor, stock: Traces) -> None:
    """Activate it; its spans go to `stock`."""
    instrumentor.instrument(tracer_provider=stock.provider, skip_dep_check=True)


def with_handler(*handlers: SessionCallbackHandler) -> RunnableConfig:
    """Return the config of a call in a session."""
    return RunnableConfig(callbacks=[*handlers], metadata={"session_id": "abc"})


def invoke(config: RunnableConfig) -> object:
    """Run a chain at once."""
    return runnables.chain().invoke(QUESTION, config)


def ainvoke(config: RunnableConfig) -> object:
    """Run it in a coroutine."""
    return asyncio.run(runnables.chain().ainvoke(QUESTION, config))


def stream(config: RunnableConfig) -> object:
    """Read its answer piece by piece."""
    return "".join(runnables.chain().stream(QUESTION, config))


def astream(config: RunnableConfig) -> object:
    """Do so in a coroutine."""

    async def read() -> str:
        return "".join([text async for text in runnables.chain().astream(QUESTION, config)])

    return asyncio.run(read())


def batch(config: RunnableConfig) -> object:
    """Run it on one question and another."""
    return runnables.chain().batch([QUESTION, QUESTION], config)


def nested(config: RunnableConfig) -> object:
    """Run a function that calls a retriever, a tool and a chain."""
    return runnables.nested().invoke(QUESTION, config)


def tasks(config: RunnableConfig) -> object:
    """Run a coroutine that fans out into tasks."""
    return asyncio.run(runnables.tasks().ainvoke(QUESTION, config))


def completion_model(config: RunnableConfig) -> object:
    """Ask a completion model."""
    return runnables.completion_model().invoke("hi", config)


def completion_model_async(config: RunnableConfig) -> object:
    """Ask it in a coroutine."""
    return asyncio.run(runnables.completion_model().ainvoke("hi", config))


SUM: Final[dict[str, Any]] = {"messages": [("human", "What is 17 * 23?")]}


def agent() -> Chain:
    """Return an agent that has two tools, and needs one."""
    return cast("Chain", create_agent(OfflineChatModel(), demo_tools()))


def agent_invoke(config: RunnableConfig) -> object:
    """Run the agent at once."""
    return agent().invoke(SUM, config)["messages"][-1].text


def agent_ainvoke(config: RunnableConfig) -> object:
    """Run it in a coroutine."""
    return asyncio.run(agent().ainvoke(SUM, config))["messages"][-1].text


def agent_stream(config: RunnableConfig) -> object:
    """Read its states."""
    return list(agent().stream(SUM, config, stream_mode="values"))[-1]["messages"][-1].text


CALLS: Final[tuple[Call, ...]] = (
    invoke,
    ainvoke,
    stream,
    astream,
    batch,
    nested,
    tasks,
    completion_model,
    completion_model_async,
    agent_invoke,
    agent_ainvoke,
    agent_stream,
)


def before_the_handler(
    instrumentor: LangChainInstrumentor, stock: Traces, make: MakeHandler
) -> RunnableConfig:
    """Activate the instrumentor, then make the handler."""
    instrument(instrumentor, stock)
    return with_handler(make())


def after_the_handler(
    instrumentor: LangChainInstrumentor, stock: Traces, make: MakeHandler
) -> RunnableConfig:
    """Make the handler, then activate the instrumentor."""
    config = with_handler(make())
    instrument(instrumentor, stock)
    return config


def twice(instrumentor: LangChainInstrumentor, stock: Traces, make: MakeHandler) -> RunnableConfig:
    """Activate the instrumentor twice."""
    instrument(instrumentor, stock)
    instrument(instrumentor, stock)
    return with_handler(make())


def again(instrumentor: LangChainInstrumentor, stock: Traces, make: MakeHandler) -> RunnableConfig:
    """Activate the instrumentor, deactivate it, and activate it again."""
    instrument(instrumentor, stock)
    instrumentor.uninstrument()
    instrument(instrumentor, stock)
    return with_handler(make())


Order: TypeAlias = Callable[[LangChainInstrumentor, Traces, Any], RunnableConfig]
ORDERS: Final[tuple[Order, ...]] = (before_the_handler, after_the_handler, twice, again)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_run_with_our_handler_has_one_span(
    call: Call,
    order: Order,
    instrumentor: LangChainInstrumentor,
    make_handler: MakeHandler,
    traces: Traces,
    stock: Traces,
) -> None:
    """A run has the span that it would have without the instrumentor, ours, with the id from its start."""
    answer = call(with_handler(make_handler()))
    alone = sorted(traces.names())
    assert alone != []
    traces.clear()

    assert call(order(instrumentor, stock, make_handler)) == answer

    assert sorted(traces.names()) == alone
    assert set(traces.sessions()) == {"abc"}
    assert {id_ for _, id_ in traces.at_start} == {"abc"}
    assert stock.at_start == []


def test_instrumenting_around_an_existing_chain(
    instrumentor: LangChainInstrumentor, handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A chain made, bound to our handler and used before the instrumentor became active is traced once."""
    chain = runnables.chain().with_config(callbacks=[handler])
    chain.invoke(QUESTION)
    instrument(instrumentor, stock)
    chain.invoke(QUESTION)

    assert traces.names() == CHAIN * 2
    assert stock.at_start == []


def test_instrumenting_while_a_stream_is_read(
    instrumentor: LangChainInstrumentor, handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A run that had begun before stays ours to its end, with all that starts in it later."""
    chunks = (RunnableLambda(lambda question: question) | runnables.nested()).stream(
        QUESTION, with_handler(handler)
    )
    instrument(instrumentor, stock)
    assert "".join(chunks) == "ABOUT CATSfine"

    assert traces.names() == ["RunnableLambda", "OneDocument", "shout", *CHAIN, "answer", "RunnableSequence"]
    assert stock.at_start == []


@pytest.mark.usefixtures("active")
@pytest.mark.parametrize("call", CALLS)
def test_a_run_without_our_handler_is_the_instrumentors(
    call: Call, handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """Runs that have no handler of ours are traced as ever: completely, and the id comes at the end."""
    call(with_handler(handler))
    ours = sorted(traces.names())
    traces.clear()

    call(RunnableConfig(metadata={"session_id": "abc"}))

    assert sorted(stock.names()) == ours
    assert set(stock.sessions()) == {"abc"}
    assert {id_ for _, id_ in stock.at_start} == {None}
    assert traces.at_start == []


@pytest.mark.usefixtures("active")
def test_both_in_one_process_write_to_one_provider(stock: Traces) -> None:
    """With one provider for both, as in an application, each run has one span, ours or theirs."""
    handler = SessionCallbackHandler(tracer_provider=stock.provider)
    handler.raise_error = True
    runnables.chain().invoke(QUESTION, with_handler(handler))
    runnables.chain().invoke(QUESTION, RunnableConfig(metadata={"session_id": "abc"}))

    assert stock.names() == CHAIN * 2
    assert stock.sessions() == ["abc"] * 8
    assert [id_ for _, id_ in stock.at_start] == ["abc"] * 4 + [None] * 4
    assert len(stock.by_trace()) == 2


@pytest.mark.usefixtures("active")
def test_our_handler_given_inside_a_run_of_the_instrumentor(
    handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A call with callbacks of its own inside the instrumentor's run is ours, and a trace of its own."""

    def answer(question: dict[str, str]) -> str:
        return runnables.chain().invoke(question, with_handler(handler))

    RunnableLambda(answer).invoke(QUESTION)

    assert traces.names() == CHAIN
    assert set(traces.sessions()) == {"abc"}
    assert stock.names() == ["answer"]


@pytest.mark.usefixtures("active")
def test_callbacks_taken_away_inside_our_run(
    handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A call with an empty list of callbacks inside our run is the instrumentor's."""

    def answer(question: dict[str, str]) -> str:
        return runnables.chain().invoke(question, RunnableConfig(callbacks=[]))

    RunnableLambda(answer).invoke(QUESTION, with_handler(handler))

    assert traces.names() == ["answer"]
    assert stock.names() == CHAIN


def test_deactivating_restores_langchain(
    instrumentor: LangChainInstrumentor, handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """After `uninstrument` nothing is patched; our handler goes on, and other runs are not traced."""
    original = BaseCallbackManager.__init__
    instrument(instrumentor, stock)
    assert BaseCallbackManager.__init__ is not original
    runnables.chain().invoke(QUESTION, with_handler(handler))
    instrumentor.uninstrument()
    assert BaseCallbackManager.__init__ is original

    runnables.chain().invoke(QUESTION, with_handler(handler))
    runnables.chain().invoke(QUESTION)

    assert traces.names() == CHAIN * 2
    assert set(traces.sessions()) == {"abc"}
    assert stock.at_start == []


def test_deactivating_while_a_stream_is_read(
    instrumentor: LangChainInstrumentor, handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A run of ours that is going on while the instrumentor is switched off is recorded to its end."""
    instrument(instrumentor, stock)
    chunks = runnables.chain().stream(QUESTION, with_handler(handler))
    first = next(chunks)
    instrumentor.uninstrument()

    assert first + "".join(chunks) == "fine"
    assert sorted(traces.names()) == sorted(CHAIN)
    assert stock.at_start == []


class Look:
    """A chain that asks OpenInference, from inside, which spans it runs in."""

    def __init__(self, instrumentor: LangChainInstrumentor) -> None:
        self.current: Span | None = None
        self.ancestors: list[Span] = []
        self.by_id: Span | None = None
        self.ancestors_by_id: list[Span] = []
        self._instrumentor = instrumentor
        self.chain = RunnableLambda(lambda given: RunnableLambda(self.look).invoke(given))

    def look(self, given: object, config: RunnableConfig) -> object:
        """Ask."""
        run_id = cast("UUID", cast("CallbackManager", config.get("callbacks")).parent_run_id)
        self.current, self.ancestors = get_current_span(), get_ancestor_spans()
        self.by_id = self._instrumentor.get_span(run_id)
        self.ancestors_by_id = self._instrumentor.get_ancestors(run_id)
        return given


def names_of(spans: list[Span]) -> list[str]:
    """Return the names of live spans."""
    return [getattr(span, "name", "") for span in spans]


def test_asking_openinference_for_its_spans(
    active: LangChainInstrumentor, handler: SessionCallbackHandler, stock: Traces
) -> None:
    """In the instrumentor's runs its look-ups go on to find its spans, also after runs of ours."""
    look = Look(active)
    look.chain.invoke(1, with_handler(handler))
    look.chain.invoke(1)

    assert look.current is not None
    assert look.current is look.by_id
    assert names_of([look.current]) == ["look"]
    assert names_of(look.ancestors) == names_of(look.ancestors_by_id) == ["RunnableLambda"]
    assert stock.names() == ["look", "RunnableLambda"]


def test_asking_openinference_for_our_spans(
    active: LangChainInstrumentor, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """In our runs the instrumentor's look-ups find nothing, above all not another run's span."""
    look = Look(active)
    look.chain.invoke(1, with_handler(handler))

    assert (look.current, look.by_id, look.ancestors, look.ancestors_by_id) == (None, None, [], [])
    assert traces.names() == ["look", "RunnableLambda"]


def test_our_handler_finds_its_spans_as_openinferences_tracer_does(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """`handler.get_span` returns the span of a live run of ours, and None once it has ended."""
    found: list[tuple[UUID, Span | None]] = []

    def look(given: object, config: RunnableConfig) -> object:
        run_id = cast("UUID", cast("CallbackManager", config.get("callbacks")).parent_run_id)
        found.append((run_id, handler.get_span(run_id)))
        return given

    RunnableLambda(look).invoke(1, with_handler(handler))

    [(run_id, span)] = found
    assert span is not None
    assert span.get_span_context() == traces.named("look").get_span_context()
    assert handler.get_span(run_id) is None


def shape(traces: Traces) -> list[tuple[str, str]]:
    """Return the name of each span with its parent's, sorted, because parallel runs end in any order."""
    names = {span.context.span_id: span.name for span in traces if span.context}
    return sorted((span.name, names[span.parent.span_id] if span.parent else "") for span in traces)


@pytest.mark.usefixtures("active")
@pytest.mark.parametrize("call", CALLS)
def test_two_handlers_with_two_providers(
    call: Call, make_handler: MakeHandler, traces: Traces, stock: Traces
) -> None:
    """Each of two handlers in one call gets the complete trace, and the instrumentor nothing."""
    other = Traces()
    call(with_handler(make_handler(), make_handler(tracer_provider=other.provider)))

    assert traces.names() != []
    assert shape(traces) == shape(other)
    assert set(traces.sessions()) == set(other.sessions()) == {"abc"}
    assert other.open == {}
    assert stock.at_start == []


def bound(config: RunnableConfig) -> object:
    """Run a chain to which the config is bound."""
    return runnables.chain().with_config(config).invoke(QUESTION)


def bound_async(config: RunnableConfig) -> object:
    """Run it in a coroutine."""
    return asyncio.run(runnables.chain().with_config(config).ainvoke(QUESTION))


def bound_stream(config: RunnableConfig) -> object:
    """Read its answer piece by piece."""
    return "".join(runnables.chain().with_config(config).stream(QUESTION))


def bound_around_a_bound_step(config: RunnableConfig) -> object:
    """Run a chain with the config bound to it and to its last step."""
    chain = RunnableLambda(lambda given: given) | runnables.chain().with_config(config)
    return chain.with_config(config, run_name="outer").invoke(QUESTION)


@pytest.mark.usefixtures("active")
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (bound, CHAIN),
        (bound_async, CHAIN),
        (bound_stream, CHAIN),
        (bound_around_a_bound_step, ["RunnableLambda", *CHAIN, "outer"]),
    ],
)
def test_a_handler_bound_to_a_chain(
    call: Call, expected: list[str], handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A chain with our handler in its own config is traced once, by us."""
    assert call(with_handler(handler)) == "fine"

    assert sorted(traces.names()) == sorted(expected)
    assert set(traces.sessions()) == {"abc"}
    assert stock.at_start == []


def bound_and_passed(config: RunnableConfig) -> object:
    """Bind the config to a chain, and pass it to the call as well."""
    return runnables.chain().with_config(config).invoke(QUESTION, config)


def listed_twice(config: RunnableConfig) -> object:
    """Name the handler twice in one list."""
    callbacks = cast("list[Any]", config.get("callbacks"))
    return runnables.chain().invoke(QUESTION, {**config, "callbacks": callbacks * 2})


@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("call", [bound_and_passed, listed_twice])
def test_a_handler_given_twice_counts_once(
    call: Call,
    handler: SessionCallbackHandler,
    traces: Traces,
    stock: Traces,
    instrumentor: LangChainInstrumentor,
    *,
    is_active: bool,
) -> None:
    """LangChain tells a handler that is bound and passed of the outermost run twice; a run has one span."""
    if is_active:
        instrument(instrumentor, stock)

    assert call(with_handler(handler)) == "fine"

    assert traces.names() == CHAIN
    assert [name for name, _ in traces.at_start] == ["RunnableSequence", *CHAIN[:-1]]
    assert traces.open == {}
    assert stock.at_start == []


def model_with(config: RunnableConfig) -> FakeListChatModel:
    """Return a chat model that was given the callbacks when it was made."""
    return FakeListChatModel(responses=["fine"], callbacks=config.get("callbacks"))


def constructor(config: RunnableConfig) -> None:
    """Ask such a model."""
    model_with(config).invoke("hi")


def constructor_async(config: RunnableConfig) -> None:
    """Ask it in a coroutine."""
    asyncio.run(model_with(config).ainvoke("hi"))


def constructor_in_chain(config: RunnableConfig) -> None:
    """Run a chain with such a model in it."""
    (RunnableLambda(str) | model_with(config)).invoke("hi")


def local_in_manager(config: RunnableConfig) -> None:
    """Pass a callback manager that keeps the handler for the outermost run."""
    manager = CallbackManager(cast("list[Any]", config.get("callbacks")))
    runnables.chat_model().invoke("hi", {"callbacks": manager})


def bound_to_a_step(config: RunnableConfig) -> None:
    """Run a chain whose step has the handler bound to it."""
    (RunnableLambda(str) | runnables.chat_model().with_config(config)).invoke("hi")


MODEL: Final = ["FakeListChatModel"]
STEPS: Final = ["str", "FakeListChatModel", "RunnableSequence"]
ADDED_LATER: Final[tuple[tuple[Call, list[str]], ...]] = (
    (constructor, MODEL),
    (constructor_async, MODEL),
    (constructor_in_chain, STEPS),
    (local_in_manager, MODEL),
    (bound_to_a_step, STEPS),
)
"""Where our handler joins a callback manager after that was made, or is not inheritable; and the runs."""


@pytest.mark.usefixtures("active")
@pytest.mark.xfail(
    strict=True,
    reason="OpenInference adds its tracer when a callback manager is made, unless an inheritable handler is "
    "one already; LangChain adds these handlers of ours later, or to the local ones",
)
@pytest.mark.parametrize(("call", "runs"), ADDED_LATER)
def test_a_handler_added_later_has_the_run_for_itself(
    call: Call, runs: list[str], handler: SessionCallbackHandler, traces: Traces, stock: Traces
) -> None:
    """A run with our handler in any place has one span, also while the instrumentor is active."""
    call(with_handler(handler))

    assert sorted([*traces.names(), *stock.names()]) == sorted(runs)


@pytest.mark.parametrize("call", [call for call, _ in ADDED_LATER])
def test_a_handler_added_later_records_what_it_is_told(
    call: Call, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Without the instrumentor, such a handler has a span for the run that it belongs to, and no other."""
    call(with_handler(handler))

    assert traces.names() == MODEL
