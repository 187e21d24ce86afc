from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from langchain_sessions.store import Fragment, SearchHit, SessionStats, ToolUse
from langchain_sessions.view._plain import ago, compact, money, size
from langchain_sessions.view.terminal import (
    search_hit,
    sessions_table,
    span_tree,
    stats_report,
    transcript,
    turn_line,
)
from tests.support.conversations import (
    BUSY,
    DAY,
    MINUTE,
    NEW_YEAR,
    QUIET,
    STATS,
    hostile_turn,
    session_of,
    span,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

HOSTILE = "[red]x[/red]\x1b[31m\x1b]0;title\x07\r\u202e\u009b2J[link=http://a]\udc80"
HARMLESS = r"[red]x[/red]\x1b[31m\x1b]0;title\x07 \u202e\x9b2J[link=http://a]\udc80"


def printed(*what: RenderableType, width: int = 80, terminal: bool = False, encoding: str = "utf-8") -> str:
    """What a console of this width shows, in colours if it is a terminal."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace", newline="")
    colours = "standard" if terminal else None
    console = Console(
        file=stream, width=width, highlight=False, force_terminal=terminal, color_system=colours
    )
    for each in what:
        console.print(each)
    stream.seek(0)
    return stream.read()


def lines(text: str) -> list[str]:
    """The lines without the blanks that fill them up."""
    return [line.rstrip() for line in text.split("\n")[:-1]]


def plain(text: str) -> str:
    """What is left without our own colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_sessions_are_a_table() -> None:
    """Each session is one row: ids, counts, errors, tokens, median time, last activity, how it began."""
    sessions = [
        session_of(QUIET, BUSY, replace(QUIET, duration_ns=20_000_000), user="ada"),
        session_of(replace(BUSY, prompt_tokens=123_456), session_id="00000000-0000-0000-0000-000000000007"),
    ]
    now_ns = sessions[0].last_activity_ns + 5 * MINUTE

    shown = printed(sessions_table(sessions, now_ns=now_ns), width=120).split("\n")
    assert [re.split(" {2,}", line.strip()) for line in shown] == [
        [""],
        ["tokens", "median", "last"],
        ["session", "user", "turns", "errors", "in / out", "turn", "active", "first input"],
        ["─" * 118],
        ["abc", "ada", "3", "1", "3,600 / 102", "20 ms", "5m ago", "Where is my boat?"],
        [sessions[1].id, "-", "1", "1", "123.5k / 34", "3.4 s", "5m ago", "What is 6 * 7, and who is the…"],
        [""],
        [""],
    ]


def test_a_table_of_several_projects_names_them() -> None:
    """The project has a column only where it tells something."""
    shop, support = (session_of(QUIET, project=project) for project in ("shop", "support"))

    assert "project" not in printed(sessions_table([shop, shop]))
    assert re.search(
        r" project .*\n.*\n abc +shop +- .*\n abc +support +- .* Where is my bo…",
        printed(sessions_table([shop, support])),
    )


@pytest.mark.parametrize("width", [120, 100, 80, 60, 40, 20])
def test_a_table_shows_what_there_is_room_for(width: int) -> None:
    """No terminal is too narrow for the ids; other columns go before anything is cut off."""
    ids = ["0f8fad5b-d9cd-469f-a165-70867728950e", "abc"]
    sessions = [session_of(BUSY, session_id=it, user="somebody@example.com", project=it) for it in ids]
    shown = printed(sessions_table(sessions, now_ns=NEW_YEAR), width=width)

    assert len({len(line) for line in shown.split("\n")[:-1]} | {width}) <= 2
    assert max(map(len, shown.split("\n"))) <= width
    heading, body = re.split(r"\n ─+ *\n", shown)
    next_column = re.search(r"session +()[a-z]", heading.split("\n")[-1])
    end = next_column.start(1) if next_column else None
    assert "".join(line[:end].strip() for line in body.split("\n")) == "".join(ids)
    assert ("median" in shown) == (width > 100)


def test_an_id_can_be_copied() -> None:
    """At 80 columns a UUID is in one line, and so is the beginning of the first input; longer ids wrap."""
    uuid = "00000000-0000-0000-0000-000000000007"
    session, longer = (session_of(BUSY, session_id=it, user="ada") for it in (uuid, f"{uuid}-and-more"))

    shown = lines(printed(sessions_table([session], now_ns=session.last_activity_ns)))[4]
    assert shown.split()[0] == uuid
    assert "What is 6 * 7" in shown
    wrapped = lines(printed(sessions_table([longer], now_ns=longer.last_activity_ns)))[4:]
    assert "".join(line[:42].strip() for line in wrapped) == longer.id


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (-9 * MINUTE, "2026-01-01"),
        (-MINUTE, "now"),
        (MINUTE - 1, "now"),
        (2 * MINUTE, "2m ago"),
        (59.6 * MINUTE, "1h ago"),
        (30 * 60 * MINUTE, "30h ago"),
        (36 * 60 * MINUTE, "2d ago"),
        (29 * 24 * 60 * MINUTE, "29d ago"),
        (31 * 24 * 60 * MINUTE, "2025-12-01"),
        (2**63, "1733-09-22"),
        (2**80, "1-01-01"),
    ],
)
def test_the_last_activity_is_told_as_people_tell_it(nanoseconds: float, shown: str) -> None:
    """Minutes, hours, days, then the date; a clock that is a little ahead makes nothing of the future."""
    assert ago(NEW_YEAR - int(nanoseconds), NEW_YEAR).lstrip("0") == shown


