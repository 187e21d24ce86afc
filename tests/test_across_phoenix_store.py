"""`PhoenixSessionStore` on a real server: what it reads is what a file with the same spans has."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from langchain_sessions import SessionCallbackHandler
from langchain_sessions.store import (
    AnnotatableSessionStore,
    Annotation,
    PhoenixSessionStore,
    SessionFilter,
    SessionNotFoundError,
    SessionStore,
    SQLiteSessionStore,
    StoreError,
    StoreUnavailableError,
    WritableSessionStore,
    iter_sessions,
    iter_turns,
    open_store,
)
from langchain_sessions.store._measures import moment
from langchain_sessions.store._phoenix import _lists, _search, _snapshot
from langchain_sessions.store._phoenix._address import address_of
from langchain_sessions.store._phoenix._server import Server
from langchain_sessions.view.cli import cli
from tests.across.processes import free_port
from tests.support.phoenix import distinct, missing, phoenix_server
from tests.support.sample_sessions import END, SECOND, Call, Said, session_spans
from tests.support.turns import turn
from tests.support.waiting import PATIENCE, until
from tests.support.web import serving, text_of, visiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from langchain_sessions.store import SessionStats, Span
    from langchain_sessions.store._answers import Page, Sort
    from tests.support.phoenix import Phoenix

    Both: TypeAlias = tuple[SessionStore, SessionStore]

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PROJECT = "shop/eu #1"

SLASH, NUMBER, QUOTES, SHARED = "order/7?draft=#1", "4711", 'it\'s "né" \\ 日本', "before-midnight"

OF_TWO = "handed over"
"""A conversation that one user began and another one went on with."""

EVERY_SORT: tuple[Sort, ...] = ("last_activity", "turns", "tokens", "latency", "errors")

FILTERS = {
    "all": SessionFilter(),
    "user": SessionFilter(user="bob"),
    "user and text": SessionFilter(user="bob", text="kettle"),
    "user and time": SessionFilter(user="ada", until=moment(END)),
    "nobody": SessionFilter(user="nobody"),
    "project": SessionFilter(project=PROJECT),
    "other project": SessionFilter(project="other"),
    "errors": SessionFilter(has_errors=True),
    "turns": SessionFilter(min_turns=2),
    "since": SessionFilter(since=moment(END + 100 * SECOND)),
    "until": SessionFilter(until=moment(END + 100 * SECOND)),
    "text": SessionFilter(text="kettle"),
    "phrase": SessionFilter(text='"the small boat"'),
    "whenever": SessionFilter(until=datetime.max.replace(tzinfo=UTC)),
}

_FILED = "query ($id: String!) { getProjectSessionById(sessionId: $id) { id } }"

QUERIES = [
    "kettle",
    "KETTLE boat",
    '"small boat"',
    "ket*",
    "C++",
    "日本",
    "né",
    "🙂",
    "the",
    "nothing-of-it",
    '"',
    "",
]


def spans() -> list[Span]:
    """Make conversations with what is difficult: ids, failures, two sessions in one trace, no session."""
    bought = Said("Where is my kettle?", "With the small boat 🙂", (Call("track", '{"id": 7}', "at sea"),))
    failed = Said("and now?", "", (Call("track", "{}", "", "Slow()"),), error="Slow()")
    others = [Said("C++ or né?", "日本に行きます")]
    asked = [
        *session_spans(OF_TWO, [bought], started_ns=END - 200 * SECOND, project=PROJECT, user="ada"),
        *session_spans(OF_TWO, others, started_ns=END - 100 * SECOND, project=PROJECT, user="bob"),
        *session_spans(SLASH, [bought, failed], project=PROJECT, user="ada"),
        *session_spans(NUMBER, others, started_ns=END + 50 * SECOND, user="bob"),
        *session_spans(QUOTES, [bought] * 3, started_ns=END + 200 * SECOND, user="bob"),
    ]
    job, first, second = turn("job-1", 999_999)
    plain = {key: value for key, value in job.attributes.items() if key != "session.id"}
    divided = [
        replace(job, attributes={**plain, "input.value": "run them", "openinference.span.kind": "CHAIN"}),
        replace(first, status="OK", attributes={**first.attributes, "input.value": "kettle of one"}),
        replace(
            second, attributes={**second.attributes, "session.id": SHARED, "input.value": "kettle of two"}
        ),
    ]
    outside = [replace(it, attributes={"input.value": "nobody's"}) for it in turn("none", 1_000_000)]
    # Phoenix keeps microseconds and, of the process, the project; a file with the same spans has no more.
    return [
        replace(
            it,
            start_ns=it.start_ns // 1000 * 1000,
            end_ns=it.end_ns // 1000 * 1000,
            kind="INTERNAL",
            links=(),
            events=(),
            scope="",
            scope_version="",
            trace_state="",
            resource={"openinference.project.name": PROJECT},
        )
        for it in distinct("same", [*asked, *divided, *outside])
    ]


@pytest.fixture(scope="module")
def stores(phoenix: Phoenix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A project in Phoenix and a file, with the same spans."""
    there = spans()
    phoenix.send(PROJECT, there)
    file = SQLiteSessionStore(tmp_path_factory.mktemp("same") / "sessions.db")
    file.add(there)
    store = open_store(phoenix.place(PROJECT))
    yield store, file
    store.close()
    file.close()


