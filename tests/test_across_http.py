"""A conversation whose agent asks a FastAPI service: one trace and one id in both processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from langchain_sessions import SessionPolicy, session, session_config
from tests.across.agents import CALLS, Call, agent, asking, invoke
from tests.across.processes import LISTENING, python_module, running
from tests.across.telemetry import exporting_to, front, instrumented
from tests.across.traces import by_trace, ids, is_beneath, of, one, whole
from tests.support.otlp_receiver import OTLPReceiver, otlp_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = ("front", "answers")


@pytest.fixture(scope="module")
def receiver() -> Iterator[OTLPReceiver]:
    """Where the spans of all processes go."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(receiver: OTLPReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that believes its callers."""
    yield from _serve("--accept-baggage", receiver=receiver, folders=tmp_path_factory)


@pytest.fixture(scope="module")
def wary_service(receiver: OTLPReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the same service with the default policy."""
    yield from _serve(receiver=receiver, folders=tmp_path_factory)


def _serve(*arguments: str, receiver: OTLPReceiver, folders: pytest.TempPathFactory) -> Iterator[str]:
    log = folders.mktemp("web") / "log"
    command = python_module("tests.across.web", *arguments)
    with running(*command, ready=LISTENING, log=log, **exporting_to(receiver.endpoint)) as listening:
        yield f"http://127.0.0.1:{listening[1]}/answers"


@pytest.fixture
def policy() -> SessionPolicy:
    """The policy of this process; a test may bring its own."""
    return SessionPolicy()


@pytest.fixture(autouse=True)
def _traced(receiver: OTLPReceiver, policy: SessionPolicy) -> Iterator[None]:
    receiver.clear()
    with front(receiver.endpoint, policy) as provider, instrumented(HTTPXClientInstrumentor(), provider):
        yield


@pytest.mark.parametrize("path", ["", "/threaded"], ids=["coroutine", "thread"])
@pytest.mark.parametrize("call", CALLS)
def test_both_processes_are_in_the_session(
    receiver: OTLPReceiver, service: str, call: Call, path: str
) -> None:
    """All spans of a turn, here and in the service, by whatever library, are one trace of the session."""
    with session("abc", user_id="ada", propagate=True):
        assert call(agent(asking(service + path)), "how are you?") == "fine"
    spans = receiver.wait_for(whole(*BOTH))
    assert len(by_trace(spans)) == 1
    assert ids(spans) == {("abc", "ada")}
    client, server = one(spans, kind="CLIENT"), one(spans, kind="SERVER")
    assert client.parent_id == one(spans, name="ask").span_id
    assert server.parent_id == client.span_id
    assert is_beneath(one(of("answers", spans), name="RunnableSequence"), server, spans)


def test_nothing_is_sent_unless_asked_for(receiver: OTLPReceiver, service: str) -> None:
    """Without `propagate` the service is in the trace, and knows of no session."""
    with session("abc", user_id="ada"):
        invoke(agent(asking(service)), "how are you?")
    spans = receiver.wait_for(whole(*BOTH))
    assert ids(of("front", spans)) == {("abc", "ada")}
    assert ids(of("answers", spans)) == {(None, None)}


def test_nothing_is_believed_unless_asked_for(receiver: OTLPReceiver, wary_service: str) -> None:
    """Without `accept_baggage` a service takes no id from a request, and continues the trace."""
    with session("abc", user_id="ada", propagate=True):
        invoke(agent(asking(wary_service)), "how are you?")
    spans = receiver.wait_for(whole(*BOTH))
    assert ids(of("front", spans)) == {("abc", "ada")}
    assert ids(of("answers", spans)) == {(None, None)}


@pytest.mark.parametrize("policy", [SessionPolicy(propagate_baggage=True)])
def test_the_id_of_a_run_crosses(receiver: OTLPReceiver, service: str) -> None:
    """With `propagate_baggage` an id that is in the call's config alone reaches the service, too."""
    question = {"messages": [("human", "how are you?")]}
    agent(asking(service)).invoke(question, session_config("abc", user_id="ada"))
    assert ids(receiver.wait_for(whole(*BOTH))) == {("abc", "ada")}


@pytest.mark.parametrize("call", CALLS)
def test_conversations_do_not_mix(receiver: OTLPReceiver, service: str, call: Call) -> None:
    """Two conversations that a service answers at the same time keep their own ids in both processes."""

    def converse(user: str) -> None:
        with session(f"of-{user}", user_id=user, propagate=True):
            call(agent(asking(f"{service}/together")), "how are you?")

    with ThreadPoolExecutor() as threads:
        list(threads.map(converse, ("ada", "bob")))
    spans = receiver.wait_for(whole(*BOTH, traces=2))
    assert sorted(map(sorted, map(ids, by_trace(spans)))) == [[("of-ada", "ada")], [("of-bob", "bob")]]
