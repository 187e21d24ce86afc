"""`SessionSpanProcessor`: which spans get an id, which, and which are left alone; and the enclosing span."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda
from openinference.instrumentation import using_session, using_user
from openinference.semconv.trace import SpanAttributes
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import TracerProvider

from langchain_sessions import SessionPolicy, session, session_config
from langchain_sessions.otel import SessionSpanProcessor
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute

if TYPE_CHECKING:
    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core


def stamping(traces: Traces, **policy: Any) -> tuple[SessionSpanProcessor, trace.Tracer]:
    """Add a processor to the test's provider; return it and another library's tracer."""
    processor = SessionSpanProcessor(policy=SessionPolicy(**policy))
    traces.provider.add_span_processor(processor)
    return processor, traces.provider.get_tracer("another library")


# --- which id ---------------------------------------------------------------------------------------------


def test_a_span_in_a_session_gets_its_ids(traces: Traces) -> None:
    """From `session()` and from OpenInference's `using_session`; outside there is none."""
    _, tracer = stamping(traces)
    with session("A", user_id="ada"):
        tracer.start_span("ours").end()
    with using_session("  B "), using_user("bob"):
        tracer.start_span("theirs").end()
    tracer.start_span("outside").end()
    assert traces.sessions_by_name() == {"ours": "A", "theirs": "B", "outside": None}
    assert [attribute(span, USER_ID) for span in traces] == ["ada", "bob", None]


def test_the_parent_span_is_asked_before_the_context(traces: Traces) -> None:
    """One id per trace: a span in a session's trace is in that session, whatever block it starts in."""
    _, tracer = stamping(traces)
    with tracer.start_as_current_span("parent", attributes={SESSION_ID: "A"}), session("B", user_id="bob"):
        tracer.start_span("child").end()
    assert traces.sessions_by_name() == {"parent": "A", "child": "A"}
    assert attribute(traces.named("child"), USER_ID) is None, "bob is in another session"


def test_an_id_that_is_there_is_not_overridden(traces: Traces) -> None:
    """Nor is it completed with another session's user."""
    _, tracer = stamping(traces)
    with session("A", user_id="ada"):
        tracer.start_span("span", attributes={SESSION_ID: "own"}).end()
        tracer.start_span("users", attributes={USER_ID: "own"}).end()
    assert traces.sessions_by_name() == {"span": "own", "users": "A"}
    assert [attribute(span, USER_ID) for span in traces] == [None, "own"]


def test_a_context_passed_by_hand_counts(traces: Traces) -> None:
    """The context a span is started with decides, not the current one."""
    _, tracer = stamping(traces)
    with session("A"):
        tracer.start_span("elsewhere", context=Context()).end()
        tracer.start_span("by hand", context=Context({SESSION_ID: "B"})).end()
    assert traces.sessions_by_name() == {"elsewhere": None, "by hand": "B"}


def test_what_is_no_id_is_not_written(traces: Traces) -> None:
    """Values that `using_session` accepts and we do not."""
    _, tracer = stamping(traces)
    for value in ("None", " ", True, 1.5, b"x", ["x"]):
        tracer.start_span(f"{value!r}", context=Context({SESSION_ID: value})).end()
    assert set(traces.sessions()) == {None}


def test_the_policy_is_kept(traces: Traces) -> None:
    """Pseudonyms, and the name of OpenTelemetry's conventions, here as on the runs' spans."""
    policy = SessionPolicy(pseudonymize=b"0123456789abcdef", conversation_id=True)
    traces.provider.add_span_processor(SessionSpanProcessor(policy=policy))
    with using_session("ada@example.com"):
        traces.provider.get_tracer("another").start_span("span").end()
    written = attribute(traces.named("span"), SESSION_ID)
    assert written == policy.canonical("ada@example.com")
    assert attribute(traces.named("span"), "gen_ai.conversation.id") == written


def test_a_block_in_a_run_without_an_id_counts(instrumented: MakeHandler, traces: Traces) -> None:
    """A job over several conversations belongs to none of them, and each of its spans to its own."""
    instrumented()
    tracer = traces.provider.get_tracer("another library")

    def job(_: Any) -> None:
        for id_ in "AB":
            with session(id_):
                tracer.start_span(f"of {id_}").end()
        tracer.start_span("of none").end()

    RunnableLambda(job).invoke("hi")
    assert traces.sessions_by_name() == {"of A": "A", "of B": "B", "of none": None, "job": None}


