"""What a span shows of a turn: the texts in the place of JSON, as far as OpenInference's masks allow."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from openinference.instrumentation import REDACTED_VALUE, TraceConfig
from openinference.semconv.trace import OpenInferenceMimeTypeValues, SpanAttributes

from langchain_sessions._names import INPUT_ORIGINAL, OUTPUT_ORIGINAL
from langchain_sessions._turns import input_text, output_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.util.types import AttributeValue

    Attributes: TypeAlias = dict[str, AttributeValue]

_NULL: Final = "null"
"""What OpenInference writes for nothing."""

_INPUT_SWITCHES: Final = ("hide_inputs", "hide_input_messages", "hide_input_text", "hide_prompts")
_OUTPUT_SWITCHES: Final = ("hide_outputs", "hide_output_messages", "hide_output_text", "hide_choices")

_UNRELATED_SWITCHES: Final = frozenset(
    {
        "hide_llm_invocation_parameters",
        "hide_embedding_vectors",
        "hide_embeddings_vectors",
        "hide_embeddings_text",
    }
)
"""What these hide is in nothing that a run is given or returns. Of any other, also of a later version's, we
must suppose that the JSON shows what it hides: the state of a graph has everybody's words in it."""


class Turn(NamedTuple):
    """What was said and answered in a run; None is what nobody can tell.

    Attributes:
        said: The user's words.
        answered: The answer, or the question that interrupted the run.
        is_question: Whether it is that. What OpenInference writes does not have it.
    """

    said: str | None
    answered: str | None
    is_question: bool


def turn_of(inputs: object, outputs: object, questions: Sequence[object] = ()) -> Turn:
    """Return what was said and answered in a run.

    Args:
        inputs: What LangChain says that it was given.
        outputs: What LangChain says that it returned; None if it failed.
        questions: What it was interrupted for.
    """
    said = input_text(inputs)
    is_question = bool(questions) and outputs is not None
    answered = output_text({"__interrupt__": questions} if is_question else outputs)
    # Nothing, beside what is a chat: a graph that goes on, a stream that was left before it had begun.
    if said is None and answered is not None and _is_nothing(inputs, "input"):
        said = ""
    elif answered is None and said is not None and _is_nothing(outputs, "output"):
        answered = ""
    return Turn(said, answered, is_question)


def _is_nothing(values: object, name: str) -> bool:
    """Whether this is what LangChain says of a run that was given, or returned, None."""
    if not isinstance(values, dict):
        return False
    named = cast("dict[str, object]", values)
    return named.keys() == {name} and named[name] is None


def questions_in(error: BaseException) -> tuple[object, ...]:
    """Return what a node of a graph asks, if this is LangGraph's way to stop it: the interrupts' values."""
    if not any(kind.__name__ == "GraphInterrupt" for kind in type(error).__mro__) or not error.args:
        return ()
    interrupts = cast("Sequence[object]", error.args[0])  # it is LangGraph's own class, and this its argument
    return tuple(getattr(it, "value", it) for it in interrupts)


class Masks(NamedTuple):
    """How a span changes what is written to it.

    Attributes:
        config: OpenInference's masks.
        hide_ids: Replaces raw ids in a text by pseudonyms.
        can_hide: Whether the config may hide anything but images.
    """

    config: TraceConfig
    hide_ids: Callable[[str], str]
    can_hide: bool

    def hidden(self, switches: tuple[str, ...]) -> bool:
        """Whether one of these switches is on; a version of OpenInference may not know it."""
        return self.can_hide and any(getattr(self.config, name, False) for name in switches)

    def hide_something(self) -> bool:
        """Whether anything is hidden that an original might show."""
        return self.can_hide and any(
            getattr(self.config, field.name)
            for field in fields(self.config)
            if field.name.startswith("hide_") and field.name not in _UNRELATED_SWITCHES
        )


class _Side(NamedTuple):
    value: str
    mime_type: str
    original: str
    switches: tuple[str, ...]
    read: Callable[[object], str | None]


