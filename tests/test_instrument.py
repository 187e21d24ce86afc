"""`instrument()`: every run of the process, once, whatever else is there; and nothing left afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tracers import context as langchain_hooks
from openinference.instrumentation import TraceConfig
from openinference.instrumentation.langchain import LangChainInstrumentor, _BaseCallbackManagerInit
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from langchain_sessions import SessionCallbackHandler, SessionPolicy, instrument, session, uninstrument
from langchain_sessions._instrumentor import SessionInstrumentor
from langchain_sessions._overlay import OverlayContext
from langchain_sessions.otel import SessionSpanProcessor
from tests.support import runnables
from tests.support.traces import SESSION_ID, Traces, attribute
from tests.test_instrumentor import ADDED_LATER, CALLS, CHAIN, QUESTION, Call, with_handler

if TYPE_CHECKING:
    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core

IN_ABC = RunnableConfig(metadata={"session_id": "abc"})


@pytest.fixture
def stock() -> Iterator[LangChainInstrumentor]:
    """OpenInference's instrumentor, inactive again after the test."""
    instrumentor = LangChainInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def processors(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    """Return a provider's span processors."""
    return provider._active_span_processor._span_processors


def state(provider: TracerProvider) -> tuple[object, ...]:
    """Return everything that `instrument()` touches."""
    return (
        list(langchain_hooks._configure_hooks),
        context_api._RUNTIME_CONTEXT,
        _BaseCallbackManagerInit.__call__,
        BaseCallbackManager.__init__,
        processors(provider),
    )


# --- one span per run -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_every_run_is_traced_without_callbacks(
    call: Call, make_handler: MakeHandler, instrumented: MakeHandler, traces: Traces
) -> None:
    """The spans are those of a handler that is given to the call, each with the id from its start."""
    call(with_handler(make_handler()))
    expected = sorted(traces.names())
    traces.clear()
    instrumented()
    call(IN_ABC)
    assert sorted(traces.names()) == expected
    assert set(traces.sessions()) == {"abc"}
    assert {id_ for _, id_ in traces.at_start} == {"abc"}


def before(stock: LangChainInstrumentor, traces: Traces, switch_on: Any) -> None:
    stock.instrument(tracer_provider=traces.provider)
    switch_on()


def after(stock: LangChainInstrumentor, traces: Traces, switch_on: Any) -> None:
    switch_on()
    stock.instrument(tracer_provider=traces.provider)


def twice(stock: LangChainInstrumentor, traces: Traces, switch_on: Any) -> None:
    stock.instrument(tracer_provider=traces.provider)
    switch_on()
    stock.uninstrument()
    stock.instrument(tracer_provider=traces.provider)


def gone(stock: LangChainInstrumentor, traces: Traces, switch_on: Any) -> None:
    stock.instrument(tracer_provider=traces.provider)
    switch_on()
    stock.uninstrument()


@pytest.mark.parametrize("order", [before, after, twice, gone])
@pytest.mark.parametrize("call", CALLS)
def test_beside_openinferences_instrumentor_a_run_has_one_span(
    call: Call, order: Any, stock: LangChainInstrumentor, instrumented: MakeHandler, traces: Traces
) -> None:
    """Whichever was active first, and however often: the span is ours."""
    instrumented()
    call(IN_ABC)
    expected = sorted(traces.names())
    uninstrument()
    traces.clear()
    order(stock, traces, instrumented)
    call(IN_ABC)
    assert sorted(traces.names()) == expected
    assert {id_ for _, id_ in traces.at_start} == {"abc"}


@pytest.mark.parametrize("is_stock_active", [False, True])
@pytest.mark.parametrize(("call", "runs"), ADDED_LATER)
def test_a_handler_in_a_constructor_or_bound_to_a_step_makes_no_second_span(
    call: Call,
    runs: list[str],
    is_stock_active: bool,
    stock: LangChainInstrumentor,
    make_handler: MakeHandler,
    instrumented: MakeHandler,
    traces: Traces,
) -> None:
    """Two handlers of ours that write to one provider agree on who writes a run, and the trace is whole."""
    if is_stock_active:
        stock.instrument(tracer_provider=traces.provider)
    instrumented()
    call(with_handler(make_handler()))
    assert sorted(traces.names()) == sorted(runs)
    assert len(traces.by_trace()) == 1


def test_a_handler_given_to_the_call_has_the_call(
    make_handler: MakeHandler, instrumented: MakeHandler, traces: Traces
) -> None:
    """With its provider and its policy."""
    other = Traces()
    instrumented()
    handler = make_handler(tracer_provider=other.provider, policy=SessionPolicy(conversation_id=True))
    runnables.chain().invoke(QUESTION, with_handler(handler))
    assert other.names() == CHAIN
    assert {attribute(span, "gen_ai.conversation.id") for span in other} == {"abc"}
    assert traces.names() == []


