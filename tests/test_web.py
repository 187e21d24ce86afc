from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from langchain_sessions.store import SessionNotFoundError, SQLiteSessionStore, StoreError
from langchain_sessions.view.web._texts import PAGE, RENDERED
from tests.support.sample_sessions import (
    END,
    REFUND,
    SECOND,
    Said,
    long_session,
    sample,
    session_spans,
    turn_spans,
)
from tests.support.web import links, text_of, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


MEGABYTES_10 = "All work and no play. " * 480_000


pytestmark = pytest.mark.core


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a page with all of the sample."""
    store = SQLiteSessionStore(tmp_path_factory.mktemp("store") / "sessions.db")
    for spans in sample():
        store.add(spans)
    store.add(session_spans("twice", REFUND[:1], project="one"))
    store.add(session_spans("twice", REFUND[2:], project="other"))
    store.add(long_session(60))
    with visiting(store) as client:
        yield client
    store.close()


def rows(response: httpx.Response) -> int:
    """How many sessions a list shows."""
    return len(re.findall(r'class="session"', response.text))


def test_the_list_shows_sessions_and_what_they_sum_up_to(full: httpx.Client) -> None:
    """The first page has the newest sessions, and the sums of the last days with a picture of each."""
    page = full.get("/")
    assert page.status_code == 200
    said = text_of(page)
    assert "hi! my order #4711 arrived broken, can I get a refund?" in said
    assert "京都で三日間の旅行を計画しています" in said
    assert page.text.count('class="chart"') == 5
    for title in ("Sessions", "Turns", "Median turn", "Tokens", "Failed turns"):
        assert re.search(rf'aria-label="{title} by day: [^"]+"', page.text), title
    assert rows(page) == 50


def test_the_list_is_paged_by_key(full: httpx.Client) -> None:
    """Following the links to the next page shows every session exactly once."""
    seen: list[str] = []
    address = "/"
    while address:
        page = full.get(address)
        seen += re.findall(r'<tr id="(s-\w+)"', page.text)
        address = next(iter(re.findall(r'rel="next" href="([^"]+)"', page.text)), "")
        address = html.unescape(address)
    assert len(seen) == len(set(seen)) > 60


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("project=travel", "kyoto-旅行"),
        ("user=grace", "thread/42?draft=#1"),
        ("errors=1", "thread/42?draft=#1"),
        ("turns=3", "refund-4711"),
        ("from=2026-02-25&to=2026-02-25", "research-1"),
        ("sort=latency", "research-1"),
    ],
)
def test_filters_and_sorts_are_part_of_the_address(
    full: httpx.Client, parameters: str, expected: str
) -> None:
    """Each filter narrows the list, each sort orders it, and both stay in the links of the page."""
    page = full.get(f"/?{parameters}")
    assert expected in text_of(page)
    name, value = parameters.split("&")[0].split("=")
    assert any(f"{name}={value}" in it for it in links(page, "/?"))


def test_a_filter_that_nothing_fits_says_so(full: httpx.Client) -> None:
    """A list that is empty because of its filters leads back to all sessions."""
    page = full.get("/?user=nobody")
    assert page.status_code == 200
    assert "No session is like that" in text_of(page)


@pytest.mark.parametrize(
    "address",
    [
        "/?sort=size",
        "/?period=1y",
        "/?from=yesterday",
        "/?from=0001-01-01",
        "/?turns=many",
        "/?after=nonsense",
        "/search?q=x&after=nonsense",
        "/session",
        "/session?id=refund-4711&after=nonsense",
    ],
)
def test_an_address_that_makes_no_sense_is_explained(full: httpx.Client, address: str) -> None:
    """What cannot be understood is answered with 400 and a page that says what."""
    page = full.get(address)
    assert page.status_code == 400
    assert "This address makes no sense" in text_of(page)


def test_an_empty_store_shows_how_to_fill_it(store: SQLiteSessionStore) -> None:
    """Without sessions there are the three lines that make some, with the path of this very store."""
    with visiting(store) as client:
        said = text_of(client.get("/"))
        assert "from langchain_sessions import instrument" in said
        assert f"instrument(store={str(store.path)!r})" in said
        store.add(turn_spans("first", Said("hello?", "hello!")))
        assert "hello?" in text_of(client.get("/"))


def test_a_page_that_is_known_is_not_sent_again(store: SQLiteSessionStore) -> None:
    """With the ETag of before, the answer is 304 until the store changes."""
    store.add(turn_spans("abc", Said("hello?", "hello!")))
    with visiting(store) as client:
        for address in ("/", "/session?id=abc", "/search?q=hello"):
            etag = client.get(address).headers["etag"]
            again = client.get(address, headers={"if-none-match": etag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), address
        store.add(turn_spans("abc", Said("more?", "more!"), started_ns=END + SECOND))
        assert client.get("/session?id=abc", headers={"if-none-match": etag}).status_code == 200


def test_hits_are_highlighted_and_lead_to_their_turn(full: httpx.Client) -> None:
    """A search shows where the words are, and links to the turn itself."""
    page = full.get("/search?q=spout")
    assert "<mark>spout</mark>" in page.text
    [link] = links(page, "#turn-")
    path, _, anchor = link.partition("#")
    assert f'id="{anchor}"' in full.get(path).text


def test_search_respects_filters_and_is_paged(full: httpx.Client) -> None:
    """Filters hold for hits too, and every hit is on exactly one page."""
    assert "Nothing was found" in text_of(full.get("/search?q=spout&project=travel"))
    seen: list[str] = []
    address = "/search?q=teapot"
    while address:
        page = full.get(address)
        seen += links(page, "#turn-")
        found = re.findall(r'rel="next" href="([^"]+)"', page.text)
        address = html.unescape(found[0]) if found else ""
    assert len(seen) == len(set(seen)) > 30


def test_a_search_from_the_list_is_on_its_own_page(full: httpx.Client) -> None:
    """`/?q=` leads to the search, with the filters."""
    moved = full.get("/?q=tea&project=travel")
    assert (moved.status_code, moved.headers["location"]) == (303, "/search?q=tea&project=travel")
    assert "What are you looking for?" in text_of(full.get("/search"))


def test_a_session_is_shown_as_a_chat(full: httpx.Client) -> None:
    """Both sides, tools folded, tables and code from markdown, times and tokens of each turn."""
    page = full.get("/session?id=refund-4711")
    said = text_of(page)
    assert "the teapot. it has a crack in the spout :(" in said
    assert '<td class="to-right">€34.90</td>' in page.text
    assert re.search(r'<details class="tool" [^>]*>\s*<summary>.*?get_order\(', page.text, re.DOTALL)
    assert "1,912 in, 148 out" in said
    assert "4.7 s" in said
    assert "ada@example.com" in said


def test_errors_of_turns_and_tools_are_seen_without_unfolding(full: httpx.Client) -> None:
    """A failed turn says why where its answer would be; a failed tool says so in its line."""
    said = text_of(full.get("/session", params={"id": "thread/42?draft=#1"}))
    assert "This turn failed. RateLimitError" in said
    assert "PermissionError: [Errno 13] Permission denied" in said


def test_previous_and_next_session_are_linked(full: httpx.Client) -> None:
    """A session's page leads to the ones that were active before and after it."""
    page = full.get("/session", params={"id": "thread/42?draft=#1", "project": "coding-assistant"})
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', page.text)
    [older] = re.findall(r'rel="next" href="([^"]+)"', page.text)
    assert "refund-4711" in newer
    assert "research-1" in older


