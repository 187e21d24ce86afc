from __future__ import annotations

import hashlib
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openinference.instrumentation import using_session
from opentelemetry import baggage, trace
from opentelemetry.context import Context, get_current, set_value
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from langchain_sessions import SessionPolicy, session
from langchain_sessions.otel import SessionSampler
from langchain_sessions.otel._tracestate import explicit_randomness, with_sampling
from tests.support import runnables
from tests.support.traces import SESSION_ID, attribute, trace_id_of
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.util.types import Attributes

    from tests.conftest import MakeHandler

NOWHERE = Context()
KEY = b"0123456789abcdef"
TRACE_ID = 0xFEDCBA98765432100123456789ABCDEF
"""Its last 56 bits are 0x23456789abcdef, so that a ratio above 0.87 keeps it."""

CHI_SQUARE_1 = 10.83
"""What a chi-square statistic with one degree of freedom exceeds in one of a thousand cases."""

CHI_SQUARE_99 = 148.2
"""The same with 99 degrees of freedom."""

FORMS: dict[str, Callable[[int], object]] = {
    "sequential ints": lambda n: n,
    "UUIDs": lambda n: UUID(bytes=hashlib.md5(b"%d" % n).digest(), version=4),
    "e-mail addresses": lambda n: f"user{n}@example.com",
}


def decide(
    sampler: Sampler,
    session_id: Any = None,
    *,
    context: Context = NOWHERE,
    trace_id: int = TRACE_ID,
    trace_state: TraceState | None = None,
) -> SamplingResult:
    """Ask the sampler about a span, a root unless the context holds another."""
    attributes = None if session_id is None else {SESSION_ID: session_id}
    return sampler.should_sample(context, trace_id, "span", attributes=attributes, trace_state=trace_state)


def keeps(sampler: Sampler, session_id: Any = None, **where: Any) -> bool:
    """Whether the span is kept."""
    return decide(sampler, session_id, **where).decision.is_sampled()


def ot(result: SamplingResult) -> str | None:
    """Return the `ot` entry of the span."""
    return (result.trace_state or TraceState()).get("ot")


def below(
    *entries: tuple[str, str], trace_id: int = TRACE_ID, is_remote: bool = False, is_sampled: bool = True
) -> Context:
    """Return a context in which a span with this tracestate is the parent."""
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    span_context = SpanContext(trace_id, 1, is_remote, flags, TraceState(entries))
    return trace.set_span_in_context(NonRecordingSpan(span_context), NOWHERE)


def expected_randomness(session_id: str) -> int:
    """Return the first 56 bits of an id's SHA-256, another way than the sampler does."""
    return int(hashlib.sha256(session_id.encode("utf-8")).hexdigest()[:14], 16)


def expected_threshold(ratio: float) -> int:
    """Return the rejection threshold of a ratio, in exact arithmetic."""
    return 2**56 - round(Fraction(ratio) * 2**56)


def consistent_sampler(ratio: float) -> Sampler:
    """Return the SDK's own sampler of this kind, an independent opinion. Old SDKs have none."""
    from opentelemetry.sdk.trace._sampling_experimental import (
        composable_traceid_ratio_based,
        composite_sampler,
    )

    return composite_sampler(composable_traceid_ratio_based(ratio))


