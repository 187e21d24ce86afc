from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_sessions.store import SessionFilter, SQLiteSessionStore, iter_sessions
from langchain_sessions.store._sqlite._forecast import forecast
from langchain_sessions.store._sqlite._retention import prune
from tests.support.spans import MINUTE, NOON, SECOND, expected, messages, span
from tests.support.stores import all_sessions, all_spans, audit, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_sessions.store import Session, Span

WORDS = ("boat", "Öl", "C++", "旅行", "what's", "🙂")
"""What is said in the conversations, a word each."""

SESSIONS = (None, None, "a", "b", "ä 1")


GENAI = (
    None,
    None,
    {"gen_ai.conversation.id": "c"},
    {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "a",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.input.messages": messages(("user", "Öl")),
    },
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.output_tokens": "9", "gen_ai.completion": "旅行"},
    {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add", "error.type": "timeout"},
)
"""What a span may have of the convention for generative AI; of no kind if it has OpenInference's."""


@st.composite
def a_trace(draw: st.DrawFn, number: int) -> list[Span]:
    """Spans of one trace: any tree, parents that are missing, circles; any ids, projects and kinds."""
    size = draw(st.integers(1, 7))
    shape = draw(st.lists(st.one_of(st.none(), st.integers(0, 8)), min_size=size, max_size=size))
    one = st.sampled_from
    return [
        span(
            at,
            parent,
            trace=number,
            session=draw(one(SESSIONS)),
            kind=draw(one(("CHAIN", "LLM", "TOOL", "", ""))),
            said=draw(one((None, *WORDS))),
            answered=draw(one((None, *WORDS))),
            start=draw(one((0, 1, 2, 2 * MINUTE))) + number * SECOND,
            length=draw(one((0, 1, MINUTE))),
            project=draw(one((None, "shop", "shop", "bank"))),
            user=draw(one((None, "ada", "grace"))),
            error=draw(one((None, None, "ValueError('no')"))),
            tokens=draw(one((None, (1, 2), (70, 0)))),
            cost=draw(one((None, 0.25, 2.0))),
            attributes=draw(one(GENAI)),
        )
        for at, parent in enumerate(shape)
    ]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Span], list[list[Span]]]:
    """Spans of some traces, and the batches in which they arrive: any order, some of them repeatedly."""
    traces = [draw(a_trace(number)) for number in range(1, draw(st.integers(1, 3)) + 1)]
    spans = [it for trace in traces for it in trace]
    again = draw(st.lists(st.sampled_from(spans), max_size=4))
    order = draw(st.permutations([*spans, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=5)))
    edges = [0, *cuts, len(order)]
    return spans, [order[left:right] for left, right in pairwise(edges)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder for the files of many examples."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def a_file(place: Path) -> Path:
    """Return a path where nothing is yet."""
    return Path(tempfile.mkdtemp(dir=place)) / "sessions.db"


def content(store: SQLiteSessionStore) -> dict[str, Any]:
    """All that a reader gets to see, independent of the order of arrival."""
    filters = [SessionFilter(project="shop"), SessionFilter(user="ada", has_errors=True)]
    return {
        "sessions": all_sessions(store),
        "spans": {key: [comparable(it) for it in some] for key, some in all_spans(store).items()},
        "stats": [store.stats(it) for it in (None, *filters)],
        "hits": {word: found(store, word) for word in WORDS},
        "texts": {
            word: {(it.project, it.id) for it in iter_sessions(store, SessionFilter(text=word))}
            for word in WORDS
        },
        "filters": [{(it.project, it.id) for it in iter_sessions(store, where)} for where in filters],
    }


def comparable(it: Span) -> Span:
    """A span as it comes back: what JSON has no word for is another type then."""
    return replace(it, attributes=dict(it.attributes), resource=dict(it.resource))


def said_in(sessions: dict[tuple[str, str], Session], word: str) -> set[str]:
    """The ids of the sessions in which the word is said."""
    return {
        key[1]
        for key, session in sessions.items()
        for turn in session.turns
        if word in (turn.input, turn.output)
    }


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(delivered=deliveries())
def test_what_is_stored_does_not_depend_on_how_it_arrived(
    place: Path, delivered: tuple[list[Span], list[list[Span]]]
) -> None:
    """In any order, in any batches, repeatedly, through stores that are opened anew: it is all the same."""
    spans, batches = delivered
    bit_by_bit, at_once = a_file(place), a_file(place)
    first = SQLiteSessionStore(bit_by_bit)
    second = SQLiteSessionStore(bit_by_bit)
    new = 0
    for number, batch in enumerate(batches):
        new += (first, second)[number % 2].add(batch)
        if number % 3 == 2:
            first.close()
            first = SQLiteSessionStore(bit_by_bit)
    assert new == len(spans)
    with closing(first), closing(second), closing(SQLiteSessionStore(at_once)) as other:
        assert other.add(spans) == len(spans)
        wanted = expected(spans)
        assert all_sessions(other) == wanted
        assert content(first) == content(other)
        assert {word: found(other, word) for word in WORDS} == {word: said_in(wanted, word) for word in WORDS}
        check_stats(other, wanted)
    audit(bit_by_bit)


def check_stats(store: SQLiteSessionStore, wanted: dict[tuple[str, str], Session]) -> None:
    """Compare the sums of a store with those of its sessions."""
    stats = store.stats()
    turns = [turn for session in wanted.values() for turn in session.turns]
    costs = [turn.cost for turn in turns if turn.cost is not None]
    assert stats.sessions == len(wanted)
    assert stats.users == len({turn.user for turn in turns} - {None})
    assert stats.turns == len(turns)
    assert stats.spans == sum(turn.span_count for turn in turns)
    assert stats.errors == sum(turn.error is not None for turn in turns)
    assert stats.prompt_tokens == sum(turn.prompt_tokens for turn in turns)
    assert stats.cost == (sum(costs) if costs else None)
    assert dict(stats.projects) == {
        project: sum(key[0] == project for key in wanted) for project in {key[0] for key in wanted}
    }
    assert sum(day.turns for day in stats.days) == len(turns)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(delivered=deliveries(), after=st.integers(0, 3 * 60))
def test_a_dry_run_tells_what_a_prune_by_age_deletes(
    place: Path, delivered: tuple[list[Span], list[list[Span]]], after: int
) -> None:
    """Whatever parts of traces the sessions have."""
    oldest = NOON + after * SECOND
    with closing(SQLiteSessionStore(a_file(place))) as store:
        store.add(delivered[0])
        with store._connections.reading() as db:
            told = forecast(db, oldest, None)
        done = prune(store._connections, oldest, None, None)
        assert replace(told, bytes=done.bytes) == done


@st.composite
def with_deletions(draw: st.DrawFn) -> list[list[Span] | str | int]:
    """Batches, and between them the deletion of a session (a text) or of so many of all (a number)."""
    _, batches = draw(deliveries())
    steps: list[list[Span] | str | int] = []
    for batch in batches:
        steps.append(batch)
        steps += draw(st.lists(st.one_of(st.sampled_from(("a", "b", "ä 1")), st.integers(0, 1)), max_size=2))
    return steps


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=with_deletions())
def test_deletions_in_between_leave_everything_consistent(
    place: Path, steps: Sequence[list[Span] | str | int]
) -> None:
    """Sums and the index of words are those of what is left; what was deleted may come again."""
    path = a_file(place)
    with closing(SQLiteSessionStore(path)) as store:
        for step in steps:
            if isinstance(step, list):
                store.add(step)
            elif isinstance(step, int):
                store.prune(max_bytes=0 if step else 10**9)
            else:
                for summary in [it for it in iter_sessions(store) if it.id == step]:
                    store.delete(summary.id, project=summary.project)
        check_stats(store, all_sessions(store))
    audit(path)
