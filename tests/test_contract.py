"""One test for each private name of a dependency that we lean on; its message says what moved.

They run against the newest versions and, by `make test-oldest`, against the oldest supported ones.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.tracers import BaseTracer, LangChainTracer
from langchain_core.tracers.schemas import Run
from openinference.instrumentation import OITracer, TraceConfig, capture_span_context
from openinference.semconv.trace import SpanAttributes
from opentelemetry import context as context_api
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from langchain_sessions import SessionCallbackHandler, _langchain, _overlay, _stacks, _upstream
from langchain_sessions._records import RunRecord, recorded
from tests.support import runnables
from tests.support.traces import Traces, attribute

pytestmark = [pytest.mark.contract, pytest.mark.core]

METADATA = {"session_id": "abc"}


# --- openinference-instrumentation-langchain --------------------------------------------------------------


def test_openinference_tracer_is_a_langchain_tracer_that_takes_a_tracer() -> None:
    """`OpenInferenceTracer(tracer, separate_trace_from_runtime_context)` is what we subclass."""
    tracer_class = _upstream.OpenInferenceTracer
    assert issubclass(tracer_class, BaseTracer), "OpenInferenceTracer is no BaseTracer any more"
    parameters = list(inspect.signature(tracer_class.__init__).parameters)
    assert parameters[1:3] == ["tracer", "separate_trace_from_runtime_context"], (
        f"OpenInferenceTracer.__init__ takes {parameters}; _handler.py passes a tracer and a bool"
    )


@pytest.mark.parametrize("name", ["_start_trace", "_end_trace"])
def test_openinference_tracer_starts_and_ends_spans_in_two_methods(name: str) -> None:
    """We override them; each takes the run alone."""
    method = getattr(_upstream.OpenInferenceTracer, name, None)
    assert method is not None, f"OpenInferenceTracer.{name} is gone: ids would not be written"
    assert list(inspect.signature(method).parameters) == ["self", "run"], (
        f"OpenInferenceTracer.{name} changed"
    )


def test_every_start_and_end_event_passes_through_those_methods(
    handler: SessionCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chains, chat models, completion models, tools and retrievers alike."""
    seen: list[tuple[str, str]] = []
    for name in ("_start_trace", "_end_trace"):
        method: Callable[[Any], None] = getattr(handler, name)

        def watch(run: Any, name: str = name, method: Callable[[Any], None] = method) -> None:
            seen.append((name, run.run_type))
            method(run)

        monkeypatch.setattr(handler, name, watch)
    config: Any = {"callbacks": [handler]}
    runnables.chain().invoke({"q": "hi"}, config)
    runnables.completion_model().invoke("hi", config)
    runnables.nested().invoke({"q": "hi"}, config)
    for name in ("_start_trace", "_end_trace"):
        types = {type_ for method, type_ in seen if method == name}
        assert types >= {"chain", "llm", "tool", "retriever"}, f"{name} was called for {types} only"


def test_the_dictionaries_of_a_tracer_are_where_we_replace_them(handler: SessionCallbackHandler) -> None:
    """`run_map` by text, `_spans_by_run` by UUID, `get_span` reads the latter."""
    run_id = uuid4()
    handler.on_chain_start({}, {}, run_id=run_id, name="run")
    assert list(handler.run_map) == [str(run_id)], "OpenInferenceTracer.run_map has other keys"
    assert list(handler._spans_by_run) == [run_id], "OpenInferenceTracer._spans_by_run has other keys"
    assert handler.get_span(run_id) is handler._spans_by_run[run_id], "get_span looks elsewhere"
    handler.on_chain_end({}, run_id=run_id)
    assert not handler.run_map, "OpenInferenceTracer keeps ended runs"
    assert not handler._spans_by_run, "OpenInferenceTracer keeps ended spans"