class Kept:
    """A provider with a sampler, and the spans that it kept."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._exporter.get_finished_spans())

    def turns(self) -> Counter[object]:
        """Count the traces of each session."""
        traces = {(trace_id_of(span), attribute(span, SESSION_ID)) for span in self}
        return Counter(session_id for _, session_id in traces)


# --- the verdict ------------------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.9])
def test_the_ratio_holds_for_ids_of_every_form(ratio: float) -> None:
    """Of 100,000 ids this share is kept, as far as chance allows, whatever the ids look like."""
    sampler = SessionSampler(ratio)
    for of in FORMS.values():
        count = 33_334
        kept = sum(keeps(sampler, of(n)) for n in range(count))
        assert (kept - count * ratio) ** 2 / (count * ratio * (1 - ratio)) < CHI_SQUARE_1


@pytest.mark.core
@pytest.mark.parametrize("form", FORMS)
def test_the_randomness_of_ids_is_even(form: str) -> None:
    """Whatever an id looks like, its place between 0 and 1 is as good as random: no ratio favours a form."""
    sampler, count = SessionSampler(1), 20_000
    places = Counter[int]()
    for n in range(count):
        state = decide(sampler, FORMS[form](n)).trace_state
        assert state is not None
        places[(explicit_randomness(state) or 0) * 100 >> 56] += 1
    assert sum((places[place] - count / 100) ** 2 / (count / 100) for place in range(100)) < CHI_SQUARE_99


@pytest.mark.core
def test_two_processes_agree() -> None:
    """The verdict on each of 1,000 sessions is the same in processes with other seeds and other trace ids."""
    code = (
        "import random, sys\n"
        "from opentelemetry.context import Context\n"
        "from langchain_sessions.otel import SessionSampler\n"
        "for n in range(1_000):\n"
        "    attributes = {'session.id': f'chat-{n}'}\n"
        "    trace_id = random.getrandbits(128)\n"
        "    result = SessionSampler(0.3).should_sample(Context(), trace_id, 'span', attributes=attributes)\n"
        "    print(int(result.decision.is_sampled()), end='')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    here = "".join(str(int(keeps(SessionSampler(0.3), f"chat-{n}"))) for n in range(1_000))
    assert [process.communicate(timeout=PATIENCE)[0] for process in processes] == [here, here]


@pytest.mark.core
def test_a_higher_ratio_keeps_more_of_the_same() -> None:
    """What is kept at one ratio is kept at every higher one."""
    kept = [{n for n in range(5_000) if keeps(SessionSampler(ratio), n)} for ratio in (0, 0.1, 0.5, 0.9, 1)]
    assert all(less < more for less, more in pairwise(kept))
    assert kept[0] == set()
    assert kept[-1] == set(range(5_000))


@pytest.mark.core
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1, "th:0;rv:ba7816bf8f01cf"),
        (0.5, "th:8;rv:ba7816bf8f01cf"),
        (0.3, "th:b3333333333334;rv:ba7816bf8f01cf"),
        (0.25, "rv:ba7816bf8f01cf"),
        (0.1, "rv:ba7816bf8f01cf"),
        (0, "rv:ba7816bf8f01cf"),
    ],
)
def test_the_tracestate_of_a_session(ratio: float, expected: str) -> None:
    """The root says its randomness, and if it is kept with which threshold.

    The SHA-256 of "abc" is an example in https://csrc.nist.gov/pubs/fips/180-2/final: ba7816bf 8f01cfea ...
    """
    result = decide(SessionSampler(ratio), "abc")
    assert ot(result) == expected
    assert result.decision.is_sampled() == expected.startswith("th:")


@pytest.mark.core
@pytest.mark.parametrize("session_id", ["abc", "user-7f3a", "日本語 ✨", "ada@example.com", "0", "x" * 200])
@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.75, 0.999])
def test_the_derivation(session_id: str, ratio: float) -> None:
    """Threshold and randomness are those which the class describes, so that others can compute them."""
    randomness, threshold = expected_randomness(session_id), expected_threshold(ratio)
    result = decide(SessionSampler(ratio), session_id)
    assert result.decision.is_sampled() == (randomness >= threshold)
    members = [f"rv:{randomness:014x}"]
    if randomness >= threshold:
        members.insert(0, f"th:{f'{threshold:014x}'.rstrip('0')}")
    assert ot(result) == ";".join(members)


@pytest.mark.core
@pytest.mark.parametrize(("randomness", "verdict"), [("80000000000000", True), ("7fffffffffffff", False)])
def test_a_randomness_equal_to_the_threshold_is_kept(randomness: str, verdict: bool) -> None:
    """The threshold itself belongs to what is kept."""
    assert keeps(SessionSampler(0.5), context=below(("ot", f"rv:{randomness}"))) == verdict


@pytest.mark.core
def test_one_id_in_several_forms_is_one_session() -> None:
    """Ids are decided in their canonical form, however they were written."""
    sampler = SessionSampler(0.5)
    for forms in [(42, "42", " 42 "), ("e\u0301t\u00e9", "\u00e9te\u0301"), (UUID(int=5), str(UUID(int=5)))]:
        assert len({ot(decide(sampler, form)) for form in forms}) == 1


@pytest.mark.core
def test_a_pseudonym_and_its_raw_id_are_one_session() -> None:
    """A raw id around the root and the pseudonym that spans record give one verdict."""
    policy = SessionPolicy(pseudonymize=KEY)
    sampler = SessionSampler(0.5, policy=policy)
    for n in range(200):
        recorded = policy.canonical(n)
        assert ot(decide(sampler, n)) == ot(decide(sampler, recorded))
        assert keeps(sampler, n) == (expected_randomness(recorded) >= expected_threshold(0.5))


@pytest.mark.core
def test_without_a_session_the_trace_id_decides() -> None:
    """A trace without a session says its threshold and no randomness, and is decided as the SDK would."""
    assert ot(decide(SessionSampler(0.9))) == f"th:{expected_threshold(0.9):014x}".rstrip("0")
    dropped = decide(SessionSampler(0.8))
    assert (dropped.decision.is_sampled(), ot(dropped)) == (False, None)


@pytest.mark.core
@pytest.mark.parametrize("session_id", [True, "", "None", ["abc"], 1.5])
def test_what_is_no_id_decides_nothing(session_id: object) -> None:
    """A refused id counts as none: the sessions of everybody whose id is missing are not one."""
    result = decide(SessionSampler(0.9), session_id)
    assert (result.decision.is_sampled(), "rv:" in (ot(result) or "")) == (True, False)


# --- where the session comes from -------------------------------------------------------------------------


def randomness_of(result: SamplingResult) -> int | None:
    """Return the explicit randomness with which a span goes on."""
    return explicit_randomness(result.trace_state or TraceState())


@pytest.mark.core
def test_the_attributes_outrank_the_context() -> None:
    """A span's own session is the one it will have."""
    context = set_value(SESSION_ID, "around", NOWHERE)
    assert randomness_of(decide(SessionSampler(1), "own", context=context)) == expected_randomness("own")


