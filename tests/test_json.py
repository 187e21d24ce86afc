from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from langchain_sessions.store import Fragment, Page, SearchHit, Span, SpanEvent, ToolUse
from langchain_sessions.view._json import to_plain
from tests.support.conversations import BUSY, DAY, NEW_YEAR, session_of


def test_a_dataclass_is_an_object_of_its_fields() -> None:
    """All of them, in their order, and beside each point in time its text."""
    session = session_of(BUSY)
    plain: Any = to_plain(session)

    assert [key for key in plain if key not in {"started", "last_activity"}] == [
        it.name for it in fields(session)
    ]
    assert (plain["started"], plain["started_ns"]) == ("2026-01-01T00:01:00.000000Z", NEW_YEAR + 60 * 10**9)
    assert plain["turns"][0]["tools"][0] == {
        "name": "calculator",
        "input": "6 * 7",
        "output": "42",
        "error": None,
    }
    assert json.loads(json.dumps(plain)) == plain


def test_a_page_is_an_object_too() -> None:
    """What it has, and where to go on."""
    hit = SearchHit(turn=BUSY, role="user", excerpt=(Fragment("a"), Fragment("b", is_match=True)))
    plain: Any = to_plain(Page((hit,), next="x"))

    assert (plain["next"], plain["previous"]) == ("x", None)
    assert plain["items"][0]["excerpt"] == [{"text": "a", "is_match": False}, {"text": "b", "is_match": True}]


def test_durations_have_no_second_form() -> None:
    """Only points in time become texts; a day is a date."""
    plain: Any = to_plain(DAY)

    assert plain["day"] == "2026-01-01"
    assert [key for key in plain if "turn" in key] == ["turns", "p50_turn_ns", "p95_turn_ns"]


def test_attributes_of_spans_may_be_anything() -> None:
    """Nested values, numbers that JSON has not, bytes, and keys that are no texts."""
    attributes: Any = {
        "list": ("a", 1, True, None, {"b": [1.5]}),
        "odd": [float("nan"), float("inf"), b"\xff", {3}],
        7: "seven",
    }
    span = Span(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=None,
        name="step",
        start_ns=NEW_YEAR,
        end_ns=2**80,
        attributes=attributes,
        events=(SpanEvent("exception", NEW_YEAR),),
    )
    plain: Any = to_plain(span)

    assert plain["attributes"] == {
        "list": ["a", 1, True, None, {"b": [1.5]}],
        "odd": ["nan", "inf", "b'\\xff'", [3]],
        "7": "seven",
    }
    assert (plain["start"], plain["end"], plain["end_ns"]) == ("2026-01-01T00:00:00.000000Z", None, 2**80)
    assert plain["events"][0]["time"] == "2026-01-01T00:00:00.000000Z"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize("value", [None, "text", 1, 1.5, True])
def test_what_is_plain_stays_as_it_is(value: object) -> None:
    """Texts, numbers and nothing."""
    assert to_plain(value) is value


def test_times_are_in_utc() -> None:
    """Whatever their zone."""
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert to_plain([east, datetime(2026, 1, 1, tzinfo=UTC)]) == ["2026-01-01T00:00:00.000000Z"] * 2


def test_a_class_is_no_object_of_data() -> None:
    """A dataclass itself, and anything unknown, is its text."""

    @dataclass
    class Known:
        x: int

    assert to_plain(Known(ToolUse)) == {"x": str(ToolUse)}  # type: ignore[arg-type]
