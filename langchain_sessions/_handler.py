"""`SessionCallbackHandler`, the plug-in: find the ids, let OpenInference start and end the span."""

from __future__ import annotations

import logging
from threading import local
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import trace as trace_api
from opentelemetry.context import attach, detach, get_current

from langchain_sessions import _overlay
from langchain_sessions._discovery import Discovery
from langchain_sessions._executing import at_rest, begin_leaf, end_leaf, executing, note_token, starting
from langchain_sessions._langchain import langchain_parent
from langchain_sessions._misuse import takes_no_id
from langchain_sessions._policy import SessionPolicy
from langchain_sessions._privacy import scrub
from langchain_sessions._readable import questions_in, turn_of
from langchain_sessions._records import LightRecords
from langchain_sessions._reports import Reports
from langchain_sessions._runs import NO_CONTEXT, SESSION_ID, LiveRun, LiveRuns, everywhere
from langchain_sessions._upstream import (
    OpenInferenceTracer,
    SessionSpan,
    SessionTracer,
    TraceConfig,
    context_for_end,
    context_for_start,
    context_with_tags,
    forget_run,
    metadata_of,
    span_of_run,
    use_plain_dictionaries,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from langchain_core.tracers.schemas import Run
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

    from langchain_sessions._storing import Place
    from langchain_sessions._upstream import Destination


class SessionCallbackHandler(LightRecords, OpenInferenceTracer):
    """Traces LangChain runs as OpenInference spans that carry the id of their conversation.

    ```python
    handler = SessionCallbackHandler()
    chain.invoke(question, config={"callbacks": [handler], "metadata": {"session_id": "abc"}})
    ```

    One handler serves every conversation, thread and event loop of a process, and keeps nothing about a run
    after it ended. It may be combined with OpenInference's `LangChainInstrumentor`: a run that has a handler
    of ours gets one span, ours.

    The handler runs inline, also in async code: LangChain would otherwise send every event through a thread
    pool. One consequence is LangChain's (1.0 to 1.7): for a *completion* model called with `ainvoke`, its
    `on_llm_start` reaches inline handlers only, so other handlers in the same call miss that event. Chat
    models are not affected.

    Errors in the handler never reach the application: they are logged once with the run's name, and counted.
    Set `handler.raise_error = True` to have them raised, in tests for instance.

    Args:
        tracer_provider: Where spans go. By default the global provider, looked up when the first span starts.
        config: What OpenInference records and what it masks.
        policy: Every choice about ids.
        store: A session store, or where it is (a path, or an address as for `open_store`; True is the
            default place): the spans are kept there as well, to be read with `langchain-sessions`. The
            provider gets a processor for it; while the application has none, the spans go to the store alone.
        separate_trace_from_runtime_context: Start a new trace for every outermost run, even inside a span.

    Raises:
        TypeError: If `tracer_provider`, `config` or `policy` is of another type, or an id is given: each call
            gives its own.
        StoreError: If the store is damaged, not a session store, or one of a later version.
    """

    run_inline = True

    @takes_no_id
    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        config: TraceConfig | None = None,
        policy: SessionPolicy | None = None,
        store: Place | None = None,
        separate_trace_from_runtime_context: bool = False,
    ) -> None:
        config = TraceConfig() if config is None else config
        policy = SessionPolicy() if policy is None else policy
        if not isinstance(config, TraceConfig):
            msg = f"config must be openinference.instrumentation.TraceConfig, not {type(config).__name__}"
            raise TypeError(msg)
        if tracer_provider is not None and not hasattr(tracer_provider, "get_tracer"):
            kind = type(tracer_provider).__name__
            msg = f"tracer_provider must be an OpenTelemetry TracerProvider, not {kind}"
            raise TypeError(msg)
        if not isinstance(policy, SessionPolicy):
            msg = f"policy must be a SessionPolicy, not {type(policy).__name__}"
            raise TypeError(msg)
        tracer = SessionTracer(
            tracer_provider,
            config,
            writes_conversation_id=policy.conversation_id,
            destination=None if store is None else _storing(store),
        )
        # What it has is all that upstream uses of a tracer.
        super().__init__(cast("Tracer", tracer), separate_trace_from_runtime_context)
        self._session_tracer: Final = tracer
        self._is_separate: Final = separate_trace_from_runtime_context
        use_plain_dictionaries(self)
        self.reports: Final = Reports(is_private=policy.pseudonymize is not None)
        self._discovery: Final = Discovery(policy, self.reports)
        self._policy: Final = policy
        self.live_runs: Final = LiveRuns()

    @property
    def error_count(self) -> int:
        """Errors met while starting or ending spans, each kind of which was logged once."""
        return self.reports.error_count

    @property
    def refused_baggage_count(self) -> int:
        """Ids in inbound baggage that were refused: too long, malformed, or no id at all."""
        return self.reports.refused_baggage_count

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have the provider export, and store, the spans that have ended.

        Args:
            timeout_millis: How long to wait, in milliseconds.

        Returns:
            Whether all of them were.
        """
        flush = getattr(self._session_tracer.provider, "force_flush", None)
        return True if flush is None else bool(flush(timeout_millis))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> Run:
        """Note that the consumer of a stream may run from now on."""
        live = self.live_runs.get(run_id)
        if live is not None:
            note_token(live)
        return super().on_llm_new_token(token, run_id=run_id, **kwargs)

    def on_chain_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> Run:
        """End the span of a chain that failed, or of a graph's node that asks a question."""
        self._note_questions(run_id, error)
        return super().on_chain_error(_presentable(error), *args, run_id=run_id, **kwargs)

    def on_llm_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> Run:
        """End the span of a model that failed."""
        return super().on_llm_error(_presentable(error), *args, run_id=run_id, **kwargs)

    def on_tool_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> Run:
        """End the span of a tool that failed."""
        return super().on_tool_error(_presentable(error), *args, run_id=run_id, **kwargs)

    def on_retriever_error(self, error: BaseException, *args: Any, run_id: UUID, **kwargs: Any) -> Run:
        """End the span of a retriever that failed."""
        return super().on_retriever_error(_presentable(error), *args, run_id=run_id, **kwargs)

    # Upstream wraps both methods for its own timing, which is why they look like variables to a type checker.
    def _start_trace(self, run: Run) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        try:
            if (known := self.live_runs.get(run.id)) is not None:
                self._told_again(run, known)
                return
            if self._is_told_elsewhere(run):
                self._stand_aside(run)
                return
            if run.parent_run_id is not None and self.live_runs.get(run.parent_run_id) is None:
                run.parent_run_id = langchain_parent(run.parent_run_id)
            with starting(run.parent_run_id):
                live = self._identify(run)
                self._start_span(run, live)
            if run.run_type in _LEAF_TYPES:
                begin_leaf(live)
            _starting.run_id = run.id
            while (stale := self.live_runs.overdue()) is not None:
                forget_run(self, stale.run_id)
                stale.release()
                end_leaf(stale)
        except Exception as error:
            self.live_runs.remove(run.id)
            self._met(error, run, "start")

    def _end_trace(self, run: Run) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        known = self.live_runs.get(run.id)
        if known is not None and known.repeats:
            known.repeats -= 1
            return
        live = self.live_runs.remove(run.id)
        try:
            if live is not None:
                self._finish_ids(run, live)
        except Exception as error:
            self._met(error, run, "identify")
        span = self._prepare_turn(run, live)
        token = attach(NO_CONTEXT if live is None else context_for_end(live.ambient))
        try:
            with at_rest():
                super()._end_trace(run)
        except Exception as error:
            self._met(error, run, "end")
        finally:
            detach(token)
            if live is not None:
                live.release()
                end_leaf(live)
        if span is not None and span.failure is not None:
            self._met(span.failure, run, "read")

    def _note_questions(self, run_id: UUID, error: BaseException) -> None:
        """Let a graph know what one of its nodes asks: LangGraph returns it, but tells no handler."""
        live = self.live_runs.get(run_id)
        if live is None or live.parent is None or not live.parent.is_turn or _NODE not in live.metadata:
            return
        if questions := questions_in(error):
            live.parent.questions[run_id] = questions

    def _prepare_turn(self, run: Run, live: LiveRun | None) -> SessionSpan | None:
        """Give the span of an outermost run the texts of the turn; return it if that was to be done."""
        if live is None or not live.is_turn or run.run_type not in _TURN_TYPES:
            return None
        span = span_of_run(self, run.id)
        if span is None or not span.is_recording():
            return None
        try:
            questions = scrub([it for asked in live.questions.values() for it in asked], span.secrets)
            outputs = None if run.error else cast("object", run.outputs)
            turn = turn_of(cast("object", run.inputs), outputs, questions)
            if turn.is_question and not run.outputs:
                run.outputs = {"output": turn.answered}  # OpenInference writes nothing for nothing
            span.tell(turn, keeps_original=self._policy.keep_original_io)
        except Exception as error:
            self._met(error, run, "read")
        return span

    def _is_told_elsewhere(self, run: Run) -> bool:
        """Whether another handler of ours was told of the run first, and writes to the same provider."""
        other = everywhere.get(run.id)
        return (
            other is not None
            and other.provider is self._session_tracer.provider
            and _starting.run_id == run.id
            and _overlay.attached() is other.ambient
            and self._discovery.given(other.metadata) == self._discovery.given(metadata_of(run))
        )

    def _stand_aside(self, run: Run) -> None:
        self.run_map[str(run.id)] = run
        other = everywhere[run.id]
        given = self._discovery.given(metadata_of(run))
        live = LiveRun(run.id, self.live_runs.get(run.parent_run_id), ids=other.settled_ids(), given=given)
        live.provider, live.metadata = other.provider, other.metadata
        self.live_runs.add(live)

    def _told_again(self, run: Run, known: LiveRun) -> None:
        # LangChain's second telling follows the first at once, in the same place, with the same metadata.
        is_repeat = _starting.run_id == run.id and _overlay.attached() is known.ambient
        if is_repeat and self._discovery.is_same(known, metadata_of(run)):
            known.repeats += 1
            return
        # Two runs with one id: nobody can tell whose the children are, so they look for their own ids.
        self._contest(run)

    def _contest(self, run: Run) -> None:
        """End the span of a run whose id another one has, too, and keep the place until both have ended."""
        known = self.live_runs.remove(run.id)
        forget_run(self, run.id)
        self.run_map[str(run.id)] = run
        contested = LiveRun(run.id, None)
        contested.release()
        contested.repeats = 1 if known is None else known.repeats + 1
        everywhere[run.id] = contested
        self.live_runs.add(contested)
        self.reports.once(
            "run id",
            logging.WARNING,
            "run id %s of %r is given to two runs at once",
            run.id,
            self.reports.name_of(run.name),
        )

    def _identify(self, run: Run) -> LiveRun:
        parent = self.live_runs.get(run.parent_run_id)
        if parent is not None and parent.ended:  # its id is given to several runs
            parent = None
        around = self._run_around() if parent is None else None
        try:
            live = self._discovery.identify(
                run.id, run.name, metadata_of(run), parent, run.parent_run_id, around
            )
        except Exception as error:
            self._met(error, run, "identify")
            if parent is not None and self._policy.nested == "root":
                live = LiveRun.like(parent, run.id)
            else:
                live = LiveRun(run.id, parent)
        live.provider, live.metadata = self._session_tracer.provider, metadata_of(run)
        live.propagates = self._policy.propagate_baggage
        live.keeps_outer = self._policy.nested == "root"
        if self._policy.readable_turns and parent is None and around is None:
            live.is_turn, live.questions = True, {}
        self.live_runs.add(live)
        return live

    def _run_around(self) -> LiveRun | None:
        """Return the run of another handler in whose trace a run without a known parent starts."""
        if self._is_separate or not _overlay.is_on():
            return None
        around = executing()
        return around if around is not None and _is_in_its_trace(get_current(), around) else None

    def _start_context(self, live: LiveRun, ids: Mapping[str, str]) -> Context:
        parent = live.parent
        if parent is None:
            return context_for_start(get_current(), ids, live.secrets)
        is_untouched = live.ambient is parent.ambient or not _overlay.is_on()
        if (
            is_untouched or executing() is not parent
        ):  # in a stream's consumer, what is there is not the parent's
            return context_for_start(live.ambient, ids, live.secrets)
        around = get_current()
        was_opened_inside = trace_api.get_current_span(around) is not trace_api.get_current_span(
            parent.ambient
        ) and _is_in_its_trace(around, parent)
        return context_for_start(around, ids, live.secrets, is_parent=was_opened_inside)

    def _start_span(self, run: Run, live: LiveRun) -> None:
        ids = live.ids
        if live.provisional and run.parent_run_id is not None:
            ids = live.settled_ids()  # what may turn out to be another one is written at the end
        context = self._start_context(live, ids)
        if run.tags and live.parent is None:
            context = context_with_tags(context, run.tags, live.secrets)
        if live.secrets:
            run.name = scrub(run.name, live.secrets)
        token = attach(context)
        try:
            with at_rest():
                super()._start_trace(run)
        finally:
            detach(token)
        span = span_of_run(self, run.id)
        if span is None:  # tracing is suppressed here
            return
        live.span = span
        if live.secrets:
            span.conceal(live.secrets)
        if self._policy.conversation_id:
            span.identify(ids)
        else:
            span.expect(ids)

    def _finish_ids(self, run: Run, live: LiveRun) -> None:
        found = live.settle()
        if live.provisional:
            if not found and run.parent_run_id is not None and run.run_type == "chain":
                # Nothing inside told its id, which LangChain may have hidden: rather none than another's.
                live.ids = live.settled_ids()
            live.tell_ancestors(live.ids)
        parent = live.parent
        if parent is not None and SESSION_ID not in parent.ids:
            parent.note_called(run.name, has_session=SESSION_ID in live.ids)
        span = span_of_run(self, run.id)
        if span is None:  # tracing was suppressed at the start, so nothing is recorded
            return
        if found or live.provisional:
            span.expect(live.ids)
        if self._policy.pseudonymize is not None:
            given = metadata_of(run)
            run.extra = {**run.extra, "metadata": {}}  # should the next line fail, nothing is told
            run.extra["metadata"] = self._discovery.conceal(given, span.secrets)

    def _met(self, error: Exception, run: Run, doing: str) -> None:
        """Deal with an error that must not reach the application."""
        self.reports.error(run.name, doing, error)
        if self.raise_error:
            raise error


_LEAF_TYPES: Final = frozenset({"llm", "chat_model", "retriever"})

_NODE: Final = "langgraph_node"
"""What LangGraph adds to the metadata of a node's run. Another run may catch an interrupt, and go on."""

_TURN_TYPES: Final = frozenset({"chain", "llm", "chat_model"})
"""A tool or retriever that is called on its own is no conversation, nor is a prompt or a parser."""


def _is_in_its_trace(context: Context, run: LiveRun) -> bool:
    """Whether the current span of a context belongs to the trace of a run."""
    span = trace_api.get_current_span(context).get_span_context()
    return run.span is not None and span.is_valid and span.trace_id == run.span.get_span_context().trace_id


class _Starting(local):
    """The run whose start was last told in this thread, to whichever handler."""

    run_id: UUID | None = None


_starting: Final = _Starting()


def _storing(store: Place) -> Destination:
    # Imported when it is asked for: what does not store must not wait for a database to be imported.
    from langchain_sessions._storing import storing

    return storing(store)


def _presentable(error: BaseException) -> BaseException:
    """Return the error, or one in its place if it cannot even be printed: its run has to end all the same."""
    try:
        str(error)
        repr(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}, which fails to describe itself")
    return error
