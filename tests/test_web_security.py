from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from starlette.datastructures import Headers

from langchain_sessions.store import SQLiteSessionStore
from langchain_sessions.view.web import LOOPBACK, Access, make_token
from langchain_sessions.view.web._markdown import html_of
from langchain_sessions.view.web._security import Forms
from langchain_sessions.view.web._texts import RENDERED
from tests.support.calls import hostile_calls
from tests.support.sample_sessions import HOSTILE, HOSTILE_ID, Said, hostile_spans, turn_spans
from tests.support.web import visiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

TOKEN = "a token of 24 characters"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store with one session, "abc"."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    store.add(turn_spans("abc", Said("hello?", "hello!")))
    yield store
    store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a page that tests only read; it answers to "box.lan", too."""
    store = SQLiteSessionStore(tmp_path_factory.mktemp("store") / "sessions.db")
    store.add(turn_spans("abc", Said("hello?", "hello!")))
    with visiting(store, names=LOOPBACK | {"Box.lan"}) as client:
        yield client
    store.close()


ACTIVE = {"img", "iframe", "object", "embed", "style", "base", "video", "audio", "image", "math"}
"""Elements that load or change something; no page of ours has one."""


class Tags(HTMLParser):
    """What a browser would find in a page: elements, their attributes, and text in scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_harmless(page: str) -> None:
    """Fail if a page has anything that could act, load or restyle."""
    for tag, attributes in Tags(page).tags:
        assert tag not in ACTIVE
        assert not [it for it in attributes if it.startswith("on") or it in {"style", "srcdoc", "ping"}]
        if tag == "script":
            assert (attributes.get("src") or "").startswith("/static/page.js?v=")
        for name in ("href", "src", "action", "formaction", "data", "poster"):
            if value := attributes.get(name):
                assert re.match(r"(/(?!/)|#|https?://[a-z]|mailto:)", value, re.IGNORECASE), value


# Who may see it


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8377",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "",
        "192.168.1.7",
        "[::2]",
    ],
)
def test_a_name_of_somebody_else_is_refused(shared: httpx.Client, host: str) -> None:
    """DNS rebinding: a page that points its own name at us does not get to read anything."""
    page = shared.get("/", headers={"host": host})
    assert page.status_code == 400
    assert "hello?" not in page.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8377", "localhost.", "box.lan"]
)
def test_our_own_names_are_answered(shared: httpx.Client, host: str) -> None:
    """Loopback by each of its names, and the names that were allowed."""
    assert shared.get("/", headers={"host": host}).status_code == 200


def test_addresses_that_are_numbers_cannot_be_rebound() -> None:
    """Where other machines connect, any such address is answered to, and no name that only begins so."""
    access = Access(any_address=True)
    assert access.knows("10.1.2.3:80")
    assert access.knows("[fe80::1]:80")
    assert not access.knows("10.1.2.3.evil.example")


def test_without_the_token_nothing_is_seen(store: SQLiteSessionStore) -> None:
    """Every page is 401 but the files that are the same for everybody."""
    with visiting(store, token=TOKEN) as client:
        for path in (
            "/",
            "/session?id=abc",
            "/search?q=hello",
            "/healthz",
            "/nowhere",
            "/?token=",
            "/?token=wrong",
        ):
            page = client.get(path)
            assert page.status_code == 401, path
            assert "hello" not in page.text
        name = Access(token=TOKEN).cookie_name
        for cookie in (f"{name}=wrong; x", f"{name}={TOKEN}", f'x="a; {name}', name, "[]=;;", f"{name}="):
            assert client.get("/", headers={"cookie": cookie}).status_code == 401, cookie
        assert client.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/static/style.css").status_code == 200
        assert client.get("/static/../").status_code == 401


