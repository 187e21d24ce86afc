from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="playwright is missing: group `browser`")

from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import expect

from langchain_sessions.store import SQLiteSessionStore
from tests.support.browser import CHROMIUM, DESKTOP, PHONE, Tab, chromium, tab
from tests.support.calls import calls_session, hostile_calls
from tests.support.sample_sessions import (
    HOSTILE_ID,
    SECOND,
    Said,
    hostile_spans,
    long_session,
    sample,
    session_spans,
    turn_spans,
)
from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: `make services`")

REFUND = "/session?id=refund-4711&project=support-bot"
CODE = "/session?id=thread%2F42%3Fdraft%3D%231&project=coding-assistant"

PAGES = {"list": "/", "search": "/search?q=teapot", "session": CODE, "long": "/session?id=long"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of this file; Playwright's event loop must not outlive them."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page with all of the sample, its last conversation a minute ago."""
    store = SQLiteSessionStore(tmp_path_factory.mktemp("store") / "sessions.db")
    end = time.time_ns() - 60 * SECOND
    for spans in sample(end):
        store.add(spans)
    store.add(long_session(120, started_ns=end - 9 * 86_400 * SECOND))
    store.add(calls_session(started_ns=end - 8 * 86_400 * SECOND))
    with serving(store, allow_delete=True) as address:
        yield address
    store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    yield store
    store.close()


def assert_accessible(opened: Tab) -> None:
    """Fail if axe finds anything, best practices included."""
    found: list[dict[str, Any]] = Axe().run(opened.page).response["violations"]
    said = [(it["id"], it["help"], [node["html"][:160] for node in it["nodes"][:3]]) for it in found]
    assert said == [], opened.page.url


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(
    browser: Browser, full: str, scheme: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """In light and dark, on a desk and on a phone: no violation that axe knows, nothing off the edge."""
    kind = request.node.callspec.id
    with tab(browser, full, size, color_scheme=scheme, reduced_motion="reduce") as opened:
        for name, path in PAGES.items():
            opened.open(path)
            opened.assert_fits()
            opened.shoot(f"{name}-{kind}", whole=name == "session")
            if name != "long":
                assert_accessible(opened)
        opened.open(REFUND)
        page = opened.page
        page.locator(".tool summary").first.click()
        page.get_by_role("link", name="4 spans").click()
        page.locator(".tree details summary").nth(1).click()
        page.get_by_role("heading", name="Arguments").wait_for()
        opened.assert_fits()
        page.evaluate("scrollTo(0, 0)")
        opened.shoot(f"unfolded-{kind}", whole=True)
        assert_accessible(opened)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_other_pages_are_accessible_and_fit(
    browser: Browser, full: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """Spans, a text in full, the question before deleting, an error, the search's beginning."""
    with tab(browser, full, size, expected="404") as opened:
        opened.open(REFUND)
        trace = opened.page.locator("[data-trace]").nth(1).get_attribute("href") or ""
        text = trace.replace("/trace", "/text") + "&part=output"
        for name, path in {
            "trace": trace,
            "text": text,
            "delete": REFUND.replace("/session", "/delete"),
            "not-found": "/session?id=nobody",
            "nothing-searched": "/search",
            "day": "/?from=2026-02-25&to=2026-02-25&turns=2",
            "nothing-found": "/?user=nobody",
        }.items():
            opened.open(path)
            opened.assert_fits()
            opened.shoot(f"{name}-{request.node.callspec.id}")
            assert_accessible(opened)


def open_call(opened: Tab, number: int) -> None:
    """Go from the session of calls to the call of one of its turns, as one does without JavaScript."""
    opened.open("/session?id=calls")
    trace = opened.page.locator("[data-trace]").nth(number).get_attribute("href") or ""
    opened.open(trace)
    opened.open(opened.page.locator("[data-fetch]").last.get_attribute("data-fetch") or "")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_calls_are_accessible_and_fit(
    browser: Browser, full: str, scheme: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """A model's call, documents and a tool's run, with everything unfolded, alone and in the tree."""
    kind = request.node.callspec.id
    with tab(browser, full, size, color_scheme=scheme, reduced_motion="reduce") as opened:
        page = opened.page
        for number, name in {0: "model", 2: "documents", 5: "tool", 6: "genai", 7: "genai-tool"}.items():
            open_call(opened, number)
            opened.assert_fits()
            opened.shoot(f"call-{name}-{kind}", whole=True)
            page.evaluate("for (const it of document.querySelectorAll('main details')) it.open = true")
            opened.assert_fits()
            assert_accessible(opened)
        opened.open("/session?id=calls")
        page.locator("[data-trace]").first.click()
        page.locator(".tree summary").last.click()
        page.locator(".messages").first.wait_for()
        opened.assert_fits()
        opened.shoot(f"call-in-tree-{kind}", whole=True)
        assert_accessible(opened)


def test_a_call_is_read_without_javascript(browser: Browser, full: str) -> None:
    """What is folded unfolds, and the output is one click away."""
    with tab(browser, full, PHONE, java_script_enabled=False) as opened:
        page = opened.page
        open_call(opened, 0)
        for title, hidden in {
            "2 tools offered": "Pay an item back.",
            "Reasoning": "The spout is cracked.",
            "All 48 attributes": "langgraph_node",
        }.items():
            expect(page.get_by_text(hidden).first).not_to_be_visible()
            page.get_by_text(title, exact=True).click()
            expect(page.get_by_text(hidden).first).to_be_visible()
        page.get_by_role("link", name="To the output").click()
        expect(page.get_by_role("heading", name="Output", exact=True)).to_be_in_viewport()
        page.get_by_role("link", name="as text").click()
        expect(page.get_by_text("data:image/png;base64")).to_be_visible()


def test_it_works_without_javascript(browser: Browser, full: str) -> None:
    """List, filters, search, chat, tools, spans and attributes are links and forms that need no script."""
    with tab(browser, full, java_script_enabled=False) as opened:
        page = opened.page
        opened.open("/")
        opened.shoot("list-without-javascript")
        page.get_by_label("Project").select_option("travel")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url("**project=travel*")
        expect(page.locator(".session .chip").first).to_have_text("travel")
        page.get_by_role("searchbox").fill("京都")
        page.get_by_role("searchbox").press("Enter")
        expect(page.locator("mark").first).to_have_text("京都")
        page.locator(".hit a").first.click()
        page.wait_for_url("**#turn-*")
        opened.open(REFUND)
        expect(page.get_by_text("TP-BLUE").first).not_to_be_visible()
        page.locator(".tool summary").first.click()
        expect(page.get_by_text("TP-BLUE").first).to_be_visible()
        expect(page.get_by_role("button", name="Copy link")).to_have_count(0)
        page.get_by_role("link", name="4 spans").click()
        page.locator(".tree details summary").last.click()
        page.get_by_role("link", name="This span in full").last.click()
        expect(page.get_by_text("gpt-4o-mini").first).to_be_visible()


def test_everything_is_at_hand_on_the_keyboard(browser: Browser, full: str) -> None:
    """`/` searches, j and k step, Enter opens, brackets go to the next session, u goes up, ? helps."""
    with tab(browser, full, permissions=["clipboard-read", "clipboard-write"]) as opened:
        page = opened.page
        opened.open("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        expect(page.locator(".session a.open").first).to_be_focused()
        opened.shoot("list-keyboard")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/session?id=thread*")
        page.keyboard.press("]")
        page.wait_for_url("**/session?id=research-1*")
        page.keyboard.press("[")
        page.wait_for_url("**/session?id=thread*")
        page.keyboard.press("e")
        expect(page.locator(".turn").nth(1)).to_be_focused()
        page.keyboard.press("k")
        expect(page.locator(".turn").first).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("o")
        expect(page.locator(".turn").nth(2).locator("details.tool")).to_have_attribute("open", "")
        page.keyboard.press("t")
        page.locator(".turn").nth(2).locator(".tree").wait_for()
        page.keyboard.press("c")
        expect(page.locator("[data-announce]")).to_have_text("Copied")
        link = page.evaluate("navigator.clipboard.readText()")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        opened.shoot("help")
        assert_accessible(opened)
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.type("jk?")
        expect(page.get_by_role("searchbox")).to_have_value("jk?")
        page.keyboard.press("Escape")
        page.keyboard.press("u")
        page.wait_for_url(full + "/")
        page.goto(link)
        expect(page.locator(".turn:target")).to_contain_text("two minutes")


def test_new_sessions_and_turns_appear_by_themselves(browser: Browser, store: SQLiteSessionStore) -> None:
    """List and chat follow the store; focus, what was unfolded, and the place on the page stay."""
    now = time.time_ns() - 3_600 * SECOND
    store.add(session_spans("first", [Said("one?", "one."), Said("two?", "two.")] * 4, started_ns=now))
    with serving(store) as address, tab(browser, address) as opened:
        page = opened.page
        opened.open("/")
        page.keyboard.press("j")
        store.add(turn_spans("second", Said("a new one?", "yes."), started_ns=now + 900 * SECOND))
        expect(page.locator(".session")).to_have_count(2)
        expect(page.locator(".session a.open").first).to_have_text("a new one?")
        expect(page.locator(".session a.open").nth(1)).to_be_focused()
        opened.shoot("list-live")
        opened.open("/session?id=first")
        page.locator("[data-trace]").first.click()
        page.locator(".tree").wait_for()
        before = page.evaluate("scrollY")
        store.add(turn_spans("first", Said("three?", "three!"), started_ns=now + 1_000 * SECOND))
        expect(page.locator(".turn")).to_have_count(9)
        expect(page.locator(".tree")).to_be_visible()
        assert page.evaluate("scrollY") == before
        expect(page.locator("#facts")).to_contain_text("9")
        late = turn_spans("first", Said("one?", "one, and more"), started_ns=now)[-1]
        root = turn_spans("first", Said("one?", "one."), started_ns=now)[0]
        store.add([replace(late, span_id="f" * 16, name="late", parent_id=root.span_id)])
        expect(page.locator(".tree")).to_contain_text("late")
        page.get_by_role("button", name="1 new turn").click()
        expect(page.locator(".turn").last).to_be_in_viewport()
        opened.shoot("session-live")


def test_a_waiting_page_shows_the_first_session(browser: Browser, store: SQLiteSessionStore) -> None:
    """The page of an empty store becomes the list when something is in it."""
    with serving(store) as address, tab(browser, address) as opened:
        opened.open("/")
        opened.shoot("welcome")
        assert_accessible(opened)
        store.add(turn_spans("first", Said("hello?", "hello!"), started_ns=time.time_ns()))
        expect(opened.page.locator(".session")).to_have_count(1)


def test_a_page_asks_only_while_it_is_looked_at(browser: Browser, full: str) -> None:
    """In a tab behind another one nothing is asked for; a server that is gone is said to be."""
    with tab(browser, full, expected="ERR_FAILED") as opened:
        page = opened.page
        page.clock.install()
        opened.open("/")
        asked: list[str] = []
        page.on("request", lambda it: asked.append(it.url))
        hide = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}})"
        tell = "; document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide.format("true") + tell)
        page.clock.run_for(1)  # what was under way has been asked
        asked.clear()
        page.clock.run_for(60_000)
        assert [it for it in asked if "/static/" not in it] == []
        page.route("**/*", lambda route: route.abort())
        page.evaluate(hide.format("false") + tell)
        page.clock.run_for(3_000)
        expect(page.get_by_text("Offline")).to_be_visible()
        page.unroute("**/*")
        page.get_by_text("Offline").click()
        expect(page.get_by_text("Live")).to_be_visible()


def test_what_was_searched_is_highlighted_in_the_session(browser: Browser, full: str) -> None:
    """A hit leads to its turn, where the words stand out as they did in the search."""
    with tab(browser, full) as opened:
        opened.open("/search?q=%22the+spout%22+crack")
        opened.page.locator(".hit a").first.click()
        opened.page.wait_for_url("**/session?*#turn-*")
        marked = "[...CSS.highlights.get('found')].map((it) => it.toString())"
        assert sorted(opened.page.evaluate(marked)) == ["crack", "the spout"]
        expect(opened.page.get_by_role("searchbox")).to_have_value('"the spout" crack')
        opened.shoot("session-searched")


def test_pictures_say_their_days_and_lead_to_them(browser: Browser, full: str) -> None:
    """A column under the pointer is told in words; a click shows the sessions of its day."""
    with tab(browser, full) as opened:
        page = opened.page
        opened.open("/")
        column = page.locator(".tile").nth(1).locator(".column").last
        column.hover()
        expect(page.locator(".axis.saying")).to_contain_text("turn")
        column.click()
        page.wait_for_url("**/?from=*&to=*")
        expect(page.get_by_label("From (UTC)")).to_have_value(page.url.partition("from=")[2][:10])
        page.get_by_label("Least turns").fill("3")
        page.get_by_label("Least turns").press("Enter")
        page.wait_for_url("**turns=3")
        assert "user=" not in page.url, "fields that are empty are no part of the address"


def test_a_session_is_deleted_with_two_clicks(browser: Browser, store: SQLiteSessionStore) -> None:
    """Delete, asked once more, and back on the list; a real browser's form is let through."""
    store.add(turn_spans("a\nb", Said("hello?", "hello!")))
    store.add(turn_spans("other", Said("me?", "yes.")))
    with serving(store, allow_delete=True) as address, tab(browser, address) as opened:
        opened.open("/session?id=a%0Ab")
        opened.page.get_by_role("link", name="Delete").click()
        opened.page.get_by_role("button", name="Delete").click()
        expect(opened.page.get_by_role("status")).to_have_text("The session was deleted.")
        expect(opened.page.locator(".session")).to_have_count(1)


def test_the_token_leaves_the_address(browser: Browser, store: SQLiteSessionStore) -> None:
    """The address that was printed opens the page; what is in the address bar can be shared without it."""
    with (
        serving(store, token="a token of 24 characters") as address,
        tab(browser, address, expected="401") as opened,
    ):
        opened.open("/")
        expect(opened.page.get_by_role("heading", name="A token is needed")).to_be_visible()
        opened.shoot("token-needed")
        opened.open("/?token=a+token+of+24+characters")
        assert opened.page.url == address + "/"
        expect(opened.page.get_by_role("heading")).to_contain_text(["Waiting"])


def test_hostile_content_does_nothing(browser: Browser, store: SQLiteSessionStore) -> None:
    """On every page that shows it: no dialog, no request to elsewhere, nothing that the policy stopped."""
    now = time.time_ns()
    store.add(hostile_spans(now))
    store.add(hostile_calls(now + 60 * SECOND))
    with serving(store, allow_delete=True) as address, tab(browser, address, PHONE) as opened:
        page = opened.page
        opened.open("/")
        opened.assert_fits()
        opened.shoot("hostile-list", whole=True)
        page.locator(".session a.open").click()
        expect(page.locator(".turn").first).to_contain_text("alert(1)")
        opened.assert_fits()
        for tool in page.locator("details.tool summary").all()[:4]:
            tool.click()
        for place, (number, found) in enumerate([(0, ".attributes"), (-1, ".messages"), (-1, ".documents")]):
            turn = page.locator(".turn").nth(place)
            turn.locator("[data-trace]").click()
            turn.locator(".span > summary").nth(number).click()
            turn.locator(found).first.wait_for()
        opened.assert_fits()
        assert_accessible(opened)
        opened.shoot("hostile-session", whole=True)
        assert page.locator("a[href^='javascript']").count() == 0
        opened.open("/search?q=script")
        expect(page.locator("mark").first).to_be_visible()
        assert page.evaluate("document.querySelectorAll('img, iframe, style, [onclick]').length") == 0
        assert HOSTILE_ID.startswith("<script>")
