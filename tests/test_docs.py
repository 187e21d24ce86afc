"""Whatever `docs/how-your-id-travels.md` shows is run, and its picture stands alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from langchain_sessions import uninstrument

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "how-your-id-travels.md").read_text(encoding="utf-8")
PICTURE = DOCS / "how-your-id-travels.svg"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "console" for line in code.splitlines()]
SVG = "{http://www.w3.org/2000/svg}"

APP = """
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from langchain_sessions import SessionCallbackHandler

if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
    trace.set_tracer_provider(TracerProvider())

def answer(_):
    run = trace.get_current_span()
    with trace.get_tracer("shop").start_as_current_span("price list") as mine:
        return run.attributes["session.id"], mine.parent == run.context

config = {"callbacks": [SessionCallbackHandler()], "metadata": {"session_id": "abc"}}
assert RunnableLambda(answer).invoke("hi", config) == ("abc", True)
"""
"""What both ways without code are for: an application that passes a handler, and opens a span of its own."""


@pytest.fixture
def _clean() -> Iterator[None]:
    yield
    uninstrument()


def test_every_block_has_a_language_that_is_run() -> None:
    """There is no code on the page that no test runs."""
    assert {language for language, _ in BLOCKS} == {"python", "console"}
    assert PAGE.count("```") == 2 * len(BLOCKS)


@pytest.mark.usefixtures("_clean")
@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_examples_run(number: int) -> None:
    """Each example runs by itself, checks what the page says, and leaves nothing behind."""
    code = PYTHON[number]
    assert "\nassert " in code or "    assert " in code
    line = PAGE[: PAGE.index(code)].count("\n")
    # With as many empty lines before it, a traceback shows the line of the page.
    exec(compile("\n" * line + code, DOCS / "how-your-id-travels.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_switch_it_on(command: str, tmp_path: Path) -> None:
    """Both ways without code nest an application's own span in the run."""
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    run = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, **exporters, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_links_of_the_page_lead_somewhere() -> None:
    """To a file of the project, or to a heading of the page."""
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert target[1:] in headings if target.startswith("#") else (DOCS / target).is_file(), target


def test_the_picture_stands_alone() -> None:
    """It is well-formed, says what it shows, follows the reader's colours, and loads nothing."""
    text = PICTURE.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    for name in ("title", "desc"):
        element = root.find(f"{SVG}{name}")
        assert element is not None
        assert (element.text or "").strip()
    assert "prefers-color-scheme: dark" in text
    assert not {element.tag for element in root.iter()} & {
        f"{SVG}{name}" for name in ("image", "script", "foreignObject")
    }
    references = [
        value
        for element in root.iter()
        for name, value in element.attrib.items()
        if name.rpartition("}")[2] in ("href", "src")
    ]
    references += re.findall(r"url\(\s*[\"']?([^)\"']*)", text)
    assert all(reference.startswith("#") for reference in references), references
    assert "@import" not in text
    assert re.findall(r"\w+://[^\s\"']*", text) == ["http://www.w3.org/2000/svg"]  # the name of the language
