"""The pages of recipes: what they link to, what they would install, and that all of their code has a test."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click import Context

from langchain_sessions.view.cli import cli
from tests.support.pages import DOCS, Page

ROOT = Path(__file__).parent.parent
PAGES = [Page(path) for path in sorted((DOCS / "recipes").glob("*.md"))]
RECIPES = [page for page in PAGES if page.path.stem != "README"]
RUN = {
    "celery": ["tasks.py", "ask.py"],
    "fastapi": ["chat.py"],
    "jupyter": [""] * 6,
    "langgraph-platform": ["chat.py", "serve.py"],
    "moving": [""],
    "streamlit": ["chat.py"],
}
"""The blocks of Python that the other `test_across_recipes_*` run."""


def named(page: Page) -> str:
    """Return what a page is called in a test's name."""
    return page.path.stem


def test_every_block_is_run() -> None:
    """There is no code on the pages that no test runs."""
    assert {page.path.stem: [block.file for block in page.of("python")] for page in RECIPES} == RUN
    assert {block.language for page in PAGES for block in page.blocks} == {"python", "console", "json"}
    for page in PAGES:
        assert page.text.count("```") == 2 * len(page.blocks)
        assert all(json.loads(block.code) for block in page.of("json"))


def test_the_index_names_every_recipe() -> None:
    """Once, and the README of the project leads there."""
    (index,) = [page for page in PAGES if page not in RECIPES]
    assert sorted(index.links) == [page.path.name for page in RECIPES]
    assert "](docs/recipes/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Page) -> None:
    """To a file of the project, or a heading in it."""
    for link in page.links:
        target, _, anchor = link.partition("#")
        path = page.path.parent / target
        assert path.is_file(), link
        assert not anchor or anchor in Page(path).anchors, link


@pytest.mark.parametrize("page", RECIPES, ids=named)
def test_commands_are_those_of_the_program(page: Page) -> None:
    """What a page would have installed is what its test has, and the program takes its own command lines."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        line for group in project["dependency-groups"].values() for line in group if isinstance(line, str)
    ]
    known = {line.partition(">=")[0] for line in groups} | {"langchain-sessions[demo]"}
    for words in (line.replace("'", "").split() for line in page.commands):
        if words[0] == "pip":
            assert set(words[2:]) <= known
        if words[0] == "langchain-sessions":
            command = cli.get_command(Context(cli), words[1])
            assert command is not None
            assert command.make_context(words[1], words[2:], resilient_parsing=True)
