"""A `langchain-sessions collect` that a test starts, sends to, and stops by its process id."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.across.processes import python_module, started
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path

_READY: Final = r"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=(\S+)"


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
        return self.process.wait(PATIENCE)


@contextmanager
def collecting(folder: Path, *arguments: str, **environment: str) -> Generator[Collector]:
    """Run a collector on a free port of the loopback interface, with a store in the folder.

    Args:
        folder: Where its store and its log are.
        *arguments: More arguments of the command.
        **environment: What it finds in its environment beside what is in ours.
    """
    store, log = folder / "collected.db", folder / "collector.log"
    command = python_module("langchain_sessions", "collect", "--port", "0", "--store", str(store), *arguments)
    with started(*command, ready=_READY, log=log, **environment) as (process, match):
        yield Collector(match[1], store, log, process)
