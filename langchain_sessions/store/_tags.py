"""The tags of turns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openinference.semconv.trace import SpanAttributes

from langchain_sessions.store._facts import facts_of, project_of
from langchain_sessions.store._members import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_sessions.store._facts import Facts
    from langchain_sessions.store._members import Part
    from langchain_sessions.store._span import Attributes, Span


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
    return sorted({it for some in lists for it in some if isinstance(it, str) and it})


def has_tag(spans: Sequence[Span], session_id: str, tag: str) -> bool:
    """Whether the turn of a session, given by its spans, has a tag."""
    facts = [facts_of(it, key, project_of(it.resource)) for key, it in enumerate(spans)]
    return any(
        tag in tags_of(part, lambda it: spans[it.key].attributes)
        for part in parts(facts)
        if part.session_id == session_id
    )
