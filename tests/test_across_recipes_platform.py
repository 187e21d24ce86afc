"""The recipes for LangGraph Platform and LangServe."""

from __future__ import annotations

import asyncio
import json
import runpy
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.across.processes import python_module, running
from tests.support.pages import DOCS, Page
from tests.support.recipes import SERVING, ids_of_spans, stored, told
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = Page(DOCS / "recipes" / "langgraph-platform.md")


def as_the_server_calls(graph: Any, thread_id: str, said: str, claimed: dict[str, str]) -> Any:
    """Stream a run as langgraph-api 0.16.7 was seen to: its own keys come after what a client claims."""
    own: dict[str, Any] = {"run_id": str(uuid.uuid4()), "thread_id": thread_id, "graph_id": "chat"}
    metadata = {"created_by": "system", **claimed, **own, "run_attempt": 1, "langgraph_plan": "enterprise"}
    configurable = {
        **claimed,
        "langgraph_auth_user": None,
        "langgraph_auth_user_id": "",
        **own,
        "user_id": "",
    }

    async def run() -> Any:
        config = {"metadata": metadata, "configurable": configurable}
        question = {"messages": [{"role": "user", "content": said}]}
        return [values async for values in graph.astream(question, config, stream_mode="values")][-1]

    return asyncio.run(run())["messages"][-1].text


def test_a_graph_of_the_platform_goes_by_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every span of a run is in the session of its thread, whatever else its client claims.

    The real server, langgraph-api 0.16.7, is source-available and holds protobuf below 7, so it is not
    installed here. With the files of the page it was seen to pass the keys below, the thread's id in metadata
    and configurable alike, to drop a `thread_id` of the client's, and to pass on any other key that the
    client gives with a run, or with its thread; all spans were in the session of their thread.
    """
    monkeypatch.chdir(tmp_path)
    PAGE.write_files(tmp_path)
    file, _, name = json.loads((tmp_path / "langgraph.json").read_text())["graphs"]["chat"].partition(":")
    module = runpy.run_path(file)
    graph = module[name].copy(update={"checkpointer": InMemorySaver(), "name": "chat"})
    threads = {name: str(uuid.uuid4()) for name in ("Ada", "Bob")}
    claimed: dict[str, str] = dict.fromkeys(
        ("session_id", "conversation_id", "user_id", "langgraph_auth_user_id"), threads["Ada"]
    )

    def converse(name: str) -> list[tuple[str, str]]:
        questions = (f"I'm {name}.", "What is my name?")
        return [(said, as_the_server_calls(graph, threads[name], said, claimed)) for said in questions]

    with ThreadPoolExecutor() as pool:
        said = list(pool.map(converse, threads))
    module["handler"].force_flush()

    assert [turns[-1][1] for turns in said] == ["Your name is Ada.", "Your name is Bob."]
    with stored(tmp_path / "sessions.db", turns=4) as store:
        assert {each.id for each in store.sessions()} == set(threads.values())
        for turns, thread_id in zip(said, threads.values(), strict=True):
            assert told(store, thread_id) == turns
            for turn in store.session(thread_id).turns:
                spans = store.spans(thread_id, turn.trace_id)
                assert [span.name for span in spans] == ["chat", "answer", "OfflineChatModel"]
                assert ids_of_spans(spans) == {(thread_id, None)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file for LangServe is, and its store will be."""
    folder = tmp_path_factory.mktemp("langserve")
    PAGE.write_files(folder)
    return folder


@pytest.fixture(scope="module")
def langserve(folder: Path) -> Iterator[str]:
    """The address of the recipe's server."""
    command = python_module("uvicorn", "serve:app", "--port", "0")
    with running(*command, ready=SERVING, log=folder / "log", folder=folder) as said:
        yield said[1] + "/chat"


@pytest.mark.parametrize("way", ["invoke", "stream", "batch"])
def test_langserve_files_a_call_where_the_server_says(langserve: str, folder: Path, way: str) -> None:
    """Each way to call is in the header's session, for two users at a time, whatever the client claims."""
    turns = (
        [("Hello.", "Hello!"), ("Thanks!", "You are welcome!")] if way == "batch" else [("Hello.", "Hello!")]
    )
    inputs = {"inputs": [said for said, _ in turns]} if way == "batch" else {"input": turns[0][0]}
    claimed = {"metadata": {"session_id": "claimed", "conversation_id": "claimed", "thread_id": "claimed"}}

    def call(name: str) -> None:
        url, headers = f"{langserve}/{way}", {"x-conversation": f"{way} {name}"}
        httpx.post(
            url, json=inputs | {"config": claimed}, headers=headers, timeout=PATIENCE
        ).raise_for_status()

    with ThreadPoolExecutor() as pool:
        list(pool.map(call, ("ada", "bob")))
    ids = [f"{way} ada", f"{way} bob"]
    with stored(folder / "sessions.db", *ids, turns=2 * len(turns)) as store:
        for session_id in ids:
            assert sorted(told(store, session_id)) == turns
        assert "claimed" not in {each.id for each in store.sessions()}


def test_langserve_without_a_header_has_no_session(langserve: str, folder: Path) -> None:
    """No id is invented, and none is taken from an earlier call."""
    httpx.post(
        f"{langserve}/invoke", json={"input": "Hello."}, headers={"x-conversation": "first"}, timeout=PATIENCE
    )
    httpx.post(f"{langserve}/invoke", json={"input": "Nobody's words."}, timeout=PATIENCE).raise_for_status()
    httpx.post(
        f"{langserve}/invoke", json={"input": "Hello."}, headers={"x-conversation": "last"}, timeout=PATIENCE
    )
    with stored(folder / "sessions.db", "first", "last", turns=2) as store:
        assert not store.search("nobody")
