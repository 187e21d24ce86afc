"""`SessionSpanProcessor`: spans of any library carry the id of the session in which they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from opentelemetry import trace as trace_api
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import SpanProcessor

from langchain_sessions._baggage import inbound_id
from langchain_sessions._blocks import in_force
from langchain_sessions._ids import InvalidSessionIdError
from langchain_sessions._policy import SessionPolicy
from langchain_sessions._reports import Reports
from langchain_sessions._runs import (
    CONVERSATION_ID,
    NO_IDS,
    SESSION_ID,
    STARTING,
    USER_ID,
    enclosing_spans,
    is_unsure,
    run_in,
)
from langchain_sessions.otel._enclosing import Enclosing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span

_Values: TypeAlias = Mapping[str, object]


class SessionSpanProcessor(SpanProcessor):
    """Writes `session.id` and `user.id` to every span that starts in a session.

    ```python
    provider.add_span_processor(SessionSpanProcessor())
    ```

    `instrument()` adds one to the provider. The ids are those of the parent span, else those of the context
    (`session()`, `using_session`, the LangChain run whose body is executing), else, if the policy accepts it,
    of inbound baggage. A span that has a `session.id` when it starts keeps what it has.

    A span that another library opens in the body of a run has that run for its parent only where
    `instrument()` is on, or `OTEL_PYTHON_CONTEXT=langchain_sessions` set.

    An error in it never reaches the application: it is logged once, and counted.

    Args:
        policy: Pseudonymization, length limit, `gen_ai.conversation.id`, and whether baggage is accepted and
            the enclosing span is written to; give the one that the handler has.
        reports: Where errors and refused baggage are counted; a handler's, to count them together.
    """

    def __init__(self, *, policy: SessionPolicy | None = None, reports: Reports | None = None) -> None:
        policy = SessionPolicy() if policy is None else policy
        if not isinstance(policy, SessionPolicy):
            msg = f"policy must be a SessionPolicy, not {type(policy).__name__}"
            raise TypeError(msg)
        self._policy: Final = policy
        self._reports: Final = reports or Reports(is_private=policy.pseudonymize is not None)
        self._enclosing: Final = Enclosing(self._reports) if policy.stamp_enclosing else None
        self._is_shut_down = False

    @property
    def error_count(self) -> int:
        """Errors met while writing ids, each kind of which was logged once."""
        return self._reports.error_count

    @property
    def refused_baggage_count(self) -> int:
        """Ids in inbound baggage that were refused: too long, malformed, or no id at all."""
        return self._reports.refused_baggage_count

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write the ids in force to a span that starts."""
        if self._is_shut_down:
            return
        try:
            if SESSION_ID not in (span.attributes or NO_IDS):
                self._write(span, get_current() if parent_context is None else parent_context)
            if self._enclosing is not None:
                self._enclosing.on_start(span)
        except Exception as error:
            self._reports.error(span.name, "identify", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write what a turn leaves behind to the span that encloses it."""
        if self._enclosing is None or self._is_shut_down:
            return
        try:
            self._enclosing.on_end(span)
        except Exception as error:
            self._reports.error(span.name, "copy the turn of", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say that nothing is left to do: older SDKs say nothing, and flush no processor that comes after."""
        return True

    def shutdown(self) -> None:
        """Write nothing any more."""
        self._is_shut_down = True

    def _write(self, span: Span, context: Context) -> None:
        ids = dict(self._ids(context))
        if self._policy.conversation_id and SESSION_ID in ids:
            ids[CONVERSATION_ID] = ids[SESSION_ID]
        known = span.attributes or NO_IDS
        for name, id_ in ids.items():
            if name not in known:
                span.set_attribute(name, id_)

    def _ids(self, context: Context) -> Mapping[str, str]:
        if STARTING in context or is_unsure(context):
            return NO_IDS  # the handler has looked, and found none; or nobody can say
        parent, run = trace_api.get_current_span(context), run_in(context)
        if run is not None and SESSION_ID in run.ids and cast("object", run.span) is parent:
            return self._canonical(run.settled_ids())  # its attributes may be provisional
        if parent.is_recording() and parent not in enclosing_spans:
            # One that has ended may still be in the context of a worker that now serves somebody else.
            attributes: Any = getattr(parent, "attributes", None)
            if isinstance(attributes, Mapping) and (found := self._canonical(cast("_Values", attributes))):
                return found
        found = self._canonical(in_force(context))
        if found or not self._policy.accept_baggage:
            return found
        claimed = {
            name: inbound_id(name, context, self._policy, self._reports) for name in (SESSION_ID, USER_ID)
        }
        return {n: id_ for n, id_ in claimed.items() if id_} if claimed[SESSION_ID] else NO_IDS

    def _canonical(self, values: _Values) -> Mapping[str, str]:
        """Return the ids among some values: none without a session."""
        ids: dict[str, str] = {}
        for name in (SESSION_ID, USER_ID):
            if values.get(name) is not None:
                try:
                    ids[name] = self._policy.canonical(values[name])
                except InvalidSessionIdError:
                    continue
        return ids if SESSION_ID in ids else NO_IDS
