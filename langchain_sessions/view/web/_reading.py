"""A session as a chat, and what is behind it: spans, and texts in full."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse

from langchain_sessions.view._annotated import annotated, annotations_of
from langchain_sessions.view.web import _charts, _pages, _tree
from langchain_sessions.view.web._links import address
from langchain_sessions.view.web._query import BadRequestError
from langchain_sessions.view.web._responses import html, is_known, places_checked, tag, unchanged
from langchain_sessions.view.web._span import span_view
from langchain_sessions.view.web._texts import PAGE, laid_out, visible

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_sessions.store import Page, SessionStore, SessionSummary, Span, ToolUse, Turn

TURNS: Final = 50
"""Turns on a page."""

_TOOL_PART: Final = re.compile(r"tool-(\d{1,6})-(input|output)")


class Reading:
    """Answers for `/session`, `/trace`, `/span` and `/text`.

    Args:
        store: What is read.
        can_delete: Whether a session's page leads to where it can be deleted.
    """

    def __init__(self, store: SessionStore, *, can_delete: bool) -> None:
        self._store: Final = store
        self._can_delete: Final = can_delete

    def session(self, request: Request) -> Response:
        """Show a part of a conversation."""
        session_id, project = _session(request)
        given = request.query_params
        after, before, at = given.get("after"), given.get("before"), given.get("at")
        revision = self._store.revision()
        summary = self._store.summary(session_id, project=project)
        if "latest" in given:
            return RedirectResponse(self._latest(summary), status_code=303)
        etag = tag(request, revision)
        if is_known(request, etag):
            return unchanged(etag)
        if at is not None and summary.turn_count <= TURNS:
            at = None  # it is on the only page, with what was said before
        with places_checked():
            page = self._store.turns(
                session_id, project=summary.project, limit=TURNS, after=after, before=before, starting_with=at
            )
        first = _whole(request, "n") if after or before or at else 1
        return html(
            "session.html",
            status=200 if page.items else 404,
            etag=etag,
            session=summary,
            annotations=annotations_of(annotated(self._store, [summary]), summary),
            searched=given.get("q", ""),
            turns=_pages.turn_views(page.items, first),
            first=first,
            strip=_charts.strip(page.items),
            neighbours=self._store.neighbours(session_id, project=summary.project),
            pages=_around(summary, page, first),
            can_delete=self._can_delete,
        )

    def trace(self, request: Request) -> Response:
        """Show the spans of a turn as a tree."""
        turn = self._turn(request)
        spans = self._spans(turn)
        start = min(_whole(request, "start") or 0, max(0, len(spans) - 1))
        return html(
            "trace.html",
            turn=turn,
            rows=_tree.rows(spans)[start : start + _tree.ROWS],
            start=start,
            count=len(spans),
            size=_tree.ROWS,
        )

    def span(self, request: Request) -> Response:
        """Show what a span has."""
        turn = self._turn(request)
        span = _found(self._spans(turn), request.query_params.get("span", ""))
        start = min(_whole(request, "attributes") or 0, max(0, len(span.attributes) - 1))
        return html(
            "span.html",
            turn=turn,
            span=span,
            kind=_tree.kind_of(span),
            said=span_view(turn, span, {side: _whole(request, side) for side in ("input", "output")}),
            attributes=_tree.facts(span.attributes, start),
            start=start,
            size=_tree.ATTRIBUTES,
            resource=_tree.facts(span.resource),
            events=[(event, _tree.facts(event.attributes)) for event in span.events[: _tree.ATTRIBUTES]],
        )

    def text(self, request: Request) -> Response:
        """Show a text in full, a page of it at a time, or all of it as plain text."""
        turn = self._turn(request)
        part = request.query_params.get("part", "")
        found = self._text(turn, part, request)
        if "raw" in request.query_params:
            return PlainTextResponse(found.encode("utf-8", "replace"))
        found = laid_out(found)
        start = min(_whole(request, "start") or 0, max(0, (len(found) - 1) // PAGE * PAGE))
        here = {it: request.query_params.get(it) for it in ("id", "project", "turn", "part", "span", "key")}
        return html(
            "text.html",
            turn=turn,
            part=part,
            text=visible(found[start : start + PAGE]),
            start=start,
            length=len(found),
            before=address("/text", **here, start=max(0, start - PAGE)) if start else None,
            after=address("/text", **here, start=start + PAGE) if start + PAGE < len(found) else None,
            raw=address("/text", **here, raw=1),
        )

    def _latest(self, session: SessionSummary) -> str:
        """The address of the last page, as it is when one turns the pages from the first one on."""
        first = max(0, session.turn_count - 1) // TURNS * TURNS
        page = self._store.turns(
            session.id, project=session.project, limit=session.turn_count - first, last=True
        )
        at = page[0].trace_id if first and page.items else None
        return address("/session", id=session.id, project=session.project, at=at, n=first + 1)

    def _turn(self, request: Request) -> Turn:
        session_id, project = _session(request)
        trace_id = request.query_params.get("turn", "")
        page = self._store.turns(session_id, project=project, limit=1, starting_with=trace_id)
        if not page.items or page.items[0].trace_id != trace_id:
            raise HTTPException(404, "There is no such turn. It may have been deleted.")
        return page.items[0]

    def _spans(self, turn: Turn) -> list[Span]:
        return self._store.spans(turn.session_id, turn.trace_id, project=turn.project)

    def _text(self, turn: Turn, part: str, request: Request) -> str:
        if part == "input":
            return turn.input
        if part == "output":
            return turn.output
        if match := _TOOL_PART.fullmatch(part):
            return _tool_text(turn.tools, int(match[1]), match[2])
        if part in {"attribute", "resource"}:
            span = _found(self._spans(turn), request.query_params.get("span", ""))
            values = span.attributes if part == "attribute" else span.resource
            key = request.query_params.get("key", "")
            if key in values:
                return _tree.text_of(values[key])
        raise HTTPException(404, "There is no such text.")


def _session(request: Request) -> tuple[str, str | None]:
    session_id = request.query_params.get("id")
    if session_id is None:
        msg = "the address has no id of a session"
        raise BadRequestError(msg)
    return session_id, request.query_params.get("project")


def _found(spans: list[Span], span_id: str) -> Span:
    span = next((it for it in spans if it.span_id == span_id), None)
    if span is None:
        raise HTTPException(404, "There is no such span.")
    return span


def _tool_text(tools: tuple[ToolUse, ...], number: int, side: str) -> str:
    if not 1 <= number <= len(tools):
        raise HTTPException(404, "There is no such text.")
    tool = tools[number - 1]
    return tool.input if side == "input" else tool.output


def _whole(request: Request, name: str) -> int | None:
    """A number that an address carries. What makes no sense does not count: it decides about nothing."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _around(session: SessionSummary, page: Page[Turn], first: int | None) -> dict[str, str | None]:
    """The addresses of the other pages of a session."""
    beginning = address("/session", id=session.id, project=session.project)
    earlier = later = None
    if page.previous is not None:
        number = None if first is None else max(1, first - TURNS)
        earlier = address("/session", id=session.id, project=session.project, before=page.previous, n=number)
        if number == 1:
            earlier = beginning
    if page.next is not None:
        number = None if first is None else first + len(page)
        later = address("/session", id=session.id, project=session.project, after=page.next, n=number)
    latest = address("/session", id=session.id, project=session.project, latest=1)
    return {
        "beginning": beginning if earlier else None,
        "earlier": earlier,
        "later": later,
        "latest": latest if later else None,
    }
