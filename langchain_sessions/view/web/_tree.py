"""The spans of a turn: as a tree along the time, and one with all that it has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_sessions.view._fields import text_of
from langchain_sessions.view._spans import in_tree
from langchain_sessions.view.web._texts import previewed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_sessions.store import Span
    from langchain_sessions.view.web._texts import Shown

ROWS: Final = 200
"""Spans on a page."""

DEEPEST: Final = 12
"""Levels that are indented; those below are drawn at the last one, with their level in words."""

ATTRIBUTES: Final = 200
"""Attributes on a page."""

_KINDS: Final = frozenset(
    {
        "chain",
        "llm",
        "tool",
        "agent",
        "retriever",
        "embedding",
        "reranker",
        "guardrail",
        "evaluator",
        "prompt",
    }
)
"""OpenInference's kinds, which have a colour each."""

_WIDTH: Final = 1000
_NARROWEST: Final = 4
"""Units of the bar that stands for the whole turn, and of the shortest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A span in the tree.

    Attributes:
        span: The span.
        depth: How many ancestors it has in the tree.
        kind: Its OpenInference kind in lower case, else "span".
        style: The kind if it is a known one, else "span".
        left: Where its bar begins.
        width: How wide the bar is.
        tokens: Tokens that it sent and received, as a model call counts them; 0 for others.
        model: The model that it called, or empty.
    """

    span: Span
    depth: int
    kind: str
    style: str
    left: int
    width: int
    tokens: int
    model: str

    @property
    def indent(self) -> int:
        """How far it is moved to the right."""
        return min(self.depth, DEEPEST)


@dataclass(frozen=True, slots=True)
class Fact:
    """An attribute of a span.

    Attributes:
        name: Its name.
        text: Its value.
    """

    name: str
    text: Shown


def rows(spans: Sequence[Span]) -> list[Row]:
    """Put spans into the order of a tree: children after their parent, by start."""
    if not spans:
        return []
    first = min(it.start_ns for it in spans)
    whole = max(1, max(it.end_ns for it in spans) - first)
    return [_row(span, depth, first, whole) for span, depth in in_tree(spans)]


def facts(values: Mapping[str, object], start: int = 0) -> list[Fact]:
    """Show attributes by name, a page of them."""
    names = sorted(values)[start : start + ATTRIBUTES]
    return [Fact(name, previewed(text_of(values[name]))) for name in names]


def kind_of(span: Span) -> tuple[str, str]:
    """The OpenInference kind of a span in lower case, or "span"; and the one that has its colour."""
    kind = str(span.attributes.get("openinference.span.kind") or "span").lower()[:30]
    return kind, kind if kind in _KINDS else "span"


def _row(span: Span, depth: int, first: int, whole: int) -> Row:
    kind, style = kind_of(span)
    left = _WIDTH * (span.start_ns - first) // whole
    width = max(_NARROWEST, _WIDTH * max(0, span.duration_ns) // whole)
    counts = (span.attributes.get(f"llm.token_count.{it}") for it in ("prompt", "completion"))
    return Row(
        span=span,
        depth=depth,
        kind=kind,
        style=style,
        left=min(left, _WIDTH - _NARROWEST),
        width=min(width, _WIDTH - min(left, _WIDTH - _NARROWEST)),
        tokens=_sum(counts) if kind == "llm" else 0,
        model=str(span.attributes.get("llm.model_name") or "")[:80],
    )


def _sum(counts: Iterable[object]) -> int:
    return sum(it for it in counts if isinstance(it, int))
