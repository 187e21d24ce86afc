"""Sessions as a notebook shows them: HTML without scripts, and without anything that is loaded from afar.

The classes of `langchain_sessions.store` call these functions when a cell ends with one of theirs. Nothing
but the standard library is needed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

from langchain_sessions.store._answers import SearchHit
from langchain_sessions.store._model import SessionSummary, Turn
from langchain_sessions.view._chart import MOST_DAYS, chart
from langchain_sessions.view._html import block, element, line, page, row, tool
from langchain_sessions.view._plain import (
    about,
    ago,
    clock,
    compact,
    counted,
    day,
    duration,
    moment,
    money,
    share,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_sessions.store import Page, Session, SessionStats

_FIRST: Final = 10
_LAST: Final = 40
"""Turns of a long session that are shown: the first and the last ones."""

_MOST_TOOLS: Final = 30
"""Tool calls of one turn that are shown."""

_MOST_ROWS: Final = 200
"""Sessions in one table."""


def session_html(session: Session) -> str:
    """Render a session as a chat: of a long one the beginning and the end."""
    turns = session.turns
    heading = element("div", "ls-head", _heading(session))
    left = len(turns) - _FIRST - _LAST
    if left <= 0:
        return page(heading + _chat(turns))
    note = f"{counted(left, 'turn')} left out here: session.turns has them all"
    gap = element("div", "ls-turn ls-dim", f"… {line(note)} …")
    return page(heading + _chat(turns[:_FIRST]) + gap + _chat(turns[-_LAST:]))


def sessions_html(summaries: Iterable[SessionSummary]) -> str:
    """Render sessions as a table, one row each."""
    return page(_table(list(summaries)))


def stats_html(stats: SessionStats) -> str:
    """Render sums as numbers and, if there are any days, a chart of them."""
    tiles = "".join(
        element("div", "ls-tile", f"<b>{line(value)}</b> {element('span', 'ls-dim', line(name))}")
        for name, value in _numbers(stats)
    )
    body = element("div", "ls-tiles", tiles)
    if stats.days:
        body += chart(stats.days)
        if (stats.days[-1].day - stats.days[0].day).days >= MOST_DAYS:
            body += element("div", "ls-dim", f"the last {MOST_DAYS} days; stats.days has them all")
    if len(stats.projects) > 1:
        named = ", ".join(f"{line(name, 60)} {number:,}" for name, number in stats.projects[:20])
        body += element("div", "ls-dim", f"sessions by project: {named}{' …' if stats.projects[20:] else ''}")
    return page(body)


def page_html(page_: Page[object]) -> str | None:
    """Render a page of a list.

    Args:
        page_: A page of sessions, turns or search hits.

    Returns:
        HTML, or None if the page is empty or has something else: the notebook then shows its `repr`.
    """
    items = page_.items
    if not items:
        return None
    if all(isinstance(item, SessionSummary) for item in items):
        body = _table(cast("Sequence[SessionSummary]", items))
    elif all(isinstance(item, Turn) for item in items):
        body = _turns(cast("Sequence[Turn]", items))
    elif all(isinstance(item, SearchHit) for item in items):
        body = "".join(map(_hit, cast("Sequence[SearchHit]", items)))
    else:
        return None
    more = "there are more: ask again with after=page.next"
    return page(body + (element("div", "ls-dim", more) if page_.next is not None else ""))


def _heading(session: Session) -> str:
    id_ = element("span", "ls-id", line(session.id))
    facts = element("span", "ls-dim", line(" · ".join(about(session))))
    errors = counted(session.error_count, "error")
    bad = element("span", "ls-red", f" · {errors}") if session.error_count else ""
    return f"<div>{id_}</div><div>{facts}{bad}</div>"


def _chat(turns: Sequence[Turn]) -> str:
    today = ""
    parts: list[str] = []
    for turn in turns:
        date = day(turn.started_ns)
        parts.append(_turn(turn, f"{date} " if date != today else ""))
        today = date
    return "".join(parts)


def _turns(turns: Sequence[Turn]) -> str:
    """Turns of maybe several sessions, each under the id of its own."""
    parts: list[str] = []
    session = None
    for turn in turns:
        if (turn.project, turn.session_id) != session:
            session = (turn.project, turn.session_id)
            parts.append(element("div", "ls-id", line(turn.session_id)))
        parts.append(_turn(turn, f"{day(turn.started_ns)} "))
    return "".join(parts)


def _turn(turn: Turn, date: str) -> str:
    return element("div", "ls-turn", "".join(_said(turn, date)))


def _said(turn: Turn, date: str) -> Iterator[str]:
    said = block(turn.input) if turn.input else "(nothing)"
    yield row("user", turn.user or "user", said, title=turn.user or "")
    for use in turn.tools[:_MOST_TOOLS]:
        yield row("tool", "tool", tool(use))
    if (left := len(turn.tools) - _MOST_TOOLS) > 0:
        yield row("tool", "", f"… and {counted(left, 'more tool call')}")
    if turn.output or not turn.error:
        yield row("other", "assistant", block(turn.output) if turn.output else "(no answer)")
    if turn.error:
        yield row("bad", "error", element("div", "ls-red", block(turn.error)))
    facts = [f"{date}{clock(turn.started_ns)}", *taken(turn)]
    meta = element("div", "ls-meta ls-dim", line(" · ".join(facts)))
    yield element("div", "ls-row", f"<div></div>{meta}")


def _table(sessions: Sequence[SessionSummary]) -> str:
    with_project = len({it.project for it in sessions}) > 1
    now_ns = time.time_ns()
    names = ["session", *(["project"] if with_project else []), "user"]
    numbers = ["turns", "errors", "tokens in / out", "median turn", "last active"]
    head = "".join(f"<th>{it}</th>" for it in names)
    head += "".join(f'<th class="ls-n">{it}</th>' for it in numbers) + "<th>first input</th>"
    rows = "".join(f"<tr>{_cells(it, now_ns, with_project)}</tr>" for it in sessions[:_MOST_ROWS])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    left = len(sessions) - _MOST_ROWS
    note = element("div", "ls-dim", f"… and {counted(left, 'more session')}") if left > 0 else ""
    return element("div", "ls-wide", table) + note


def _cells(session: SessionSummary, now_ns: int, with_project: bool) -> str:
    errors = element("span", "ls-red", compact(session.error_count)) if session.error_count else "0"
    tokens = f"{compact(session.prompt_tokens)} / {compact(session.completion_tokens)}"
    cells = [
        element("td", "ls-key", line(session.id)),
        *([element("td", "", line(session.project, 60))] if with_project else []),
        element("td", "", line(session.user, 60) if session.user else "-"),
        element("td", "ls-n", compact(session.turn_count)),
        element("td", "ls-n", errors),
        element("td", "ls-n", tokens),
        element("td", "ls-n", duration(session.p50_turn_ns)),
        element("td", "ls-n", ago(session.last_activity_ns, now_ns), title=moment(session.last_activity_ns)),
        element("td", "ls-long", line(session.first_input, 200), title=session.first_input),
    ]
    return "".join(cells)


def _hit(hit: SearchHit) -> str:
    turn = hit.turn
    excerpt = "".join(
        f"<mark>{line(it.text)}</mark>" if it.is_match else _spaced(it.text) for it in hit.excerpt
    )
    where = f"{element('span', 'ls-id', line(turn.session_id))} " + element(
        "span", "ls-dim", f"{moment(turn.started_ns)} · trace {line(turn.trace_id)}"
    )
    who, kind = (turn.user or "user", "user") if hit.role == "user" else ("assistant", "other")
    return element("div", "ls-turn", where + row(kind, who, excerpt, title=who))


def _spaced(text: str) -> str:
    """A text on one line that keeps the blanks at its ends: they are those between words."""
    before, after = text[:1].isspace(), text[-1:].isspace()
    return f"{' ' if before else ''}{line(text, 500)}{' ' if after else ''}"


def _numbers(stats: SessionStats) -> Iterator[tuple[str, str]]:
    yield "sessions", compact(stats.sessions)
    yield "users", compact(stats.users)
    yield "turns", compact(stats.turns)
    part = f" ({share(stats.errors, stats.turns)})" if stats.errors else ""
    yield "failed turns", f"{compact(stats.errors)}{part}"
    yield "tokens in / out", f"{compact(stats.prompt_tokens)} / {compact(stats.completion_tokens)}"
    if stats.cost is not None:
        yield "cost", money(stats.cost)
    if stats.p50_turn_ns is not None and stats.p95_turn_ns is not None:
        yield "median turn", duration(stats.p50_turn_ns)
        yield "95 % within", duration(stats.p95_turn_ns)
