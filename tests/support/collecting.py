"""A `langchain-sessions collect` that a test starts, sends to, and stops by its process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_READY: Final = r"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=(\S+)"

_TO_START: Final = 60.0
_TO_STOP: Final = 15.0


@dataclass
class Collector:
    """A running process.

    Attributes:
        endpoint: Where it receives, as it has printed it.
        store: The file of its store.
        log: What it prints.
        process: The process.
    """

    endpoint: str
    store: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        """What it has printed so far, on both streams."""
        return self.log.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_TO_STOP)


@contextmanager
def collecting(folder: Path, *arguments: str, **environment: str) -> Generator[Collector]:
    """Run a collector on a free port of the loopback interface, with a store in the folder.

    Args:
        folder: Where its store and its log are.
        *arguments: More arguments of the command.
        **environment: What it finds in its environment beside what is in ours.
    """
    store, log = folder / "collected.db", folder / "collector.log"
    command = [sys.executable, "-m", "langchain_sessions", "collect", "--port", "0", "--store", str(store)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Collector(_endpoint(log, process), store, log, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _endpoint(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _TO_START
    while time.monotonic() < deadline:
        ended = process.poll() is not None  # asked first: what it said last is then in the log
        said = log.read_text(encoding="utf-8")
        if match := re.search(_READY, said):
            return match[1]
        assert not ended, f"it ended with {process.returncode}, having said:\n{said}"
        time.sleep(0.02)
    msg = f"it was not ready after {_TO_START} s, having said:\n{log.read_text(encoding='utf-8')}"
    raise AssertionError(msg)
