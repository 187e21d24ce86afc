"""What the session store does in a second, and how long one waits for what is in it.

Fills a store with conversations as a busy service has them: ten spans a turn, five turns a session, some two
hundred sessions going on at a time. Then reads it. Beside the rate of storing stands that of the least that
could be done, the same spans as rows of one bare table, so that a figure means something on another machine.

    python benchmarks/store.py [--traces 200000] [--keep FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx

from langchain_sessions.store import Span, SQLiteSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH: Final = 512
SPANS_A_TRACE: Final = 10
TURNS_A_SESSION: Final = 5
SESSIONS_AT_A_TIME: Final = 200
COMMON: Final = "harbour"
"""A word in every third turn."""
RARE: Final = "xylophone"
"""A word in one turn of fifty thousand, and in the last one."""

START_NS: Final = 1_767_225_600_000_000_000
TURN_NS: Final = 2_000_000_000

RESOURCE: Final = {"service.name": "chat", "openinference.project.name": "benchmark"}
KINDS: Final = ("CHAIN", "CHAIN", "PROMPT", "LLM", "TOOL", "CHAIN", "RETRIEVER", "LLM", "CHAIN", "CHAIN")
VOCABULARY: Final = [f"word{number}" for number in range(5_000)]


def conversations(traces: int, seed: int = 1, prefix: str = "session") -> Iterator[Span]:
    """Yield spans as a service exports them: of a trace the inner ones first, of sessions in turns."""
    rng = random.Random(seed)
    waiting = [f"{prefix}-{number:07d}" for number in range(-(-traces // TURNS_A_SESSION))][::-1]
    active: list[list[object]] = []
    for number in range(traces):
        while waiting and len(active) < SESSIONS_AT_A_TIME:
            active.append([waiting.pop(), 0])
        place = rng.randrange(len(active))
        session, done = active[place]
        active[place][1] = int(str(done)) + 1
        if active[place][1] == TURNS_A_SESSION:
            active.pop(place)
        is_rare = number % 50_000 == 7 or number == traces - 1
        yield from _trace(rng, str(session), START_NS + number * TURN_NS, is_rare=is_rare)


def _trace(rng: random.Random, session: str, start: int, *, is_rare: bool) -> list[Span]:
    trace_id = f"{rng.getrandbits(128):032x}"
    ids = [f"{rng.getrandbits(64):016x}" for _ in KINDS]
    asked = " ".join(rng.choices(VOCABULARY, k=12))
    asked += f" {COMMON}" if rng.random() < 1 / 3 else ""
    asked += f" {RARE}" if is_rare else ""
    answer = " ".join(rng.choices(VOCABULARY, k=40))
    spans = [
        Span(
            trace_id=trace_id,
            span_id=ids[place],
            parent_id=None if place == 0 else ids[0 if place < 5 else 1],
            name="step",
            start_ns=start + place * 10_000_000,
            end_ns=start + 500_000_000 + rng.randrange(1_500_000_000),
            attributes=_attributes(kind, session, asked, answer, is_root=place == 0),
            resource=RESOURCE,
            scope="openinference.instrumentation.langchain",
            scope_version="0.1.80",
        )
        for place, kind in enumerate(KINDS)
    ]
    return spans[::-1]


def _attributes(kind: str, session: str, asked: str, answer: str, *, is_root: bool) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "openinference.span.kind": kind,
        "input.value": asked if is_root else json.dumps({"question": asked}),
        "input.mime_type": "text/plain" if is_root else "application/json",
        "output.value": answer,
        "metadata": json.dumps({"session_id": session, "user_id": "ada", "ls_integration": "langchain"}),
    }
    if kind == "LLM":
        attributes |= {
            "llm.model_name": "a-model",
            "llm.token_count.prompt": 120,
            "llm.token_count.completion": 45,
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Answer briefly.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": asked,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": answer,
        }
    if kind == "TOOL":
        attributes["tool.name"] = "lookup"
    return attributes | {"user.id": "ada", "session.id": session}


class Rates(NamedTuple):
    """Spans a second."""

    stored: float
    last_tenth: float
    bare: float


def fill(path: Path, traces: int) -> Rates:
    """Store the conversations, and the same spans in a bare table, batch by batch in turns."""
    store = SQLiteSessionStore(path)
    bare = sqlite3.connect(path.with_suffix(".bare"), isolation_level=None)
    bare.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
    bare.execute("CREATE TABLE spans (trace_id BLOB, span_id BLOB, name TEXT, attributes TEXT)")
    ours: list[float] = []
    theirs: list[float] = []
    spans = conversations(traces)
    while batch := list(islice(spans, BATCH)):
        ours.append(_timed(lambda batch=batch: store.add(batch)))
        if len(ours) % 20 == 0:  # a sample is enough, and keeps the disk for what is measured
            theirs.append(_timed(lambda batch=batch: _add_bare(bare, batch)))
        _progress(len(ours) * BATCH, traces * SPANS_A_TRACE)
    store.close()
    bare.close()
    path.with_suffix(".bare").unlink()
    tenth = ours[-max(1, len(ours) // 10) :]
    return Rates(
        traces * SPANS_A_TRACE / sum(ours), len(tenth) * BATCH / sum(tenth), len(theirs) * BATCH / sum(theirs)
    )


def _add_bare(connection: sqlite3.Connection, batch: list[Span]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO spans VALUES (?, ?, ?, ?)",
        [
            (bytes.fromhex(it.trace_id), bytes.fromhex(it.span_id), it.name, json.dumps(it.attributes))
            for it in batch
        ],
    )
    connection.execute("COMMIT")


def read(path: Path, rounds: int = 50) -> dict[str, float]:
    """Measure what a reader waits for: medians, in milliseconds."""
    store = SQLiteSessionStore(path, create=False)
    ids = cycle([summary.id for summary in store.sessions(limit=50)])
    second = store.sessions().next
    cases: dict[str, Callable[[], object]] = {
        "newest 50 sessions": store.sessions,
        "the next 50": lambda: store.sessions(after=second),
        "50 by latency": lambda: store.sessions(sort="latency"),
        "a transcript": lambda: store.session(next(ids)),
        "a rare word": lambda: store.search(RARE),
        "a common word": lambda: store.search(COMMON),
        "two words": lambda: store.search(f"{COMMON} {RARE}"),
        "statistics of everything": store.stats,
    }
    measured = {
        name: statistics.median(_timed(case) for _ in range(3 if "statistics" in name else rounds)) * 1e3
        for name, case in cases.items()
    }
    store.close()
    return measured


def page_over_http(path: Path, rounds: int = 100) -> float:
    """Measure the list page of the real server, in milliseconds."""
    command = [
        sys.executable,
        "-m",
        "langchain_sessions",
        "ui",
        "--store",
        str(path),
        "--port",
        "0",
        "--no-open",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(
                word for line in server.stdout for word in line.split() if word.startswith("http://")
            )
            with httpx.Client(base_url=address.rstrip(".")) as client:
                client.get("/").raise_for_status()
                return statistics.median(_timed(lambda: client.get("/")) for _ in range(rounds)) * 1e3
        finally:
            server.terminate()


def four_writers(path: Path, traces: int) -> tuple[float, int]:
    """Let four processes write while this one reads; return spans a second, and how many reads there were."""
    SQLiteSessionStore(path).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, traces, number)) for number in range(4)]
    began = time.perf_counter()
    for writer in writers:
        writer.start()
    store = SQLiteSessionStore(path)
    reads = 0
    while any(writer.is_alive() for writer in writers):
        for summary in store.sessions(limit=5):
            store.session(summary.id)
        reads += 1
    took = time.perf_counter() - began
    found = store.stats().spans
    store.close()
    expected = 4 * traces * SPANS_A_TRACE
    if found != expected or any(writer.exitcode for writer in writers):
        sys.exit(f"{expected} spans were written by four processes, {found} are there")
    return expected / took, reads


def _write(path: Path, traces: int, number: int) -> None:
    store = SQLiteSessionStore(path)
    spans = conversations(traces, seed=number + 2, prefix=f"writer-{number}")
    while batch := list(islice(spans, BATCH)):
        store.add(batch)
    store.close()


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and done % (BATCH * 100) == 0:
        sys.stderr.write(f"\r{done:,} of {total:,} spans")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--traces", type=int, default=200_000)
    parser.add_argument("--keep", type=Path, help="keep the store in this file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "sessions.db"
        rates = fill(path, arguments.traces)
        figures = {
            "spans": arguments.traces * SPANS_A_TRACE,
            "stored a second": round(rates.stored),
            "the last tenth": round(rates.last_tenth),
            "bare rows a second": round(rates.bare),
            "bytes a span": round(path.stat().st_size / (arguments.traces * SPANS_A_TRACE)),
            **{f"{name}, ms": round(value, 2) for name, value in read(path).items()},
            "the list page over HTTP, ms": round(page_over_http(path), 1),
        }
        together, reads = four_writers(Path(folder) / "four.db", max(1, arguments.traces // 40))
        figures |= {"four writers, stored a second": round(together), "reads meanwhile": reads}
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}}  {value:>12,}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
