"""Runs that are called in functions which LangSmith traces, while it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langsmith import Client, traceable, tracing_context

from langchain_sessions import SessionCallbackHandler, session
from tests.support.traces import SESSION_ID, USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeHandler
    from tests.support.traces import Traces

pytestmark = pytest.mark.core


class Quiet(Client):
    """LangSmith's client, without what it sends."""

    def create_run(self, *_: Any, **__: Any) -> None:
        """Send nothing."""

    def update_run(self, *_: Any, **__: Any) -> None:
        """Send nothing."""


CHAIN = RunnableLambda(str.upper).with_config(run_name="chain")


@pytest.fixture(autouse=True)
def _langsmith() -> Iterator[None]:
    """LangSmith traces, and sends nothing."""
    with tracing_context(enabled=True, client=Quiet(api_url="http://127.0.0.1:9", auto_batch_tracing=False)):
        yield


@pytest.fixture(params=["handler", "instrument"])
def config(
    request: pytest.FixtureRequest, make_handler: MakeHandler, instrumented: MakeHandler
) -> RunnableConfig:
    """What a call is given for its runs to be traced."""
    if request.param == "handler":
        return {"callbacks": [make_handler()]}
    instrumented()
    return {}


@traceable
def ask(config: RunnableConfig) -> str:
    """Call a chain in a function that LangSmith traces."""
    return CHAIN.invoke("hi", config)


@traceable
async def aask(config: RunnableConfig) -> str:
    """Do so in a coroutine."""
    return await CHAIN.ainvoke("hi", config)


def ids(traces: Traces) -> list[tuple[str, Any, Any]]:
    """Return the names and ids of the spans that have ended."""
    spans = [(span.name, span.attributes or {}) for span in traces if span.name != "mine"]
    return [(name, attributes.get(SESSION_ID), attributes.get(USER_ID)) for name, attributes in spans]


def test_the_block_around_counts(config: RunnableConfig, traces: Traces) -> None:
    """A run in such a function is an outermost one: it is in the session of the block around."""
    with session("abc", user_id="ada"):
        ask(config)
        asyncio.run(aask(config))
    ask(config)
    assert ids(traces) == [("chain", "abc", "ada")] * 2 + [("chain", None, None)]


def test_the_span_around_counts(config: RunnableConfig, traces: Traces) -> None:
    """So does the id of the span around, whose child the run is."""
    with traces.provider.get_tracer("mine").start_as_current_span(
        "mine", attributes={SESSION_ID: "abc"}
    ) as mine:
        ask(config)
    assert ids(traces)[0] == ("chain", "abc", None)
    assert traces.named("chain").parent == mine.get_span_context()


def test_the_run_around_counts(config: RunnableConfig, traces: Traces) -> None:
    """A run in such a function in the body of a run is that run's child, in its session and its trace."""
    outer = RunnableLambda(lambda _: ask({})).with_config(run_name="outer")
    with session("elsewhere"):
        outer.invoke("hi", {**config, "configurable": {"session_id": "abc"}})
    assert ids(traces) == [("chain", "abc", None), ("outer", "abc", None)]
    assert traces.parents() == {"chain": "outer", "outer": None}


def test_a_run_of_another_place_counts_not(handler: SessionCallbackHandler, traces: Traces) -> None:
    """A stream that is read in such a function, in another session, keeps its own."""
    config: RunnableConfig = {"callbacks": [handler]}

    def words(_: Any) -> Iterator[str]:
        for number in range(2):
            yield CHAIN.invoke(str(number))

    @traceable
    def read(stream: Iterator[str]) -> str:
        with session("reader"):
            return next(stream)

    stream = (
        RunnableLambda(words)
        .with_config(run_name="words")
        .stream("hi", {**config, "metadata": {"session_id": "abc"}})
    )
    assert (next(stream), read(stream)) == ("0", "1")
    assert list(stream) == []
    assert {id_ for _, id_, _ in ids(traces)} == {"abc"}
