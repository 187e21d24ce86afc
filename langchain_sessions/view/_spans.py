"""The spans of a turn in the order of a tree. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_sessions.store import Span


def in_tree(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Yield spans, each once, and how many ancestors it has: children after their parent, by start.

    Args:
        spans: Spans of one trace. One whose parent is not among them has no ancestors; those that go in a
            circle come last, and one of them begins.
    """
    ids = {it.span_id for it in spans}
    children: dict[str | None, list[Span]] = {}
    for span in sorted(spans, key=lambda it: (it.start_ns, -it.end_ns, it.span_id)):
        parent = span.parent_id if span.parent_id in ids else None
        children.setdefault(parent, []).append(span)
    seen: set[str] = set()
    for start in (children.get(None, []), spans):
        waiting = [(span, 0) for span in reversed(start)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            yield span, depth
            waiting += [(it, depth + 1) for it in reversed(children.get(span.span_id, []))]
