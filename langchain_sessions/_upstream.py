"""The seam to OpenInference: the one module that touches its private names.

`tests/test_contract.py` has one test for each of them, whose message says what moved.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import openinference.instrumentation.langchain as oi_langchain
from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation._capture import _capture_span_context
from openinference.instrumentation._spans import OpenInferenceSpan
from openinference.instrumentation.context_attributes import CONTEXT_ATTRIBUTES
from openinference.instrumentation.langchain import _BaseCallbackManagerInit
from openinference.instrumentation.langchain._tracer import OpenInferenceTracer
from openinference.instrumentation.langchain.version import __version__ as _oi_version
from openinference.semconv.trace import ImageAttributes, SpanAttributes
from opentelemetry import trace as trace_api
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

from langchain_sessions._privacy import scrub
from langchain_sessions._readable import Masks, with_turn
from langchain_sessions._runs import CONVERSATION_ID, NO_CONTEXT, NO_IDS, SESSION_ID, STARTING, USER_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from langchain_core.tracers.schemas import Run
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.util.types import Attributes, AttributeValue

    from langchain_sessions._readable import Turn

__all__ = [
    "OpenInferenceTracer",
    "SessionSpan",
    "SessionTracer",
    "TraceConfig",
    "add_processor",
    "context_for_end",
    "context_for_start",
    "context_with_tags",
    "forget_run",
    "has_processor",
    "keep_instrumentor_out",
    "metadata_of",
    "processors_of",
    "remove_processor",
    "span_of_run",
    "use_plain_dictionaries",
]

_IDS: Final = frozenset({SESSION_ID, USER_ID})
_SPAN_KIND: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND
_TAGS: Final = SpanAttributes.TAG_TAGS

_CONTEXT_TEXTS: Final = (
    SpanAttributes.METADATA,
    SpanAttributes.TAG_TAGS,
    SpanAttributes.LLM_PROMPT_TEMPLATE,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION,
    SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES,
)
"""What else OpenInference copies from the context to a span."""


class SessionSpan(OpenInferenceSpan):
    """OpenInference's span, except that nobody but the run's owner writes its ids.

    OpenInference writes the raw metadata value over the id when a run ends, and OpenTelemetry drops the
    oldest attributes of a span that has too many. So `identify` and `expect` are the only ways in. The ids
    are kept where OpenInference keeps the span kind, which it writes last of all, newest first: after the
    kind come the others, and the session id is the last attribute that a span gets.
    """

    def __init__(
        self,
        wrapped: trace_api.Span,
        config: TraceConfig,
        *,
        masks: bool,
        writes_conversation_id: bool = False,
    ) -> None:
        super().__init__(wrapped, config=config)
        self._self_sdk_span = wrapped
        self._self_trace_config = config
        self._self_masks = masks
        self._self_writes_conversation_id = writes_conversation_id
        self._self_recorded: BaseException | None = None
        self._self_secrets: Mapping[str, str] = NO_IDS
        self._self_turn: Turn | None = None
        self._self_keeps_original = False
        self._self_failure: Exception | None = None

    @property
    def failure(self) -> Exception | None:
        """Why the span does not tell its turn, if it should."""
        return self._self_failure

    def tell(self, turn: Turn, *, keeps_original: bool) -> None:
        """Show these texts where OpenInference is going to write JSON, and keep that beside them, or not."""
        self._self_turn = turn
        self._self_keeps_original = keeps_original

    @property
    def secrets(self) -> Mapping[str, str]:
        """Raw ids, each with the pseudonym that is written in its place."""
        return self._self_secrets

    def conceal(self, secrets: Mapping[str, str]) -> None:
        """Replace these raw ids, too, by their pseudonyms: in name, tags, and all that is written now on."""
        self._self_secrets = {**self._self_secrets, **secrets}
        name = getattr(self._self_sdk_span, "name", None)
        if isinstance(name, str) and (hidden := scrub(name, secrets)) != name:
            self._self_sdk_span.update_name(hidden)
        attributes: Mapping[str, AttributeValue] = getattr(self._self_sdk_span, "attributes", None) or {}
        if tags := attributes.get(_TAGS):  # written when the span began, before an id that is found late
            self.set_attribute(_TAGS, tags)

    def identify(self, ids: Mapping[str, str]) -> None:
        """Write the ids now, and again when the span ends."""
        for name, id_ in self.expect(ids).items():
            self._self_sdk_span.set_attribute(name, id_)

    def expect(self, ids: Mapping[str, str]) -> Mapping[str, AttributeValue]:
        """Write the ids when the span ends; return them as they will be written."""
        last: dict[str, AttributeValue] = dict(ids)
        if self._self_masks:
            last = self._masked(last)
        if self._self_writes_conversation_id and SESSION_ID in last:
            last[CONVERSATION_ID] = last[SESSION_ID]
        kept: dict[str, AttributeValue] = cast("Any", self)._self_important_attributes
        kind = kept.get(_SPAN_KIND)
        kept.clear()
        kept.update(last)
        if kind is not None:
            kept[_SPAN_KIND] = kind
        return last

    def set_attribute(self, key: str, value: AttributeValue | Callable[[], AttributeValue]) -> None:
        """Set an attribute as OpenInference does, but leave ids alone."""
        if key not in _IDS:
            super().set_attribute(key, self._plain(value))

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes as OpenInference does, all in one call of the SDK, but leave ids alone."""
        if not attributes:
            return
        if not self._self_sdk_span.is_recording():
            super().set_attributes(attributes)
            return
        masks = self._self_masks
        ready: dict[str, AttributeValue] = {}
        for key, value in attributes.items():
            if key in _IDS:
                continue
            plain: Any = self._plain(value)
            if masks or callable(plain) or key.endswith(ImageAttributes.IMAGE_URL):
                plain = self._self_trace_config.mask(key, cast("AttributeValue", plain))
            if plain is not None:
                ready[key] = plain
        if _SPAN_KIND in ready:
            super().set_attribute(_SPAN_KIND, ready.pop(_SPAN_KIND))
        self._self_sdk_span.set_attributes(self._readable(attributes, ready))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception as the SDK does; with pseudonymization, without raw ids in its texts."""
        if exception is self._self_recorded:  # the end of a run may be told twice, see LiveRun.repeats
            return
        self._self_recorded = exception
        if not self._self_secrets:
            self._self_sdk_span.record_exception(exception, attributes, timestamp, escaped)
            return
        recorder = EventRecorder()
        sdk_span = type(self._self_sdk_span)
        sdk_span.record_exception(cast("Any", recorder), exception, attributes, timestamp, escaped)
        for name, event_attributes, event_timestamp in recorder.events:
            self.add_event(name, event_attributes, event_timestamp)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event; with pseudonymization, without raw ids in its texts."""
        self._self_sdk_span.add_event(name, scrub(attributes, self._self_secrets), timestamp)

    def set_status(
        self, status: trace_api.Status | trace_api.StatusCode, description: str | None = None
    ) -> None:
        """Set the status; with pseudonymization, without raw ids in its description."""
        if self._self_secrets and isinstance(status, trace_api.Status):
            status = trace_api.Status(status.status_code, scrub(status.description, self._self_secrets))
        self._self_sdk_span.set_status(status, description)

    def _plain(self, value: Any) -> Any:
        secrets = self._self_secrets
        if isinstance(value, str):
            # A message's text is a str that can be called, and OpenInference calls what can be called: a
            # deprecation warning in the user's process for every answer.
            text = value if type(value) is str else str.__str__(value)
            return scrub(text, secrets) if secrets else text
        if secrets and type(value) in (list, tuple):
            return scrub(value, secrets)
        return value

    def _readable(
        self, given: Mapping[str, AttributeValue], ready: dict[str, AttributeValue]
    ) -> dict[str, AttributeValue]:
        """Put the texts of the turn into what is ready to be written, or leave it."""
        if self._self_turn is None:
            return ready
        try:
            masks = Masks(self._self_trace_config, self._plain, self._self_masks)
            return with_turn(given, ready, self._self_turn, masks, keeps_original=self._self_keeps_original)
        except Exception as error:  # a mask of the user's own; the span must not be lost for that
            self._self_failure = error
            return ready

    def _masked(self, ids: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        masked = {name: self._self_trace_config.mask(name, id_) for name, id_ in ids.items()}
        return {name: id_ for name, id_ in masked.items() if id_ is not None}


class EventRecorder:
    """Stands in for an SDK span so that the SDK composes an exception event without adding it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Attributes, int | None]] = []

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self.events.append((name, attributes, timestamp))


class Destination(Protocol):
    """Where spans go besides where their provider sends them."""

    def add_to(self, provider: object) -> None:
        """Have the spans of a provider sent there, unless they are already."""
        ...

    def own_provider(self) -> trace_api.TracerProvider:
        """Return a provider for as long as the application has none."""
        ...


class SessionTracer:
    """What `OpenInferenceTracer` starts its spans with.

    Looks the global provider up when the first span starts, not when the handler is made: applications set
    their provider up in any order. Scope name and version are OpenInference's, because the content of the
    spans is, and because samplers, processors and backends know it by that name.
    """

    def __init__(
        self,
        provider: trace_api.TracerProvider | None,
        config: TraceConfig,
        *,
        writes_conversation_id: bool = False,
        destination: Destination | None = None,
    ) -> None:
        self._config = config
        self._masks = _masks(config)
        self._writes_conversation_id = writes_conversation_id
        self._provider = provider
        self._destination = destination
        self._found: tuple[trace_api.TracerProvider, OITracer] | None = None
        self._tracer = None if provider is None else self._make(provider)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        start_time: int | None = None,
    ) -> SessionSpan:
        """Start a span as `OITracer.start_span` does, but set each attribute once.

        What the context holds for OpenInference (see `context_for_start`) is handed to the SDK when the span
        is made, where samplers and processors see it; `OITracer` sets all of it a second time.
        """
        tracer: Any = self._tracer or self._find()
        attributes: dict[str, AttributeValue] = {}
        around = get_current()
        if context is not None and around.get(STARTING):
            context = around
        for key in CONTEXT_ATTRIBUTES:
            value = cast("AttributeValue | None", around.get(key))
            if value is not None and self._masks:
                value = self._config.mask(key, value)
            if value is not None:
                attributes[key] = value
        # `self` of the SDK's method is the OITracer, for its id generator; OITracer does the same.
        sdk_span: trace_api.Span = tracer.__wrapped__.__class__.start_span(
            tracer, name=name, context=context, attributes=attributes, start_time=start_time
        )
        _capture_span_context(sdk_span.get_span_context())
        return SessionSpan(
            sdk_span,
            self._config,
            masks=self._masks,
            writes_conversation_id=self._writes_conversation_id,
        )

    @property
    def provider(self) -> trace_api.TracerProvider:
        """Where spans go now."""
        if self._provider is not None:
            return self._provider
        provider = trace_api.get_tracer_provider()
        if self._destination is not None and _is_placeholder(provider):
            return self._destination.own_provider()
        return provider

    def _find(self) -> OITracer:
        provider = self.provider
        if self._found is None or self._found[0] is not provider:
            self._found = (provider, self._make(provider))
        tracer = self._found[1]
        if provider is trace_api.get_tracer_provider() and not _is_placeholder(provider):
            self._tracer = tracer  # the application's own; until it is set we ask again
        return tracer

    def _make(self, provider: trace_api.TracerProvider) -> OITracer:
        if self._destination is not None:
            self._destination.add_to(provider)
        # OITracer also replaces the SDK's id generator, so that random.seed() in the user's code cannot
        # make two traces share an id.
        return OITracer(provider.get_tracer(oi_langchain.__name__, _oi_version), config=self._config)


def context_for_start(
    around: Context, ids: Mapping[str, str], secrets: Mapping[str, str], *, is_parent: bool = False
) -> Context:
    """Return a context with these ids in it, and no others, for OpenInference to start a span.

    With `is_parent`, the span starts under this context's current span, where OpenInference would take the
    span of the enclosing run: somebody has opened a span of their own in between.
    """
    values = around.copy()
    values[STARTING] = is_parent
    values[SESSION_ID] = ids.get(SESSION_ID)
    values[USER_ID] = ids.get(USER_ID)
    if secrets:
        for key in _CONTEXT_TEXTS:
            if key in values:
                values[key] = scrub(values[key], secrets)
    return Context(values)


def context_with_tags(around: Context, tags: Iterable[str], secrets: Mapping[str, str]) -> Context:
    """Return a context with these tags in it, too, for OpenInference to start a span.

    OpenInference records the tags of its own context, not those that a run is given in its config.
    """
    known = cast("Iterable[str]", around.get(_TAGS) or ())
    every = list(dict.fromkeys(it for it in (*known, *tags) if isinstance(it, str)))
    return Context({**around, _TAGS: scrub(every, secrets) if secrets else every})


def context_for_end(ambient: Context) -> Context:
    """Return the context in which OpenInference may end the span of a run that started in `ambient`.

    Not the current one: an end callback may run in a context that belongs to another conversation (the
    consumer of a stream, a shielded task). Only the metadata is needed, all else was written at the start.
    """
    metadata = ambient.get(SpanAttributes.METADATA)
    return NO_CONTEXT if metadata is None else Context({SpanAttributes.METADATA: metadata})


def use_plain_dictionaries(tracer: OpenInferenceTracer) -> None:
    """Replace the locked dictionaries of a new tracer.

    Each operation on them is a single dictionary operation, which is atomic anyway; the locks are a third of
    the time of a look-up.
    """
    untyped = cast("Any", tracer)
    untyped.run_map = {}
    untyped._spans_by_run = {}


def metadata_of(run: Run) -> Mapping[str, Any]:
    """Return the metadata of a run, with what it inherited."""
    extra = cast("Mapping[str, Any]", run.extra or {})
    return cast("Mapping[str, Any] | None", extra.get("metadata")) or {}


def span_of_run(tracer: OpenInferenceTracer, run_id: UUID) -> SessionSpan | None:
    """Return the span of a live run."""
    return cast("SessionSpan | None", tracer.get_span(run_id))


def forget_run(tracer: OpenInferenceTracer, run_id: UUID) -> None:
    """Make the tracer forget a run that will not be ended any more, and end its span."""
    tracer.run_map.pop(str(run_id), None)
    span = tracer._spans_by_run.pop(run_id, None)
    if span is not None:
        span.end()


def keep_instrumentor_out() -> Callable[[], None]:
    """Keep `LangChainInstrumentor` from adding its tracer to runs, whenever it was or will be activated.

    Returns:
        What lets it in again.
    """
    wrapper: Any = _BaseCallbackManagerInit
    original = wrapper.__call__

    def add_nothing(_: object, wrapped: Callable[..., None], __: object, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)

    def let_in() -> None:
        wrapper.__call__ = original

    wrapper.__call__ = add_nothing
    return let_in


def has_processor(provider: object, kind: type[SpanProcessor]) -> bool:
    """Whether a provider has a span processor of this kind."""
    return any(isinstance(processor, kind) for processor in processors_of(provider))


def add_processor(provider: object, processor: SpanProcessor) -> bool:
    """Add a span processor to a provider, and take nothing away.

    By the SDK's own method, not an override: the `add_span_processor` of Phoenix's provider removes the
    processor that exports to Phoenix when the first other one is added.

    Returns:
        Whether the provider takes processors at all.
    """
    if isinstance(provider, SdkTracerProvider):
        SdkTracerProvider.add_span_processor(provider, processor)
    elif callable(add := getattr(provider, "add_span_processor", None)):
        add(processor)
    else:
        return False
    return True


def remove_processor(provider: object, processor: SpanProcessor) -> None:
    """Undo `add_processor`, for which OpenTelemetry has no function; where it cannot be done, it stays."""
    processors = processors_of(provider)
    if processor in processors:
        multi: Any = getattr(provider, "_active_span_processor", None)
        with multi._lock:
            multi._span_processors = tuple(it for it in multi._span_processors if it is not processor)


def processors_of(provider: object) -> tuple[SpanProcessor, ...]:
    """Return the span processors of a provider, as far as it is the SDK's."""
    multi = getattr(provider, "_active_span_processor", None)
    return tuple(getattr(multi, "_span_processors", ()))


def _is_placeholder(provider: trace_api.TracerProvider) -> bool:
    """Whether a provider only stands for the one that the application may set."""
    return isinstance(provider, trace_api.ProxyTracerProvider)


def _masks(config: TraceConfig) -> bool:
    """Whether a config can change a value that is neither an image nor callable."""
    if type(config) is not TraceConfig:  # a subclass may mask what it likes
        return True
    return any(getattr(config, f.name) for f in fields(config) if f.name.startswith("hide_"))
