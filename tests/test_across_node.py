"""A conversation whose agent asks a service in Node, traced by the JavaScript packages alone."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from langchain_sessions import session
from tests.across.agents import CALLS, Call, agent, asking, invoke
from tests.across.processes import LISTENING, ROOT, running
from tests.across.telemetry import exporting_to, front, instrumented
from tests.across.traces import by_trace, ids, of, one, whole
from tests.support.openai_server import openai_server
from tests.support.otlp_receiver import OTLPReceiver, otlp_receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.across.traces import Spans

SOURCE: Final = ROOT / "tests/across/node"
INSTALLED: Final = ROOT / ".cache/across-node"
"""Where scripts/services puts the packages, and the list of those that are there."""

BOTH = ("front", "assistant")


def _missing() -> str:
    """Say what is not there that these tests need."""
    if shutil.which("node") is None:
        return "node is missing: install Node.js 20.6 or newer"
    installed = INSTALLED / "installed.json"
    if not installed.exists() or installed.read_bytes() != (SOURCE / "package.json").read_bytes():
        return "the packages of tests/across/node/package.json are missing: scripts/services node"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing())


@pytest.fixture(scope="module")
def receiver() -> Iterator[OTLPReceiver]:
    """Where the spans of all processes go."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(receiver: OTLPReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the service, which asks a model of its own."""
    program = INSTALLED / "assistant.mjs"  # Node looks for packages beside the program
    shutil.copyfile(SOURCE / program.name, program)
    log = tmp_path_factory.mktemp("node") / "log"
    with openai_server() as model:
        environment = {"OPENAI_BASE_URL": model.base_url, **exporting_to(receiver.endpoint)}
        with running("node", str(program), ready=LISTENING, log=log, **environment) as listening:
            yield f"http://127.0.0.1:{listening[1]}/answers"


@pytest.fixture(autouse=True)
def _traced(receiver: OTLPReceiver) -> Iterator[None]:
    receiver.clear()
    with front(receiver.endpoint) as provider, instrumented(HTTPXClientInstrumentor(), provider):
        yield


def answered(traces: int = 1) -> Callable[[Spans], bool]:
    """Return an expectation: so many whole traces, each with the spans of an answer.

    In Node every span is on a way of its own, so a child may come in after its parent.
    """
    complete = whole(*BOTH, traces=traces)
    return lambda spans: complete(spans) and len(of("assistant", spans)) == 3 * traces


@pytest.mark.parametrize("call", CALLS)
def test_both_languages_are_in_the_session(receiver: OTLPReceiver, service: str, call: Call) -> None:
    """All spans of a turn, in Python and in JavaScript, by whatever library, are one trace of the session."""
    with session("abc", user_id="ada", propagate=True):
        assert call(agent(asking(service)), "how are you?") == "echo: how are you?"
    spans = receiver.wait_for(answered())
    assert len(by_trace(spans)) == 1
    assert ids(spans) == {("abc", "ada")}
    there = of("assistant", spans)
    client, server = one(spans, kind="CLIENT"), one(there, kind="SERVER")
    assistant = one(there, name="agent")
    (model,) = [span for span in there if span not in (server, assistant)]
    assert client.parent_id == one(spans, name="ask").span_id
    assert server.parent_id == client.span_id
    assert assistant.parent_id == server.span_id
    assert model.parent_id == assistant.span_id
    assert model.attributes["openinference.span.kind"] == "LLM"


@pytest.mark.parametrize("session_id", ["+47", "a=b;c,d", "50%", 'Bjørn-"日本"'])
def test_any_id_crosses(receiver: OTLPReceiver, service: str, session_id: str) -> None:
    """Whatever characters an id has, it is the same in both languages."""
    with session(session_id, user_id="ada", propagate=True):
        invoke(agent(asking(service)), "how are you?")
    assert ids(receiver.wait_for(answered())) == {(session_id, "ada")}


def test_an_id_with_a_blank_stays_at_home(receiver: OTLPReceiver, service: str) -> None:
    """OpenTelemetry for Python would send `a b` as `a+b`, which is another id in JavaScript."""
    with session("a b", user_id="ada", propagate=True):
        invoke(agent(asking(service)), "how are you?")
    spans = receiver.wait_for(answered())
    assert ids(of("front", spans)) == {("a b", "ada")}
    assert ids(of("assistant", spans)) == {(None, "ada")}


def test_nothing_is_sent_unless_asked_for(receiver: OTLPReceiver, service: str) -> None:
    """Without `propagate` the service is in the trace, and knows of no session."""
    with session("abc", user_id="ada"):
        invoke(agent(asking(service)), "how are you?")
    spans = receiver.wait_for(answered())
    assert ids(of("front", spans)) == {("abc", "ada")}
    assert ids(of("assistant", spans)) == {(None, None)}


def test_conversations_do_not_mix(receiver: OTLPReceiver, service: str) -> None:
    """Two conversations at the same time keep their own ids in both languages."""

    def converse(user: str) -> None:
        with session(f"of-{user}", user_id=user, propagate=True):
            invoke(agent(asking(service)), "slow 0.3")

    with ThreadPoolExecutor() as threads:
        list(threads.map(converse, ("ada", "bob")))
    spans = receiver.wait_for(answered(traces=2))
    assert sorted(map(sorted, map(ids, by_trace(spans)))) == [[("of-ada", "ada")], [("of-bob", "bob")]]