def test_a_handler_kept_local_leaves_the_inner_runs_to_the_global_one(
    make_handler: MakeHandler, instrumented: MakeHandler, traces: Traces
) -> None:
    """A chain's local handler is not told of the steps; they are in its trace and session all the same."""
    from langchain_core.callbacks import CallbackManager

    instrumented()
    manager = CallbackManager([make_handler()])
    chain = RunnableLambda(
        lambda _: runnables.chain().invoke(QUESTION, {"metadata": {"session_id": "inner"}})
    )
    chain.invoke("hi", {"callbacks": manager, "metadata": {"session_id": "abc"}, "run_name": "outer"})
    assert sorted(traces.names()) == sorted([*CHAIN, "outer"])
    assert traces.parents()["RunnableSequence"] == "outer"
    assert set(traces.sessions()) == {"abc"}, "one id per trace"


def test_two_handlers_that_write_to_one_provider_in_one_call(
    make_handler: MakeHandler, traces: Traces
) -> None:
    """Without `instrument()`, too, a run has one span."""
    runnables.chain().invoke(QUESTION, with_handler(make_handler(), make_handler()))
    assert traces.names() == CHAIN


# --- on and off -------------------------------------------------------------------------------------------


def test_uninstrument_restores_everything(traces: Traces) -> None:
    """What LangChain, OpenInference, OpenTelemetry and the provider had before they have again."""
    before = state(traces.provider)
    instrument(traces.provider)
    assert isinstance(context_api._RUNTIME_CONTEXT, OverlayContext)
    assert all(now != then for now, then in zip(state(traces.provider)[:3], before[:3], strict=True))
    uninstrument()
    assert state(traces.provider) == before
    uninstrument()
    assert state(traces.provider) == before
    runnables.chain().invoke(QUESTION, IN_ABC)
    assert traces.names() == []


class Wrapping(ContextVarsRuntimeContext):
    """Somebody else's runtime context, around the one that there was."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.attach, self.detach = inner.attach, inner.detach
        self.get_current = inner.get_current


def test_a_runtime_context_that_somebody_wraps_meanwhile(
    instrumented: MakeHandler, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overlay works on inside theirs, and shows nothing any more once it is switched off."""
    tracer = traces.provider.get_tracer("another library")

    def body(_: Any) -> None:
        with tracer.start_as_current_span("inside"):
            runnables.shout.invoke({"text": "hi"})

    instrumented()
    theirs = Wrapping(context_api._RUNTIME_CONTEXT)
    monkeypatch.setattr(context_api, "_RUNTIME_CONTEXT", theirs)
    RunnableLambda(body).invoke("hi", IN_ABC)
    assert traces.parents() == {"body": None, "inside": "body", "shout": "inside"}
    traces.clear()
    uninstrument()
    assert context_api._RUNTIME_CONTEXT is theirs
    RunnableLambda(body).invoke("hi", IN_ABC)
    assert traces.parents() == {"inside": None}


def test_as_opentelemetrys_tools_call_it(traces: Traces) -> None:
    """`SessionInstrumentor` takes the arguments of `instrument()`, and undoes it."""
    before = state(traces.provider)
    instrumentor = SessionInstrumentor()
    instrumentor.instrument(tracer_provider=traces.provider, policy=SessionPolicy(keys=("chat",)))
    runnables.shout.invoke({"text": "hi"}, {"metadata": {"chat": "abc"}})
    instrumentor.uninstrument()
    assert traces.sessions() == ["abc"]
    assert state(traces.provider) == before


def test_twice_with_the_same_arguments_is_once(instrumented: MakeHandler, traces: Traces) -> None:
    """A cell of a notebook may be run again."""
    policy = SessionPolicy(keys=("chat",))
    first = instrumented(policy=policy)
    now = state(traces.provider)
    assert instrumented(policy=SessionPolicy(keys=("chat",))) is first
    assert state(traces.provider) == now


def test_again_with_another_provider(instrumented: MakeHandler, traces: Traces) -> None:
    """Calls from then on go to the other one; a stream that is being read ends in the first."""
    other = Traces()
    instrumented()
    before = processors(traces.provider)
    chunks = runnables.chain().stream(QUESTION, IN_ABC)
    next(chunks)
    instrumented(tracer_provider=other.provider)
    list(chunks)
    runnables.shout.invoke({"text": "hi"}, IN_ABC)
    assert sorted(traces.names()) == sorted(CHAIN)
    assert other.names() == ["shout"]
    assert len(processors(traces.provider)) == len(before) - 1
    assert any(isinstance(it, SessionSpanProcessor) for it in processors(other.provider))


def test_switched_on_inside_a_running_chain(instrumented: MakeHandler, traces: Traces) -> None:
    """The runs that start from then on are traced, each once; nothing breaks."""

    def body(_: Any) -> Any:
        instrumented()
        return runnables.chain().invoke(QUESTION)

    assert RunnableLambda(body).invoke("hi", IN_ABC) == "fine"
    assert traces.names() == CHAIN
    assert set(traces.sessions()) == {"abc"}