def at_rest(store: SessionStore) -> str:
    """Return the revision when it stays as it is: Phoenix notes what came some time after it is there."""
    seen: list[str] = []

    def is_the_same_again() -> bool:
        time.sleep(0.5)
        seen.append(store.revision())
        return len(seen) > 2 and len(set(seen[-3:])) == 1

    until(is_the_same_again, "the revision does not come to rest")
    return seen[-1]


def rounded(stats: SessionStats) -> SessionStats:
    """Forget in which order costs were added."""
    return replace(stats, cost=None if stats.cost is None else round(stats.cost, 9))


def pages(read: Callable[[str | None], Page[Any]]) -> list[Any]:
    """Read a list page by page."""
    page = read(None)
    items = list(page)
    while page.next is not None:
        page = read(page.next)
        items += page
    return items


def test_tags_are_not_asked_for(stores: Both) -> None:
    """The error says what can be done instead, from whatever chooses sessions."""
    phoenix, where = stores[0], SessionFilter(tag="beta")
    for read in (
        lambda: phoenix.sessions(where),
        lambda: phoenix.search("x", where),
        lambda: phoenix.stats(where),
        lambda: next(iter_sessions(phoenix, where)),
    ):
        with pytest.raises(StoreError, match="cannot be chosen by tag; export them, and import the file"):
            read()


def test_everything_is_read_without_paging(stores: Both) -> None:
    """As from a file."""
    for sort in EVERY_SORT:
        both = [[it.id for it in iter_sessions(store, sort=sort)] for store in stores]
        assert sorted(both[0]) == sorted(both[1])
    for summary in iter_sessions(stores[1]):
        phoenix, file = (
            [(it.trace_id, it.input, it.output) for it in iter_turns(store, summary.id)] for store in stores
        )
        assert phoenix == file


def test_it_is_a_store_that_can_be_read(stores: Both) -> None:
    """And not one that can be written to."""
    assert isinstance(stores[0], PhoenixSessionStore)
    assert isinstance(stores[0], SessionStore)
    assert not isinstance(stores[0], WritableSessionStore)


@pytest.mark.parametrize("where", FILTERS)
def test_lists_are_those_of_a_file(stores: Both, where: str) -> None:
    """The same lines, whatever is asked for; so are the sums."""
    store, file = stores
    found, expected = ({it.id: it for it in some.sessions(FILTERS[where])} for some in stores)
    assert found == expected
    assert rounded(store.stats(FILTERS[where])) == rounded(file.stats(FILTERS[where]))