IDS = ("a/../b", "../../etc/passwd", "?x#y&z=1", "日本 語", "a\nb", "%2e%2e", "\\", "a\x00b", "+ +", "'\"<b>")


def test_any_text_can_be_a_session_id(store: SQLiteSessionStore) -> None:
    """The list's own links open the sessions, whatever their ids are made of."""
    for number, session_id in enumerate(IDS):
        store.add(turn_spans(session_id, Said("hello?", f"said in number {number}."), project="a/b & c"))
    with visiting(store) as client:
        opened = [text_of(client.get(it)) for it in links(client.get("/"), "/session?")]
    assert len(opened) == len(IDS)
    assert all(any(f"said in number {number}." in page for page in opened) for number in range(len(IDS)))


def test_an_id_of_two_projects_leaves_the_choice(full: httpx.Client) -> None:
    """Without its project, such an id leads to a page with one link for each."""
    page = full.get("/session?id=twice")
    assert page.status_code == 300
    choices = links(page, "id=twice")
    assert len(choices) == 2
    assert "arrived broken" in text_of(full.get(next(it for it in choices if "project=one" in it)))


def test_what_is_not_there_is_404(full: httpx.Client) -> None:
    """Sessions, turns, spans, texts, files and pages that do not exist are answered with a readable page."""
    [trace] = links(full.get("/session?id=research-1"), "/trace?")[:1]
    text = trace.replace("/trace", "/text")
    for address in (
        "/session?id=nobody",
        f"/session?id=long&at={'0' * 32}",
        f"/trace?id=refund-4711&turn={'0' * 32}",
        trace.replace("/trace", "/span") + "&span=0000",
        f"{text}&part=tool-9-input",
        f"{text}&part=secret",
        f"{text}&part=attribute&span=0000&key=x",
        "/static/none.css",
        "/nowhere",
    ):
        page = full.get(address)
        assert page.status_code == 404, address
        assert "All sessions" in text_of(page) or "from its beginning" in text_of(page)


