"""From the part of a trace that belongs to a session to the turn that a person reads. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_sessions.store._conventions import tool_of
from langchain_sessions.store._facts import headline
from langchain_sessions.store._model import ToolUse
from langchain_sessions.store._texts import (
    answered,
    escaped,
    last_user_text,
    output_text,
    raw_input,
    raw_output,
    said,
    tool_input,
    tool_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from langchain_sessions.store._facts import Facts
    from langchain_sessions.store._members import Part
    from langchain_sessions.store._span import Attributes

    AttributesOf: TypeAlias = Callable[[Facts], Attributes]
    """Fetches the attributes of a span, with what its events say of messages.

    They may be large, so only those that are needed are asked for.
    """


class Texts(NamedTuple):
    """What the user said, and what was answered."""

    input: str
    output: str


def texts(part: Part, attributes_of: AttributesOf) -> Texts:
    """Find the texts of a turn.

    The question is the input of the outermost span that has one, the answer the output of the outermost span
    that has one: a chat's last words, or else what is there, as it is. Only where it was cut off, or there is
    none, models inside are looked at: the user's last message to the first, the answer of the last one. More
    than that would be a guess, and take a check or a title for the answer.
    """
    return Texts(_legible(_input(part, attributes_of)), _legible(_output(part, attributes_of)))


def _legible(text: str) -> str:
    """A text without NUL, at which whatever is written in C, SQLite for one, takes it to end.

    Nor with half of a surrogate pair, which JSON inside of an attribute may escape, and nothing can store.
    """
    return escaped(text).replace("\x00", "\ufffd")


def _input(part: Part, attributes_of: AttributesOf) -> str:
    for span in (*part.heads, *part.speakers):
        if (text := said(attributes_of(span))) is not None:
            return text
    if part.models and (text := last_user_text(attributes_of(part.models[0]))):
        return text
    raw = (raw_input(attributes_of(span)) for span in (*part.heads, *part.speakers))
    return next(filter(None, raw), "")


def _output(part: Part, attributes_of: AttributesOf) -> str:
    for span in (*_by_end(part.heads), *_by_end(part.speakers)):
        if (text := answered(attributes_of(span))) is not None:
            return text
    if part.models and (text := output_text(attributes_of(_by_end(part.models)[0]))):
        return text
    raw = (raw_output(attributes_of(span)) for span in (*_by_end(part.heads), *_by_end(part.speakers)))
    return next(filter(None, raw), "")


def tool_use(name: str, attributes: Attributes, error: str | None) -> ToolUse:
    """Read a tool's span. A tool that answered with an error message, without raising, has failed too.

    Args:
        name: The span's name.
        attributes: Its attributes.
        error: One line about its error, or None.
    """
    result = tool_output(attributes)
    return ToolUse(
        name=tool_of(attributes) or name,
        input=tool_input(attributes),
        output=result.text,
        error=error or (headline(result.text) if result.failed else None),
    )


def _by_end(spans: Iterable[Facts]) -> list[Facts]:
    """The last one first."""
    return sorted(spans, key=lambda span: (span.end_ns, span.start_ns), reverse=True)
