"""Notebooks, run in a new kernel."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from traitlets.config import Config

from tests.support.waiting import PATIENCE


def execute(notebook: Any, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run the cells of a notebook; they have what they show then.

    Args:
        notebook: The notebook.
        folder: Where the kernel runs.
        environment: The kernel's, in the place of ours.
    """
    # Sockets with names, as ports may be taken by others between the choice and the start. The names are
    # short, as those of sockets must be.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        kernel = {"transport": "ipc", "ip": str(Path(sockets) / "it"), "shutdown_wait_time": PATIENCE}
        client = NotebookClient(
            notebook,
            config=Config({"KernelManager": kernel}),
            timeout=PATIENCE,
            startup_timeout=PATIENCE,
            iopub_timeout=PATIENCE,
            resources={"metadata": {"path": str(folder)}},
        )
        client.execute(**({} if environment is None else {"env": environment}))