def test_the_token_is_exchanged_for_a_cookie(store: SQLiteSessionStore) -> None:
    """It leaves the address at once; the cookie proves it, does not contain it, and is for our pages."""
    with visiting(store, token=TOKEN) as client:
        page = client.get("/session", params={"id": "abc", "token": TOKEN})
        assert (page.status_code, page.headers["location"]) == (303, "/session?id=abc")
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        assert TOKEN not in cookie
        assert "hello!" in client.get("/session?id=abc").text
        again = client.get(f"/?token={TOKEN}")
        assert again.headers["location"] == "/", "the token stays in no address, also when it is not needed"
    with visiting(store, token=TOKEN) as client:
        assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        page = client.get(f"/?token={TOKEN}", headers={"x-forwarded-proto": "https"})
        assert "Secure" in page.headers["set-cookie"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example"])
def test_the_redirect_stays_here(store: SQLiteSessionStore, path: str) -> None:
    """The address that the token is taken out of cannot lead to another site."""
    with visiting(store, token=TOKEN) as client:
        page = client.send(client.build_request("GET", f"{client.base_url}{path}?token={TOKEN}"))
        location = page.headers.get("location", "/")
        assert re.match(r"/(?![/\\])", location), location


def test_tokens_are_long() -> None:
    """A token that can be guessed is refused; ours cannot be, and does not show in a repr."""
    with pytest.raises(ValueError, match="16 characters"):
        Access(token="x" * 15)
    assert len({make_token() for _ in range(100)}) == 100
    assert len(make_token()) >= 32
    assert TOKEN not in repr(Access(token=TOKEN))


# What a browser may do


def test_every_answer_has_the_policy(store: SQLiteSessionStore) -> None:
    """Whatever is answered, no script and no style but ours runs, and nothing is loaded from elsewhere."""
    with visiting(store, token=TOKEN) as client:
        answers = [client.get("/")]
        client.get(f"/?token={TOKEN}")
        etag = client.get("/").headers["etag"]
        answers += [
            client.get("/"),
            client.get("/", headers={"if-none-match": etag}),
            client.get("/session?id=abc"),
            client.get("/nowhere"),
            client.get("/?sort=x"),
            client.post("/"),
            client.get("/static/page.js"),
            client.get("/", headers={"host": "evil.example"}),
        ]
    assert [it.status_code for it in answers] == [401, 200, 304, 200, 404, 400, 405, 200, 400]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert answers[1].headers["cache-control"] == "no-store"


def test_an_error_of_ours_says_nothing_about_it() -> None:
    """What went wrong is for the terminal; the page has the policy all the same."""

    class Odd:
        def revision(self) -> str:
            raise KeyError("secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.Logger.error", lambda *_, **__: None)
        with visiting(Odd()) as client:  # type: ignore[arg-type] -- it fails before more is asked of it
            page = client.get("/")
    assert page.status_code == 500
    assert "secret" not in page.text
    assert "content-security-policy" in page.headers


def links_in(page: str, paths: str) -> set[str]:
    """The links of a page to some of our pages."""
    return {html.unescape(it) for it in re.findall(rf'href="(/(?:{paths})\?[^"]+)"', page)}


def pages_of(client: httpx.Client) -> Iterator[str]:
    """Every page on which a hostile session appears."""
    chat = client.get("/session", params={"id": HOSTILE_ID})
    links = links_in(chat.text, "trace|text|delete")
    traces = [client.get(it).text for it in sorted(links) if it.startswith("/trace")]
    spans = [client.get(it).text for it in sorted(set().union(*(links_in(it, "span") for it in traces)))]
    links = links.union(*(links_in(it, "text") for it in spans))
    for path in (
        "/",
        "/search?q=script",
        "/?user=%3Cscript%3E",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        yield client.get(path).text
    yield client.get("/session", params={"id": "<script>alert(1)</script>"}).text
    yield client.get("/?project=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    yield client.get("/?sort=%3Cscript%3E").text
    yield chat.text
    yield from traces
    yield from spans
    yield from (client.get(it).text for it in sorted(links))


def test_nothing_that_was_said_can_act(store: SQLiteSessionStore) -> None:
    """Scripts, handlers, images, frames and javascript: links in any place are text."""
    store.add(hostile_spans())
    store.add(hostile_calls())
    with visiting(store, allow_delete=True) as client:
        pages = list(pages_of(client))
        assert len(pages) > 60
        assert sum('class="messages"' in page for page in pages) == 5
        assert sum('class="documents"' in page for page in pages) == 4
        for page in pages:
            assert_harmless(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_only_shows(text: str) -> None:
    """No markdown becomes anything but text, and links to the web."""
    for written in (text, f"> - {text}", f"[{text}](https://a.example)", f"| a |\n|---|\n| {text} |"):
        assert_harmless(html_of(written))


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "&#106;avascript:alert(1)",
        "data:text/html,<script>alert(1)</script>", "file:///etc/passwd", "//evil.example", "/delete?id=abc",
        "#top", "vbscript:x",
        "\x01javascript:alert(1)", "http:evil.example", "blob:x", "view-source:http://a", "intent:x",
    ],
)  # fmt: skip
def test_links_that_lead_nowhere_good_are_text(link: str) -> None:
    """Only http, https and mailto are links."""
    for written in (f"[x]({link})", f"[x](<{link}>)", f"![x]({link})", f"<{link}>", f"[x][1]\n\n[1]: {link}"):
        assert "<a" not in html_of(written), written


def test_links_and_images_tell_nobody() -> None:
    """A link opens elsewhere without a referrer; an image is a link that says it was not loaded."""
    link = html_of("[a](https://a.example/?x=1&y=2)")
    assert 'href="https://a.example/?x=1&amp;y=2" rel="noopener noreferrer nofollow" target="_blank"' in link
    image = html_of("![a *cat*](https://a.example/cat.png)")
    assert "<img" not in image
    assert 'href="https://a.example/cat.png"' in image
    assert "Image, not loaded:" in image
    inside = html_of("[![a](https://a.example/cat.png)](https://b.example)")
    assert inside.count("<a ") == 1
    assert html_of("# one\n\n###### six").count("<p class=") == 2
    assert "style=" not in html_of("|a|\n|-:|\n|1|")


@pytest.mark.parametrize(
    "piece",
    [
        "*",
        "**a ",
        "[",
        "![",
        "](",
        "> ",
        "- ",
        "`",
        "``` ",
        "<",
        "&",
        "a_",
        "\\",
        "|a",
        "~~",
        "1. ",
        "[a](",
        "<a ",
    ],
)
def test_no_markdown_takes_long(piece: str) -> None:
    """What other renderers choke on, for minutes and more, takes a fraction of a second."""
    began = time.process_time()  # of this process alone: nothing else on the machine counts
    html_of((piece * RENDERED)[:RENDERED])
    html_of("\n".join(piece * (1 + it % 50) for it in range(RENDERED // 50))[:RENDERED])
    assert time.process_time() - began < 30


# What the store is asked


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1 --", '"', "'; DROP TABLE sessions; --", "NEAR(a b)", "input:x", "a AND", "*", "^a", "(", "-x",
     "\x00", "{a b}", "%", "_", "\ud800", "x" * 30_000, '"a" OR "b"', "🏯", "rowid:1"],
)  # fmt: skip
def test_no_text_is_part_of_a_query(shared: httpx.Client, text: str) -> None:
    """SQL and the language of the full-text index are looked for, not executed."""
    value = text.encode("utf-8", "replace")
    for path, name in (("/search", "q"), ("/", "project"), ("/", "user")):
        assert shared.get(path, params={name: value}).status_code == 200
    for path, name in (("/session", "id"), ("/session?id=abc", "project"), ("/trace?id=abc", "turn")):
        url = shared.base_url.join(path).copy_add_param(name, value.decode())
        assert shared.get(url).status_code in {400, 404}
    for name in ("after", "before", "at"):
        url = shared.base_url.join("/session?id=abc").copy_add_param(name, value.decode())
        assert shared.get(url).status_code in {200, 400, 404}
    assert "hello?" in shared.get("/").text


@pytest.mark.parametrize(
    "path",
    ["/static/../_app.py", "/static/..%2f_app.py", "/static/%2e%2e/_security.py", "/static//etc/passwd",
     "/static/....//x", "/static/style.css%00.js", "/static/..\\_app.py", "/../../etc/passwd", "/static/"],
)  # fmt: skip
def test_no_path_leads_out(shared: httpx.Client, path: str) -> None:
    """Only the names of the static files are known; no path of a request meets the file system."""
    request = shared.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert shared.send(request).status_code == 404


# What may be changed


def form(client: httpx.Client, session_id: str = "abc") -> tuple[str, str]:
    """Read the form that deletes a session: its address and its token."""
    page = client.get("/delete", params={"id": session_id, "project": "default"})
    action = re.search(r'action="(/delete[^"]+)"', page.text)
    token = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert action
    assert token
    return html.unescape(action[1]), token[1]


def test_nothing_is_deleted_unless_allowed(store: SQLiteSessionStore) -> None:
    """Without --allow-delete there is no button, no form, and no address that would do it."""
    with visiting(store) as client:
        assert "/delete" not in client.get("/session?id=abc").text
        assert client.get("/delete?id=abc&project=default").status_code == 403
        assert client.post("/delete?id=abc&project=default", data={"csrf": "x"}).status_code == 403
    assert store.summary("abc").turn_count == 1


@pytest.mark.parametrize("session_id", ["abc", "a\nb", "../x?y#z"])
def test_a_session_is_deleted_by_its_own_form(store: SQLiteSessionStore, session_id: str) -> None:
    """Asked first, then done, whatever its id is; the others stay."""
    store.add(turn_spans(session_id, Said("more?", "more!"), started_ns=1))
    store.add(turn_spans("other", Said("x", "y")))
    with visiting(store, allow_delete=True) as client:
        assert "/delete?" in client.get("/session", params={"id": session_id}).text
        action, token = form(client, session_id)
        done = client.post(action, data={"csrf": token}, headers={"origin": str(client.base_url)})
        assert (done.status_code, done.headers["location"]) == (303, "/?deleted=1")
        assert "The session was deleted." in client.get("/?deleted=1").text
        assert client.get("/session", params={"id": session_id}).status_code == 404
    assert store.summary("other").turn_count == 1


def test_no_other_page_can_delete(store: SQLiteSessionStore) -> None:
    """A form of another site, of another session, or of an earlier run is refused (CSRF)."""
    store.add(turn_spans("other", Said("x", "y")))
    with visiting(store, allow_delete=True) as client:
        action, token = form(client)
        other, _ = form(client, "other")
        attempts: list[tuple[str, dict[str, Any]]] = [
            (action, {}),
            (action, {"data": {"csrf": "0" * 64}}),
            (action, {"data": {"csrf": "é"}}),
            (action, {"content": b"\xff\xfe"}),
            (other, {"data": {"csrf": token}}),
            (action, {"data": {"csrf": token}, "headers": {"origin": "https://evil.example"}}),
            (action, {"data": {"csrf": token}, "headers": {"sec-fetch-site": "cross-site"}}),
        ]
        for address, arguments in attempts:
            assert client.post(address, **arguments).status_code == 403, arguments
        assert client.post(action, content=b"x" * 10_000).status_code == 413
        assert client.post("/delete?id=abc", data={"csrf": token}).status_code == 400
        assert client.get(f"{action}&csrf={token}").status_code == 200
    assert store.summary("abc").turn_count == store.summary("other").turn_count == 1


def test_form_tokens_are_of_one_run() -> None:
    """Another process knows nothing of the forms of this one, and no purpose can be written as another."""
    mine, others = Forms(), Forms()
    assert mine.is_good(Headers(), mine.token("delete", "a"), "delete", "a")
    assert not others.is_good(Headers(), mine.token("delete", "a"), "delete", "a")
    assert mine.token("a", "bc") != mine.token("ab", "c")


class ReadOnly:
    """A store whose sessions somebody else keeps: it only reads."""

    def __init__(self, store: SQLiteSessionStore) -> None:
        for name in ("sessions", "summary", "turns", "spans", "search", "stats", "neighbours", "revision"):
            setattr(self, name, getattr(store, name))


def test_a_store_that_only_reads_has_no_buttons(store: SQLiteSessionStore) -> None:
    """Deleting is not offered where it cannot be done, also where it would be allowed."""
    with visiting(ReadOnly(store), allow_delete=True) as client:  # type: ignore[arg-type]
        assert "/delete" not in client.get("/session?id=abc").text
        assert client.get("/delete?id=abc&project=default").status_code == 403


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403),
        ("cross-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ],
)
def test_pages_of_others_may_lead_here_and_no_more(
    shared: httpx.Client, site: str, mode: str, status: int
) -> None:
    """A request that another site makes behind its visitor's back, for an image say, is refused."""
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}

    assert shared.get("/search?q=a", headers=headers).status_code == status