_INPUT: Final = _Side(
    SpanAttributes.INPUT_VALUE,
    SpanAttributes.INPUT_MIME_TYPE,
    INPUT_ORIGINAL,
    _INPUT_SWITCHES,
    input_text,
)
_OUTPUT: Final = _Side(
    SpanAttributes.OUTPUT_VALUE,
    SpanAttributes.OUTPUT_MIME_TYPE,
    OUTPUT_ORIGINAL,
    _OUTPUT_SWITCHES,
    output_text,
)


def with_turn(
    given: Mapping[str, object], shown: Attributes, turn: Turn, masks: Masks, *, keeps_original: bool
) -> Attributes:
    """Return a span's attributes with the texts of a turn in the place of JSON.

    Args:
        given: The attributes as OpenInference made them.
        shown: What a span shows of them.
        turn: The texts.
        masks: What may be shown of these.
        keeps_original: Whether what OpenInference wrote is kept beside them.

    Returns:
        The attributes. An SDK that may keep only so many drops the oldest, so that the originals come first,
        and the texts last.
    """
    originals: Attributes = {}
    texts: Attributes = {}
    for side, text in ((_INPUT, turn.said), (_OUTPUT, turn.answered)):
        original = shown.get(side.value)
        if original is None or text is None or (text == original and not masks.can_hide):
            continue
        is_question = turn.is_question and side is _OUTPUT
        readable = _readable(side, text, given.get(side.value), original, masks, is_question=is_question)
        if readable is None:
            continue
        shown = {key: value for key, value in shown.items() if key not in (side.value, side.mime_type)}
        texts.update(readable)
        is_worth_it = original not in (_NULL, REDACTED_VALUE) and not masks.hide_something()
        if keeps_original and is_worth_it and isinstance(original, str):
            originals[side.original] = _without_large_images(original, masks.config)
    return {**originals, **shown, **texts} if texts or originals else shown


def _readable(
    side: _Side, text: str, given: object, shown: AttributeValue, masks: Masks, *, is_question: bool
) -> Attributes | None:
    """Return the attributes that say the text; None if what is shown stays as it is."""
    if shown == REDACTED_VALUE:
        return None
    if masks.hidden(side.switches):
        return {side.value: REDACTED_VALUE}
    if shown != given and not is_question:
        # Something was hidden in it. A mask may know where in the JSON, and could not tell in a text.
        read_again = _read_again(side, shown)
        if read_again is None:
            return None
        text = read_again
    text = masks.hide_ids(text)
    if text == shown:
        return None
    config = masks.config
    attributes = {side.value: text, side.mime_type: OpenInferenceMimeTypeValues.TEXT.value}
    allowed = {key: config.mask(key, value) for key, value in attributes.items()}
    return {
        key: _without_large_images(value, config) if isinstance(value, str) else value
        for key, value in allowed.items()
        if value is not None
    }


def _read_again(side: _Side, shown: AttributeValue) -> str | None:
    try:
        return side.read(json.loads(str(shown)))
    except (ValueError, RecursionError):  # a text, which is shown as it is
        return None


def _without_large_images(text: str, config: TraceConfig) -> str:
    """Return a text without images that are longer than OpenInference is to record."""
    longest = config.base64_image_max_length
    if longest is None or len(text) <= longest:
        return text
    return _larger_than(longest).sub(lambda found: f"{found['name'] or ''}{REDACTED_VALUE}", text)


@lru_cache(maxsize=8)
def _larger_than(length: int) -> re.Pattern[str]:
    """Find longer data: in a URL, whose head counts, or where a content block has nothing but data."""
    data, quote = "[A-Za-z0-9+/=_-]", r'\\{0,7}"'  # JSON may be in JSON; a bound keeps the search linear
    head = len("data:image/png;base64,")
    return re.compile(
        rf"data:[\w.+-]{{1,40}}/[\w.+-]{{1,100}};base64,{data}{{{max(length + 1 - head, 0)},}}"
        rf'|(?P<name>"(?:base64|data|url|image_url){quote}:\s?{quote}){data}{{{length + 1},}}(?={quote})'
    )
