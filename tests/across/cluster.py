"""A Ray cluster that no other machine can see, and an actor in it whose answers come from a chain.

`cluster()` sets what Ray reads when it is imported, so nothing may import Ray before.
"""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from opentelemetry import context
from opentelemetry.propagate import extract

from langchain_sessions import SessionPolicy, instrument
from tests.across.telemetry import tracer_provider
from tests.support import runnables
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Answerer", "cluster"]


class Answerer:
    """Answers questions in a process of its own, as an actor."""

    def __init__(self, endpoint: str) -> None:
        instrument(tracer_provider("worker", endpoint), policy=SessionPolicy(accept_baggage=True))

    def answer(self, carrier: dict[str, str], question: str) -> str:
        """Answer in the context that the caller has put into a dictionary, since Ray carries none."""
        token = context.attach(extract(carrier))
        try:
            return runnables.chain().invoke({"q": question})
        finally:
            context.detach(token)


@contextmanager
def cluster() -> Generator[Any]:
    """Run Ray until the block ends; fail if it can be reached from elsewhere, or if a process is left.

    Yields:
        The module `ray`.
    """
    assert "ray" not in sys.modules, "Ray has been imported with other settings"
    others = psutil.Process().children(recursive=True)  # the servers of other tests, which go on
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray turns 127.0.0.1 into the address that other machines know, and listens on all addresses, unless
        # it is told that it is no cluster. In spite of its name the switch works on every system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Without a token here it makes one, and keeps it in the home directory.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        # Its workers have the nice level 15 otherwise, and on a busy machine hardly ever run.
        "RAY_worker_niceness": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        import ray

        # In /tmp: its name becomes part of the paths of sockets, which may have some hundred characters.
        with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
            try:
                ray.init(
                    address="local",
                    num_cpus=2,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=80 * 2**20,  # otherwise a third of the machine's
                    _node_ip_address="127.0.0.1",
                    _temp_dir=folder,
                )
                yield ray
                assert _listening() <= {"127.0.0.1", "::1"}
            finally:
                started = [it for it in psutil.Process().children(recursive=True) if it not in others]
                ray.shutdown()
                _, left = psutil.wait_procs(started, timeout=PATIENCE)
            assert left == []


def _listening() -> set[str]:
    """Return the addresses on which this process and those that it has started listen."""
    this = psutil.Process()
    found: set[str] = set()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # idle ones may end just now
            sockets = [it for it in process.net_connections("tcp") if it.status == psutil.CONN_LISTEN]
            # An IPv4 address, as a socket for both versions has it, has a prefix.
            found.update(it.laddr.ip.removeprefix("::ffff:") for it in sockets)
    return found
