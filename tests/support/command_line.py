"""The command line, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from langchain_sessions.view.cli import cli
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from click.testing import Result

MAIN = "from langchain_sessions.__main__ import main; main()"
"""The program, as code."""


def run(*arguments: str, **environment: str) -> Result:
    """Run the command line in this process, on a wide terminal."""
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "160"} | environment)


def run_alone(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in an interpreter of its own."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=PATIENCE)


def lines(text: str) -> list[str]:
    """The lines without the blanks that fill them up."""
    return [line.rstrip() for line in text.splitlines()]
