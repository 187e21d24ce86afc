from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SessionFilter, SQLiteSessionStore, StoreError
from langchain_sessions.view._plain import share
from langchain_sessions.view.web import _charts, _query, _stats, _tree
from langchain_sessions.view.web._markdown import html_of
from langchain_sessions.view.web._texts import is_data, laid_out
from tests.support.conversations import span
from tests.support.sample_sessions import (
    DAY,
    END,
    SECOND,
    Said,
    turn_spans,
)
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import SessionStats


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    yield store
    store.close()


def test_a_tree_shows_every_span_once() -> None:
    """Deep chains, circles, orphans and equal times: each span has one row, and none is lost."""
    deep = [span(it, it - 1 if it else None) for it in range(2_000)]
    assert [(row.depth, row.indent) for row in _tree.rows(deep)][-1] == (1_999, _tree.DEEPEST)
    circle = [span(1, 2), span(2, 1), span(3, 99), span(4, 3)]
    assert sorted(row.span.name for row in _tree.rows(circle)) == ["1", "2", "3", "4"]
    assert _tree.rows([]) == []
    [odd] = _tree.rows([span(1, start_ns=5, end_ns=1)])
    assert 0 < odd.width <= 1_000


class Slow:
    """A store whose sums take as long as the test wants."""

    def __init__(self, stats: SessionStats) -> None:
        self.stats_of, self.counted = stats, 0
        self.error: StoreError | None = None
        self.may_count = threading.Event()
        self.may_count.set()

    def revision(self) -> str:
        return str(self.counted)

    def stats(self, _where: SessionFilter) -> SessionStats:
        self.may_count.wait(PATIENCE)
        self.counted += 1
        if self.error is not None:
            raise self.error
        return self.stats_of


def test_no_request_waits_for_sums_that_are_known(
    store: SQLiteSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old sums are shown at once while new ones are counted; what takes long is not waited for at all."""
    monkeypatch.setattr(_stats, "_FRESH", 0)
    monkeypatch.setattr(_stats, "_SHARE", 0)
    monkeypatch.setattr(_stats, "_WAIT", PATIENCE)
    slow = Slow(store.stats())
    cache = _stats.StatsCache(slow)  # type: ignore[arg-type] -- the part of a store that it uses
    where = SessionFilter()
    first = cache.get(where, "0")
    assert first is not None
    assert cache.get(where, "0") is first
    slow.may_count.clear()
    assert cache.get(where, "1") is first
    monkeypatch.setattr(_stats, "_WAIT", 0)
    assert cache.get(SessionFilter(project="new"), "1") is None, "longer than a reader wants to wait"
    monkeypatch.setattr(_stats, "_WAIT", PATIENCE)
    slow.may_count.set()
    until(lambda: cache.get(where, "1") is not first, "the sums are not counted again")
    until(lambda: not cache._counting, "something is still being counted")
    slow.error = StoreError("gone")
    with pytest.raises(StoreError, match="gone"):
        cache.get(SessionFilter(project="other"), "1")
    cache.close()


def test_few_sums_are_kept(store: SQLiteSessionStore) -> None:
    """Who tries many filters does not fill the memory."""
    cache = _stats.StatsCache(store)
    for number in range(200):
        cache.get(SessionFilter(min_turns=number + 1), "0")
    assert len(cache._known) <= 64
    cache.close()


def test_the_days_that_are_summed_up() -> None:
    """Thirty days up to the last activity, or those that were asked for; a year at most."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    query = _query.Query()
    assert query.days(now, date(2026, 2, 20)) == (date(2026, 1, 22), date(2026, 2, 20))
    assert query.days(now, date(2099, 1, 1))[1] == date(2026, 3, 1)
    assert query.days(now, None) == (date(2026, 1, 31), date(2026, 3, 1))
    week = _query.Query(period="7d")
    assert week.days(now, date(2026, 1, 1)) == (date(2026, 2, 23), date(2026, 3, 1))
    day = _query.Query(first=date(2026, 2, 3), last=date(2026, 2, 3))
    assert day.days(now, None) == (date(2026, 2, 3), date(2026, 2, 3))
    assert _query.Query(first=date(2020, 1, 1)).days(now, None)[0] == date(2025, 3, 1)
    assert week.summed((date(2026, 2, 23), date(2026, 3, 1)), now).until == datetime(2026, 3, 2, tzinfo=UTC)


def test_pictures_have_their_numbers(store: SQLiteSessionStore) -> None:
    """A day's column says what it stands for, and an empty store has pictures of nothing."""
    store.add(turn_spans("abc", Said("a", "b", error="no", tokens=(7, 5), seconds=2)))
    day = datetime.fromtimestamp(END / SECOND, UTC).date()
    tiles = _charts.tiles(store.stats(), day, day)
    assert [tile.value for tile in tiles] == ["1", "1", "2.0 s", "12", "1"]
    assert "1 of 1 turn failed" in tiles[4].picture
    nothing = _charts.tiles(store.stats(SessionFilter(project="none")), day, day)
    assert [tile.value for tile in nothing] == ["0", "0", "none", "0", "0"]
    assert [share(part, 1_000) for part in (0, 1, 50, 500)] == ["0 %", "0.1 %", "5.0 %", "50 %"]
    assert share(1, 10**6) == "<0.1 %"


def test_days_are_drawn_from_the_first_to_the_last(store: SQLiteSessionStore) -> None:
    """Days on which nothing happened have their place."""
    store.add(turn_spans("a", Said("a", "b")))
    store.add(turn_spans("b", Said("a", "b"), started_ns=END - 9 * DAY))
    last = datetime.fromtimestamp(END / SECOND, UTC).date()
    first = datetime.fromtimestamp(END / SECOND - 9 * 86_400, UTC).date()
    assert _charts.tiles(store.stats(), first, last)[0].picture.count('class="column"') == 10


def test_brackets_in_brackets_are_not_laid_out() -> None:
    """Each line is indented by its depth, so that a few thousand brackets would become megabytes."""
    deep = "[" * 5_000 + "]" * 5_000

    assert laid_out(deep) == deep
    assert laid_out('{"a": [1]}') == '{\n  "a": [\n    1\n  ]\n}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' {"a": 1}\n', True),
        ("[1]", True),
        (f"[{'1,' * 20_000}1]", True),
        ("", False),
        ("7", False),
        ("[a](https://a.example) and [b]", False),
        ("{not so}", False),
        ("[" * 10_000 + "]" * 10_000, False),
    ],
)
def test_json_is_told_from_words(text: str, expected: bool) -> None:
    """What only begins and ends like it is somebody's text, unless it is too long to be looked at."""
    assert is_data(text) is expected


def test_a_table_wider_than_a_page_is_text() -> None:
    """Its rows would be filled up to its header."""
    wide = "|a" * 2_000 + "|\n" + "|-" * 2_000 + "|\n" + "|b|\n" * 500

    assert "<table>" not in html_of(wide)
    assert "<table>" in html_of("|a|b|\n|-|-|\n|1|2|")
