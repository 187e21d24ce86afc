"""`SessionSampler`: keeps whole conversations, or nothing of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from threading import Lock
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import TraceState, get_current_span

from langchain_sessions._baggage import inbound_id
from langchain_sessions._blocks import in_force
from langchain_sessions._ids import InvalidSessionIdError
from langchain_sessions._policy import SessionPolicy
from langchain_sessions._reports import logger
from langchain_sessions._runs import SESSION_ID
from langchain_sessions.otel._tracestate import (
    MAX_RANDOMNESS,
    MAX_THRESHOLD,
    explicit_randomness,
    with_sampling,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanKind
    from opentelemetry.util.types import Attributes


class SessionSampler(Sampler):
    """Keep a share of the conversations, each of them whole.

    ```python
    provider = TracerProvider(sampler=ParentBased(SessionSampler(0.1)))
    ```

    Every trace of a session gets the same verdict, in every process that samples at this ratio, and a session
    that is kept at one ratio is kept at every higher one. A trace without a session is decided by its trace
    id, as OpenTelemetry's own consistent sampler does it.

    The root span of a trace decides, so the id has to be visible when that span starts: in the config of the
    call if our handler starts the root; in a `session()` or `using_session` block around the job that starts
    it; in the root's attribute `session.id`; or in accepted baggage (`SessionPolicy(accept_baggage=True)`).
    The instrumentors of web servers start their span in the context that the request brings, not in a block
    around the application: there it has to be baggage.
    `ParentBased` makes the spans below follow. Without it each of them is decided anew, but by what decided
    the root: its session, whatever session is in force further down.

    This is OpenTelemetry's consistent probability sampling
    (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/) with a randomness that
    comes from the session, so that samplers further down, in other services and in collectors, keep or drop
    whole sessions too. Another language computes the same verdict so:

    1. Bring the id to the form in which spans record it, see `normalize_session_id`.
    2. R is the first 7 bytes of the SHA-256 of its UTF-8 form, as a big-endian number.
    3. T is 2^56 minus ratio × 2^56 (of a 64-bit float, rounded to a whole number). Keep the trace if R ≥ T.
    4. Write R into the root's tracestate as 14 hexadecimal digits: `ot=rv:ba7816bf8f01cf` for the id "abc".
       If the trace is kept, write T too, without zeros at its end: `ot=th:8;rv:ba7816bf8f01cf` at ratio 0.5.

    A trace that already has an `rv` keeps it, and is decided by it.

    Args:
        ratio: The share of the sessions to keep: 0 keeps nothing, 1 everything.
        policy: Form of ids and pseudonymization; give the one that the handler has. Without its key, a raw id
            around a web handler and the pseudonym on our spans would be two sessions.

    Raises:
        TypeError: If `ratio` is not a number, or `policy` not a policy.
        ValueError: If `ratio` is not between 0 and 1.
    """

    def __init__(self, ratio: float, *, policy: SessionPolicy | None = None) -> None:
        if isinstance(ratio, bool) or not isinstance(ratio, Real):
            msg = f"ratio must be a number between 0 and 1, not {ratio!r}"
            raise TypeError(msg)
        if not 0 <= ratio <= 1:
            percent = f"; for {ratio} percent write {ratio / 100}" if 1 < ratio <= 100 else ""
            msg = f"ratio must be between 0 (keep nothing) and 1 (keep everything), not {ratio}{percent}"
            raise ValueError(msg)
        policy = SessionPolicy() if policy is None else policy
        if not isinstance(policy, SessionPolicy):
            msg = f"policy must be a SessionPolicy, not {type(policy).__name__}"
            raise TypeError(msg)
        self.ratio: Final = float(ratio)
        self._threshold: Final = MAX_THRESHOLD - round(self.ratio * MAX_THRESHOLD)
        self._policy: Final = policy
        self._error_count = 0
        self._lock: Final = Lock()

    @property
    def error_count(self) -> int:
        """How many spans were decided by their trace id because an error kept us from reading more."""
        return self._error_count

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span that is about to start.

        Args:
            parent_context: Where the parent span, the session and baggage are found; None means the current
                context.
            trace_id: Decides about a trace without a session.
            name: Not used.
            kind: Not used.
            attributes: `session.id` among them outranks the context; a span that is kept gets all of them.
            links: Not used.
            trace_state: Used if the parent has none.

        Returns:
            The decision, with the attributes and the tracestate of the span.
        """
        try:
            context = get_current() if parent_context is None else parent_context
            parent = get_current_span(context).get_span_context()
            # The SDK leaves the argument out.
            state = parent.trace_state or trace_state or TraceState()
            session = None if parent.is_valid else self._session(attributes, context)
            return self._decide(trace_id, session, attributes, state)
        except Exception as error:  # the SDK would let it through to the application
            self._count(error)
            kept = attributes if isinstance(attributes, Mapping) else None
            return self._decide(trace_id, None, kept, TraceState())

    def get_description(self) -> str:
        """Return the name under which tools show this sampler."""
        return f"SessionSampler{{{self.ratio}}}"

    def _session(self, attributes: Attributes, context: Context) -> str | None:
        for value in self._candidates(attributes, context):
            if value is not None:
                try:
                    return self._policy.canonical(value)
                except InvalidSessionIdError:  # the next place is asked
                    continue
        return None

    def _candidates(self, attributes: Attributes, context: Context) -> Iterator[object]:
        if attributes is not None:
            yield attributes.get(SESSION_ID)
        yield in_force(context).get(SESSION_ID)
        yield inbound_id(SESSION_ID, context, self._policy)

    def _decide(
        self, trace_id: int, session: str | None, attributes: Attributes, state: TraceState
    ) -> SamplingResult:
        explicit = explicit_randomness(state)  # never changed: other spans of the trace were decided by it
        if explicit is None and session is not None:
            explicit = int.from_bytes(hashlib.sha256(session.encode()).digest()[:7], "big")
        if (trace_id & MAX_RANDOMNESS if explicit is None else explicit) < self._threshold:
            return SamplingResult(
                Decision.DROP, None, with_sampling(state, threshold=None, randomness=explicit)
            )
        state = with_sampling(state, threshold=self._threshold, randomness=explicit)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def _count(self, error: Exception) -> None:
        with self._lock:
            self._error_count += 1
            is_first = self._error_count == 1
        if is_first:
            logger.error(
                "langchain_sessions: the sampler could not find the session of a span (%s) and decided by "
                "its trace id. Further errors are counted (SessionSampler.error_count), not logged.",
                type(error).__name__,
                exc_info=None if self._policy.pseudonymize else error,
            )


def parent_based(argument: str) -> Sampler:
    """Make the sampler for `OTEL_TRACES_SAMPLER=langchain_sessions`: `ParentBased(SessionSampler(ratio))`.

    Args:
        argument: The ratio, from `OTEL_TRACES_SAMPLER_ARG`; empty keeps everything, as with the SDK's own.

    Raises:
        ValueError: If it is not a number between 0 and 1. The SDK logs that, and keeps everything.
    """
    return ParentBased(SessionSampler(float(argument) if argument else 1.0))