def test_numbers_are_short() -> None:
    """Large counts, small costs and sizes have the digits that matter."""
    assert [compact(it) for it in (0, 9_999, 12_345, 999_960, 5 * 10**9, 10**15)] == [
        "0",
        "9,999",
        "12.3k",
        "1.0M",
        "5.0G",
        "1,000.0T",
    ]
    assert [money(it) for it in (0.0, 1234.5, 0.1, 0.012, 0.000042)] == [
        "$0.00",
        "$1,234.50",
        "$0.10",
        "$0.012",
        "$0.000042",
    ]
    assert [size(it) for it in (0, 1, 999, 4_200_000, 10**13)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "4.2 MB",
        "10.0 TB",
    ]


def test_a_transcript_is_a_chat() -> None:
    """Who said what, with which tools, at what cost, and what went wrong."""
    session = session_of(replace(QUIET, cost=0.0042), BUSY, user="ada", project="shop")

    assert lines(printed(transcript(session))) == [
        "─" * 80,
        "Session abc",
        "ada · project shop · 2 turns · 8 spans · 2,400 tokens in, 68 out · $0.0042 ·",
        "began 2026-01-01 00:00 UTC · 1 error",
        "",
        "  ada        Where is my boat?",
        "  assistant  In Oslo.",
        "             00:00:00 · 12 ms · 1,200 tokens in, 34 out · $0.0042",
        "",
        "  ada        What is 6 * 7,",
        "             and who is there?",
        "  tool       calculator(6 * 7) → 42",
        '  tool       people(city="Oslo", limit=2) → Ada Grace',
        "  tool       broken() failed: ValueError('no')",
        "  error      ValueError('no')",
        "             00:01:00 · 3.4 s · 1,200 tokens in, 34 out",
    ]


def test_another_day_and_another_user_are_told() -> None:
    """A conversation that goes on the next day, with somebody else, shows both."""
    session = session_of(QUIET, user="ada")
    later = replace(QUIET, user="eve", started_ns=NEW_YEAR + 25 * 60 * MINUTE, trace_id="2" * 32)
    session = type(session).of([*session.turns, later])

    assert lines(printed(transcript(session)))[-6:] == [
        "",
        "  2026-01-02",
        "",
        "  eve        Where is my boat?",
        "  assistant  In Oslo.",
        "             01:00:00 · 12 ms · 1,200 tokens in, 34 out",
    ]


def test_long_texts_wrap_beside_the_speaker() -> None:
    """A text keeps clear of the speaker's column, be it words, one long word or wide characters."""
    turn = replace(QUIET, input="word " * 14, output="x" * 80 + "日本" * 20)

    assert lines(printed(transcript(session_of(turn)), width=60))[5:-1] == [
        "  user       word word word word word word word word word",
        "             word word word word word",
        "  assistant  " + "x" * 47,
        "             " + "x" * 33 + "日本" * 3 + "日",
        "             " + "本日" * 11 + "本",
        "             " + "日本" * 5,
    ]