@pytest.mark.parametrize("sort", EVERY_SORT)
def test_every_order_holds_over_pages(stores: Both, sort: Sort) -> None:
    """A page at a time, each session comes once, in the order of the list as a whole."""
    store, file = stores
    whole = [it.id for it in store.sessions(sort=sort)]
    assert [it.id for it in pages(lambda at: store.sessions(sort=sort, limit=2, after=at))] == whole
    assert sorted(whole) == sorted(it.id for it in file.sessions())
    value = {
        "last_activity": lambda it: it.last_activity_ns,
        "turns": lambda it: it.turn_count,
        "tokens": lambda it: it.prompt_tokens + it.completion_tokens,
        "latency": lambda it: it.p50_turn_ns,
        "errors": lambda it: it.error_count,
    }[sort]
    values = [value(it) for it in store.sessions(sort=sort)]
    assert values == sorted(values, reverse=True)


def test_conversations_are_those_of_a_file(stores: Both) -> None:
    """Turns, tools, tokens, users and spans, also where Phoenix files the trace under another session."""
    store, file = stores
    for summary in file.sessions():
        session = store.session(summary.id)
        assert session == file.session(summary.id)
        assert store.summary(summary.id, project=PROJECT) == summary
        for it in session.turns:
            mine, theirs = (some.spans(summary.id, it.trace_id) for some in stores)
            assert [(span.span_id, span.name, span.start_ns) for span in mine] == [
                (span.span_id, span.name, span.start_ns) for span in theirs
            ]
            assert [dict(span.attributes) for span in mine] == [dict(span.attributes) for span in theirs]
    assert store.spans(SLASH, "0" * 32) == []
    assert store.spans(SLASH, store.session(QUOTES).turns[0].trace_id) == []


@pytest.mark.parametrize("text", QUERIES)
def test_a_search_finds_what_it_finds_in_a_file(stores: Both, text: str) -> None:
    """The same turns, roles and excerpts, the latest first, also page by page and with a filter."""
    store, file = stores

    def of(hits: list[Any]) -> set[Any]:
        return {(it.turn.session_id, it.turn.trace_id, it.role, it.excerpt) for it in hits}

    found = list(store.search(text))
    assert of(found) == of(list(file.search(text)))
    assert [it.turn.started_ns for it in found] == sorted((it.turn.started_ns for it in found), reverse=True)
    assert pages(lambda at: store.search(text, limit=1, after=at)) == found
    for where in FILTERS.values():
        assert of(list(store.search(text, where))) == of(list(file.search(text, where)))


