"""Processes of their own that share one file, and what is left of them when they are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SQLiteSessionStore
from tests.across.processes import ROOT, python_module
from tests.support.store_worker import TURNS_A_BATCH, batch_of
from tests.support.stores import all_spans, audit
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = 4
BATCHES = 25

KILLS = 20
"""How many writers are killed."""


def worker(*arguments: object) -> subprocess.Popen[str]:
    """Start a process that writes or reads."""
    return subprocess.Popen(
        python_module("tests.support.store_worker", *map(str, arguments)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(process: subprocess.Popen[str]) -> str:
    """Let a process go on, and wait for it; it must have nothing to complain of. Return what it said."""
    said, complained = process.communicate("go on\n", timeout=PATIENCE)
    assert (process.returncode, complained) == (0, "")
    return said


def test_many_write_while_others_read(tmp_path: Path) -> None:
    """Four writers and a reader: no error, every span is there, and each reading is of one moment."""
    path = tmp_path / "sessions.db"
    turns = WRITERS * BATCHES * TURNS_A_BATCH
    reader = worker("read", path, turns)
    readings = (int(line) for line in reader.stdout or ())
    assert next(readings) == 0
    writers = [worker("write", path, name, BATCHES) for name in range(WRITERS)]
    # They wait in the middle, until the reader has read that.
    middle = WRITERS * (BATCHES // 2) * TURNS_A_BATCH
    assert next(it for it in readings if it >= middle) == middle
    for writer in writers:
        assert end_of(writer).split() == [str(number) for number in range(BATCHES)]
    assert end_of(reader).split()[-1] == str(turns)

    with closing(SQLiteSessionStore(path)) as store:
        wanted = {
            (it.trace_id, it.span_id)
            for name in range(WRITERS)
            for number in range(BATCHES)
            for it in batch_of(name, number)
        }
        kept = [(it.trace_id, it.span_id) for spans in all_spans(store).values() for it in spans]
        assert len(kept) == len(wanted)
        assert set(kept) == wanted
        assert store.summary("shared").turn_count == turns // 2
    audit(path)


def killed_writer(path: Path, name: int, after: int, delay: float) -> int:
    """Let a forked process write until it is killed; return how many batches it has said are stored.

    Args:
        path: The file.
        name: Which one it is.
        after: It is killed when so many batches are stored, and a bit.
        delay: The bit, in seconds.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            store = SQLiteSessionStore(path)
            for number in range(10_000):
                store.add(batch_of(name, number))
                os.write(send, b"!")
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive, "rb") as acknowledgements:
        said = acknowledgements.read(after)
        signal.sigtimedwait([], delay)  # the kill has to come at any point of a batch
        os.kill(child, signal.SIGKILL)
        said += acknowledgements.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return len(said)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the threads of other tests
def test_what_was_acknowledged_survives_the_writer(tmp_path: Path) -> None:
    """However often one is killed: every batch is there as a whole or not at all, and all sums are right."""
    path = tmp_path / "sessions.db"
    chance = random.Random(4711)
    acknowledged = {
        name: killed_writer(path, name, chance.randint(1, 5), chance.random() / 100) for name in range(KILLS)
    }
    with closing(SQLiteSessionStore(path)) as store:
        for name, batches in acknowledged.items():
            turns = {it.trace_id for it in store.session(f"writer {name}").turns}
            for number in range(batches):
                traces = {it.trace_id for it in batch_of(name, number)[::4]}
                assert traces <= turns
            assert len(turns) in {(batches + more) * TURNS_A_BATCH // 2 for more in (0, 1)}
    audit(path)
