"""How much time tracing adds to a chain: no handler, bare SDK spans, stock OpenInference, and ours.

The cases run interleaved in one process, so that whatever else the machine does hits all of them. The figures
to read are the ratios: what ours adds, divided by what stock OpenInference adds.

    python benchmarks/overhead.py [--rounds 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation.langchain._tracer import OpenInferenceTracer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from langchain_sessions import SessionCallbackHandler

if TYPE_CHECKING:
    from uuid import UUID

SYNC_CALLS = 100
ASYNC_CALLS = 400
"""Concurrent `ainvoke` calls: a busy chat server."""

CHAIN = (
    ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("human", "{question}")])
    | FakeListChatModel(
        responses=["An answer of a dozen words, which is about what a chat model says first."]
    )
    | StrOutputParser()
)
QUESTION = {"question": "What is the capital of France, and how far is it from here?"}


class BareSpans(BaseCallbackHandler):
    """Starts and ends one SDK span for each run, and records nothing: the floor for any tracing."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[UUID, trace.Span] = {}

    def _start(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **__: Any) -> None:
        parent = None if parent_run_id is None else self._spans.get(parent_run_id)
        context = None if parent is None else trace.set_span_in_context(parent)
        self._spans[run_id] = self._tracer.start_span("run", context)

    def _end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._spans.pop(run_id).end()

    on_chain_start = on_chat_model_start = _start
    on_chain_end = on_llm_end = _end


def handlers() -> dict[str, BaseCallbackHandler | None]:
    """Make the four cases, each with a provider of its own."""
    oi_tracer: Any = OITracer(TracerProvider().get_tracer("stock"), config=TraceConfig())
    return {
        "no handler": None,
        "bare SDK spans": BareSpans(TracerProvider().get_tracer("bare")),
        "OpenInference": OpenInferenceTracer(oi_tracer, separate_trace_from_runtime_context=False),
        "langchain_sessions": SessionCallbackHandler(tracer_provider=TracerProvider()),
    }


def config(handler: BaseCallbackHandler | None, number: int) -> RunnableConfig:
    """Make the config of one call; every call has its conversation."""
    metadata = {"session_id": f"conversation-{number}"}
    return RunnableConfig(callbacks=[handler] if handler else [], metadata=metadata)


def run_sync(handler: BaseCallbackHandler | None) -> None:
    """Call the chain one after the other."""
    for number in range(SYNC_CALLS):
        CHAIN.invoke(QUESTION, config(handler, number))


def run_async(handler: BaseCallbackHandler | None) -> None:
    """Call the chain concurrently."""

    async def everything() -> None:
        await asyncio.gather(*(CHAIN.ainvoke(QUESTION, config(handler, n)) for n in range(ASYNC_CALLS)))

    asyncio.run(everything())


def run_async_in_turn(handler: BaseCallbackHandler | None) -> None:
    """Call the chain one after the other in an event loop: what one waiting user feels."""

    async def everything() -> None:
        for number in range(SYNC_CALLS):
            await CHAIN.ainvoke(QUESTION, config(handler, number))

    asyncio.run(everything())


def microseconds_per_call(
    run: Callable[[BaseCallbackHandler | None], None], calls: int, rounds: int
) -> dict[str, float]:
    """Return each case's median time for one call of the chain (four runs), in microseconds."""
    cases = handlers()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for handler in cases.values():
        run(handler)
    names = list(cases)
    for round_ in range(rounds):
        shift = round_ % len(names)  # no case always runs after the same neighbour
        for name in names[shift:] + names[:shift]:
            gc.collect()
            start = time.perf_counter()
            run(cases[name])
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def report(label: str, medians: dict[str, float]) -> dict[str, float]:
    """Print what each case adds to no handler, and the ratios to stock OpenInference."""
    base = medians["no handler"]
    added = {name: value - base for name, value in medians.items()}
    print(f"\n{label}: a chain of 3 steps, 4 runs; no handler takes {base:,.0f} us per call")
    for name, value in added.items():
        ratio = value / added["OpenInference"]
        print(f"  {name:20} adds {value:8,.0f} us   {ratio:5.2f} x what OpenInference adds")
    return {name: value / added["OpenInference"] for name, value in added.items()}


def main() -> None:
    """Measure, print, and optionally write the ratios to a file."""
    parser = argparse.ArgumentParser(description="How much time tracing adds to a chain.")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default: 15)")
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # OpenInference triggers one for every answer; printing is not tracing
    ratios = {
        "sync": report("sync", microseconds_per_call(run_sync, SYNC_CALLS, arguments.rounds)),
        "async, in turn": report(
            "async, one after the other",
            microseconds_per_call(run_async_in_turn, SYNC_CALLS, arguments.rounds),
        ),
        "async": report(
            f"async, {ASYNC_CALLS} concurrent",
            microseconds_per_call(run_async, ASYNC_CALLS, arguments.rounds),
        ),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps({"python": sys.version.split()[0], **ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