def test_an_id_that_is_not_settled_is_not_handed_on(instrumented: MakeHandler, traces: Traces) -> None:
    """`abatch` in a block of another session: spans inside get the runs' own ids, which show late."""
    import asyncio

    instrumented()
    tracer = traces.provider.get_tracer("another library")

    def body(given: str) -> str:
        with tracer.start_as_current_span("inside"):
            return given

    async def run() -> None:
        chain = RunnableLambda(body) | RunnableLambda(str)
        with session("surrounding"):
            await chain.abatch(["1", "2"], [{"configurable": {"thread_id": id_}} for id_ in "TU"])

    asyncio.run(run())
    inside = sorted(str(attribute(span, SESSION_ID)) for span in traces if span.name == "inside")
    assert inside == ["T", "U"]


# --- baggage ----------------------------------------------------------------------------------------------


def with_baggage(**entries: object) -> Context:
    """Return a context as a propagator extracts it."""
    context = Context()
    for name, value in entries.items():
        context = baggage.set_baggage(name.replace("_", "."), value, context)
    return context


def test_baggage_is_not_believed_by_default(traces: Traces) -> None:
    """It is whatever the caller claims."""
    processor, tracer = stamping(traces)
    tracer.start_span("span", context=with_baggage(session_id="abc")).end()
    assert traces.sessions() == [None]
    assert processor.refused_baggage_count == 0


def test_baggage_is_accepted_on_request_and_last(traces: Traces) -> None:
    """A session that is nearer outranks it."""
    _, tracer = stamping(traces, accept_baggage=True)
    claimed = with_baggage(session_id="abc", user_id="ada")
    tracer.start_span("claimed", context=claimed).end()
    tracer.start_span("nearer", context=Context({**claimed, SESSION_ID: "near"})).end()
    assert traces.sessions_by_name() == {"claimed": "abc", "nearer": "near"}
    assert [attribute(span, USER_ID) for span in traces] == ["ada", None]


HOSTILE = [
    "x" * 201,
    "y" * 1_000_000,
    "",
    "   ",
    " padded ",
    "two\nlines",
    "bell\x07",
    "\x1b[31mred",
    "zero\u200bwidth",
    "\u202eright to left",
    "e\u0301",  # not composed
    "None",
    "undefined",
    42,
    True,
    b"bytes",
    ["a"],
    object(),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: f"{type(value).__name__} {str(value)[:12]!a}")
