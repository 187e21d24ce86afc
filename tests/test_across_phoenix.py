"""What a real Phoenix makes of conversations that our handler traces."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from phoenix.client import Client

from langchain_sessions import SessionCallbackHandler, SessionPolicy, session_config
from langchain_sessions.demo import _conversations as demo
from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.store import PhoenixSessionStore
from tests.support.phoenix import distinct, missing
from tests.support.runnables import chain
from tests.support.turns import turn
from tests.support.waiting import PATIENCE
from tests.test_langgraph import HI, INNER, nesting, thread

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.sdk.trace import TracerProvider

    from tests.conftest import MakeHandler
    from tests.support.phoenix import Phoenix

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CHAIN, HISTORY, AGENT = "thread/42?draft=#1", 'Bjørn-"日本" & co', "it's 50% \\ a+b"
"""Ids that need care in an address, in JSON, in an expression."""

SAID = {CHAIN: demo._WITHOUT_MEMORY, HISTORY: demo._WITH_HISTORY, AGENT: demo._FOR_THE_AGENT}

USERS = {CHAIN: "ada", HISTORY: None, AGENT: "grace"}

_SESSION = """
query ($id: String!) {
  getProjectSessionById(sessionId: $id) {
    userId numTraces firstInput { value } lastOutput { value } tokenUsage { prompt completion }
    project { name }
  }
}"""


def kept(phoenix: Phoenix, session_id: str) -> dict[str, Any]:
    """Ask what Phoenix knows of a session."""
    return phoenix.ask(_SESSION, id=session_id)["getProjectSessionById"]


def handler_of(provider: TracerProvider, **policy: Any) -> SessionCallbackHandler:
    """Make a handler that raises its own errors."""
    handler = SessionCallbackHandler(tracer_provider=provider, policy=SessionPolicy(**policy))
    handler.raise_error = True
    return handler


@contextmanager
def client_of(phoenix: Phoenix) -> Generator[Client]:
    """Make Phoenix's own client."""
    with httpx.Client(base_url=phoenix.url, timeout=PATIENCE) as http:
        yield Client(base_url=phoenix.url, http_client=http)


def session_ids(phoenix: Phoenix, project: str) -> list[str]:
    """Ask Phoenix's client which sessions a project has."""
    with client_of(phoenix) as client:
        return [it["session_id"] for it in client.sessions.list(project_name=project, timeout=PATIENCE)]


@pytest.fixture(scope="module")
def talks(phoenix: Phoenix) -> Phoenix:
    """Hold the conversations of the demonstration, by a chain, a history and an agent, with these ids."""
    provider = phoenix.provider("talks")
    handler = handler_of(provider)
    for hold, session_id in zip(demo._CONVERSATIONS.values(), SAID, strict=True):
        hold(OfflineChatModel(), handler, session_id)
    provider.shutdown()
    phoenix.settle("talks")
    return phoenix


