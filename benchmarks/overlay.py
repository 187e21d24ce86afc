"""What the overlay adds to OpenTelemetry's `get_current()`: outside of runs, and where it looks into one.

The cases run interleaved in one process. Each figure is a median over the rounds.

    python benchmarks/overlay.py [--rounds 31] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from timeit import Timer
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider
from pydantic import Field

from langchain_sessions import instrument, uninstrument

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

CALLS = 20_000
"""Calls of `get_current` for one figure: some milliseconds."""


def nanoseconds() -> float:
    """Return what one call of `get_current` takes here."""
    return Timer(get_current).timeit(CALLS) / CALLS * 1e9


class LookingModel(BaseChatModel):
    """A chat model whose body takes the time."""

    seen: list[float] = Field(default_factory=list[float])

    @property
    def _llm_type(self) -> str:
        return "looking"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        del args, kwargs
        self.seen.append(nanoseconds())
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=""))])


def inside(runnable: Runnable[Any, Any]) -> None:
    """Run it in a session."""
    runnable.invoke("", RunnableConfig(metadata={"session_id": "abc"}))


def in_a_chain() -> float:
    """Look from the body of a function in a chain."""
    seen: list[float] = []
    inside(RunnableLambda(lambda _: seen.append(nanoseconds())))
    return seen[0]


def in_a_model() -> float:
    """Look from the body of a chat model, where the stack has to be read."""
    model = LookingModel()
    inside(model)
    return model.seen[-1]


def main() -> None:
    """Measure, print, and optionally write the medians to a file."""
    parser = argparse.ArgumentParser(description="What the overlay adds to get_current().")
    parser.add_argument("--rounds", type=int, default=31, help="interleaved rounds (default: 31)")
    parser.add_argument("--json", type=Path, help="write the medians to this file")
    arguments = parser.parse_args()
    provider = TracerProvider(shutdown_on_exit=False)
    outside: dict[bool, list[float]] = {False: [], True: []}
    within: dict[str, list[float]] = {"in a chain's body": [], "in a chat model's body": []}
    for _ in range(arguments.rounds):
        outside[False].append(nanoseconds())
        instrument(provider)
        outside[True].append(nanoseconds())
        within["in a chain's body"].append(in_a_chain())
        within["in a chat model's body"].append(in_a_model())
        uninstrument()
    plain = statistics.median(outside[False])
    figures = {"outside of runs": outside[True], **within}
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(f"get_current() without the overlay takes {plain:,.0f} ns")
    for name, median in medians.items():
        print(f"  {name:24} {median:8,.0f} ns   {median / plain:5.2f} x   adds {median - plain:,.0f} ns")
    if arguments.json:
        result = {"python": sys.version.split()[0], "without": plain, **medians}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