@pytest.mark.core
@pytest.mark.parametrize("session_id", [None, True, "undefined", ""])
def test_the_context_is_asked_next(session_id: object) -> None:
    """The context decides where the attributes hold no id."""
    context = set_value(SESSION_ID, " around ", NOWHERE)
    assert randomness_of(decide(SessionSampler(1), session_id, context=context)) == expected_randomness(
        "around"
    )


@pytest.mark.core
@pytest.mark.parametrize("block", [session, using_session])
def test_no_context_means_the_current_one(block: Callable[[str], Any]) -> None:
    """A block around the root counts, ours and OpenInference's."""
    sampler = SessionSampler(1)
    with block("abc"):
        assert randomness_of(sampler.should_sample(None, TRACE_ID, "span")) == expected_randomness("abc")
    assert randomness_of(sampler.should_sample(None, TRACE_ID, "span")) is None


@pytest.mark.core
def test_a_block_that_is_over_does_not_count() -> None:
    """A context that was kept from a `session()` names no session when the block has been left."""
    with session("abc"):
        context = get_current()
        assert randomness_of(decide(SessionSampler(1), context=context)) == expected_randomness("abc")
    assert randomness_of(decide(SessionSampler(1), context=context)) is None


@pytest.mark.core
@pytest.mark.parametrize(("accept_baggage", "expected"), [(True, "inbound"), (False, None)])
def test_baggage_counts_if_it_is_accepted(accept_baggage: bool, expected: str | None) -> None:
    """Anybody may send baggage, so it decides only if the policy accepts it."""
    context = baggage.set_baggage(SESSION_ID, "inbound", NOWHERE)
    sampler = SessionSampler(1, policy=SessionPolicy(accept_baggage=accept_baggage))
    expected_value = None if expected is None else expected_randomness(expected)
    assert randomness_of(decide(sampler, context=context)) == expected_value


