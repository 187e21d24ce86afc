from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableConfig, RunnableLambda
from openinference.instrumentation import TraceConfig, suppress_tracing, using_attributes
from openinference.semconv.trace import SpanAttributes
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.util._once import Once

from langchain_sessions import SessionCallbackHandler, SessionPolicy, current_session_id, instrument, session
from langchain_sessions._runs import LiveRuns
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute, trace_id_of

if TYPE_CHECKING:
    from langchain_core.prompt_values import PromptValue

    from tests.conftest import MakeHandler

QUESTION = {"q": "hi"}


def config(handler: SessionCallbackHandler, **metadata: Any) -> RunnableConfig:
    """Return the config of a call with this metadata."""
    return RunnableConfig(callbacks=[handler], metadata=metadata)


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UUID(int=5), str(UUID(int=5))),
        (42, "42"),
        (0, "0"),
        ("  padded ", "padded"),
        ("日本語 ✨", "日本語 ✨"),
        ("a\x00b\n", "ab"),
        (True, None),
        (["abc"], None),
        ({"id": "abc"}, None),
        (float("nan"), None),
        ("  ", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("where", ["metadata", "configurable"])
def test_awkward_values(
    where: str, value: object, expected: str | None, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A value becomes one canonical string on every span, or no span has an id."""
    runnables.chain().invoke(QUESTION, {"callbacks": [handler], where: {"session_id": value}})  # type: ignore[misc]
    assert traces.sessions() == [expected] * 4


@pytest.mark.core
def test_long_ids_that_differ_at_the_end_are_two_sessions(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """5,000 characters are shortened without joining two conversations."""
    for end in "12":
        runnables.chain().invoke(QUESTION, config(handler, session_id="x" * 4_999 + end))
    ids = traces.sessions()
    assert ids[:4] == [ids[0]] * 4
    assert ids[4:] == [ids[4]] * 4
    assert ids[0] != ids[4]


def test_a_refusal_is_reported_once_and_the_next_candidate_is_tried(
    handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning per cause, not one per span or per call."""
    for _ in range(3):
        runnables.chain().invoke(QUESTION, config(handler, session_id=["x"], thread_id="t"))
    assert traces.sessions() == ["t"] * 12
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("langchain_sessions", "WARNING")
    assert record.getMessage() == (
        "langchain_sessions: metadata 'session_id' of run 'RunnableSequence' holds no id (an id must be a "
        "non-blank str, a uuid.UUID or an int (not a bool); got a list) and is ignored"
    )


@pytest.mark.parametrize("key", ["sessionId", "session.id", "Session-ID", "threadId", "conversation id"])
def test_a_misspelt_key_is_reported_once(
    key: str, handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wrote `sessionId` is told, once, how we spell it."""
    for _ in range(2):
        runnables.chain().invoke(QUESTION, config(handler, **{key: "abc"}))
    assert traces.sessions() == [None] * 8
    (record,) = caplog.records
    assert record.args == (key, "RunnableSequence", "session_id, conversation_id, thread_id")


def test_two_ids_are_resolved_by_order_and_reported_once(
    handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """`session_id` beats `conversation_id` beats `thread_id`."""
    for _ in range(2):
        runnables.chain().invoke(
            QUESTION, config(handler, thread_id="t", conversation_id="c", session_id="s")
        )
    assert traces.sessions() == ["s"] * 8
    assert [record.args for record in caplog.records] == [
        ("metadata", "RunnableSequence", "session_id", "conversation_id"),
        ("metadata", "RunnableSequence", "session_id", "thread_id"),
    ]


def test_the_order_of_keys_is_the_policys(make_handler: MakeHandler, traces: Traces) -> None:
    """Key names and their order can be chosen, also for the user."""
    handler = make_handler(policy=SessionPolicy(keys=("chat", "session_id"), user_keys=("who",)))
    runnables.chain().invoke(QUESTION, config(handler, session_id="s", chat="c", who="ada", user_id="no"))
    assert traces.sessions() == ["c"] * 4
    assert {attribute(span, USER_ID) for span in traces} == {"ada"}


# --- precedence -------------------------------------------------------------------------------------------


@pytest.mark.core
def test_metadata_beats_configurable_beats_the_surroundings(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """The nearer to the call, the stronger."""
    tracer = traces.provider.get_tracer("test")
    chain = runnables.chain()
    with tracer.start_as_current_span("around", attributes={SESSION_ID: "span"}), session("block"):
        chain.invoke(
            QUESTION,
            {"callbacks": [handler], "metadata": {"thread_id": "m"}, "configurable": {"session_id": "c"}},
        )
        chain.invoke(QUESTION, {"callbacks": [handler], "configurable": {"session_id": "c"}})
        chain.invoke(QUESTION, {"callbacks": [handler]})
    with tracer.start_as_current_span("around", attributes={SESSION_ID: "span"}):
        chain.invoke(QUESTION, {"callbacks": [handler]})
    assert [attribute(s, SESSION_ID) for s in traces if s.name == "RunnableSequence"] == [
        "m",
        "c",
        "block",
        "span",
    ]


@pytest.mark.core
def test_a_run_inside_a_span_is_its_child_unless_traces_are_separate(
    make_handler: MakeHandler, traces: Traces
) -> None:
    """`separate_trace_from_runtime_context` starts a trace of its own."""
    inside, apart = make_handler(), make_handler(separate_trace_from_runtime_context=True)
    with traces.provider.get_tracer("test").start_as_current_span("around") as around:
        runnables.chat_model().invoke("hi", config(inside, session_id="a"))
        runnables.chat_model().invoke("hi", config(apart, session_id="b"))
    first, second, _ = traces
    assert first.parent == around.get_span_context()
    assert second.parent is None
    assert traces.sessions() == ["a", "b", None]


@pytest.mark.core
def test_a_run_without_an_id_after_one_with_an_id_has_none(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Nothing is remembered from one call to the next."""
    chain = runnables.chain()
    chain.invoke(QUESTION, config(handler, session_id="abc", user_id="ada"))
    chain.invoke(QUESTION, config(handler))
    assert traces.sessions() == ["abc"] * 4 + [None] * 4
    assert [attribute(span, USER_ID) for span in traces] == ["ada"] * 4 + [None] * 4


# --- nesting ----------------------------------------------------------------------------------------------


def outer_calls_inner(**inner: Any) -> RunnableLambda[Any, Any]:
    """Return a run that calls a chain with metadata of its own."""
    return RunnableLambda(lambda _: runnables.chain().invoke(QUESTION, {"metadata": inner}), name="outer")


@pytest.mark.core
def test_one_id_per_trace(
    handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """A nested run that brings another id keeps the outer one; it is said once, and stays in metadata."""
    caplog.set_level(logging.INFO, "langchain_sessions")
    for _ in range(2):
        outer_calls_inner(session_id="inner").invoke("x", config(handler, session_id="outer"))
    assert traces.sessions() == ["outer"] * 10
    assert '"session_id": "inner"' in str(attribute(traces.ended[0], SpanAttributes.METADATA))
    assert [record.args for record in caplog.records] == [("RunnableSequence", SESSION_ID, "inner", "outer")]


@pytest.mark.core
def test_a_nested_run_may_have_its_own(make_handler: MakeHandler, traces: Traces) -> None:
    """`nested="own"` gives the inner run and what it calls their own id, and leaves the outer alone."""
    handler = make_handler(policy=SessionPolicy(nested="own"))
    outer_calls_inner(session_id="inner", user_id="bob").invoke("x", config(handler, session_id="outer"))
    outer = traces.ended.pop()
    assert (attribute(outer, SESSION_ID), attribute(outer, USER_ID)) == ("outer", None)
    assert {(attribute(span, SESSION_ID), attribute(span, USER_ID)) for span in traces} == {("inner", "bob")}


@pytest.mark.core
def test_a_nested_configurable_is_the_nested_runs_own(make_handler: MakeHandler, traces: Traces) -> None:
    """With `nested="own"` an inner `configurable` counts as well as inner metadata."""
    handler = make_handler(policy=SessionPolicy(nested="own"))
    inner = RunnableLambda(
        lambda _: runnables.chain().invoke(QUESTION, {"configurable": {"thread_id": "inner"}})
    )
    inner.invoke("x", {"callbacks": [handler], "configurable": {"thread_id": "outer"}})
    assert traces.sessions() == ["inner"] * 4 + ["outer"]


@pytest.mark.core
def test_an_outer_run_takes_the_only_id_found_inside(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A run without an id is in the session of what it called, if that is one session."""
    outer_calls_inner(session_id="only", user_id="ada").invoke("x", config(handler))
    assert traces.sessions() == ["only"] * 5
    assert {attribute(span, USER_ID) for span in traces} == {"ada"}


@pytest.mark.core
@pytest.mark.parametrize("parallel", [False, True])
def test_an_outer_run_takes_none_of_several(
    parallel: bool, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A batch job over conversations belongs to none of them, and each keeps its own."""

    def job(_: object) -> None:
        configs = [
            RunnableConfig(metadata={"session_id": id_}, max_concurrency=1 + parallel) for id_ in "abc"
        ]
        runnables.chain().batch([QUESTION] * 3, configs)

    RunnableLambda(job).invoke("x", config(handler))
    assert sorted(map(str, traces.sessions())) == sorted([*"aaaabbbbcccc", "None"])
    assert attribute(traces.named("job"), SESSION_ID) is None


@pytest.mark.core
def test_a_branch_and_what_it_asks_first_carry_the_id(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A runnable that does not pass its config through LangChain's context variable is no exception."""
    branch = RunnableBranch((lambda _: True, runnables.chain()), runnables.chain())
    branch.invoke(QUESTION, {"callbacks": [handler], "configurable": {"session_id": "abc"}})
    assert traces.sessions() == ["abc"] * 6


def test_a_child_with_callbacks_of_its_own_is_a_new_root_of_the_same_session(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """LangChain keeps the metadata when a child replaces the callbacks."""
    inner = RunnableLambda(lambda _: runnables.chat_model().invoke("hi", {"callbacks": [handler]}))
    inner.invoke("x", config(handler, session_id="abc"))
    assert traces.sessions() == ["abc", "abc"]
    assert [span.parent for span in traces] == [None, None]


# --- what spans hold --------------------------------------------------------------------------------------


@pytest.mark.core
def test_the_id_survives_a_prompt_of_150_messages(handler: SessionCallbackHandler, traces: Traces) -> None:
    """The SDK drops the oldest of too many attributes; the id is never among them."""
    messages = [HumanMessage(f"message {n}") for n in range(150)]
    with session("abc", user_id="ada"):
        runnables.chat_model().invoke(messages, {"callbacks": [handler]})
    span = traces.named("FakeListChatModel")
    assert span.dropped_attributes > 0
    assert (attribute(span, SESSION_ID), attribute(span, USER_ID)) == ("abc", "ada")
    assert attribute(span, SpanAttributes.OPENINFERENCE_SPAN_KIND) == "LLM"


@pytest.mark.parametrize("limit", [2, 3, 8, 20])
def test_the_id_survives_a_tight_attribute_limit(limit: int) -> None:
    """Also when the application allows a span only a few attributes, and there are more ids to write."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=limit), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    policy = SessionPolicy(conversation_id=True)
    handler = SessionCallbackHandler(tracer_provider=provider, policy=policy)
    runnables.chain().invoke(QUESTION, config(handler, session_id="abc", user_id="ada"))
    assert [attribute(span, SESSION_ID) for span in exporter.get_finished_spans()] == ["abc"] * 4


def test_no_warning_reaches_the_user(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A parsed answer is a str that warns when called, and OpenInference calls it; we do not let it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runnables.chain().invoke(QUESTION, config(handler, session_id="abc"))
    assert caught == []
    value = attribute(traces.named("StrOutputParser"), SpanAttributes.OUTPUT_VALUE)
    assert (value, type(value)) == ("fine", str)


def test_the_conversation_id_of_the_genai_conventions_is_written_on_request(
    make_handler: MakeHandler, traces: Traces
) -> None:
    """`conversation_id=True` writes the id under OpenTelemetry's name too, from the start."""
    runnables.chain().invoke(QUESTION, config(make_handler(), session_id="abc"))
    assert {attribute(span, "gen_ai.conversation.id") for span in traces} == {None}
    traces.clear()
    handler = make_handler(policy=SessionPolicy(conversation_id=True))
    runnables.chain().invoke(QUESTION, config(handler, session_id="abc"))
    outer_calls_inner(session_id="inner").invoke("x", config(handler))
    assert [attribute(span, "gen_ai.conversation.id") for span in traces] == ["abc"] * 4 + ["inner"] * 5


def test_masking_is_openinferences(make_handler: MakeHandler, traces: Traces) -> None:
    """What `TraceConfig` hides stays hidden, and the id is not hidden with it."""
    handler = make_handler(config=TraceConfig(hide_inputs=True, hide_outputs=True))
    runnables.chain().invoke({"q": "secret question"}, config(handler, session_id="abc"))
    assert traces.sessions() == ["abc"] * 4
    assert {attribute(span, SpanAttributes.INPUT_VALUE) for span in traces} == {"__REDACTED__"}
    assert {attribute(span, SpanAttributes.OUTPUT_VALUE) for span in traces} == {"__REDACTED__"}


def test_a_config_that_masks_ids_is_obeyed(make_handler: MakeHandler, traces: Traces) -> None:
    """A subclass of `TraceConfig` may mask the id: at the start, for samplers, and at the end."""

    class NoIds(TraceConfig):
        def mask(self, key: str, value: Any, **options: Any) -> Any:
            return None if key == SESSION_ID else super().mask(key, value, **options)

    policy = SessionPolicy(conversation_id=True)
    handler = make_handler(config=NoIds(), policy=policy)
    runnables.chain().invoke(QUESTION, config(handler, session_id="secret one"))
    assert traces.sessions() == [None] * 4
    assert {id_ for _, id_ in traces.sampler.sessions} == {None}
    assert not any("secret one" in str({**(span.attributes or {}), "metadata": ""}) for span in traces)


def test_a_mask_that_rewrites_the_id_rewrites_its_other_name(
    make_handler: MakeHandler, traces: Traces
) -> None:
    """`gen_ai.conversation.id` is what `session.id` has become."""

    class Short(TraceConfig):
        def mask(self, key: str, value: Any, **options: Any) -> Any:
            return "masked" if key == SESSION_ID else super().mask(key, value, **options)

    handler = make_handler(config=Short(), policy=SessionPolicy(conversation_id=True))
    runnables.chat_model().invoke("hi", config(handler, session_id="abc"))
    (span,) = traces
    assert (attribute(span, SESSION_ID), attribute(span, "gen_ai.conversation.id")) == ("masked", "masked")


def test_attributes_of_the_surrounding_context_are_those_of_the_start(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A stream that ends in somebody else's context takes nothing from it: no id, user, tag or metadata."""
    with using_attributes(session_id="mine", user_id="ada", tags=["t"], metadata={"k": "v"}):
        chunks = runnables.chain().stream(QUESTION, {"callbacks": [handler]})
        next(chunks)
    with using_attributes(session_id="other", user_id="bob", tags=["o"], metadata={"k": "other"}):
        list(chunks)
    root = traces.named("RunnableSequence")
    assert (attribute(root, SESSION_ID), attribute(root, USER_ID)) == ("mine", "ada")
    assert attribute(root, SpanAttributes.TAG_TAGS) == ("t",)
    assert attribute(root, SpanAttributes.METADATA) == '{"k": "v"}'
    assert not any("other" in str(span.attributes) or "bob" in str(span.attributes) for span in traces)


# --- providers --------------------------------------------------------------------------------------------


@pytest.fixture
def global_provider() -> Iterator[Callable[[TracerProvider], None]]:
    """Set the global provider during one test."""
    saved = trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    yield trace.set_tracer_provider
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = saved


def test_the_global_provider_is_looked_up_when_the_first_span_starts(
    global_provider: Callable[[TracerProvider], None], traces: Traces
) -> None:
    """A handler may be made, and even used, before the application sets its provider."""
    handler = SessionCallbackHandler()
    runnables.chat_model().invoke("hi", config(handler, session_id="too early"))
    global_provider(traces.provider)
    runnables.chat_model().invoke("hi", config(handler, session_id="abc"))
    assert traces.sessions() == ["abc"]


def test_seeding_random_does_not_make_two_traces_one() -> None:
    """OpenInference's own source of ids is kept: a user's `random.seed` does not repeat them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for handler in (SessionCallbackHandler(tracer_provider=provider) for _ in range(2)):
        random.seed(0)
        runnables.chat_model().invoke("hi", config(handler, session_id="abc"))
    one, other = exporter.get_finished_spans()
    assert trace_id_of(one) != trace_id_of(other)


def test_wrong_arguments_are_refused() -> None:
    """Mistakes show when the handler is made."""
    with pytest.raises(
        TypeError, match=r"config must be openinference\.instrumentation\.TraceConfig, not dict"
    ):
        SessionCallbackHandler(config={})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tracer_provider must be an OpenTelemetry TracerProvider, not str"):
        SessionCallbackHandler(tracer_provider="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="policy must be a SessionPolicy, not str"):
        SessionCallbackHandler(policy="own")  # type: ignore[arg-type]


def test_tags_of_the_call_are_on_the_outermost_span(make_handler: MakeHandler, traces: Traces) -> None:
    """With those of OpenInference's context, from its start; steps have what they have without us."""
    seen: list[Any] = []

    class Watching(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            seen.append(attribute(span, SpanAttributes.TAG_TAGS))

    traces.provider.add_span_processor(Watching())
    call: Any = {**config(make_handler(), session_id="abc"), "tags": ["beta", "shared"]}
    chain = RunnableLambda(str.upper) | RunnableLambda(str.lower)
    chain.invoke("hi", call)
    assert seen == [("beta", "shared"), None, None]
    with using_attributes(tags=["shared", "context"]):
        chain.invoke("hi", call)
    assert seen[3:] == [("shared", "context", "beta"), ("shared", "context"), ("shared", "context")]
    chain.invoke("hi", config(make_handler(config=TraceConfig()), session_id="abc"))
    assert seen[6:] == [None, None, None]


@pytest.mark.parametrize(
    ("arguments", "names", "remedy"),
    [
        ((), {"session_id": "x"}, 'config: "metadata": {"session_id": "abc"}; or around the call: with '),
        (("x",), {}, 'config: "metadata": {"session_id": "abc"}; or around the call: with '),
        ((), {"thread_id": 1}, 'config: "configurable": {"thread_id": "abc"}; or around the call: with '),
        ((), {"user_id": "x", "store": True}, 'with langchain_sessions.session("abc", user_id="ada")'),
    ],
)
def test_an_id_is_given_to_calls_and_not_to_what_serves_them_all(
    arguments: tuple[Any, ...], names: dict[str, Any], remedy: str
) -> None:
    """The error says where it goes; anything else that is unknown is Python's own error."""
    for made in (SessionCallbackHandler, instrument):
        with pytest.raises(TypeError) as caught:
            made(*arguments, **names)
        said = str(caught.value)
        id_ = next(iter(names), "session_id")
        assert said.startswith(f"{made.__name__} takes no {id_}, since one serves every conversation.")
        assert remedy in said
        with pytest.raises(TypeError, match="unexpected keyword argument 'sesion'"):
            made(sesion="x")  # type: ignore[call-arg]
    assert list(inspect.signature(SessionCallbackHandler).parameters) == [
        "tracer_provider",
        "config",
        "policy",
        "store",
        "separate_trace_from_runtime_context",
    ]


def test_dropped_and_suppressed_runs_leave_nothing(make_handler: MakeHandler, traces: Traces) -> None:
    """Sampling everything away, or suppressing tracing, keeps ids working and leaves no state."""
    off = make_handler(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    seen = RunnableLambda(lambda _: current_session_id())
    assert seen.invoke("x", config(off, session_id="abc")) == "abc"
    handler = make_handler()
    with suppress_tracing():
        assert seen.invoke("x", config(handler, session_id="abc")) == "abc"
    assert traces.ended == []


def test_tracing_that_is_suppressed_meanwhile_still_ends_its_spans(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A stream begun with tracing and finished without it ends all of its spans."""
    chunks = runnables.chain().stream(QUESTION, config(handler, session_id="abc"))
    next(chunks)
    with suppress_tracing():
        list(chunks)
    assert traces.sessions() == ["abc"] * 4


# --- errors and bounds ------------------------------------------------------------------------------------


class Broken(Sampler, SpanProcessor):
    """Raises where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def should_sample(self, *arguments: Any, **keywords: Any) -> Any:
        if self.where == "sampler":
            msg = "broken sampler"
            raise RuntimeError(msg)
        return ALWAYS_ON.should_sample(*arguments, **keywords)

    def get_description(self) -> str:
        return "Broken"

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self.where == "on_start":
            msg = "broken on_start"
            raise RuntimeError(msg)

    def on_end(self, span: Any) -> None:
        if self.where == "on_end":
            msg = "broken on_end"
            raise RuntimeError(msg)


@pytest.mark.parametrize("where", ["sampler", "on_start", "on_end"])
def test_a_broken_component_does_not_break_the_application(
    where: str, make_handler: MakeHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged once with the run's name, counted for every span, and nothing is kept."""
    broken = Broken(where)
    provider = TracerProvider(sampler=broken, shutdown_on_exit=False)
    provider.add_span_processor(broken)
    handler = make_handler(tracer_provider=provider)
    handler.raise_error = False
    for _ in range(2):
        assert runnables.chain().invoke(QUESTION, config(handler, session_id="abc")) == "fine"
    assert handler.error_count == 8
    (record,) = caplog.records
    assert "run 'RunnableSequence'" in record.getMessage() or where == "on_end"
    assert record.exc_info is not None
    assert "broken" in str(record.exc_info[1])


def test_errors_are_raised_where_that_is_asked_for(make_handler: MakeHandler) -> None:
    """`raise_error` hides nothing, for tests."""
    handler = make_handler(tracer_provider=TracerProvider(sampler=Broken("sampler"), shutdown_on_exit=False))
    with pytest.raises(RuntimeError, match="broken sampler"):
        runnables.chat_model().invoke("hi", config(handler, session_id="abc"))
    handler.run_map.clear()  # the run never began, so LangChain never ends it


def test_a_failing_look_at_the_ids_costs_the_id_alone(
    make_handler: MakeHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """When a value's own code raises, the span is there, without an id, and the error is reported."""

    class Hostile(str):
        __slots__ = ()

        def isascii(self) -> bool:
            msg = "hostile"
            raise RuntimeError(msg)

    handler = make_handler()
    handler.raise_error = False
    handler._discovery.identify = Hostile.isascii  # type: ignore[method-assign, assignment]
    with session("around"):
        runnables.chat_model().invoke("hi", config(handler, session_id=Hostile("x")))
    assert traces.sessions() == [None]
    assert handler.error_count == 1
    assert "could not identify the span of run 'FakeListChatModel'" in caplog.text


def test_abandoned_streams_leave_nothing(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A stream that is dropped unread ends its spans when it is collected."""
    chunks = runnables.chain().stream(QUESTION, config(handler, session_id="abc"))
    next(chunks)
    del chunks
    gc.collect()
    assert set(traces.sessions()) == {"abc"}


def test_what_never_ends_is_bounded_in_number(handler: SessionCallbackHandler, traces: Traces) -> None:
    """The oldest run is given up, and its span exported with its id."""
    handler.live_runs = LiveRuns(max_runs=3)  # type: ignore[misc]
    started = [uuid4() for _ in range(5)]
    for run_id in started:
        handler.on_chain_start({}, {}, run_id=run_id, name=str(run_id), metadata={"session_id": "abc"})
    assert traces.names() == [str(run_id) for run_id in started[:2]]
    assert traces.sessions() == ["abc", "abc"]
    for run_id in started[2:]:
        handler.on_chain_end({}, run_id=run_id)


def test_what_never_ends_is_bounded_in_age(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A run that is too old is given up when the next one starts; one whose parent has ended, sooner."""
    handler.live_runs = LiveRuns(max_age=1e9, max_orphan_age=-1)  # type: ignore[misc]
    parent, orphan = uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=parent, name="parent", metadata={"session_id": "abc"})
    handler.on_chain_start({}, {}, run_id=orphan, parent_run_id=parent, name="orphan")
    handler.on_chain_end({}, run_id=parent)
    runnables.chat_model().invoke("hi", config(handler))
    assert sorted(traces.names()) == ["FakeListChatModel", "orphan", "parent"]
    handler.live_runs = LiveRuns(max_age=-1)  # type: ignore[misc]
    handler.on_chain_start({}, {}, run_id=uuid4(), name="old")
    assert traces.names()[-1] == "old"


def to_text(value: PromptValue) -> str:
    """Return a prompt's text."""
    return value.to_string()


def test_one_handler_serves_many_conversations_at_once(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Threads and tasks of 60 conversations in one handler: each span has the id of its own question."""
    prompt = ChatPromptTemplate.from_messages([("human", "{q}")])
    chain = prompt | RunnableLambda(to_text) | RunnableLambda(str, name="same")

    async def tasks() -> None:
        calls = (chain.ainvoke({"q": f"<t{n}>"}, config(handler, session_id=f"<t{n}>")) for n in range(30))
        await asyncio.gather(*calls)

    chain.batch(
        [{"q": f"<b{n}>"} for n in range(30)], [config(handler, session_id=f"<b{n}>") for n in range(30)]
    )
    asyncio.run(tasks())
    assert len(traces.ended) == 60 * 4
    assert set(traces.sessions()) == {f"<{kind}{n}>" for kind in "bt" for n in range(30)}
    for span in traces:
        assert str(attribute(span, SESSION_ID)) in str(attribute(span, SpanAttributes.INPUT_VALUE))


def test_inline_handlers_hide_a_completion_models_async_start_from_others(
    handler: SessionCallbackHandler,
) -> None:
    """LangChain's own limit, documented in the class; when this fails, it is gone and the text can go too."""

    class Other(BaseCallbackHandler):
        starts = 0

        def on_llm_start(self, *arguments: Any, **keywords: Any) -> None:
            self.starts += 1

    other = Other()
    asyncio.run(runnables.completion_model().ainvoke("hi", {"callbacks": [handler, other]}))
    assert other.starts == 0
    runnables.completion_model().invoke("hi", {"callbacks": [handler, other]})
    assert other.starts == 1
