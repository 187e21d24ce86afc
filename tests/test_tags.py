"""Tags: from the config of a call to the sessions that are chosen by them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda

from langchain_sessions.store import SessionFilter, SQLiteSessionStore, iter_sessions
from tests.support.command_line import run
from tests.support.spans import span, turn
from tests.support.stores import audit, bring_back, raw
from tests.support.web import visiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import Span
    from tests.conftest import MakeHandler


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store, which has to be sound at the end."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store
    audit(store.path)


def tagged(number: int, session: str, *tags: str, **options: Any) -> Span:
    """Make the span of a turn that has tags; its number is that of its trace."""
    return span(1, trace=number, session=session, attributes={"tag.tags": list(tags)}, **options)


def found(store: SQLiteSessionStore, tag: str) -> list[str]:
    """The ids of the sessions with this tag; however they are asked for, the answer is the same."""
    where = SessionFilter(tag=tag)
    ids = [it.id for it in store.sessions(where)]
    assert sorted(it.id for it in store.sessions(where, sort="turns")) == sorted(ids)
    assert store.stats(where).sessions == len(ids)
    return sorted(ids)


def rows(store: SQLiteSessionStore) -> list[tuple[object, ...]]:
    """All that is in the table."""
    with raw(store.path) as db:
        return db.execute("SELECT tag, session_id FROM tags JOIN sessions ON id = session_key").fetchall()


def test_a_session_is_found_by_the_tags_of_its_calls(make_handler: MakeHandler, tmp_path: Path) -> None:
    """Those of the outermost run; what LangChain adds to steps, and steps of their own have, is none."""
    handler = make_handler(tracer_provider=None, store=tmp_path / "sessions.db")
    inner = RunnableLambda(str.upper).with_config(tags=["inner"])
    config: Any = {"callbacks": [handler], "metadata": {"session_id": "abc"}}
    (inner | str.lower).invoke("hi", config | {"tags": ["beta", "ö 旅行"]})
    (inner | str.lower).invoke("hi", config | {"metadata": {"session_id": "other"}})
    assert handler.force_flush()
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        assert {it: found(store, it) for it in ("beta", "ö 旅行", "inner", "seq:step:1", "")} == {
            "beta": ["abc"],
            "ö 旅行": ["abc"],
            "inner": [],
            "seq:step:1": [],
            "": [],
        }


def test_tags_are_those_of_the_outermost_span_whenever_it_comes(store: SQLiteSessionStore) -> None:
    """Of a turn that is going on there are none; a web server's span above the run changes nothing."""
    step, run_, server = (
        replace(it, parent_is_remote=False)
        for it in (
            span(3, 2, session="a", attributes={"tag.tags": ["beta", "seq:step:1"]}),
            span(2, 1, session="a", attributes={"tag.tags": ["beta"]}),
            span(1, kind=""),
        )
    )
    for it, kept in ((step, []), (run_, []), (server, [("beta", "a")])):
        store.add([it])
        assert rows(store) == kept
    assert (found(store, "beta"), found(store, "seq:step:1")) == (["a"], [])


def test_tags_follow_their_turns(store: SQLiteSessionStore) -> None:
    """Each is kept once; what is deleted takes them along, and what gets its number has none of them."""
    store.add([tagged(1, "a", "x", "y", "x"), tagged(2, "a", "y"), tagged(3, "b", "y", "")])
    store.add([tagged(1, "a", "x", "y"), span(9, 1, trace=1)])
    assert sorted(rows(store)) == [("x", "a"), ("y", "a"), ("y", "a"), ("y", "b")]
    store.delete("a")
    assert rows(store) == [("y", "b")]
    store.prune(max_bytes=0)
    assert rows(store) == []
    store.add([span(1, trace=7, session="c")])
    assert found(store, "y") == []


@pytest.mark.parametrize("odd", ["beta", 7, None, [7, None, ["beta"]], {"beta": "beta"}, ["\udcff", "ok"]])
def test_odd_tags_do_no_harm(store: SQLiteSessionStore, odd: Any) -> None:
    """What is no list of texts has no tags; half a surrogate pair is escaped, as everywhere."""
    store.add([span(1, session="a", attributes={"tag.tags": odd})])
    is_list = odd == ["\udcff", "ok"]
    assert found(store, "ok") == found(store, "\udcff") == (["a"] if is_list else [])