def test_a_turn_without_texts_says_so() -> None:
    """Nothing said and nothing answered are shown as such."""
    shown = lines(printed(transcript(session_of(replace(QUIET, input="", output="")))))

    assert shown[4:6] == ["  user       (nothing)", "  assistant  (no answer)"]


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "<1 ms"),
        (499_999, "<1 ms"),
        (1_000_000, "1 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.0 s"),
        (59_940_000_000, "59.9 s"),
        (59_960_000_000, "1 min 0 s"),
        (125_000_000_000, "2 min 5 s"),
    ],
)
def test_a_duration_is_as_precise_as_it_needs_to_be(nanoseconds: int, shown: str) -> None:
    """From milliseconds to minutes, and never "60.0 s"."""
    turn = replace(QUIET, duration_ns=nanoseconds)

    last = lines(printed(transcript(session_of(turn))))[-1].strip()
    assert last == f"00:00:00 · {shown} · 1,200 tokens in, 34 out"


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]", "plain"])
def test_arguments_that_are_no_json_object_stay_as_they_are(arguments: str) -> None:
    """Only named arguments are written as in Python."""
    turn = replace(QUIET, tools=(ToolUse("tool", arguments, "ok"),))

    assert f"  tool       tool({arguments}) → ok" in lines(printed(transcript(session_of(turn))))


def test_errors_are_red() -> None:
    """On a terminal, a failed turn and a failed tool stand out."""
    shown = printed(transcript(session_of(BUSY)), terminal=True)

    assert "\x1b[31m failed: ValueError('no')\x1b[0m" in shown
    assert "\x1b[1;31merror    \x1b[0m" in shown


def test_spans_are_a_tree() -> None:
    """Each span is under its parent, with its kind, its time and the first line of its error."""
    kind = {"attributes": {"openinference.span.kind": "TOOL"}}
    failed = {"status": "ERROR", "status_message": "ValueError('no')Traceback (most recent call last):\n..."}
    spans = [
        span(1, name="root"),
        span(2, 1, name="a"),
        span(4, 2, name="tool", **kind, **failed),
        span(3, 1, name="b", status="ERROR"),
        span(5, 99, name=""),
    ]

    assert lines(printed(span_tree(spans))) == [
        "root 1.0 s",
        "├── a 2.0 s",
        "│   └── tool TOOL 4.0 s ValueError('no')",
        "└── b 3.0 s failed",
        "(no name) 5.0 s",
    ]


def test_spans_without_a_top_are_shown_all_the_same() -> None:
    """Parents that go in a circle, and a chain of thousands, do not keep the tree from being drawn."""
    circle = [span(1, 2), span(2, 1), span(3, 3)]
    deep = [span(number, number - 1) for number in range(1, 3000)]

    assert len(lines(printed(span_tree(circle)))) == 3
    assert len(lines(printed(span_tree(deep), width=400))) == 2999


def test_a_hit_shows_where_and_what() -> None:
    """The session, the time and the trace, then the words around what was found, and that in colour."""
    excerpt = (Fragment("…my "), Fragment("Boat", is_match=True), Fragment(" is\nin Oslo"))
    hit = SearchHit(turn=replace(QUIET, user="ada"), role="user", excerpt=excerpt)

    assert lines(printed(search_hit(hit))) == [
        f"abc · 2026-01-01 00:00 UTC · trace {'0' * 32}",
        "  ada        …my Boat is in Oslo",
        "",
    ]
    assert "\x1b[1;30;43mBoat\x1b[0m" in printed(search_hit(hit), terminal=True)
    assert "  assistant  …my Boat" in printed(search_hit(replace(hit, role="assistant")))


def test_stats_are_sums_and_a_chart() -> None:
    """The sums, and a row for each day with its turns as a bar."""
    shown = lines(printed(stats_report(STATS), width=90))

    assert shown[:5] == [
        "3 sessions · 1 user · 10 turns · 1,234 spans",
        "20,000 tokens in, 10 out · $0.012",
        "2 errors, 20 % of the turns",
        "a turn took 1.0 s (median), 2.0 s (p95)",
        "projects: shop 2, support 1",
    ]
    rows = [line.split() for line in shown if "2026-01" in line]
    assert [row[0] for row in rows] == ["2026-01-01", "2026-01-03"]
    assert (rows[0][1], rows[1][1]) == ("█" * 37, "█" * 9 + "▎")
    assert rows[0][2:] == ["8", "2", "2", "1.0", "s", "2.0", "s"]
    assert "\x1b[31m█" in printed(stats_report(STATS), terminal=True)


