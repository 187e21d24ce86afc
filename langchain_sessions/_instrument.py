"""`instrument()` and `uninstrument()`: every LangChain run of the process, without `callbacks=`.

The handler is added by LangChain's own configure hook, which adds none where there is one: a handler given
to a call or a model, or OpenInference's tracer in a run that was going on. Handlers of ours that meet in one
run all the same (the global one is inherited, another is bound to a step) settle it among themselves.
OpenInference's instrumentor, which would add its tracer before any hook is asked, is kept from doing so for
as long.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from opentelemetry import trace as trace_api

from langchain_sessions import _overlay
from langchain_sessions._executing import ConfigureHook
from langchain_sessions._handler import SessionCallbackHandler
from langchain_sessions._misuse import takes_no_id
from langchain_sessions._upstream import (
    OpenInferenceTracer,
    add_processor,
    has_processor,
    keep_instrumentor_out,
    remove_processor,
)
from langchain_sessions.otel._processor import SessionSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider

    from langchain_sessions._policy import SessionPolicy
    from langchain_sessions._storing import Place, Storing
    from langchain_sessions._upstream import TraceConfig


@takes_no_id
def instrument(
    tracer_provider: TracerProvider | None = None,
    *,
    policy: SessionPolicy | None = None,
    config: TraceConfig | None = None,
    store: Place | None = None,
    separate_trace_from_runtime_context: bool = False,
) -> SessionCallbackHandler:
    """Trace every LangChain run of the process, and nest what other libraries trace inside.

    ```python
    instrument()
    chain.invoke(question, config={"metadata": {"session_id": "abc"}})
    ```

    - Every run gets one span, also beside `LangChainInstrumentor`, whose tracer stands aside meanwhile. A
      call or a model that is given a `SessionCallbackHandler` of its own is traced by that one.
    - A span that is opened in the body of a run (an HTTP request, an OpenAI call, your own) becomes the run's
      child, and a run that starts in such a span becomes that span's child.
    - A `SessionSpanProcessor` is added to the provider, so that those spans carry the session id, too.

    May be called again: with the same arguments it does nothing, with others they are in force for the calls
    that begin from then on. Runs that are going on are traced to their end as they began.

    Args:
        tracer_provider: Where spans go. By default the global provider, which may be set later.
        policy: Every choice about ids.
        config: What OpenInference records and what it masks.
        store: A session store, or where it is (a path, or an address as for `open_store`; True is the
            default place): all spans of the provider are kept there as well, to be read with
            `langchain-sessions`. If the application has no provider by now, it gets one, so that what other
            libraries trace is kept, too: set your own, if you have one, before.
        separate_trace_from_runtime_context: Start a new trace for every outermost run, even inside a span.

    Returns:
        The handler that traces the runs. It counts the errors and the refused baggage of the processor, too.

    Raises:
        TypeError: If an argument is of another type, or an id is given: each call gives its own.
        StoreError: If the store is damaged, not a session store, or one of a later version.
    """
    settings = (tracer_provider, policy, config, store, separate_trace_from_runtime_context)
    with _lock:
        if _active and _active[0].settings == settings:
            return _active[0].handler
        handler = SessionCallbackHandler(
            tracer_provider=tracer_provider,
            policy=policy,
            config=config,
            store=store,
            separate_trace_from_runtime_context=separate_trace_from_runtime_context,
        )
        processor = SessionSpanProcessor(policy=policy, reports=handler.reports)
        while _active:
            _active.pop().stop()
        _active.append(_Instrumentation(settings, handler, processor, _destination(store, tracer_provider)))
        return handler


def uninstrument() -> None:
    """Undo `instrument()`; runs that are going on are traced to their end."""
    with _lock:
        while _active:
            _active.pop().stop()


class _Instrumentation:
    """What one call of `instrument()` set up."""

    def __init__(
        self,
        settings: tuple[object, ...],
        handler: SessionCallbackHandler,
        processor: SessionSpanProcessor,
        destination: Storing | None,
    ) -> None:
        self.settings: Final = settings
        self.handler: Final = handler
        self._processor: Final = processor
        self._destination: Final = destination
        self._provider: Final = settings[0]
        self._adding: Final = Lock()
        self._undo: Final[list[Callable[[], None]]] = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._undo.append(keep_instrumentor_out())
        if (overlay := _overlay.switch_on()) is not None:
            self._undo.append(lambda: _overlay.switch_off(overlay))
        hook = ConfigureHook(OpenInferenceTracer, self.handler, self._add_processor)
        hook.add()
        self._undo.append(hook.remove)
        hook.prepare()

    def stop(self) -> None:
        """Take everything back, the last thing first."""
        while self._undo:
            self._undo.pop()()

    def _add_processor(self) -> bool:
        """Add the processor to the provider, as soon as there is one; return whether that is settled."""
        provider = self._provider or trace_api.get_tracer_provider()
        if isinstance(provider, trace_api.ProxyTracerProvider):
            return False  # the application has not set its own yet
        with self._adding:  # the first runs may start in several threads
            has_one = has_processor(provider, SessionSpanProcessor)
            if not has_one and add_processor(provider, self._processor):
                self._undo.append(lambda: self._remove_processor(provider))
            if (destination := self._destination) is not None:
                destination.add_to(provider)
                self._undo.append(lambda: destination.remove_from(provider))
        return True

    def _remove_processor(self, provider: object) -> None:
        self._processor.shutdown()
        remove_processor(provider, self._processor)


def _destination(store: Place | None, provider: TracerProvider | None) -> Storing | None:
    if store is None:
        return None
    from langchain_sessions._storing import provide, storing  # a database is imported by who stores only

    destination = storing(store)
    if provider is None:
        provide(destination)
    return destination


_lock: Final = Lock()
"""Guards what is active. Nothing of others runs under it but their providers' `add_span_processor`."""

_active: Final[list[_Instrumentation]] = []
"""The one that is on, if any."""