def test_a_text_of_a_thousand_characters_is_the_longest_tag(store: SQLiteSessionStore) -> None:
    """One of megabytes would have every tag that is written compared with all of it."""
    store.add([tagged(1, "a", "x" * 1_000), tagged(2, "b", "x" * 1_001, "ok")])
    assert found(store, "x" * 1_000) == ["a"]
    assert sorted(rows(store)) == [("ok", "b"), ("x" * 1_000, "a")]


def test_a_tag_and_other_conditions_hold_together(store: SQLiteSessionStore) -> None:
    """A search and statistics are about all turns of the sessions with a turn that has it."""
    store.add([*turn(1, "a", "boat"), tagged(2, "a", "x", said="sea"), *turn(3, "b", "boat")])
    store.add([tagged(4, "c", "x", project="shop")])
    assert [it.turn.session_id for it in store.search("boat", SessionFilter(tag="x"))] == ["a"]
    assert store.stats(SessionFilter(tag="x", project="default")).turns == 2
    assert [it.id for it in store.sessions(SessionFilter(tag="x", project="shop"))] == ["c"]
    assert [it.id for it in store.sessions(SessionFilter(tag="x", min_turns=2, text="sea"))] == ["a"]


def test_sessions_that_come_while_those_with_a_tag_are_read(store: SQLiteSessionStore) -> None:
    """Have to have it, too."""
    store.add([tagged(number, f"s{number}", "x") for number in range(1, 251)])
    ids: list[str] = []
    for it in iter_sessions(store, SessionFilter(tag="x")):
        ids.append(it.id)
        if len(ids) == 10:
            store.add([tagged(300, "with", "x"), tagged(301, "without", "y")])
            store.add([tagged(302, "s1", "y")])
    assert sorted(ids) == sorted(["with", *(f"s{number}" for number in range(1, 251))])


def test_a_turn_of_a_job_that_comes_while_those_with_a_tag_are_read(store: SQLiteSessionStore) -> None:
    """The run above it is of no session, and still its turn is complete and has its tag."""
    store.add([tagged(number, f"s{number}", "x") for number in range(1, 31)])
    late = [
        span(number, 9, trace=99, session=f"late{number}", attributes={"tag.tags": ["x"]})
        for number in (1, 2)
    ]
    sessions = iter_sessions(store, SessionFilter(tag="x"))
    ids = [next(sessions).id]
    store.add([span(9, trace=99), *(replace(it, parent_is_remote=False) for it in late)])
    ids += [it.id for it in sessions]
    assert set(found(store, "x")) - set(ids) == set()


def test_a_file_of_the_version_before_gets_the_table(store: SQLiteSessionStore) -> None:
    """What is in it has no tags until a span of it comes, or it is imported into another file."""
    store.add([tagged(1, "a", "x"), tagged(2, "b", "x")])
    store.close()
    bring_back(store.path, 3)
    with closing(SQLiteSessionStore(store.path)) as upgraded:
        assert len(upgraded.sessions()) == 2
        assert found(upgraded, "x") == []
        upgraded.add([span(9, 1, trace=1), tagged(3, "c", "x")])
        assert found(upgraded, "x") == ["a", "c"]
    copy = store.path.with_name("copy.db")
    lines = run("export", "--store", str(store.path), "-o", str(store.path.with_name("all.jsonl")))
    assert lines.exit_code == 0
    assert run("import", "--store", str(copy), str(store.path.with_name("all.jsonl"))).exit_code == 0
    with closing(SQLiteSessionStore(copy)) as other:
        assert found(other, "x") == ["a", "b", "c"]


def test_the_commands_and_the_page_choose_by_tag(store: SQLiteSessionStore) -> None:
    """`--tag`, and a field among the page's filters, which links and sums keep."""
    store.add([tagged(1, "a", "x", said="boat"), tagged(2, "b", "y", said="boat")])
    place = ["--store", str(store.path), "--tag", "x"]
    assert [it["id"] for it in json.loads(run("list", "--json", *place).stdout)["items"]] == ["a"]
    assert json.loads(run("search", "boat", "--json", *place).stdout)["items"][0]["turn"]["session_id"] == "a"
    assert json.loads(run("stats", "--json", *place).stdout)["sessions"] == 1
    assert json.loads(run("export", "--format", "chat", *place).stdout)["id"] == "a"
    with visiting(store) as client:
        page = client.get("/", params={"tag": "x", "sort": "turns"}).text
        hits = client.get("/search", params={"q": "boat", "tag": "x"}).text
    assert '<input name="tag" value="x"' in page
    assert ("id=a" in page, "id=b" in page) == (True, False)
    assert ("id=a" in hits, "id=b" in hits) == (True, False)
