"""How tests wait for other threads and processes: for a condition, never for a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE: Final = 180
"""Seconds after which what is waited for will not come. Mostly it takes a fraction of one."""

_BETWEEN_LOOKS: Final = 0.02


def until(holds: Callable[[], object], missing: str) -> None:
    """Wait until something holds.

    Args:
        holds: What is asked again and again.
        missing: What to say if it never does.
    """
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, f"after {PATIENCE} s: {missing}"
        time.sleep(_BETWEEN_LOOKS)