def test_the_instrumentor_recognizes_our_handler_as_its_tracer() -> None:
    """It leaves managers alone that hold an instance of its tracer class, so a run gets one span."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        ours = SessionCallbackHandler(tracer_provider=TracerProvider(shutdown_on_exit=False))
        manager = CallbackManager.configure([ours])
    finally:
        instrumentor.uninstrument()
    assert manager.handlers == [ours], "LangChainInstrumentor adds its tracer beside ours: two spans per run"


def test_openinference_writes_the_raw_id_at_the_end(traces: Traces) -> None:
    """The reason why our span refuses ids from anybody else; when this fails, it may not have to."""
    tracer: Any = OITracer(traces.provider.get_tracer("stock"), config=TraceConfig())
    stock = _upstream.OpenInferenceTracer(tracer, False)
    runnables.chat_model().invoke("hi", {"callbacks": [stock], "metadata": {"session_id": "  raw  "}})
    assert traces.sessions() == ["  raw  "]
    assert traces.at_start == [("FakeListChatModel", None)], "OpenInference writes the id at the start now"


def test_the_scope_is_openinferences(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Name and version by which backends know the content of these spans."""
    runnables.chat_model().invoke("hi", {"callbacks": [handler]})
    scope = traces.ended[0].instrumentation_scope
    assert scope is not None
    assert scope.name == "openinference.instrumentation.langchain"
    assert scope.version, "openinference.instrumentation.langchain.version.__version__ is gone"


@pytest.mark.parametrize(
    "name", ["_create_chain_run", "_create_llm_run", "_create_tool_run", "_create_retrieval_run"]
)
def test_langchains_tracers_make_runs_by_name(name: str) -> None:
    """Each of these functions makes a `Run`; we give the name another meaning."""
    assert "Run" in getattr(BaseTracer, name).__code__.co_names, f"BaseTracer.{name} makes runs differently"
    assert "Run" in LangChainTracer.on_chat_model_start.__code__.co_names, "so does on_chat_model_start"


def test_a_function_that_makes_no_run_is_refused() -> None:
    """If LangChain changes, the import fails with a pointer to the place, and not the tracing later."""
    with pytest.raises(TypeError, match="does not make a Run"):
        recorded(test_a_function_that_makes_no_run_is_refused)


@pytest.mark.parametrize("serialized", [None, {"name": "named"}, {"id": ["a", "b", "Class"]}, {"kwargs": {}}])
@pytest.mark.parametrize("name", [None, "given"])
def test_our_record_of_a_run_has_the_defaults_of_langsmiths(
    name: str | None, serialized: dict[str, Any] | None
) -> None:
    """Wherever OpenInference or LangChain's tracers look, a `RunRecord` says what a `RunTree` would."""
    start = datetime.now(UTC)
    values: dict[str, Any] = {
        "id": uuid4(),
        "parent_run_id": None,
        "serialized": serialized,
        "inputs": {"q": 1},
        "extra": {"metadata": {"k": 1}},
        "start_time": start,
        "run_type": "chain",
        "name": name,
        "tags": None,
    }
    fields = ("name", "inputs", "outputs", "extra", "events", "tags", "child_runs", "error", "end_time")
    ours, langsmiths = RunRecord(**values), Run(**values)
    assert {f: getattr(ours, f) for f in fields} == {f: getattr(langsmiths, f) for f in fields}


# --- openinference-instrumentation ------------------------------------------------------------------------


def test_an_openinference_span_keeps_its_kind_aside(traces: Traces) -> None:
    """It wraps the SDK's span, and sets the kind when it ends, so that it cannot be evicted."""
    sdk_span = traces.provider.get_tracer("test").start_span("span")
    span = _upstream.SessionSpan(sdk_span, TraceConfig(), masks=False)
    assert span.get_span_context() is sdk_span.get_span_context(), "OpenInferenceSpan does not wrap the span"
    span.set_attributes({SpanAttributes.OPENINFERENCE_SPAN_KIND: "CHAIN"})
    assert traces.open_attribute(SpanAttributes.OPENINFERENCE_SPAN_KIND) is None, "the kind is set at once"
    span.end()
    assert attribute(traces.ended[0], SpanAttributes.OPENINFERENCE_SPAN_KIND) == "CHAIN"