@pytest.mark.core
@pytest.mark.parametrize("session_id", ["", "None", " padded ", "x" * 201])
def test_baggage_that_no_sender_of_ours_wrote_does_not_count(session_id: str) -> None:
    """An id in baggage is not repaired: what is not canonical decides nothing."""
    context = baggage.set_baggage(SESSION_ID, session_id, NOWHERE)
    sampler = SessionSampler(1, policy=SessionPolicy(accept_baggage=True))
    assert randomness_of(decide(sampler, context=context)) is None


@pytest.mark.core
def test_the_context_outranks_baggage() -> None:
    """What this process says about a session is worth more than what the caller says."""
    context = set_value(SESSION_ID, "around", baggage.set_baggage(SESSION_ID, "inbound", NOWHERE))
    sampler = SessionSampler(1, policy=SessionPolicy(accept_baggage=True))
    assert randomness_of(decide(sampler, context=context)) == expected_randomness("around")


# --- below the root ---------------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("is_remote", [True, False])
@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_child_keeps_the_randomness_of_its_trace(is_remote: bool, is_sampled: bool) -> None:
    """The parent's randomness decides, whatever session the child is in, and the threshold is our own.

    The number and the ratios that keep it are an example in
    https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/#explicit-randomness-value-rv.
    """
    context = below(("ot", "rv:6e6d1a75832a2f;th:4"), is_remote=is_remote, is_sampled=is_sampled)
    assert ot(decide(SessionSampler(0.568), "abc", context=context)) == "rv:6e6d1a75832a2f"
    kept = decide(SessionSampler(0.625), "abc", context=context)
    assert ot(kept) == "th:6;rv:6e6d1a75832a2f"


@pytest.mark.core
def test_a_child_of_a_trace_without_explicit_randomness_does_not_invent_one() -> None:
    """Below a root that its trace id decided, the trace id decides, whatever session is in force."""
    for session_id in range(20):
        assert ot(decide(SessionSampler(0.875), session_id, context=below())) == "th:2"
        assert ot(decide(SessionSampler(0.8), session_id, context=below())) is None


@pytest.mark.core
@pytest.mark.parametrize("where", ["argument", "context"])
def test_a_root_keeps_the_randomness_it_was_given(where: str) -> None:
    """Whoever starts a trace may choose its randomness; it is never overwritten."""
    given_state = [("ot", "rv:6e6d1a75832a2f"), ("vendor", "1")]
    if where == "context":
        result = decide(SessionSampler(0.625), "abc", context=below(*given_state, trace_id=0))
    else:
        result = decide(SessionSampler(0.625), "abc", trace_state=TraceState(given_state))
    assert result.trace_state == {"ot": "th:6;rv:6e6d1a75832a2f", "vendor": "1"}


@pytest.mark.core
def test_used_bare_there_is_one_verdict_per_trace() -> None:
    """Without ParentBased, children in sessions of their own follow the root, sampled or not."""
    kept = Kept(SessionSampler(0.5))
    for n in range(100):
        with (
            kept.tracer.start_as_current_span("root", attributes={SESSION_ID: f"chat-{n}"}) as root,
            session(f"other-{n}"),
            kept.tracer.start_as_current_span("child") as child,
            kept.tracer.start_as_current_span("grandchild", attributes={SESSION_ID: n}) as grandchild,
        ):
            pass
        verdict = expected_randomness(f"chat-{n}") >= expected_threshold(0.5)
        flags = [span.get_span_context().trace_flags.sampled for span in (root, child, grandchild)]
        assert flags == [verdict] * 3


@pytest.mark.core
def test_conversations_are_kept_whole() -> None:
    """With ParentBased, a conversation of five turns is kept with all spans of all turns, or not at all."""
    kept = Kept(ParentBased(SessionSampler(0.3)))
    for turn in range(5):
        for n in range(200):
            attributes = {SESSION_ID: f"chat-{n}", "turn": turn}
            with kept.tracer.start_as_current_span("turn", attributes=attributes):
                kept.tracer.start_span("step", attributes=attributes).end()
    expected = {
        f"chat-{n}" for n in range(200) if expected_randomness(f"chat-{n}") >= expected_threshold(0.3)
    }
    assert kept.turns() == dict.fromkeys(expected, 5)
    assert Counter(attribute(span, SESSION_ID) for span in kept) == dict.fromkeys(expected, 10)