def test_nobody_else_can_reach_the_server(phoenix: Phoenix) -> None:
    """It listens on the loopback interface alone: two ports, for HTTP and for gRPC."""
    sockets = psutil.Process(phoenix.pid).net_connections("tcp")
    listening = [it.laddr.ip.removeprefix("::ffff:") for it in sockets if it.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"] * 2


def test_the_client_lists_the_sessions(talks: Phoenix) -> None:
    """Phoenix's own client finds each conversation once, by its id."""
    assert sorted(session_ids(talks, "talks")) == sorted(SAID)


@pytest.mark.parametrize("session_id", SAID)
def test_the_client_reads_the_turns(talks: Phoenix, session_id: str) -> None:
    """What was said and answered are texts in Phoenix's turns, also those of an agent."""
    with client_of(talks) as client:
        id_ = talks.session_id(session_id)
        turns = client.sessions.get_session_turns(session_id=id_, timeout=PATIENCE)
    assert [(it.get("input") or {}).get("value") for it in turns] == list(SAID[session_id])
    kinds = {(it.get(side) or {}).get("mime_type") for it in turns for side in ("input", "output")}
    assert kinds <= {"text/plain", None}  # OpenInference leaves the type of plain text out
    answers = [(it.get("output") or {}).get("value", "") for it in turns]
    assert all(answers)
    assert not [it for it in answers if it.startswith(("{", "["))]


@pytest.mark.parametrize("session_id", SAID)
def test_a_session_is_summed_up(talks: Phoenix, session_id: str) -> None:
    """First input, last output, user and tokens are what our store works out from the same spans."""
    store = PhoenixSessionStore(talks.place("talks"))
    session = store.session(session_id)
    store.close()
    assert kept(talks, session_id) == {
        "userId": USERS[session_id],
        "numTraces": len(SAID[session_id]),
        "firstInput": {"value": SAID[session_id][0]},
        "lastOutput": {"value": session.turns[-1].output},
        "tokenUsage": {"prompt": session.prompt_tokens, "completion": session.completion_tokens},
        "project": {"name": "talks"},
    }
    assert session.prompt_tokens > session.completion_tokens > 0


def test_a_child_may_arrive_first(phoenix: Phoenix) -> None:
    """The trace is filed under the session that the child names, and the turn is that of the root."""
    made = turn("child-first", attributes={"input.value": "hello?"})
    root, *children = distinct("child-first", made)
    phoenix.send("child-first", children)
    phoenix.send("child-first", [root])
    found = kept(phoenix, "child-first")
    assert (found["numTraces"], found["firstInput"]) == (1, {"value": "hello?"})
    assert session_ids(phoenix, "child-first") == ["child-first"]


def test_a_subgraph_with_its_own_thread_is_no_session_of_its_own(phoenix: Phoenix) -> None:
    """Phoenix, which files a trace under the id that arrives first, files it under the outer one."""
    provider = phoenix.provider("subgraph")
    handler = handler_of(provider)
    nesting(INNER["session_config"]).invoke(HI, thread(handler, "outer-thread"))
    provider.shutdown()
    phoenix.settle("subgraph")
    assert session_ids(phoenix, "subgraph") == ["outer-thread"]


@pytest.mark.parametrize("is_shown", [True, False])
async def test_a_web_servers_span_above_the_turn_shows_it(
    phoenix: Phoenix, instrumented: MakeHandler, is_shown: bool
) -> None:
    """With `stamp_enclosing`, the turn of a trace whose root is a web framework's span is not empty.

    Without, it is so in Phoenix, and not in our store.
    """
    project = session_id = f"web-{is_shown}"
    provider = phoenix.provider(project)
    instrumented(tracer_provider=provider, policy=SessionPolicy(stamp_enclosing=is_shown))
    app = FastAPI()

    @app.get("/")
    async def answer() -> str:
        return await chain().ainvoke({"q": "is it open?"}, session_config(session_id, user_id="ada"))

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
        assert (await client.get("/")).json() == "fine"
    provider.shutdown()
    phoenix.settle(project)
    found = kept(phoenix, session_id)
    shown = ({"value": "is it open?"}, {"value": "fine"}) if is_shown else (None, None)
    assert (found["firstInput"], found["lastOutput"]) == shown
    assert (found["userId"], found["numTraces"]) == ("ada", 1)
    store = PhoenixSessionStore(phoenix.place(project))
    assert [(it.input, it.output) for it in store.session(session_id).turns] == [("is it open?", "fine")]
    store.close()


def test_two_projects_with_one_id(phoenix: Phoenix) -> None:
    """Phoenix makes one session of them, in the first project; our store keeps them apart."""
    for project in ("first", "second"):
        provider = phoenix.provider(project)
        config = session_config("in-both", callbacks=[handler_of(provider)])
        chain().invoke({"q": f"in the {project}"}, config)
        provider.shutdown()
        phoenix.settle(project)
    assert (session_ids(phoenix, "first"), session_ids(phoenix, "second")) == (["in-both"], [])
    assert kept(phoenix, "in-both")["numTraces"] == 2
    for project in ("first", "second"):
        store = PhoenixSessionStore(phoenix.place(project))
        assert [it.first_input for it in store.sessions()] == [f"in the {project}"]
        assert [it.input for it in store.session("in-both").turns] == [f"in the {project}"]
        store.close()
