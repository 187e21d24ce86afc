"""Programs that a test starts, waits for, and stops by their process id."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["LISTENING", "ROOT", "free_port", "python_module", "running", "started"]

ROOT: Final = Path(__file__).parents[2]

LISTENING: Final = r"listening on port (\d+)"
"""What our own programs print when they take requests. They choose the port, so nobody can take it before."""

_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS: Final = iter(range(20_000 + 1_000 * _WORKER, 21_000 + 1_000 * _WORKER))

_TO_STOP: Final = 15.0
_BETWEEN_LOOKS: Final = 0.02


@contextmanager
def running(
    *command: str, ready: str, log: Path, folder: str | Path = ROOT, **environment: str
) -> Generator[re.Match[str]]:
    """Run a program until the block ends; see `started`.

    Yields:
        The match of `ready`.
    """
    with started(*command, ready=ready, log=log, folder=folder, **environment) as (_, match):
        yield match


@contextmanager
def started(
    *command: str, ready: str, log: Path, folder: str | Path = ROOT, **environment: str
) -> Generator[tuple[subprocess.Popen[bytes], re.Match[str]]]:
    """Run a program until the block ends.

    Args:
        *command: The program and its arguments.
        ready: A regular expression for what the program prints when it is.
        log: The file to keep its output in. A test that fails shows it.
        folder: Where it runs.
        **environment: What it finds in its environment beside what is in ours.

    Yields:
        The program, which may have ended when the block does, and the match of `ready`.
    """
    with log.open("wb") as output:
        program = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, for `_stop`
        )
    try:
        yield program, _wait_until(ready, program, log)
    finally:
        _stop(program)
        sys.stdout.write(
            f"--- {' '.join(command)} ended with {program.returncode}, having said:\n{_said(log)}\n"
        )


def python_module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module with the interpreter of the tests."""
    return (sys.executable, "-m", name, *arguments)


def free_port() -> int:
    """Return a port of the loopback interface for a program that cannot choose one itself.

    It is below those that the system gives to whoever asks for any, and each is returned once: so nobody
    takes it before the program does.
    """
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    msg = "no port is left"
    raise AssertionError(msg)


def _wait_until(ready: str, program: subprocess.Popen[bytes], log: Path) -> re.Match[str]:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        ended = program.poll() is not None  # asked first: what it said last is then in the log
        if match := re.search(ready, _said(log)):
            return match
        assert not ended, (
            f"it ended with {program.returncode} before it was ready, having said:\n{_said(log)}"
        )
        time.sleep(_BETWEEN_LOOKS)
    msg = f"it was not ready after {PATIENCE} s, having said:\n{_said(log)}"
    raise AssertionError(msg)


def _stop(program: subprocess.Popen[bytes]) -> None:
    """Ask the program to end; if it does not, end it and what it has started."""
    program.terminate()
    try:
        program.wait(_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