def test_hostile_baggage_is_refused_quietly_and_counted(
    value: object, instrumented: MakeHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """Huge, malformed or not an id: no attribute, no log line that a stranger could trigger, a count."""
    handler = instrumented(policy=SessionPolicy(accept_baggage=True))
    token = attach(with_baggage(session_id=value))
    with caplog.at_level(logging.DEBUG, "langchain_sessions"):
        runnables.shout.invoke({"text": "hi"})
        traces.provider.get_tracer("another").start_span("span").end()
    detach(token)
    assert traces.sessions() == [None, None]
    assert caplog.records == []
    assert handler.refused_baggage_count > 0


def test_a_run_takes_accepted_baggage_when_nothing_nearer_gives_an_id(
    instrumented: MakeHandler, traces: Traces
) -> None:
    """In the order of the README: metadata, configurable, the context, the span around, then baggage."""
    instrumented(policy=SessionPolicy(accept_baggage=True))
    token = attach(with_baggage(session_id="claimed", user_id="ada"))
    runnables.chain().invoke({"q": "hi"})
    runnables.shout.invoke({"text": "hi"}, session_config("given"))
    detach(token)
    ids = {(attribute(s, SESSION_ID), attribute(s, USER_ID)) for s in traces if s.name != "shout"}
    assert ids == {("claimed", "ada")}
    assert attribute(traces.named("shout"), SESSION_ID) == "given"


def test_a_block_puts_its_ids_into_baggage_on_request_only() -> None:
    """And an inner block never lets another session's id go out under its own."""
    with session("A", user_id="ada"):
        assert baggage.get_all() == {}
    with session("A", user_id="ada", propagate=True):
        assert dict(baggage.get_all()) == {"session.id": "A", "user.id": "ada"}
        with session("B"):
            assert baggage.get_baggage("session.id") is None
        with session("B", propagate=True):
            assert baggage.get_baggage("session.id") == "B"
        assert baggage.get_baggage("session.id") == "A"
    assert baggage.get_all() == {}
    with session("A", policy=SessionPolicy(propagate_baggage=True)):
        assert baggage.get_baggage("session.id") == "A"


def test_a_run_puts_its_ids_into_baggage_by_its_policy(instrumented: MakeHandler) -> None:
    """So that what its tools call gets the id, wherever it was given; other baggage stays."""
    seen: list[dict[str, object]] = []
    run = RunnableLambda(lambda _: seen.append(dict(baggage.get_all())))
    token = attach(with_baggage(mine="kept"))
    instrumented()
    run.invoke("hi", session_config("A"))
    instrumented(policy=SessionPolicy(propagate_baggage=True))
    run.invoke("hi", session_config("A", user_id="ada"))
    detach(token)
    assert seen == [{"mine": "kept"}, {"mine": "kept", "session.id": "A", "user.id": "ada"}]


def test_a_block_inside_a_run_sends_the_id_that_its_spans_have(instrumented: MakeHandler) -> None:
    """The next service continues the run's trace, and a trace has one id; by the policy, the block's own."""
    seen: list[object] = []

    def body(_: Any) -> None:
        with session("other", propagate=True):
            seen.append(baggage.get_baggage("session.id"))

    instrumented()
    RunnableLambda(body).invoke("hi", session_config("outer"))
    instrumented(policy=SessionPolicy(nested="own"))
    RunnableLambda(body).invoke("hi", session_config("outer"))
    assert seen == ["outer", "other"]


def test_a_user_who_came_with_another_session_goes_with_it(instrumented: MakeHandler, traces: Traces) -> None:
    """Neither is he written to a run of another session, nor sent along."""
    seen: list[object] = []
    instrumented(policy=SessionPolicy(accept_baggage=True))
    for session_id in ("claimed", "x" * 300):
        token = attach(with_baggage(session_id=session_id, user_id="ada"))
        RunnableLambda(lambda _: seen.append(baggage.get_baggage("user.id"))).invoke(
            "hi", session_config("mine")
        )
        detach(token)
    assert [attribute(span, USER_ID) for span in traces] == [None, None]
    assert seen == [None, None]


def test_refused_baggage_is_counted_once_for_a_run(instrumented: MakeHandler) -> None:
    """And once for another library's span; the handler's count has both."""
    handler = instrumented(policy=SessionPolicy(accept_baggage=True))
    token = attach(with_baggage(session_id="undefined"))
    runnables.shout.invoke({"text": "hi"})
    detach(token)
    assert handler.refused_baggage_count == 1


def test_a_run_never_sends_another_sessions_id(instrumented: MakeHandler) -> None:
    """A block's baggage inside a run of another session is taken out for the run's body."""
    seen: list[object] = []
    run = RunnableLambda(lambda _: seen.append(baggage.get_baggage("session.id")))
    instrumented()
    with session("A", propagate=True):
        run.invoke("hi")
        run.invoke("hi", session_config("B"))
        assert baggage.get_baggage("session.id") == "A"
    assert seen == ["A", None]


# --- the enclosing span -----------------------------------------------------------------------------------


def enclosed(traces: Traces, instrumented: MakeHandler, **policy: Any) -> trace.Tracer:
    """Switch on, and return a web framework's tracer."""
    instrumented(policy=SessionPolicy(**policy))
    return traces.provider.get_tracer("web")


def echo(text: str, id_: str) -> None:
    """Run a turn that answers what it was asked."""
    RunnableLambda(lambda given: f"echo {given}", name="turn").invoke(
        text, session_config(id_, user_id="ada")
    )


def shown(traces: Traces) -> dict[str, object]:
    """Return what a conversation's view shows of the web span."""
    names = (SESSION_ID, USER_ID, SpanAttributes.INPUT_VALUE, SpanAttributes.OUTPUT_VALUE)
    return {n: v for n in names if (v := attribute(traces.named("web"), n)) is not None}


def test_the_enclosing_span_is_left_alone_by_default(instrumented: MakeHandler, traces: Traces) -> None:
    """It is somebody else's."""
    with enclosed(traces, instrumented).start_as_current_span("web"):
        echo("hi", "A")
    assert shown(traces) == {}


def test_the_enclosing_span_shows_the_turn(instrumented: MakeHandler, traces: Traces) -> None:
    """Its ids, the first input and the last output of the request, on the outermost local span."""
    tracer = enclosed(traces, instrumented, stamp_enclosing=True)
    with tracer.start_as_current_span("web"), tracer.start_as_current_span("view"):
        echo("one", "A")
        echo("two", "A")
    assert shown(traces) == {
        SESSION_ID: "A",
        USER_ID: "ada",
        SpanAttributes.INPUT_VALUE: "one",
        SpanAttributes.OUTPUT_VALUE: "echo two",
    }
    assert attribute(traces.named("view"), SESSION_ID) is None


def test_what_the_enclosing_span_says_itself_is_kept(instrumented: MakeHandler, traces: Traces) -> None:
    """Input, output and an id of its own, of the same session."""
    tracer = enclosed(traces, instrumented, stamp_enclosing=True)
    own = {SESSION_ID: "A", SpanAttributes.INPUT_VALUE: "mine", SpanAttributes.OUTPUT_VALUE: "mine, too"}
    with tracer.start_as_current_span("web", attributes=own):
        echo("hi", "A")
        echo("hi", "A")
    assert shown(traces) == {**own, USER_ID: "ada"}


def test_a_request_for_two_conversations_belongs_to_neither(
    instrumented: MakeHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """If that is known when the first turn ends; and never is one turn shown under the other's id."""
    tracer = enclosed(traces, instrumented, stamp_enclosing=True)
    with tracer.start_as_current_span("web"):
        first = RunnableLambda(lambda x: x).stream("a", session_config("A"))
        second = RunnableLambda(lambda x: x).stream("b", session_config("B"))
        for chunks in (first, second, first, second):
            next(chunks, None)
    assert shown(traces) == {}
    assert "several conversations" in caplog.text


def test_a_remote_parent_is_not_enclosing(instrumented: MakeHandler, traces: Traces) -> None:
    """A run whose parent is in another process is the outermost span here; there is nothing to write to."""
    instrumented(policy=SessionPolicy(stamp_enclosing=True))
    remote = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1))
    token = attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
    echo("hi", "A")
    detach(token)
    assert traces.sessions_by_name() == {"turn": "A"}