def test_a_session_of_5000_turns_is_paged(store: SQLiteSessionStore) -> None:
    """Fifty turns at a time, from the beginning, from the end, and from any turn."""
    store.add(long_session(5_000))
    with visiting(store) as client:
        page = client.get("/session?id=long")
        assert page.text.count('<article class="turn') == 50
        assert "Turns 1-50 of 5,000" in text_of(page)
        [later] = [
            html.unescape(it) for it in re.findall(r'rel="next" href="([^"]+)"', page.text) if "after" in it
        ]
        assert "Turns 51-100 of 5,000" in text_of(client.get(later))
        latest = client.get(links(page, "latest=1")[0])
        last = client.get(latest.headers["location"])
        assert "Turns 4,951-5,000 of 5,000" in text_of(last)
        assert "Answer number 5000." in last.text
        earlier = links(last, "before=")[0]
        assert "Turns 4,901-4,950 of 5,000" in text_of(client.get(earlier))
        shared = re.findall(r'data-copy="(/session\?[^"]+at=[^"]+)"', last.text)[10]
        again = client.get(html.unescape(shared))
        assert "Turn 4,961</a>" in again.text


def test_a_message_of_10_mb_is_shown_from_its_beginning(store: SQLiteSessionStore) -> None:
    """The page stays small; the rest is behind a link, a page at a time or as plain text."""
    store.add(turn_spans("big", Said(MEGABYTES_10, MEGABYTES_10)))
    with visiting(store) as client:
        page = client.get("/session?id=big")
        assert len(page.content) < 6 * RENDERED
        assert "10.6M characters" in text_of(page)
        texts = links(page, "part=output")
        text = client.get(texts[0])
        assert len(text.content) < 2 * PAGE
        [after] = [html.unescape(it) for it in re.findall(r'rel="next" href="([^"]+)"', text.text)][:1]
        assert "100,001-200,000" in text_of(client.get(after))
        raw = client.get(links(text, "raw=1")[0])
        assert raw.text == MEGABYTES_10
        assert raw.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.get("/search?q=play").status_code == 200


def test_spans_are_a_tree_and_have_their_attributes(full: httpx.Client) -> None:
    """A turn leads to its spans, children below their parent; each span to all that it has."""
    [trace, *_] = links(full.get("/session?id=research-1"), "/trace?")
    page = full.get(trace)
    names = re.findall(r'class="span-name">([^<]+)<', page.text)
    assert names == ["answer", "search_documents", "read_page", "calculator", "ChatOpenAI"]
    assert page.text.count('<li class="i-1">') == 4
    span = full.get(links(page, "/span?")[-1])
    said = text_of(span)
    assert "claude-sonnet" in said
    assert "openinference.span.kind" in said


def test_long_attributes_are_cut_and_readable_in_full(store: SQLiteSessionStore) -> None:
    """An attribute shows its beginning; a link has all of it."""
    spans = turn_spans("abc", Said("hello?", "hello!"))
    store.add([replace(it, attributes={**it.attributes, "long": "word " * 5_000}) for it in spans])
    with visiting(store) as client:
        trace = client.get(links(client.get("/session?id=abc"), "/trace?")[0])
        span = client.get(links(trace, "/span?")[0])
        assert len(span.content) < 60_000
        full = client.get(links(span, "key=long")[0])
        assert full.text.count("word ") == 5_000


class Broken:
    """A store that can be read no more."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            msg = "the session store /data/x.db is locked by another process; close what holds it"
            raise StoreError(msg)

        return fail


def test_a_store_that_fails_is_explained() -> None:
    """While the store cannot be read, pages are 503 and say the remedy."""
    with visiting(Broken()) as client:  # type: ignore[arg-type]
        for address in ("/", "/search?q=x", "/session?id=x", "/healthz"):
            page = client.get(address)
            assert page.status_code == 503
            assert "close what holds it" in text_of(page)


def test_a_session_that_is_deleted_meanwhile_is_gone(store: SQLiteSessionStore) -> None:
    """An old link to it is a 404 that says why."""
    store.add(turn_spans("abc", Said("hello?", "hello!")))
    with visiting(store) as client:
        assert client.get("/session?id=abc").status_code == 200
        store.delete("abc")
        page = client.get("/session?id=abc")
        assert page.status_code == 404
        assert "may have been deleted" in text_of(page)
    with pytest.raises(SessionNotFoundError):
        store.summary("abc")


def test_only_get_head_and_one_post(full: httpx.Client) -> None:
    """HEAD has no body; what would write is refused, with the methods that are allowed."""
    head = full.head("/")
    assert (head.status_code, head.content) == (200, b"")
    refused = full.post("/")
    assert refused.status_code == 405
    assert "GET" in refused.headers["allow"]
    assert full.get("/healthz").text == "ok\n"
    assert full.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")


def test_static_files_may_be_kept(full: httpx.Client) -> None:
    """Browsers keep the files of this version for ever, and ask for others again."""
    [style] = links(full.get("/"), "style.css")
    assert "immutable" in full.get(style).headers["cache-control"]
    assert full.get("/static/style.css").headers["cache-control"] == "no-cache"
