from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import pytest

from langchain_sessions.store import (
    Fragment,
    Page,
    SearchHit,
    Session,
    SessionSummary,
    ToolUse,
)
from langchain_sessions.view import notebook
from tests.support.conversations import BUSY, DAY, NEW_YEAR, QUIET, STATS, hostile_turn, session_of
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE: Final = (
    "</div></details></style><script>alert(1)</script><img src=x onerror=alert(2)><!-- <svg/onload=alert(3)> "
    "\"'><a href='javascript:alert(4)'>&lt;b&gt; &amp;\x1b[31m\u202e\udc80\x00"
)

VOID: Final = {"br", "circle", "path", "rect"}
"""Elements that end by themselves."""

TAGS: Final = """
b br circle code details div g mark path rect span style summary svg table tbody td text th thead title tr
"""

ATTRIBUTES: Final = """
aria-label class cx cy d dir fill fill-opacity font-size height r role stroke stroke-opacity stroke-width
text-anchor title viewbox width x y
"""

HIT: Final = SearchHit(
    turn=replace(QUIET, user="ada"),
    role="user",
    excerpt=(Fragment("…my "), Fragment("boat", is_match=True), Fragment(" is")),
)


class Parsed(HTMLParser):
    """What a browser would make of HTML: fails if an element is not closed where it has to be."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.comments = 0
        self.folded = 0
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        """What is to be read, without the style."""
        return " ".join("".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        assert all(value is None or len(value) < 1000 for _, value in attrs)
        if tag not in VOID:
            self._open.append(tag)
        self._texts.append(" " if tag in {"div", "td", "th", "summary", "text", "title"} else "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self._texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def read(html: str | None) -> Parsed:
    """Parse HTML that is there."""
    assert html is not None
    return Parsed(html)


def test_a_session_is_a_chat() -> None:
    """Who said what, with which tools, at what cost, and what went wrong."""
    session = session_of(replace(QUIET, cost=0.0042), BUSY, user="ada", project="shop")

    assert read(session._repr_html_()).text == (
        "abc ada · project shop · 2 turns · 8 spans · 2,400 tokens in, 68 out · $0.0042 · "
        "began 2026-01-01 00:00 UTC · 1 error "
        "ada Where is my boat? assistant In Oslo. "
        "2026-01-01 00:00:00 · 12 ms · 1,200 tokens in, 34 out · $0.0042 "
        "ada What is 6 * 7, and who is there? "
        "tool calculator(6 * 7) → 42 in 6 * 7 out 42 "
        'tool people(city="Oslo", limit=2) → Ada Grace in {"city": "Oslo", "limit": 2} out Ada Grace '
        "tool broken() failed: ValueError('no') error ValueError('no') "
        "error ValueError('no') 00:01:00 · 3.4 s · 1,200 tokens in, 34 out"
    )


def test_sessions_are_a_table() -> None:
    """A row each, with the project if there are several; a page says that there are more."""
    rows = [session_of(QUIET, user="ada", project="shop"), session_of(BUSY, session_id="xyz")]
    page = Page(tuple(rows), next="more")

    assert read(notebook.sessions_html(rows[:1])).text == (
        "session user turns errors tokens in / out median turn last active first input "
        "abc ada 1 0 1,200 / 34 12 ms 2026-01-01 Where is my boat?"
    )
    shown = read(page._repr_html_()).text
    assert "abc shop ada" in shown
    assert "xyz default - 1 1 1,200 / 34 3.4 s" in shown
    assert shown.endswith("there are more: ask again with after=page.next")


def test_a_session_without_its_turns_is_one_row() -> None:
    """A summary renders itself as a table of one."""
    whole = session_of(QUIET)
    summary = SessionSummary(**{field.name: getattr(whole, field.name) for field in fields(SessionSummary)})

    assert summary._repr_html_() == notebook.sessions_html([whole])


def test_turns_and_hits_are_shown_under_their_sessions() -> None:
    """What `turns`, `changes` and `search` return."""
    other = replace(BUSY, session_id="xyz")
    turns = read(Page((QUIET, replace(QUIET, trace_id="2" * 32), other))._repr_html_()).text
    hits = read(Page((HIT, replace(HIT, role="assistant")))._repr_html_())

    assert (turns.count("abc"), turns.count("xyz")) == (1, 1)
    assert hits.text == (
        f"abc 2026-01-01 00:00 UTC · trace {'0' * 32} ada …my boat is "
        f"abc 2026-01-01 00:00 UTC · trace {'0' * 32} assistant …my boat is"
    )
    assert "mark" in hits.tags


@pytest.mark.parametrize("items", [(), ("text",), (QUIET, "text")])
def test_a_page_of_something_else_is_left_to_its_repr(items: tuple[object, ...]) -> None:
    """An empty page, and one of things that are not ours."""
    assert Page(items)._repr_html_() is None


def test_stats_are_numbers_and_a_picture() -> None:
    """The sums, and for each day a column that tells its numbers under the mouse."""
    page = read(STATS._repr_html_())

    assert page.text == (
        "3 sessions 1 users 10 turns 2 (20 %) failed turns 20.0k / 10 tokens in / out $0.012 cost 1.0 s "
        "median turn 2.0 s 95 % within turns a day 8 0 how long a turn took: median and 95 % 2.0 s 0 "
        "2026-01-01: 8 turns in 2 sessions, 2 errors, 1.0 s (median), 2.0 s (95 %) "
        "2026-01-03: 2 turns in 2 sessions, 0 errors, 1.0 s (median), 2.0 s (95 %) "
        "2026-01-01 sessions by project: shop 2, support 1"
    )
    assert 'aria-label="Turns by day, 2026-01-01 to 2026-01-03' in STATS._repr_html_()


def test_the_picture_is_bounded() -> None:
    """However old the first day is, no more than the last ninety are drawn, and that is said."""
    days = tuple(replace(DAY, day=date(2020, 1, 1) + timedelta(days=number)) for number in range(0, 2000, 3))
    html = replace(STATS, days=days)._repr_html_()

    assert html.count("<title>") == 30
    assert "the last 90 days; stats.days has them all" in read(html).text


def test_stats_of_nothing_have_no_picture() -> None:
    """Without turns there is nothing to draw."""
    nothing = replace(STATS, turns=0, errors=0, days=(), projects=(), p50_turn_ns=None, p95_turn_ns=None)

    assert "svg" not in read(nothing._repr_html_()).tags


@pytest.mark.parametrize(
    "render",
    [
        lambda text: session_of(hostile_turn(text), session_id=text, user=text, project=text)._repr_html_(),
        lambda text: notebook.sessions_html(
            [session_of(hostile_turn(text), session_id=text, user=text, project=text), session_of(QUIET)]
        ),
        lambda text: Page((hostile_turn(text),))._repr_html_(),
        lambda text: Page(
            (SearchHit(turn=hostile_turn(text), role="user", excerpt=(Fragment(text), Fragment(text, True))),)
        )._repr_html_(),
        lambda text: replace(STATS, projects=((text, 1), ("b", 1)))._repr_html_(),
    ],
    ids=["session", "sessions", "turns", "hits", "stats"],
)
def test_texts_are_shown_and_never_obeyed(render: Callable[[str], str | None]) -> None:
    """No tag, attribute or comment of a text becomes one, and no control character is left."""
    for text in (HOSTILE, HOSTILE * 100):
        html = render(text)
        assert html is not None
        page = read(html)
        assert page.tags <= set(TAGS.split())
        assert page.attributes <= set(ATTRIBUTES.split())
        assert page.comments == 0
        assert "<script>alert(1)</script>" in page.text or "</div></details></style>" in page.text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", html)
        html.encode()


def test_long_texts_are_folded_and_very_long_ones_cut() -> None:
    """Something to unfold, and the number of characters; a notebook file does not grow without end."""
    turn = replace(
        QUIET,
        input="line\n" * 20,
        output="x" * 30_000,
        tools=(ToolUse("tool", "y" * 30_000, "z" * 30_000), *(ToolUse("t", "", ""),) * 40),
    )
    html = session_of(turn)._repr_html_()
    text = read(html).text

    assert "(100 characters)" in text
    assert "(30,000 characters)" in text
    assert text.count("… and 10,000 more characters that are not here") == 3
    assert "… and 11 more tool calls" in text
    assert len(html) < 90_000


def test_of_a_long_session_the_middle_is_left_out() -> None:
    """The beginning and the end are shown, and how many turns are not."""
    turns = [
        replace(
            QUIET,
            trace_id=f"{number:032x}",
            started_ns=NEW_YEAR + number,
            input=f"question {number}.",
        )
        for number in range(1000)
    ]
    text = read(Session.of(turns)._repr_html_()).text

    assert "950 turns left out here: session.turns has them all" in text
    assert [number in text for number in ("question 0.", "question 9.", "question 10.", "question 959.")] == [
        True,
        True,
        False,
        False,
    ]
    assert "question 960." in text
    assert "question 999." in text
    many = [session_of(QUIET, session_id=str(number)) for number in range(250)]
    assert "… and 50 more sessions" in read(notebook.sessions_html(many)).text


def test_it_fits_in_light_and_in_dark() -> None:
    """Text and background keep the page's colours; what has a colour is mixed with the text's, or a shape."""
    style = session_of(BUSY)._repr_html_().partition("</style>")[0]

    assert re.findall(r"(?<=[;{\n])(?:color|background):([^;}]*)", style) == [
        "var(--ls-area)",
        "var(--ls-bad)",
        "color-mix(in srgb,var(--ls-bad) 78%,currentColor)",
        "var(--ls-area)",
        "none",
        "inherit",
        "rgba(240,190,40,.45)",
        "inherit",
    ]
    assert all(
        selector.strip().startswith(".langchain-sessions")
        for rule in re.findall(r"([^{}]+){", style.partition("<style>")[2])
        for selector in re.split(r",(?![^(]*\))", rule)
    )


def test_nothing_is_loaded_or_run() -> None:
    """No scripts, no addresses."""
    for html in (session_of(BUSY)._repr_html_(), STATS._repr_html_(), Page((HIT,))._repr_html_()):
        assert html is not None
        assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe|\bon\w+=", html)


def test_it_needs_nothing_but_the_standard_library() -> None:
    """A notebook without the extras shows sessions all the same."""
    code = (
        "import sys\n"
        "for name in ('click', 'jinja2', 'markdown_it', 'rich', 'starlette'): sys.modules[name] = None\n"
        "from tests.support.conversations import BUSY, session_of\n"
        "print(len(session_of(BUSY)._repr_html_()) > 1000)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (ran.stdout, ran.stderr) == ("True\n", "")