def test_switched_on_inside_a_run_of_openinferences_instrumentor(
    stock: LangChainInstrumentor, instrumented: MakeHandler, traces: Traces
) -> None:
    """That run and what it calls stay the instrumentor's, so that each has one span."""
    stock.instrument(tracer_provider=traces.provider)

    def body(given: Any) -> Any:
        instrumented()
        return runnables.shout.invoke({"text": given})

    RunnableLambda(body).invoke("hi", IN_ABC)
    assert traces.names() == ["shout", "body"]
    traces.clear()
    runnables.shout.invoke({"text": "hi"}, IN_ABC)
    assert traces.at_start == [("shout", "abc")]


def test_switched_off_inside_a_running_chain(instrumented: MakeHandler, traces: Traces) -> None:
    """A run that is going on is traced to its end, with all it calls."""
    instrumented()

    def body(_: Any) -> Any:
        uninstrument()
        return runnables.chain().invoke(QUESTION)

    RunnableLambda(body).invoke("hi", IN_ABC)
    assert traces.names() == [*CHAIN, "body"]
    assert set(traces.sessions()) == {"abc"}


def test_a_processor_of_the_users_own_is_kept(instrumented: MakeHandler, traces: Traces) -> None:
    """Only one stamps; theirs stays when `instrument()` is undone."""
    mine = SessionSpanProcessor()
    traces.provider.add_span_processor(mine)
    instrumented()
    assert [it for it in processors(traces.provider) if isinstance(it, SessionSpanProcessor)] == [mine]
    uninstrument()
    assert mine in processors(traces.provider)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tracer_provider": "console"}, "tracer_provider must be"),
        ({"policy": {"nested": "own"}}, "policy must be a SessionPolicy"),
        ({"config": "hide"}, "config must be"),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    arguments: dict[str, Any], said: str, traces: Traces
) -> None:
    """The error says what was expected, and what was on stays on."""
    before = state(traces.provider)
    with pytest.raises(TypeError, match=said):
        instrument(**arguments)
    assert state(traces.provider) == before


def test_masking_and_separate_traces(instrumented: MakeHandler, traces: Traces) -> None:
    """`config` and `separate_trace_from_runtime_context` mean what they mean to the handler."""
    instrumented(config=TraceConfig(hide_inputs=True), separate_trace_from_runtime_context=True)
    with traces.provider.get_tracer("web").start_as_current_span("web"):
        runnables.shout.invoke({"text": "secret"}, IN_ABC)
    assert traces.parents() == {"web": None, "shout": None}
    assert "secret" not in str(dict(traces.named("shout").attributes or {}))


# --- providers that fail ----------------------------------------------------------------------------------


class Failing(SpanProcessor):
    """Fails whenever it is called."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise OSError("on_start")

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("on_end")


class FailingExporter(SpanExporter):
    """Exports nothing, loudly."""

    def export(self, spans: Any) -> SpanExportResult:
        raise OSError("export")


def test_a_processor_that_raises(traces: Traces, caplog: pytest.LogCaptureFixture) -> None:
    """The application's answer is what it would be; the errors are logged once and counted."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Failing())
    handler = instrument(provider)
    try:
        with caplog.at_level(logging.CRITICAL):
            assert runnables.chain().invoke(QUESTION, IN_ABC) == "fine"
    finally:
        uninstrument()
    assert handler.error_count > 0
    assert len(handler.live_runs) == 0


def test_an_exporter_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK catches it; the answer and the later runs are not affected."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(FailingExporter()))
    instrument(provider)
    try:
        with caplog.at_level(logging.CRITICAL):
            assert runnables.chain().invoke(QUESTION, IN_ABC) == "fine"
    finally:
        uninstrument()


def no_op() -> trace.TracerProvider:
    return trace.NoOpTracerProvider()


def shut_down() -> trace.TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.shutdown()
    return provider


@pytest.mark.parametrize("make", [no_op, shut_down])
def test_a_provider_that_records_nothing(
    make: Callable[[], trace.TracerProvider], caplog: pytest.LogCaptureFixture
) -> None:
    """A no-op provider, or one that was shut down: the application goes on, and nothing is kept."""
    handler = instrument(make())
    try:
        with caplog.at_level(logging.CRITICAL):
            assert runnables.nested().invoke(QUESTION, IN_ABC) == "ABOUT CATSfine"
    finally:
        uninstrument()
    assert (len(handler.live_runs), handler.error_count) == (0, 0)


def test_a_run_given_a_session_block_only(instrumented: MakeHandler, traces: Traces) -> None:
    """`session()` and `instrument()` are all that an application needs."""
    instrumented()
    with session("abc"):
        runnables.chain().invoke(QUESTION)
    assert {attribute(span, SESSION_ID) for span in traces} == {"abc"}


def test_a_handler_class_subclassed_by_the_user(instrumented: MakeHandler, traces: Traces) -> None:
    """It is one of ours, so none is added beside it."""

    class Mine(SessionCallbackHandler):
        pass

    instrumented()
    mine = Mine(tracer_provider=traces.provider)
    runnables.shout.invoke({"text": "hi"}, {"callbacks": [mine], **IN_ABC})
    assert traces.names() == ["shout"]