@pytest.mark.core
@pytest.mark.parametrize("where", ["metadata", "configurable"])
def test_conversations_of_a_chain_are_kept_whole(where: str, make_handler: MakeHandler) -> None:
    """Our handler's spans start with their session, so that 60 conversations of 5 turns are kept whole."""
    kept = Kept(ParentBased(SessionSampler(0.3)))
    handler, chain = make_handler(tracer_provider=kept.provider), runnables.chain()
    for _ in range(5):
        for n in range(60):
            chain.invoke({"q": "hi"}, {"callbacks": [handler], where: {"session_id": f"chat-{n}"}})  # type: ignore[misc]
    expected = {f"chat-{n}" for n in range(60) if expected_randomness(f"chat-{n}") >= expected_threshold(0.3)}
    assert 0 < len(expected) < 60
    assert kept.turns() == dict.fromkeys(expected, 5)
    assert len(list(kept)) == len(expected) * 5 * 4


@pytest.mark.core
def test_a_request_is_kept_with_the_chain_inside(make_handler: MakeHandler) -> None:
    """A `session()` around the web handler decides about the request and what happens in it."""
    kept = Kept(ParentBased(SessionSampler(0.5)))
    handler, chain = make_handler(tracer_provider=kept.provider), runnables.chain()
    for n in range(20):
        with session(f"chat-{n}"), kept.tracer.start_as_current_span("request"):
            chain.invoke({"q": "hi"}, {"callbacks": [handler]})
    expected = [n for n in range(20) if expected_randomness(f"chat-{n}") >= expected_threshold(0.5)]
    assert [*Counter(trace_id_of(span) for span in kept).values()] == [5] * len(expected)


# --- beside other consistent samplers ---------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1e-9, 0.01, 0.1, 1 / 3, 0.5, 0.9, 1])
def test_the_sdk_agrees(ratio: float) -> None:
    """Without a session, verdict and tracestate are those of the SDK's own consistent sampler."""
    ours, theirs, numbers = SessionSampler(ratio), consistent_sampler(ratio), random.Random(7)
    for _ in range(1_000):
        trace_id = numbers.getrandbits(128)
        mine, other = decide(ours, trace_id=trace_id), decide(theirs, trace_id=trace_id)
        assert mine.decision == other.decision
        assert (mine.trace_state or None) == other.trace_state


def test_a_lower_ratio_further_down_keeps_whole_sessions() -> None:
    """Another consistent sampler that reads our tracestate keeps fewer sessions, never a part of one."""
    ours, theirs, numbers = SessionSampler(0.5), consistent_sampler(0.1), random.Random(7)
    for n in range(1_000):
        results = [decide(ours, n, trace_id=numbers.getrandbits(128)) for _ in range(3)]
        further_down = {
            keeps(theirs, trace_id=numbers.getrandbits(128), trace_state=result.trace_state)
            for result in results
        }
        assert further_down == {keeps(SessionSampler(0.1), n)}


# --- tracestate -------------------------------------------------------------------------------------------


@pytest.mark.core
def test_what_others_wrote_is_kept() -> None:
    """Other vendors' entries and other sub-keys stay; what was changed comes first."""
    state = TraceState([("rojo", "00f067aa0ba902b7"), ("ot", "p:8;th:4;x1:A.b_c-9"), ("t@congo", "a b:c")])
    result = decide(SessionSampler(1), "abc", trace_state=state)
    assert result.trace_state is not None
    assert list(result.trace_state.items()) == [
        ("ot", "th:0;rv:ba7816bf8f01cf;p:8;x1:A.b_c-9"),
        ("rojo", "00f067aa0ba902b7"),
        ("t@congo", "a b:c"),
    ]
    dropped = decide(SessionSampler(0), trace_state=state)
    assert dropped.trace_state == {"ot": "p:8;x1:A.b_c-9", "rojo": "00f067aa0ba902b7", "t@congo": "a b:c"}


@pytest.mark.core
def test_an_entry_that_says_the_same_keeps_its_place() -> None:
    """Below a parent with our threshold, the tracestate goes on as it is."""
    entries = [("vendor", "1"), ("ot", "th:8;rv:ba7816bf8f01cf")]
    result = decide(SessionSampler(0.5), context=below(*entries))
    assert result.trace_state is not None
    assert list(result.trace_state.items()) == entries