def test_what_an_openinference_span_keeps_aside_is_written_last_and_newest_first(traces: Traces) -> None:
    """The ids travel in `_self_important_attributes` before the kind, so the session id is the newest."""
    span = _upstream.SessionSpan(
        traces.provider.get_tracer("test").start_span("span"), TraceConfig(), masks=False
    )
    ids = {SpanAttributes.SESSION_ID: "abc", SpanAttributes.USER_ID: "ada"}
    span.expect(ids)
    span.set_attributes({SpanAttributes.OPENINFERENCE_SPAN_KIND: "CHAIN", "other": 1})
    span.end()
    assert list(traces.ended[0].attributes or {}) == [
        "other",
        SpanAttributes.OPENINFERENCE_SPAN_KIND,
        SpanAttributes.USER_ID,
        SpanAttributes.SESSION_ID,
    ], "OpenInferenceSpan._self_important_attributes is written in another order: the SDK may drop the id"


def test_an_openinference_tracer_brings_its_own_id_generator() -> None:
    """We start spans with the `OITracer` as the SDK's `self`, for the sake of its id generator."""
    sdk_tracer: Any = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    tracer: Any = OITracer(sdk_tracer, config=TraceConfig())
    assert tracer.__wrapped__ is sdk_tracer, "OITracer is no wrapt proxy any more"
    assert tracer.id_generator is not sdk_tracer.id_generator, "OITracer.id_generator is the SDK's now"


def test_span_contexts_are_captured(handler: SessionCallbackHandler, traces: Traces) -> None:
    """`capture_span_context` learns of our spans through a private function that we call as OITracer does."""
    with capture_span_context() as capture:
        runnables.chat_model().invoke("hi", {"callbacks": [handler]})
        assert list(capture.get_span_contexts()) == [traces.ended[0].get_span_context()], (
            "openinference.instrumentation._capture._capture_span_context changed"
        )


def test_the_instrumentor_can_be_kept_out() -> None:
    """`instrument()` replaces the method by which it adds its tracer to every callback manager."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    instrumentor = LangChainInstrumentor()
    let_in = _upstream.keep_instrumentor_out()
    instrumentor.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    try:
        assert CallbackManager.configure().handlers == [], (
            "_BaseCallbackManagerInit adds its tracer elsewhere"
        )
        let_in()
        assert len(CallbackManager.configure().handlers) == 1, "_BaseCallbackManagerInit.__call__ is unused"
    finally:
        let_in()
        instrumentor.uninstrument()


# --- opentelemetry ----------------------------------------------------------------------------------------


def test_the_sdk_composes_exception_events_through_add_event(traces: Traces) -> None:
    """Pseudonymization has the SDK compose an exception's event on a recorder that only has `add_event`."""
    recorder = _upstream.EventRecorder()
    span = traces.provider.get_tracer("test").start_span("span")
    type(span).record_exception(recorder, ValueError("boom"))  # type: ignore[arg-type]
    span.end()
    ((name, attributes, _),) = recorder.events
    assert name == "exception"
    assert attributes is not None
    assert attributes["exception.message"] == "boom"


def test_a_providers_processors_are_where_we_look(traces: Traces) -> None:
    """For `uninstrument()`, since OpenTelemetry has no way to remove one."""
    before = traces.provider._active_span_processor._span_processors
    assert _upstream.has_processor(traces.provider, Traces), "TracerProvider._active_span_processor changed"
    processor = SpanProcessor()
    assert _upstream.add_processor(traces.provider, processor)
    _upstream.remove_processor(traces.provider, processor)
    after = traces.provider._active_span_processor._span_processors
    assert after == before, "SynchronousMultiSpanProcessor._span_processors changed: one cannot be removed"