def test_what_one_call_reads_is_bounded(
    phoenix: Phoenix, stores: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages may be short then; together they are the whole list, and all hits, in the same order."""
    whole, hits = list(stores[0].sessions()), list(stores[0].search("kettle"))
    monkeypatch.setattr(_lists, "MOST_READ", 2)
    monkeypatch.setattr(_search, "MOST_READ", 2)
    with closing(open_store(phoenix.place(PROJECT))) as store:
        assert len(store.sessions()) < len(whole)
        assert pages(lambda at: store.sessions(after=at)) == whole
        assert pages(lambda at: store.search("kettle", after=at)) == hits
        with pytest.raises(ValueError, match="sort must be one of"):
            store.sessions(sort="size")  # pyright: ignore[reportArgumentType]


def test_old_traces_are_left_out_and_that_is_said(
    phoenix: Phoenix, stores: Both, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A list of the latest traces is one of the latest sessions; one asked for by its id is read whole."""
    monkeypatch.setattr(_snapshot, "MOST_TRACES", 3)
    with closing(open_store(phoenix.place(PROJECT))) as store:
        assert {it.id for it in store.sessions()} == {"job-1", SHARED, QUOTES}  # and a trace without any
        assert "the latest 3" in caplog.text
        assert store.session(SLASH) == stores[0].session(SLASH)
        assert store.neighbours(SLASH).older is None


@pytest.mark.parametrize(
    ("place", "url", "project"),
    [
        ("phoenix://localhost", "http://localhost:6006", "default"),
        ("phoenix://[::1]:7000/a%2Fb%20%23", "http://[::1]:7000", "a/b #"),
        ("phoenixs://example.org/shop", "https://example.org", "shop"),
        ("phoenixs://example.org:8443/s/me/shop", "https://example.org:8443/s/me", "shop"),
        ("phoenixs://example.org/s/me/", "https://example.org/s/me", "default"),
    ],
)
def test_addresses_name_a_server_and_a_project(place: str, url: str, project: str) -> None:
    """Also behind a proxy, and with any name."""
    assert address_of(place) == (url, project)


def test_turns_are_read_from_any_place(stores: Both) -> None:
    """Forwards, backwards, from the end and from a turn: as in a file, with the same neighbours."""
    whole = stores[1].session(QUOTES).turns
    for store in stores:
        assert pages(lambda at, store=store: store.turns(QUOTES, limit=2, after=at)) == list(whole)
        last = store.turns(QUOTES, limit=2, last=True)
        assert (last.items, last.next) == (whole[1:], None)
        before = store.turns(QUOTES, limit=2, before=last.previous)
        assert (before.items, before.previous) == (whole[:1], None)
        assert before.next is not None
        from_the_second = store.turns(QUOTES, limit=1, starting_with=whole[1].trace_id)
        assert from_the_second.items == whole[1:2]
        assert from_the_second.previous is not None
        assert store.turns(QUOTES, starting_with="0" * 32).items == ()
        with pytest.raises(ValueError, match="not a place"):
            store.turns(QUOTES, after="abc")


def test_neighbours_are_those_of_the_list(stores: Both) -> None:
    """The sessions beside one are beside it in the list by last activity."""
    listed = [it.id for it in stores[0].sessions()]
    for place, session_id in enumerate(listed):
        found = stores[0].neighbours(session_id)
        newer, older = (it.id if it else None for it in (found.newer, found.older))
        assert newer == (listed[place - 1] if place else None)
        assert older == (listed[place + 1] if place + 1 < len(listed) else None)


def test_what_is_new_is_told_once(phoenix: Phoenix) -> None:
    """`changes` tells of turns that came or grew since a place, and `revision` that something did."""
    first, second, third = (
        distinct("news", turn(session_id, number))
        for number, session_id in enumerate(("news-1", "news-2", "news-1"), start=1)
    )
    phoenix.send("news", first)
    store = open_store(phoenix.place("news"))
    place, revision = store.changes().next, at_rest(store)
    assert store.revision() == revision
    assert store.changes(place).items == ()
    phoenix.send("news", second[1:])
    assert [(it.session_id, it.span_count) for it in store.changes(place)] == [("news-2", 2)]
    assert store.session("news-2").span_count == 2
    phoenix.send("news", [second[0], *third])
    page = store.changes(place, limit=1)
    assert [(it.session_id, it.span_count) for it in page] == [("news-2", 3)]
    assert {it.trace_id for it in store.changes(page.next)} == {third[0].trace_id}
    assert store.session("news-2").turns[0].input == "question 2"
    assert store.session("news-1").turn_count == 2
    assert store.revision() != revision
    store.close()


def test_a_deleted_projects_id_is_nobody_elses(phoenix: Phoenix) -> None:
    """Phoenix numbers the next project like a deleted one; its sessions are not taken for that one's."""
    phoenix.send("left", distinct("left", turn("of-both-projects", 1)))
    number = phoenix.project_id("left")
    with closing(PhoenixSessionStore(phoenix.place("left"))) as store:
        [before] = store.sessions()
        phoenix.delete_project("left")
        with pytest.raises(StoreError, match="no project 'left' any more"):
            store.sessions()
        phoenix.send("next", distinct("next", turn("of-both-projects", 2)))
        assert phoenix.project_id("next") == number
        with closing(PhoenixSessionStore(phoenix.place("next"))) as other:
            other.annotate("of-both-projects", Annotation(note="of the next one"))
        assert store.annotations([before]) == {}
        for read in (store.sessions, store.changes, lambda: store.session("of-both-projects")):
            with pytest.raises(StoreError, match="no project 'left' any more"):
                read()
        phoenix.send("left", distinct("left again", turn("later", 3)))
        assert [(it.id, it.project) for it in store.sessions()] == [("later", "left")]


def test_what_comes_after_a_deletion_is_new(phoenix: Phoenix) -> None:
    """Phoenix numbers the next spans like those that were deleted; `changes` tells of them all the same."""
    latest = distinct("gone", turn("gone", 2))
    phoenix.send("cleared", distinct("cleared", turn("stays", 1)))
    phoenix.send("cleared", latest)
    with closing(PhoenixSessionStore(phoenix.place("cleared"))) as store:
        place = store.changes().next
        phoenix.delete_trace("cleared", latest)
        page = store.changes(place)
        assert page.items == ()
        phoenix.send("cleared", distinct("cleared", turn("comes", 3)))
        page = store.changes(page.next)
        assert [it.session_id for it in page] == ["comes"]
        assert store.changes(page.next).items == ()


def test_what_phoenix_has_without_a_name_is_no_annotation(phoenix: Phoenix) -> None:
    """One that others have written there without a name takes the others, and the list, from nobody."""
    phoenix.send("unnamed", distinct("unnamed", turn("unnamed", 1)))
    others = {"session_id": "unnamed", "annotator_kind": "CODE", "result": {"label": "yes"}}
    with closing(PhoenixSessionStore(phoenix.place("unnamed"))) as store:
        for name in (" ", "named"):
            address = f"{phoenix.url}/v1/session_annotations?sync=true"
            sent = httpx.post(address, json={"data": [{**others, "name": name}]}, timeout=PATIENCE)
            sent.raise_for_status()
        [some] = store.annotations(store.sessions()).values()
        assert [it.name for it in some] == ["named"]


def test_annotations_are_phoenixs_own(phoenix: Phoenix, stores: Both) -> None:
    """What one thinks of a session is kept as Phoenix's annotation and note, and read again from there."""
    phoenix.send("judged", distinct("judged", turn("judged/1", 1)))
    with closing(PhoenixSessionStore(phoenix.place("judged"))) as store:
        assert isinstance(store, AnnotatableSessionStore)
        before = store.revision()
        for annotation in (
            Annotation(name="helpful", label="no", score=1),
            Annotation(name="helpful", label="yes", note="it did", annotator="LLM"),
            Annotation(note="one"),
            Annotation(note="two"),
            Annotation(name="half \udcff", label="\udcff", note="\udcff"),
        ):
            store.annotate("judged/1", annotation)
        kept = store.annotations(store.sessions())
        assert [
            (it.name, it.label, it.score, it.note, it.annotator) for it in kept["judged", "judged/1"]
        ] == [
            ("helpful", "yes", None, "it did", "LLM"),
            ("note", None, None, "one", "HUMAN"),
            ("note", None, None, "two", "HUMAN"),
            ("half \\udcff", "\\udcff", None, "\\udcff", "HUMAN"),
        ]
        until(lambda: store.revision() != before, "Phoenix does not store the annotation")
        there = phoenix.ask(_FILED.replace("{ id }", "{ sessionAnnotations { name label } }"), id="judged/1")[
            "getProjectSessionById"
        ]["sessionAnnotations"]
        assert {"name": "helpful", "label": "yes"} in there
        shown = CliRunner().invoke(cli, ["show", "judged/1", "--store", phoenix.place("judged")]).output
        assert "helpful yes: it did" in shown
        with pytest.raises(SessionNotFoundError):
            store.annotate("nobody", Annotation(note="x"))


def test_an_annotation_never_lands_on_another_session(phoenix: Phoenix, stores: Both) -> None:
    """Where Phoenix has the id in another project, or files the traces under another id, it is refused."""
    for project, number in (("mine", 1), ("yours", 2)):
        phoenix.send(project, distinct(project, turn("of-both", number)))
    with closing(PhoenixSessionStore(phoenix.place("yours"))) as store:
        assert store.summary("of-both").turn_count == 1
        with pytest.raises(StoreError, match="files session 'of-both' in another project"):
            store.annotate("of-both", Annotation(note="x"))
        assert store.annotations(store.sessions()) == {}
    known = {"job-1", SHARED}
    filed = {it for it in known if phoenix.ask(_FILED, id=it)["getProjectSessionById"]}
    [hidden] = known - filed
    phoenix_store = stores[0]
    assert isinstance(phoenix_store, PhoenixSessionStore)
    with pytest.raises(StoreError, match="under the id of another one"):
        phoenix_store.annotate(hidden, Annotation(note="x"))


def test_a_session_is_of_one_project(stores: Both) -> None:
    """Another project's, and one that is not there, is not found; an id is any text."""
    store = stores[0]
    for session_id, project in (
        (SLASH, "other"),
        ("nobody", None),
        ("", None),
        ("\udcff", None),
        ("a\x00'", None),
    ):
        with pytest.raises(SessionNotFoundError, match="there is no session"):
            store.session(session_id, project=project)


def test_what_is_wrong_with_the_place_is_said(phoenix: Phoenix) -> None:
    """No server, no such project, no address: one clear error each."""
    with pytest.raises(StoreUnavailableError, match=r"no Phoenix answers at .*:\d+ .*is it running"):
        open_store(f"phoenix://127.0.0.1:{free_port()}/shop")
    with pytest.raises(StoreError, match=r"no project 'nope' in the Phoenix at .*; there are: .*'default'"):
        open_store(phoenix.place("nope"))
    for address in (
        "phoenix://",
        "phoenix:///x",
        "phoenix://h/a?b",
        "phoenix://h/a#b",
        "phoenix://h:port/a",
        "phoenix://[::1",
        "phoenix://\u2100/a",
    ):
        with pytest.raises(StoreError, match="phoenix://host:port/project"):
            open_store(address)
    for address in ("phoenix://\u00fc..h/a", "phoenix://h\0/a", "sqlite://[::1"):
        with pytest.raises(StoreError, match="is no address"):
            open_store(address)
    with pytest.raises(StoreError, match="PHOENIX_API_KEY"):
        open_store("phoenix://secret@localhost/shop")


def test_it_is_not_written_to(phoenix: Phoenix) -> None:
    """A handler that is to keep its spans there is refused at once."""
    with pytest.raises(StoreError, match="can only be read"):
        SessionCallbackHandler(store=phoenix.place("default"))


def test_an_address_that_leads_elsewhere_is_said() -> None:
    """A key must not follow to whatever another server names."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(301)
            self.send_header("Location", "https://elsewhere.example/graphql")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(StoreError, match=r"only leads to https://elsewhere\.example"):
            open_store(f"phoenix://127.0.0.1:{server.server_port}/x")
        thread.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("[]", "is no Phoenix"),
        ("null", "is no Phoenix"),
        ("[" * 200_000, "is no Phoenix"),
        ('{"data": 5}', "it does not say why"),
        ('{"errors": "no"}', "it does not say why"),
        ('{"errors": ["no", {"message": "never"}]}', "cannot answer: no; never"),
    ],
)
def test_an_answer_that_makes_no_sense_is_said(answer: str, said: str) -> None:
    """Whatever JSON comes back."""

    class Babbling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Babbling) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(StoreError, match=said):
            open_store(f"phoenix://127.0.0.1:{server.server_port}/x")
        thread.join()


@pytest.mark.parametrize("key", ["a-secr\u00e9t", "a-sec\rret"])
def test_a_key_that_cannot_be_sent_is_not_told(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which variable is wrong, and no part of what it has."""
    monkeypatch.setenv("PHOENIX_API_KEY", key)
    with pytest.raises(StoreError, match="PHOENIX_API_KEY") as caught:
        open_store(f"phoenix://127.0.0.1:{free_port()}/x")
    assert "sec" not in "".join(traceback.format_exception(caught.value)).partition("StoreError:")[2]


def test_a_trace_that_goes_while_phoenix_answers_spoils_nothing(
    phoenix: Phoenix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phoenix cannot answer then; it is asked again."""
    phoenix.send("going", distinct("going", turn("going", 1)))
    with closing(PhoenixSessionStore(phoenix.place("going"))) as store:
        ask = Server.ask
        failed: list[str] = []

        def once_not(self: Server, query: str, **variables: object) -> dict[str, Any]:
            if "filterCondition" in query and not failed:
                failed.append(query)
                return ask(self, "{ nothing }")
            return ask(self, query, **variables)

        monkeypatch.setattr(Server, "ask", once_not)
        assert store.session("going").turn_count == 1
        assert failed


def test_what_is_no_phoenix_is_said(tmp_path: Any) -> None:
    """Whatever else answers there is not taken for one."""
    file = SQLiteSessionStore(tmp_path / "sessions.db")
    with serving(file) as address, pytest.raises(StoreError, match="is no Phoenix"):
        open_store(address.replace("http", "phoenix"))
    file.close()


def test_a_key_is_asked_for_and_used(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with authentication: without a key, with a wrong one and with the right one."""
    key = "a-secret-of-32-characters-or-more-1"
    settings = {
        "PHOENIX_ENABLE_AUTH": "true",
        "PHOENIX_SECRET": key,
        "PHOENIX_ADMIN_SECRET": f"{key}-of-the-admin",
    }
    with phoenix_server(tmp_path_factory.mktemp("locked"), **settings) as locked:
        with pytest.raises(StoreError, match="wants a key: set PHOENIX_API_KEY"):
            open_store(locked.place("default"))
        monkeypatch.setenv("PHOENIX_API_KEY", "wrong")
        with pytest.raises(StoreError, match="does not accept the key in PHOENIX_API_KEY"):
            open_store(locked.place("default"))
        monkeypatch.setenv("PHOENIX_API_KEY", f"{key}-of-the-admin")
        store = open_store(locked.place("default"))
        assert store.sessions().items == ()
        store.close()


def test_a_missing_extra_is_one_clear_error() -> None:
    """Without Phoenix's client, the error names the install line."""
    code = (
        "import sys; sys.modules['phoenix'] = None\n"
        "from langchain_sessions.store import StoreError, open_store\n"
        "try: open_store('phoenix://127.0.0.1:1/x')\n"
        "except StoreError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == (
        "sessions in Phoenix need arize-phoenix-client: pip install 'langchain-sessions[phoenix]'\n"
    )


def test_the_commands_work_on_it(phoenix: Phoenix, stores: Both) -> None:
    """`list`, `show`, `search` and `stats`, as on a file; what would write says that it cannot."""
    place = ["--store", phoenix.place(PROJECT)]

    def said(*arguments: str, code: int = 0) -> str:
        ran = CliRunner().invoke(cli, [*arguments, *place])
        assert ran.exit_code == code, ran.output
        return ran.output

    listed = json.loads(said("list", "--json"))
    assert {it["id"] for it in listed["items"]} == {it.id for it in stores[1].sessions()}
    assert "Where is my kettle?" in said("show", SLASH, "--spans")
    assert "did you mean" in said("show", "order/7", code=1)
    assert "kettle" in said("search", "kettle", "--limit", "1")
    assert json.loads(said("stats", "--json"))["sessions"] == len(listed["items"])
    exported = said("export")
    assert exported.count("\n") == sum(it.turn_count for it in stores[1].sessions())
    assert "can only be read" in said("ui", "--port", "0", "--allow-delete", code=1)
    assert "can only be read" in said("prune", "--older-than", "1d", "--yes", code=1)
    assert "is it running" in CliRunner().invoke(cli, ["list", "--store", "phoenix://127.0.0.1:1/x"]).output


def test_the_page_works_on_it(stores: Both) -> None:
    """The list, a conversation, its spans and a search, as on a file."""
    with visiting(stores[0]) as client:
        assert "Where is my kettle?" in text_of(client.get("/"))
        assert "With the small boat" in text_of(client.get("/session", params={"id": SLASH}))
        turn_id = stores[0].session(SLASH).turns[0].trace_id
        assert "track" in text_of(client.get("/trace", params={"id": SLASH, "turn": turn_id}))
        assert "<mark>" in client.get("/search", params={"q": "kettle"}).text
