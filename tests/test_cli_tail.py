from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from queue import Empty, Queue
from typing import TYPE_CHECKING

import pytest

from langchain_sessions.store import SQLiteSessionStore
from tests.support.command_line import MAIN
from tests.support.turns import turn
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

WRITER = """
import sys, time
from langchain_sessions.store import SQLiteSessionStore
from tests.support.turns import turn
store = SQLiteSessionStore(sys.argv[1])
for number in range(11, 16):
    root, *others = turn("live", number)
    store.add(others)
    time.sleep(0.05)
    store.add([root])
"""
"""Another process that adds five turns, the spans of each in two parts."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")


@pytest.fixture
def store(place: Path) -> Iterator[SQLiteSessionStore]:
    """A store of two sessions of two turns."""
    store = SQLiteSessionStore(place)
    for number, session in enumerate(("alpha", "beta", "alpha", "beta"), 1):
        store.add(turn(session, number))
    yield store
    store.close()


class Tail:
    """A running `tail`, and what it prints."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "tail", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, seconds: float = PATIENCE) -> str:
        """The next line; empty if none comes in that time."""
        try:
            return self._lines.get(timeout=seconds)
        except Empty:
            return ""

    def lines_until(self, text: str) -> list[str]:
        """The next lines, up to one with this text."""
        found: list[str] = []
        while not found or (found[-1] and text not in found[-1]):
            found.append(self.line())
        assert text in found[-1]
        return found

    def first_words_of_stderr(self) -> str:
        """The first line on standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def interrupt(self) -> tuple[int, str]:
        """End it as Ctrl-C does; return the exit code and what is on standard error."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        code = self.process.wait(PATIENCE)
        return code, self.process.stderr.read()

    def close(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def tail(*arguments: str) -> Generator[Tail]:
    """Run `tail` for as long as the block."""
    running = Tail(*arguments)
    try:
        yield running
    finally:
        running.close()


def said(line: str) -> str:
    """The part of a line after the fixed columns."""
    return line.split(" ", 2)[2].split("tool ")[-1]


def test_tail_begins_with_the_last_turns(store: SQLiteSessionStore) -> None:
    """The last ones of all sessions, in their order; then it waits, and Ctrl-C ends it without a word."""
    with tail("-n", "3") as running:
        assert [running.line() for _ in range(3)] == [
            "00:02:00 beta 1.0 s, 1 tool question 2 → answer 2",
            "00:03:00 alpha 1.0 s, 1 tool question 3 → answer 3",
            "00:04:00 beta 1.0 s, 1 tool question 4 → answer 4",
        ]
        store.add(turn("gamma", 5))
        assert said(running.line()) == "question 5 → answer 5"
        assert running.interrupt() == (130, "")


def test_tail_shows_what_another_process_writes(store: SQLiteSessionStore, place: Path) -> None:
    """Every turn appears, and a last line for each has all that is known of it."""
    with tail("-n", "1", "--json") as running:
        assert json.loads(running.line())["input"] == "question 4"  # so it has begun
        subprocess.run([sys.executable, "-c", WRITER, str(place)], check=True, timeout=PATIENCE)
        turns: dict[str, dict[str, object]] = {}
        for line in running.lines_until("question 15"):
            read = json.loads(line)
            turns[read["trace_id"]] = read
        assert running.interrupt() == (130, "")

    assert [(it["session_id"], it["input"], it["output"], it["span_count"]) for it in turns.values()] == [
        ("live", f"question {number}", f"answer {number}", 3) for number in range(11, 16)
    ]
    assert store.session("live").turn_count == 5


def test_tail_marks_a_turn_that_has_changed(store: SQLiteSessionStore) -> None:
    """What comes later belongs to the same turn, which is shown again; what changes nothing is not."""
    root, *others = turn("alpha", 9)
    with tail("-n", "1") as running:
        assert running.line().startswith("00:04:00 beta")
        store.add(others)
        assert running.line().startswith("00:09:00 alpha ")
        store.add(others)
        store.add([root])
        assert running.line().startswith("00:09:00↻alpha 1.0 s, 1 tool question 9")
        store.add(turn("alpha", 10))
        assert running.line().startswith("00:10:00 alpha ")


def test_tail_shows_what_is_asked_for_only(store: SQLiteSessionStore) -> None:
    """One session, or one project, from its beginning."""
    store.add(turn("alpha", 5, project="support"))
    with tail("--since-start", "--session", "alpha", "--project", "shop") as running:
        assert [said(running.line()) for _ in range(2)] == [
            "question 1 → answer 1",
            "question 3 → answer 3",
        ]
        store.add([*turn("beta", 6), *turn("alpha", 7, project="support"), *turn("alpha", 8)])
        assert said(running.line()) == "question 8 → answer 8"


def test_tail_waits_for_the_store(place: Path) -> None:
    """It may be started before the application: it says what it waits for, and misses nothing."""
    with tail("-n", "0") as running:
        assert running.first_words_of_stderr() == f"waiting for {place} ...\n"
        assert not place.exists()
        store = SQLiteSessionStore(place)
        store.add([*turn("alpha", 1), *turn("alpha", 2)])
        assert [said(running.line()) for _ in range(2)] == ["question 1 → answer 1", "question 2 → answer 2"]
        store.close()
        assert running.interrupt() == (130, "")


def test_tail_can_be_interrupted_while_it_waits(place: Path) -> None:
    """Ctrl-C ends the waiting, too, and no file has been made."""
    with tail() as running:
        running.first_words_of_stderr()
        assert running.interrupt() == (130, "")
    assert not place.exists()


def test_tail_sorts_the_turns_of_many_sessions(place: Path) -> None:
    """More sessions than are listed at a time, and turns of all of them in the order in which they ended."""
    store = SQLiteSessionStore(place)
    store.add(span for number in range(1, 301) for span in turn(f"session {number % 150}", number))
    store.close()
    for arguments, first in ((("-n", "4"), 297), (("--since-start",), 1)):
        with tail("--json", *arguments) as running:
            shown = [json.loads(running.line())["input"] for _ in range(first, 301)]
            assert running.interrupt() == (130, "")
        assert shown == [f"question {number}" for number in range(first, 301)]