class Asked(ContextVarsRuntimeContext):
    """Notes that it was asked."""

    def __init__(self, seen: list[object]) -> None:
        super().__init__()
        self._seen = seen

    def get_current(self) -> context_api.Context:
        self._seen.append("asked")
        return super().get_current()


def test_the_runtime_context_is_where_we_put_the_overlay() -> None:
    """`get_current`, `attach` and `detach` ask `opentelemetry.context._RUNTIME_CONTEXT` each time."""
    overlay = _overlay.switch_on()
    assert overlay is not None
    try:
        seen: list[object] = []
        inner = overlay.inner
        overlay.inner = Asked(seen)
        context_api.get_current()
        overlay.inner = inner
        assert seen == ["asked"], "opentelemetry.context has another place for the runtime context now"
    finally:
        _overlay.switch_off(overlay)


def test_the_context_is_a_dictionary_under_openinferences_keys() -> None:
    """We make contexts from plain dictionaries, and read ids from them by attribute name."""
    context = _upstream.context_for_start(context_api.get_current(), {SpanAttributes.SESSION_ID: "abc"}, {})
    assert context_api.get_value(SpanAttributes.SESSION_ID, context) == "abc"
    assert context_api.get_value(SpanAttributes.USER_ID, context) is None


# --- langchain-core ---------------------------------------------------------------------------------------


def test_the_functions_around_the_bodies_of_models_and_retrievers_are_there() -> None:
    """The overlay recognizes them by their code, and the body's run by their local variables."""
    owners = {"chat_models": BaseChatModel, "llms": BaseLLM, "retrievers": BaseRetriever}
    starts = [code for code in _stacks.LEAF_STARTS if code is not None]
    bodies = [code for code in _stacks.LEAF_BODIES if code is not None]
    assert len(starts) >= 10, f"a method that starts a model's run has another name: {starts}"
    assert len(bodies) >= 10, f"a method around a model's body has another name: {bodies}"
    for code in (*starts, *bodies):
        assert Path(code.co_filename).stem in owners, f"{code.co_qualname} is wrapped"
    for code in bodies:
        assert {"run_manager", "run_managers"} & {*code.co_varnames}, f"{code.co_qualname} has no run manager"
    for code in starts:
        names = {*code.co_varnames, *code.co_cellvars}
        assert {"callback_manager", "callback_managers"} & names, f"{code.co_qualname} keeps no manager"


def test_the_files_that_call_bodies_are_recognized() -> None:
    """Where the search for a model's body on the stack ends: a chain's body inside it is nearer."""
    callers: list[Any] = [RunnableLambda.invoke, BaseTool.run, find_spec]
    found = [_stacks._is_of_bodies(it.__code__.co_filename) for it in callers]
    assert found == [True, True, False], (
        "the functions that call bodies have moved, or their files look other"
    )


def test_a_configure_hook_is_asked_in_the_frames_that_we_read() -> None:
    """`_configure`, which has the manager in `callback_manager`, is called by `configure`."""
    seen: list[Any] = []

    class Hook:
        handler_class = BaseCallbackHandler

        def get(self) -> None:
            configuring = sys._getframe(1)
            seen.append((configuring.f_locals.get("callback_manager"), sys._getframe(3).f_code))

    hook = Hook()
    _langchain.add_configure_hook(hook)
    runnables.OneDocument().invoke("hi")
    _langchain.remove_configure_hook(hook)
    runnables.OneDocument().invoke("hi")
    ((manager, code),) = seen
    assert isinstance(manager, CallbackManager), "_configure has no `callback_manager` any more"
    assert code in _stacks.LEAF_STARTS, "configure is called from elsewhere now"


