"""A conversation whose agent sends tasks to a Celery worker by way of Redis."""

# Celery and its instrumentor come without types.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from langchain_core.tools import tool
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from langchain_sessions import session
from tests.across import worker
from tests.across.agents import CALLS, Call, agent, invoke
from tests.across.broker import redis_server
from tests.across.processes import python_module, running
from tests.across.telemetry import exporting_to, front, instrumented
from tests.across.traces import by_trace, ids, of, one, whole
from tests.support.otlp_receiver import OTLPReceiver, otlp_receiver
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is missing: scripts/services redis"
)

BOTH = ("front", "worker")


@tool
def ask(question: str) -> str:
    """Ask the worker."""
    return worker.answer.delay(question).get(timeout=PATIENCE)


@pytest.fixture(scope="module")
def receiver() -> Iterator[OTLPReceiver]:
    """Where the spans of all processes go."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that keeps nothing on disk."""
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        yield f"{address}/0"


@pytest.fixture(scope="module")
def _worker(redis: str, receiver: OTLPReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A worker with two processes, and this process as its client."""
    log = tmp_path_factory.mktemp("celery") / "log"
    command = python_module(
        *("celery", "--app", worker.__name__, "--broker", redis, "--result-backend", redis),
        *("worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )
    worker.app.conf.update(broker_url=redis, result_backend=redis)
    with running(*command, ready=r"celery@\S+ ready", log=log, **exporting_to(receiver.endpoint)):
        yield
    worker.app.close()


@pytest.fixture(autouse=True)
def _traced(receiver: OTLPReceiver, _worker: None) -> Iterator[None]:
    receiver.clear()
    with front(receiver.endpoint) as provider, instrumented(CeleryInstrumentor(), provider):
        yield


@pytest.mark.parametrize("call", CALLS)
def test_both_processes_are_in_the_session(receiver: OTLPReceiver, call: Call) -> None:
    """All spans of a turn, the agent's, the task's as it is sent and run, and its chain's, are one trace."""
    with session("abc", user_id="ada", propagate=True):
        assert call(agent(ask), "how are you?") == "fine"
    spans = receiver.wait_for(whole(*BOTH))
    assert len(by_trace(spans)) == 1
    assert ids(spans) == {("abc", "ada")}
    sent, run = one(spans, kind="PRODUCER"), one(spans, kind="CONSUMER")
    assert sent.parent_id == one(spans, name="ask").span_id
    assert run.parent_id == sent.span_id
    assert one(of("worker", spans), name="RunnableSequence").parent_id == run.span_id


def test_nothing_is_sent_unless_asked_for(receiver: OTLPReceiver) -> None:
    """Without `propagate` the task is in the trace, and knows of no session."""
    with session("abc", user_id="ada"):
        invoke(agent(ask), "how are you?")
    spans = receiver.wait_for(whole(*BOTH))
    assert ids(of("front", spans)) == {("abc", "ada")}
    assert ids(of("worker", spans)) == {(None, None)}


def test_conversations_do_not_mix(receiver: OTLPReceiver) -> None:
    """Turns of two conversations, at the same time and one after the other in a process, keep their ids."""

    def converse(user: str) -> None:
        with session(f"of-{user}", user_id=user, propagate=True):
            for _ in range(3):
                invoke(agent(ask), "how are you?")

    with ThreadPoolExecutor() as threads:
        list(threads.map(converse, ("ada", "bob")))
    spans = receiver.wait_for(whole(*BOTH, traces=6))
    expected = [[(f"of-{user}", user)] for user in ("ada", "bob") for _ in range(3)]
    assert sorted(map(sorted, map(ids, by_trace(spans)))) == expected
