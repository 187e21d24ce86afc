"""The span that encloses a turn, a web server's for instance, and what of the turn is written to it.

Backends that read a conversation from the root spans of its traces, as Phoenix does, find nothing in a trace
that begins with a web server's span, unless the turn's input and output are there too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from openinference.semconv.trace import OpenInferenceMimeTypeValues, SpanAttributes

from langchain_sessions._names import ENCLOSING
from langchain_sessions._runs import NO_IDS, SESSION_ID, USER_ID, enclosing_spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from langchain_sessions._reports import Reports

MAX_OPEN_SPANS = 50_000
"""Open spans remembered. What never ends must not be kept for ever; the oldest is forgotten first."""

_OPENINFERENCE: Final = "openinference.instrumentation."
"""How the scopes of OpenInference's instrumentors begin, and so that of our own spans."""

_FIRST_WINS: Final = (SpanAttributes.INPUT_VALUE, SpanAttributes.INPUT_MIME_TYPE)
_LAST_WINS: Final = (SpanAttributes.OUTPUT_VALUE, SpanAttributes.OUTPUT_MIME_TYPE)


class _Root:
    """The outermost span of a trace in this process."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.sessions: set[str | None] = set()
        self.has_own_output = self.has_turn = False


class _Open:
    """An open span."""

    __slots__ = ("is_turn", "is_within_turn", "root")

    def __init__(self, root: _Root, *, is_turn: bool, is_within_turn: bool) -> None:
        self.root = root
        self.is_turn = is_turn
        self.is_within_turn = is_within_turn


class Enclosing:
    """Follows which span encloses which, and writes to the outermost one.

    No lock: a span is added and removed once, and single dictionary operations are atomic.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._open: dict[tuple[int, int], _Open] = {}

    def on_start(self, span: Span) -> None:
        """Note where a span belongs."""
        context, parent = span.context, span.parent
        if context is None:
            return
        around = None
        if parent is not None and not parent.is_remote:
            around = self._open.get((parent.trace_id, parent.span_id))
        scope = span.instrumentation_scope
        is_openinference = scope is not None and scope.name.startswith(_OPENINFERENCE)
        is_within_turn = around is not None and around.is_within_turn
        root = _Root(span) if around is None else around.root
        is_turn = is_openinference and not is_within_turn and around is not None
        if is_turn:
            root.sessions.add(_session_of(span))
        self._open[context.trace_id, context.span_id] = _Open(
            root, is_turn=is_turn, is_within_turn=is_within_turn or is_openinference
        )
        if len(self._open) > MAX_OPEN_SPANS:
            self._open.pop(next(iter(self._open)), None)

    def on_end(self, span: ReadableSpan) -> None:
        """Write a turn that ends to the span that encloses it."""
        if span.context is None:
            return
        ended = self._open.pop((span.context.trace_id, span.context.span_id), None)
        if ended is not None and ended.is_turn and ended.root.span.is_recording():
            self._copy(span, ended.root)

    def _copy(self, turn: ReadableSpan, root: _Root) -> None:
        given, known = turn.attributes or NO_IDS, root.span.attributes or NO_IDS
        session = _session_of(turn)
        if session is None:
            return
        root.sessions.add(session)
        if root.sessions - {None, session} or _session_of(root.span) not in (None, session):
            self._reports.once(
                ("enclosing", root.span.name),
                logging.WARNING,
                "span %r encloses turns of several conversations, and is not written to any more",
                self._reports.name_of(root.span.name),
            )
            return
        if not root.has_turn:
            root.has_turn = True
            root.has_own_output = SpanAttributes.OUTPUT_VALUE in known
        if _session_of(root.span) is None:
            enclosing_spans.add(root.span)
        has_input, has_mime_type = (
            SpanAttributes.INPUT_VALUE in known,
            SpanAttributes.OUTPUT_MIME_TYPE in known,
        )
        names = (*(() if has_input else _FIRST_WINS), *(() if root.has_own_output else _LAST_WINS))
        if SESSION_ID not in known:
            root.span.set_attribute(ENCLOSING, True)
        for name in (*names, USER_ID, SESSION_ID):
            is_taken = name in known and name not in _LAST_WINS
            if name in given and not is_taken:
                root.span.set_attribute(name, given[name])
        is_plain = SpanAttributes.OUTPUT_VALUE in given and SpanAttributes.OUTPUT_MIME_TYPE not in given
        if is_plain and has_mime_type and not root.has_own_output:  # it was that of the turn before
            root.span.set_attribute(SpanAttributes.OUTPUT_MIME_TYPE, OpenInferenceMimeTypeValues.TEXT.value)


def _session_of(span: ReadableSpan) -> str | None:
    session = (span.attributes or NO_IDS).get(SESSION_ID)
    return session if isinstance(session, str) else None
