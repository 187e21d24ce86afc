"""The spans of a turn as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from langchain_sessions.store._conventions import ERROR_TYPE, kind_of
from langchain_sessions.view._plain import duration, one_line
from langchain_sessions.view._spans import in_tree

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
    tops: list[Tree] = []
    branches: list[Tree] = []  # those that lead to the span, from the top
    for span, depth in in_tree(spans):
        level = min(depth, _DEEPEST)
        label = _label(span)
        branch = branches[level - 1].add(label) if level else Tree(label, guide_style="dim")
        branches[level:] = [branch]
        if not level:
            tops.append(branch)
    return Group(*tops)


def _label(span: Span) -> Text:
    label = Text.assemble(one_line(span.name) or "(no name)", overflow="fold")
    if kind := kind_of(span.attributes):
        label.append(f" {one_line(kind)}", style="cyan")
    label.append(f" {duration(span.duration_ns)}", style="dim")
    if span.status == "ERROR":
        label.append(f" {_reason(span)}", style="red")
    return label


def _reason(span: Span) -> str:
    """The first line of what the status says; LangChain puts a traceback behind it."""
    lines = span.status_message.partition("Traceback (most recent call last)")[0].strip().splitlines()
    return one_line(lines[0] if lines else str(span.attributes.get(ERROR_TYPE) or "")) or "failed"
