"""A Redis for the tests: where tasks and their results wait."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.across.processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@contextmanager
def redis_server(folder: Path) -> Generator[str]:
    """Run a Redis that keeps nothing on disk, on a free port of the loopback interface; yield its address."""
    port = free_port()
    settings = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    command = ["redis-server", *(word for name, value in settings.items() for word in (f"--{name}", value))]
    with running(*command, ready="Ready to accept connections", log=folder / "log"):
        yield f"redis://127.0.0.1:{port}"