def test_the_chart_needs_no_more_than_ascii() -> None:
    """Where the encoding has no blocks, the bars are of another character."""
    assert re.search(r"2026-01-01 *\|#{10,} *\| +8 \| +2", printed(stats_report(STATS), encoding="ascii"))


def test_the_chart_has_the_latest_days_only() -> None:
    """A store of years does not scroll past; what is left out is said."""
    days = tuple(replace(DAY, day=DAY.day + timedelta(days=number)) for number in range(100))
    shown = lines(printed(stats_report(replace(STATS, days=days))))

    assert len([line for line in shown if " 2026-" in line]) == 31
    assert shown[-1] == "  the latest 31 of 100 days with turns"


def test_stats_of_nothing_are_zeros() -> None:
    """Without turns there is nothing to divide by and no chart."""
    nothing = SessionStats(
        sessions=0,
        users=0,
        turns=0,
        spans=0,
        errors=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost=None,
        p50_turn_ns=None,
        p95_turn_ns=None,
        projects=(),
        days=(),
    )

    assert lines(printed(stats_report(nothing))) == [
        "0 sessions · 0 users · 0 turns · 0 spans",
        "0 tokens in, 0 out",
    ]


def test_a_live_turn_is_one_line() -> None:
    """Cut to the terminal's width there; whole in a pipe. A failed turn, and a changed one, show it."""
    long = replace(QUIET, input="word " * 40, output="answer " * 40, tools=BUSY.tools)
    [whole] = lines(printed(turn_line(long), width=10_000))
    [cut] = lines(plain(printed(turn_line(long), width=100, terminal=True)))
    [changed] = lines(printed(turn_line(BUSY, is_new=False), width=200))

    assert whole == f"00:00:00 abc 12 ms, 3 tools {'word ' * 40}→ {'answer ' * 40}".rstrip()
    assert len(cut) == 100
    assert re.fullmatch(r"00:00:00 abc 12 ms, 3 tools word .*… → answer .*…", cut)
    assert (
        changed == "00:01:00↻abc 3.4 s, 3 tools What is 6 * 7, and who is there? → failed: ValueError('no')"
    )


def test_texts_are_shown_and_never_obeyed() -> None:
    """Markup, escape sequences and other control characters appear as text, wherever they come from."""
    turn = hostile_turn(HOSTILE)
    session = session_of(turn, session_id=HOSTILE, user=HOSTILE, project=HOSTILE)
    hit = SearchHit(turn=turn, role="user", excerpt=(Fragment(HOSTILE, is_match=True),))
    bad = span(1, name=HOSTILE, attributes={"openinference.span.kind": HOSTILE}, status="ERROR")
    shown = printed(
        sessions_table([session, session_of(QUIET)]),
        search_hit(hit),
        span_tree([replace(bad, status_message=HOSTILE)]),
        stats_report(replace(STATS, projects=((HOSTILE, 1), ("b", 1)))),
        turn_line(turn),
        transcript(session),
        width=500,
        terminal=True,
    )
    text = plain(shown)

    assert {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs"}} == {"\n"}
    assert lines(text)[-11:] == [
        f"Session {HARMLESS}",
        f"{HARMLESS} · project {HARMLESS} · 1 turn · 4 spans · 1,200 tokens in, 34 out · "
        "began 2026-01-01 00:00 UTC · 1 error",
        "",
        r"  [red]x[/red]\x1…  [red]x[/red]\x1b[31m\x1b]0;title\x07",
        r"                    \u202e\x9b2J[link=http://a]\udc80",
        f"  tool              {HARMLESS}({HARMLESS}) → {HARMLESS}",
        f"  tool              t() failed: {HARMLESS}",
        r"  assistant         [red]x[/red]\x1b[31m\x1b]0;title\x07",
        r"                    \u202e\x9b2J[link=http://a]\udc80",
        f"  error             {HARMLESS}",
        "                    00:00:00 · 12 ms · 1,200 tokens in, 34 out",
    ]
