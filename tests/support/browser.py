"""A real browser, with proof that a page loads nothing from elsewhere and complains of nothing."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import expect, sync_playwright

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")

SCREENSHOTS: Final = Path(__file__).parents[2] / ".cache" / "screenshots"

DESKTOP: Final = (1280, 860)
PHONE: Final = (390, 844)

# As root, in a container: neither has what Chromium's own sandbox needs.
_ARGUMENTS: Final = ["--no-sandbox", "--disable-dev-shm-usage"]

_PATIENCE_MS: Final = 1_000 * PATIENCE

expect.set_options(timeout=_PATIENCE_MS)


@contextmanager
def chromium() -> Generator[Browser]:
    """Start the browser. Playwright's event loop is in this thread until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS, timeout=_PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page in the browser.

    Attributes:
        page: Playwright's.
        origin: The only place that it may load from.
        trouble: What it loaded from elsewhere, the dialogs it opened, and its complaints.
    """

    page: Page
    origin: str
    trouble: list[str] = field(default_factory=list[str])

    def open(self, path: str) -> None:
        """Go to an address of ours."""
        self.page.goto(self.origin + path)

    def shoot(self, name: str, *, whole: bool = False) -> None:
        """Keep a picture, of the whole page or of what is in view."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def assert_fits(self) -> None:
        """Fail if one has to scroll to the side."""
        width, room = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= room, f"{self.page.url} is {width} px wide"


@contextmanager
def tab(
    browser: Browser, origin: str, size: tuple[int, int] = DESKTOP, *, expected: str = "", **settings: Any
) -> Generator[Tab]:
    """Open a tab; at its end, fail if there was any trouble.

    Args:
        browser: The browser.
        origin: The only place that it may load from.
        size: Of the window.
        expected: A complaint with this in it is none.
        **settings: Of a Playwright context, such as `color_scheme="dark"`.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    opened = Tab(page, origin)
    trouble = opened.trouble

    def on_request(it: Request) -> None:
        if not it.url.startswith(f"{origin}/"):
            trouble.append(f"loads {it.url}")

    def on_dialog(it: Dialog) -> None:
        trouble.append(f"dialog {it.message}")
        it.dismiss()

    def on_console(it: ConsoleMessage) -> None:
        if it.type in {"error", "warning"}:
            trouble.append(f"{it.type} {it.text}")

    context.on("request", on_request)
    page.on("dialog", on_dialog)
    page.on("console", on_console)
    page.on("pageerror", lambda it: trouble.append(f"error {it}"))
    try:
        yield opened
    finally:
        context.close()
    assert [it for it in trouble if not expected or expected not in it] == []
