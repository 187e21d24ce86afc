"""Whatever the README shows is run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from langchain_sessions.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "console" for line in code.splitlines()]


def test_every_block_has_a_language_that_is_run() -> None:
    """There is no code in the README that no test runs, and an example stands near its top."""
    assert {language for language, _ in BLOCKS} == {"python", "console"}
    assert README.count("```") == 2 * len(BLOCKS)
    assert README[: README.index(PYTHON[0]) + len(PYTHON[0])].count("\n") < 30


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the commands find what the first of them, the demonstration, has kept."""
    return str(tmp_path_factory.mktemp("readme") / "sessions.db")


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_examples_run(number: int, tmp_path: Path) -> None:
    """Each example runs by itself, warnings being errors; the first prints four spans of one session."""
    # An interpreter of its own, because examples set the global provider as applications do.
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PYTHON[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count('"session.id": "abc"') == (4 if number == 0 else 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(
    command: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands shown are run, in their order; what they would install is checked against the metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = command.split()
    if words[:2] == ["pip", "install"]:
        name, _, extra = words[2].strip("'").rstrip("]").partition("[")
        assert name == project["name"]
        assert not extra or extra in project["optional-dependencies"]
        return
    assert words[0] in project["scripts"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setenv("LANGCHAIN_SESSIONS_DB", place)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (0, None)
    assert _SHOWN[words[1]] in capsys.readouterr().out


_SHOWN = {
    "demo": "demo-agent",
    "list": "demo-history",
    "show": "Do you remember my name?",
    "search": "a small boat",
    "stats": "11 turns",
}
"""A part of what each command shows of the demonstration."""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([\w-]+)`", README))))
def test_make_targets_exist(target: str) -> None:
    """Every `make` target that the README names is in the Makefile."""
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
