"""A batch of conversations whose answers come from the processes of Ray."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from opentelemetry.propagate import inject

from langchain_sessions import SessionPolicy, session_config
from tests.across.cluster import Answerer, cluster
from tests.across.telemetry import front
from tests.across.traces import by_trace, ids, of, one, whole
from tests.support.otlp_receiver import OTLPReceiver, otlp_receiver
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="ray is missing: group `across`")

BOTH = ("front", "worker")
USERS = ("ada", "bob", "cleo", "dan", "eve", "finn")
TURNS = 2

Ask: TypeAlias = "Callable[[int, dict[str, str], str], str]"
"""Asks the actor of this number, and gives it a carrier."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[OTLPReceiver]:
    """Where the spans of all processes go."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def ask(receiver: OTLPReceiver) -> Iterator[Ask]:
    """Two actors, each with a process of its own."""
    with cluster() as ray:
        actors: list[Any] = [ray.remote(Answerer).remote(receiver.endpoint) for _ in range(2)]

        def ask(actor: int, carrier: dict[str, str], question: str) -> str:
            return ray.get(actors[actor % len(actors)].answer.remote(carrier, question), timeout=PATIENCE)

        yield ask


@pytest.fixture
def policy() -> SessionPolicy:
    """The policy of this process; a test may bring its own."""
    return SessionPolicy(propagate_baggage=True)


@pytest.fixture(autouse=True)
def _traced(receiver: OTLPReceiver, policy: SessionPolicy, ask: Ask) -> Iterator[None]:
    receiver.clear()
    with front(receiver.endpoint, policy):
        yield


def converse(ask: Ask) -> None:
    """Have all conversations, one turn of each at a time; their turns go to both actors."""

    def answer(turn: tuple[int, str]) -> str:
        carrier: dict[str, str] = {}
        inject(carrier)
        return ask(turn[0], carrier, turn[1])

    step: Runnable[tuple[int, str], str] = RunnableLambda(answer, name="ask")
    configs = [session_config(f"of-{user}", user_id=user) for user in USERS]
    for turn in range(TURNS):
        questions = [(turn + number, f"{user}: how are you?") for number, user in enumerate(USERS)]
        assert step.batch(questions, configs) == ["fine"] * len(USERS)


def test_every_conversation_of_a_batch_keeps_its_id(receiver: OTLPReceiver, ask: Ask) -> None:
    """Each turn is one trace in both processes, and all turns of a conversation are in its session."""
    converse(ask)
    spans = receiver.wait_for(whole(*BOTH, traces=TURNS * len(USERS)))
    expected = [[(f"of-{user}", user)] for user in USERS for _ in range(TURNS)]
    assert sorted(map(sorted, map(ids, by_trace(spans)))) == expected
    for trace in by_trace(spans):
        assert one(trace, name="RunnableSequence").parent_id == one(trace, name="ask").span_id


@pytest.mark.parametrize("policy", [SessionPolicy()])
def test_nothing_is_sent_unless_asked_for(receiver: OTLPReceiver, ask: Ask) -> None:
    """Without `propagate_baggage` the actors continue the traces, and know of no session."""
    converse(ask)
    spans = receiver.wait_for(whole(*BOTH, traces=TURNS * len(USERS)))
    assert ids(of("front", spans)) == {(f"of-{user}", user) for user in USERS}
    assert ids(of("worker", spans)) == {(None, None)}