class Looking(BaseCallbackHandler):
    """Looks at the config of each run that starts, from where our handler looks."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def look(self, event: str) -> None:
        self.seen.append((event, _langchain.configurable_of(_langchain.starting_config()).get("session_id")))

    def on_chain_start(self, *_: Any, **__: Any) -> None:
        self.look("chain")

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.look("chat model")

    def on_llm_start(self, *_: Any, **__: Any) -> None:
        self.look("completion model")

    def on_tool_start(self, *_: Any, **__: Any) -> None:
        self.look("tool")

    def on_retriever_start(self, *_: Any, **__: Any) -> None:
        self.look("retriever")


MOVED = (
    "LangChain's functions do not call the config of a starting run `config` any more, or call callbacks "
    "from elsewhere: _langchain.starting_config finds no `configurable`"
)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Looking:
    """A handler that looks at configs."""
    # This module stands for the handler's: frames of our own package are passed over.
    monkeypatch.setitem(globals(), "__name__", "langchain_sessions.in_a_test")
    return Looking()


def test_the_local_variable_config_is_that_of_the_starting_run(looking: Looking) -> None:
    """Runnables of every kind, called synchronously."""
    config: Any = {"callbacks": [looking], "configurable": {"session_id": "abc"}}
    runnables.chain().invoke({"q": "hi"}, config)
    list(runnables.chain().stream({"q": "hi"}, config))
    runnables.chain().batch([{"q": "hi"}], config)
    runnables.completion_model().invoke("hi", config)
    runnables.shout.invoke({"text": "hi"}, config)
    runnables.OneDocument().invoke("hi", config)
    assert {event for event, _ in looking.seen} == {
        "chain",
        "chat model",
        "completion model",
        "tool",
        "retriever",
    }
    assert {id_ for _, id_ in looking.seen} == {"abc"}, MOVED


def test_the_local_variable_config_is_seen_in_coroutines(looking: Looking) -> None:
    """And asynchronously, except where LangChain starts a run in a task of its own."""
    config: Any = {"callbacks": [looking], "configurable": {"session_id": "abc"}}

    async def run() -> None:
        await runnables.chain().ainvoke({"q": "hi"}, config)
        async for _ in runnables.chain().astream({"q": "hi"}, config):
            pass
        await runnables.chat_model().ainvoke("hi", config)
        await runnables.shout.ainvoke({"text": "hi"}, config)
        await runnables.OneDocument().ainvoke("hi", config)

    asyncio.run(run())
    assert {event for event, _ in looking.seen} == {"chain", "chat model", "tool", "retriever"}
    assert {id_ for _, id_ in looking.seen} == {"abc"}, MOVED


def test_a_runs_body_sees_its_config_in_the_context_variable(handler: SessionCallbackHandler) -> None:
    """`var_child_runnable_config` holds the config whose callbacks' `parent_run_id` is the executing run."""
    seen: list[Any] = []

    def body(_: object) -> None:
        manager = _langchain.executing_run()
        assert manager is not None, "var_child_runnable_config is not set in a run's body any more"
        run_id = manager.parent_run_id
        assert run_id is not None, "its callback manager does not say whose body it is any more"
        seen.append(_langchain.configurable_of(_langchain.body_config(run_id)).get("session_id"))
        seen.append(_langchain.body_config(uuid4()))
        seen.append(handler.live_runs.get(run_id) is not None)

    RunnableLambda(body).invoke("x", {"callbacks": [handler], "configurable": {"session_id": "abc"}})
    assert seen == ["abc", None, True]
    assert _langchain.executing_run() is None


def test_the_id_in_configurable_is_no_longer_in_metadata(looking: Looking) -> None:
    """The reason why we look for it; on versions that still copy it to metadata, we find it there."""
    seen: list[Any] = []

    class Metadata(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, metadata: dict[str, Any] | None = None, **__: Any) -> None:
            seen.append((metadata or {}).get("session_id"))

    config: Any = {"callbacks": [Metadata(), looking], "configurable": {"session_id": "abc"}}
    RunnableLambda(str).invoke("x", config)
    assert seen in (["abc"], [None])
    assert looking.seen == [("chain", "abc")], MOVED
