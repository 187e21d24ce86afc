"""Whatever `docs/reading.md` shows is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "reading.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "console" for line in code.splitlines()]


def run(folder: Path, *command: str) -> str:
    """Run a program in a folder of its own, warnings being errors; return what it prints."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LANGCHAIN_SESSIONS_DB": str(folder / "sessions.db"), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_every_block_has_a_language_that_is_run() -> None:
    """There is no code on the page that no test runs."""
    assert {language for language, _ in BLOCKS} == {"python", "console"}
    assert PAGE.count("```") == 2 * len(BLOCKS)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_examples_run(number: int, tmp_path: Path) -> None:
    """Each example runs by itself and makes, or reads, the store that it names."""
    said = run(tmp_path, sys.executable, "-c", PYTHON[number])

    assert (tmp_path / "sessions.db").exists()
    assert "abc 1" in said if "store.search" in PYTHON[number] else not said


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str, tmp_path: Path) -> None:
    """The commands shown are those of the program."""
    program, *arguments = command.split()
    assert program == "langchain-sessions"
    assert run(tmp_path, sys.executable, "-m", "langchain_sessions", *arguments)


def test_options_that_the_text_names_are_options() -> None:
    """What is said in running text about a command holds for the command."""
    for command, option in re.findall(r"`(?:langchain-sessions )?(\w+)? ?(--[a-z-]+)", PAGE):
        known = "".join(
            run(DOCS, sys.executable, "-m", "langchain_sessions", each, "--help")
            for each in ([command] if command else ["prune", "ui", "export"])
        )
        assert option in known, option


def test_links_of_the_page_lead_somewhere() -> None:
    """To a file of the project."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (DOCS / target).is_file(), target
