"""What consistent probability sampling reads and writes in a W3C tracestate: the sub-keys of its `ot` entry.

`rv` is a trace's explicit randomness, `th` the rejection threshold with which a span was kept. The rules are
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/ and
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/.

Pure: a tracestate in, another out.
"""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.trace import TraceState

MAX_THRESHOLD: Final = 1 << 56
"""Randomness has 56 bits, so that none reaches this threshold: nothing is kept."""

MAX_RANDOMNESS: Final = MAX_THRESHOLD - 1

_ENTRY: Final = "ot"

_MAX_ENTRY_LENGTH: Final = 256
"""Characters, https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/."""

_MAX_ENTRIES: Final = 32
"""Entries of a tracestate, https://www.w3.org/TR/trace-context/#list. The SDK empties a longer one."""

_MEMBER: Final = re.compile(r"([a-z][a-z0-9]*):([A-Za-z0-9._-]*)")

_RANDOMNESS: Final = re.compile(r"[0-9a-f]{14}")


def explicit_randomness(state: TraceState) -> int | None:
    """Return the explicit randomness of a trace: 0 to 2^56 - 1, or None if there is no valid one."""
    value = _members(state).get("rv", "")
    return int(value, 16) if _RANDOMNESS.fullmatch(value) else None


def with_sampling(state: TraceState, *, threshold: int | None, randomness: int | None) -> TraceState:
    """Record in a tracestate how a span was sampled.

    Everything else in it is kept, apart from sub-keys of `ot` that are malformed or for which there is no
    room beside ours. A tracestate that is full, with an entry of somebody else in each place, is returned as
    it is.

    Args:
        state: The tracestate of the parent.
        threshold: The threshold with which the span was kept, less than 2^56; None removes `th`.
        randomness: The explicit randomness of the trace, 0 to 2^56 - 1; None removes `rv`.

    Returns:
        The tracestate of the span.
    """
    members = [f"{key}:{value}" for key, value in _members(state).items() if key not in ("th", "rv")]
    if randomness is not None:
        members.insert(0, f"rv:{randomness:014x}")
    if threshold is not None:
        members.insert(0, f"th:{f'{threshold:014x}'.rstrip('0') or '0'}")
    while len(value := ";".join(members)) > _MAX_ENTRY_LENGTH:
        members.pop()
    if value == state.get(_ENTRY, ""):
        return state
    others = [(key, other) for key, other in state.items() if key != _ENTRY]
    if len(others) == _MAX_ENTRIES:
        return state
    # What was changed comes first, https://www.w3.org/TR/trace-context/#mutating-the-tracestate-field
    return TraceState([(_ENTRY, value), *others] if value else others)


def _members(state: TraceState) -> dict[str, str]:
    """Return the well-formed sub-keys of `ot`; of one that is given twice, the last."""
    members = (_MEMBER.fullmatch(member) for member in state.get(_ENTRY, "").split(";"))
    return {match[1]: match[2] for match in members if match}