@pytest.mark.core
def test_an_empty_entry_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing is left to say, there is no entry."""
    result = decide(SessionSampler(0), trace_state=TraceState([("ot", "th:4"), ("vendor", "1")]))
    assert result.trace_state == {"vendor": "1"}
    assert caplog.records == []


@pytest.mark.core
@pytest.mark.parametrize(
    "value",
    [
        "rv:6e6d1a75832a2",  # 13 digits
        "rv:6e6d1a75832a2f0",
        "rv:6E6D1A75832A2F",
        "rv:6e6d_a75832a2f",
        "rv:+e6d1a75832a2f",
        "rv:",
        "rv",
        "RV:6e6d1a75832a2f",
        "rv=6e6d1a75832a2f",
        "rv:6e6d1a75832a2f:1",
        " rv:6e6d1a75832a2f",
        "th:8 rv:6e6d1a75832a2f",
        ";;:;",
        "a:b ;th:8",
    ],
)
def test_malformed_entries_count_as_absent(value: str, caplog: pytest.LogCaptureFixture) -> None:
    """What does not follow the grammar decides nothing, and is not passed on."""
    state = TraceState([("ot", value), ("vendor", "1")])
    caplog.clear()  # the SDK's own complaint about "="
    result = decide(SessionSampler(1), "abc", trace_state=state)
    assert result.trace_state == {"ot": "th:0;rv:ba7816bf8f01cf", "vendor": "1"}
    assert caplog.records == []


@pytest.mark.core
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"(rv|th|[a-z][a-z0-9]?):[0-9a-zA-Z._-]{0,40}", fullmatch=True),
            st.from_regex(r"rv:[0-9a-f]{14}", fullmatch=True),
            st.text(
                st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=",="), max_size=40
            ),
        ),
        max_size=12,
    ),
    st.sampled_from([0, 0.5, 1]),
)
def test_no_tracestate_is_too_strange(members: list[str], ratio: float) -> None:
    """Whatever stands in `ot`, nothing fails, the randomness stays, and so do the entries of others."""
    state = TraceState([("first", "1"), ("ot", ";".join(members)[:256].rstrip() or "-"), ("last", "2")])
    for session_id, context in [("abc", NOWHERE), (None, NOWHERE), ("abc", below(*state.items()))]:
        sampler = SessionSampler(ratio)
        result = decide(sampler, session_id, context=context, trace_state=state)
        assert sampler.error_count == 0
        assert result.trace_state is not None
        others = [entry for entry in result.trace_state.items() if entry[0] != "ot"]
        assert others == [("first", "1"), ("last", "2")]
        if (explicit := explicit_randomness(state)) is not None:
            assert randomness_of(result) == explicit
        elif session_id is None or context is not NOWHERE:
            assert randomness_of(result) is None
        else:
            assert randomness_of(result) == expected_randomness("abc")


@pytest.mark.core
def test_other_sub_keys_make_room() -> None:
    """An entry has at most 256 characters: the last of the others' sub-keys give way, ours never do."""
    others = [f"k{n}:{'v' * 41}" for n in range(5)]  # with ours, 260 characters
    randomness = 0x6E6D1A75832A2F
    full = with_sampling(
        TraceState([("ot", ";".join(others))]), threshold=0x12345678901234, randomness=randomness
    )
    assert full["ot"] == ";".join(["th:12345678901234", "rv:6e6d1a75832a2f", *others[:4]])
    fits = with_sampling(TraceState([("ot", ";".join(others))]), threshold=0, randomness=randomness)
    assert fits["ot"] == ";".join(["th:0", "rv:6e6d1a75832a2f", *others])


