"""Processes that are forked from a test, and wait for each other."""

from __future__ import annotations

import faulthandler
import os
import select
import traceback
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


def in_a_fork(work: Callable[[], object]) -> int:
    """Run something in a process that is forked from this one; return its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        # Another thread may have held a lock that nobody frees here.
        faulthandler.dump_traceback_later(2 * PATIENCE, exit=True, file=2)
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def wait_for(child: int) -> None:
    """Wait for a process, which must have ended well."""
    assert os.waitpid(child, 0)[1] == 0


def signal_pair() -> tuple[Callable[[], object], Callable[[], object]]:
    """What one process calls to go on, and another to wait for that."""
    receive, send = os.pipe()

    def wait() -> None:
        assert select.select([receive], [], [], PATIENCE)[0], "the other process does not go on"
        os.read(receive, 1)

    return lambda: os.write(send, b"!"), wait
