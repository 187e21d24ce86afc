"""The spans of a turn as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openinference.semconv.trace import SpanAttributes
from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from langchain_sessions.view._plain import duration, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from langchain_sessions.store import Span

_DEEPEST: Final = 40
"""Levels that are indented. What is deeper is shown at this level: no terminal is wide enough for it."""


def span_tree(spans: Sequence[Span]) -> RenderableType:
    """Lay out spans under their parents: name, kind, how long it took, what went wrong.

    Args:
        spans: Spans of one trace. One whose parent is not among them is at the top.

    Returns:
        Something to print on a `rich.console.Console`.
    """
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in ids else None, []).append(span)
    shown: set[str] = set()
    # The spans again, after the tops: parents that go in a circle leave nobody at the top.
    tops = (*children.get(None, ()), *spans)
    return Group(*[_tree(top, children, shown) for top in tops if top.span_id not in shown])


def _tree(top: Span, children: dict[str | None, list[Span]], shown: set[str]) -> Tree:
    root = Tree(_label(top), guide_style="dim")
    shown.add(top.span_id)
    waiting = [(top, root, 0)]
    while waiting:
        parent, node, depth = waiting.pop()
        for span in children.get(parent.span_id, ()):
            if span.span_id not in shown:
                shown.add(span.span_id)
                branch = node.add(_label(span))
                waiting.append((span, branch if depth < _DEEPEST else node, depth + 1))
    return root


def _label(span: Span) -> Text:
    kind = span.attributes.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
    label = Text.assemble(one_line(span.name) or "(no name)", overflow="fold")
    if isinstance(kind, str):
        label.append(f" {one_line(kind)}", style="cyan")
    label.append(f" {duration(span.duration_ns)}", style="dim")
    if span.status == "ERROR":
        label.append(f" {_reason(span)}", style="red")
    return label


def _reason(span: Span) -> str:
    """The first line of what the status says; LangChain puts a traceback behind it."""
    lines = span.status_message.partition("Traceback (most recent call last)")[0].strip().splitlines()
    return one_line(lines[0]) if lines else "failed"