@pytest.mark.core
def test_a_full_tracestate_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No entry of others is dropped for ours: 32 is the limit, and we would be the 33rd."""
    entries = [(f"vendor{n}", str(n)) for n in range(32)]
    result = decide(SessionSampler(1), "abc", trace_state=TraceState(entries))
    assert result.trace_state == dict(entries)
    with_ours = [*entries[1:], ("ot", "x:1")]
    result = decide(SessionSampler(1), "abc", trace_state=TraceState(with_ours))
    assert result.trace_state == {**dict(entries[1:]), "ot": "th:0;rv:ba7816bf8f01cf;x:1"}
    assert caplog.records == []


# --- arguments, attributes, errors ------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(
    ("ratio", "error", "message"),
    [
        (True, TypeError, "must be a number between 0 and 1, not True"),
        ("0.1", TypeError, "must be a number between 0 and 1, not '0.1'"),
        (None, TypeError, "must be a number"),
        (1j, TypeError, "must be a number"),
        (-0.1, ValueError, r"between 0 \(keep nothing\) and 1 \(keep everything\), not -0.1$"),
        (10, ValueError, "not 10; for 10 percent write 0.1"),
        (1_000, ValueError, "not 1000$"),
        (float("nan"), ValueError, "not nan$"),
        (float("inf"), ValueError, "not inf$"),
    ],
)
def test_impossible_ratios_are_refused(ratio: Any, error: type[Exception], message: str) -> None:
    """A ratio that cannot be one says so when the sampler is made, and how it might have been meant."""
    with pytest.raises(error, match=message):
        SessionSampler(ratio)


@pytest.mark.core
def test_a_policy_is_a_policy() -> None:
    """A wrong argument is refused at once, not at each span."""
    with pytest.raises(TypeError, match="must be a SessionPolicy, not bytes"):
        SessionSampler(0.1, policy=KEY)  # type: ignore[arg-type]


@pytest.mark.core
@pytest.mark.parametrize("ratio", [0, 1, 0.1, Fraction(1, 10)])
def test_a_sampler_shows_its_ratio(ratio: float) -> None:
    """Tools that list samplers show which one this is."""
    assert SessionSampler(ratio).get_description() == f"SessionSampler{{{float(ratio)}}}"
    assert f"root:SessionSampler{{{float(ratio)}}}" in ParentBased(SessionSampler(ratio)).get_description()


@pytest.mark.core
def test_a_kept_span_keeps_its_attributes() -> None:
    """The sampler adds and removes no attribute; a dropped span needs none."""
    attributes: Attributes = {SESSION_ID: "abc", "other": 1}
    kept = SessionSampler(1).should_sample(NOWHERE, TRACE_ID, "span", attributes=attributes)
    dropped = SessionSampler(0).should_sample(NOWHERE, TRACE_ID, "span", attributes=attributes)
    assert (dict(kept.attributes), dict(dropped.attributes)) == (attributes, {})


class Unreadable(dict[str, Any]):
    def get(self, key: str, default: object = None) -> object:
        msg = f"not now, {self[SESSION_ID]}"
        raise RuntimeError(msg)


@pytest.mark.core
@pytest.mark.parametrize("key", [None, KEY])
def test_errors_stay_with_the_sampler(key: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is counted, logged once, and the trace id decides; with pseudonyms, its text is not shown."""
    sampler = SessionSampler(0.9, policy=SessionPolicy(pseudonymize=key))
    kept = Kept(sampler)
    for _ in range(3):
        kept.tracer.start_span("span", attributes=Unreadable({SESSION_ID: "Ada"})).end()
        result = sampler.should_sample(NOWHERE, TRACE_ID, "span", attributes=Unreadable({SESSION_ID: "Ada"}))
        assert (result.decision.is_sampled(), result.attributes) == (True, {SESSION_ID: "Ada"})
    assert sampler.error_count == 6
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "langchain_sessions")
    assert "(RuntimeError) and decided by its trace id" in record.message
    assert ("not now, Ada" in caplog.text) == (key is None)


@pytest.mark.core
def test_attributes_of_a_wrong_type_are_an_error_of_this_kind() -> None:
    """What is no mapping is dropped, and the trace id decides."""
    sampler = SessionSampler(0.9)
    result = sampler.should_sample(NOWHERE, TRACE_ID, "span", attributes=[SESSION_ID])  # type: ignore[arg-type]
    assert (result.decision.is_sampled(), dict(result.attributes), sampler.error_count) == (True, {}, 1)
