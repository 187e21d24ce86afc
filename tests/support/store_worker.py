"""A process that writes to a store, or reads it.

Its arguments are "write", the path, the writer's number and how many batches; or "read", the path and how
many turns there will be in the end.
"""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

from langchain_sessions.store import SQLiteSessionStore, iter_sessions
from tests.support.spans import turn
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from langchain_sessions.store import Span

TURNS_A_BATCH = 10


def batch_of(name: int, number: int) -> list[Span]:
    """The spans of a writer's batch, of a session of its own and of one that it shares with the others."""
    first = name * 100_000 + number * TURNS_A_BATCH
    return [
        it
        for place in range(TURNS_A_BATCH)
        for it in turn(first + place, "shared" if place % 2 else f"writer {name}", tokens=(3, 1), start=first)
    ]


def write(path: str, name: int, batches: int) -> None:
    """Write batches, and say after each that it is stored. In the middle, wait for a line on the input."""
    with closing(SQLiteSessionStore(path, wait=PATIENCE)) as store:
        for number in range(batches):
            if number == batches // 2:
                sys.stdin.readline()
            store.add(batch_of(name, number))
            say(number)


def read(path: str, turns: int) -> None:
    """Read all that there is, until all turns are there; say how many are. What is read is of one moment."""
    found = 0
    with closing(SQLiteSessionStore(path, wait=PATIENCE)) as store:
        while found < turns:
            for summary in iter_sessions(store):
                session = store.session(summary.id)
                assert session.turn_count == len(session.turns)
                assert session.span_count == 2 * session.turn_count
            stats = store.stats()
            assert stats.prompt_tokens == 3 * stats.turns
            assert len(store.search("question", limit=5)) <= 5
            found = stats.turns
            say(found)


def say(number: int) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        read(sys.argv[2], int(sys.argv[3]))
