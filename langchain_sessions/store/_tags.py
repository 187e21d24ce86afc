"""The tags of turns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openinference.semconv.trace import SpanAttributes

from langchain_sessions.store._facts import facts_of, project_of
from langchain_sessions.store._members import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_sessions.store._facts import Facts
    from langchain_sessions.store._members import Part
    from langchain_sessions.store._model import Turn
    from langchain_sessions.store._span import Attributes, Span

_LONGEST: Final = 1_000
"""Characters of a tag. Whatever is beside a much longer one in an index has to be compared with all of it."""


def tags_of(part: Part, attributes_of: Callable[[Facts], Attributes]) -> list[str]:
    """Return the tags of a turn: those of its outermost spans; none while one of them is still to come.

    Steps have tags, too, which are those of the run around them and what LangChain adds (`seq:step:1`).

    Args:
        part: The part of a trace.
        attributes_of: Fetches the attributes of a span.
    """
    if not part.is_complete:
        return []
    outermost = {it.key: it for it in (*part.heads, *part.speakers)}
    values = [attributes_of(it).get(SpanAttributes.TAG_TAGS) for it in outermost.values()]
    lists = [it for it in values if isinstance(it, list | tuple)]
    return sorted({it for some in lists for it in some if isinstance(it, str) and 0 < len(it) <= _LONGEST})


def has_tag(turn: Turn, spans: Sequence[Span], tag: str) -> bool:
    """Whether a turn, given with its spans, has a tag.

    Whether it is complete only the store can tell: the run above it, a job over several conversations for
    one, is not among its spans.
    """
    facts = [facts_of(it, key, project_of(it.resource)) for key, it in enumerate(spans)]
    return turn.is_complete and any(
        tag in tags_of(part._replace(is_complete=True), lambda it: spans[it.key].attributes)
        for part in parts(facts)
        if part.session_id == turn.session_id
    )