# --- faults -----------------------------------------------------------------------------------------------


def test_an_error_in_the_processor_does_not_reach_the_application(
    traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once and counted: the SDK would let it through."""

    class Odd(Context):
        def get(self, *_: Any) -> Any:
            raise OSError("odd")

    processor, tracer = stamping(traces, stamp_enclosing=True)
    for name in ("one", "two"):
        span = tracer.start_span(name)
        processor.on_start(span, Odd())  # type: ignore[arg-type]
        span.end()
    processor._enclosing = None  # type: ignore[misc]
    assert processor.error_count == 2
    assert len(caplog.records) == 1


def test_a_processor_that_was_shut_down_writes_nothing(traces: Traces) -> None:
    """As `uninstrument()` leaves it where it cannot be removed."""
    processor, tracer = stamping(traces)
    processor.shutdown()
    with session("A"):
        tracer.start_span("span").end()
    assert traces.sessions() == [None]


def test_a_policy_of_another_type_is_refused() -> None:
    """With the name of the type that it has to be."""
    with pytest.raises(TypeError, match="policy must be a SessionPolicy, not dict"):
        SessionSpanProcessor(policy={})  # type: ignore[arg-type]


def test_spans_that_never_end_are_not_remembered_for_ever(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest open span is forgotten first."""
    from langchain_sessions.otel import _enclosing

    monkeypatch.setattr(_enclosing, "MAX_OPEN_SPANS", 10)
    provider = TracerProvider(shutdown_on_exit=False)
    processor = SessionSpanProcessor(policy=SessionPolicy(stamp_enclosing=True))
    provider.add_span_processor(processor)
    for _ in range(100):
        provider.get_tracer("x").start_span("never ends")
    assert processor._enclosing is not None
    assert len(processor._enclosing._open) == 10
