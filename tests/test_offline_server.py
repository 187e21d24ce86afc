"""The demonstration's server: what the offline model says, to clients that know OpenAI's API."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import openai
import pytest
from langchain_openai import ChatOpenAI

from langchain_sessions.demo import OfflineChatModel, OpenAIServer, openai_server
from langchain_sessions.demo._tools import demo_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeHandler
    from tests.support.traces import Traces

ADA: Final[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi, I'm Ada."},
    {"role": "assistant", "content": "Nice to meet you, Ada."},
    {"role": "user", "content": [{"type": "text", "text": "What's my name?"}]},
]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A running server."""
    with openai_server() as server:
        yield server


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, on that server."""
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield client


def test_the_client_gets_what_the_offline_model_says(client: openai.OpenAI, server: OpenAIServer) -> None:
    """The whole conversation counts, tokens are counted, and the answer does not pretend to be another's."""
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=ADA)

    assert answer.choices[0].message.content == "Your name is Ada."
    assert answer.model == "offline-rules"
    assert answer.usage is not None
    expected = OfflineChatModel().invoke(ADA).usage_metadata
    assert expected is not None
    assert answer.usage.prompt_tokens == expected["input_tokens"]
    assert answer.usage.completion_tokens == expected["output_tokens"]
    assert [request.body["messages"] for request in server.requests] == [ADA]


def test_a_stream_has_the_words_and_the_usage(client: openai.OpenAI) -> None:
    """Word by word, and the usage at the end for those who want it."""
    stream = client.chat.completions.create(
        model="any", messages=ADA, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Your name is Ada."
    assert last.usage is not None
    assert last.usage.completion_tokens == 5


def chat(server: OpenAIServer) -> Any:
    """LangChain's chat model, on that server, with two tools."""
    key: Any = "any"  # the field is a SecretStr, which pydantic makes of a str
    return ChatOpenAI(model="any", base_url=server.base_url, api_key=key, max_retries=0).bind_tools(
        demo_tools()
    )


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_tools_are_called_and_their_results_are_told(server: OpenAIServer, way: str) -> None:
    """Several calls in one answer arrive, streamed or not, and so do their results."""
    model = chat(server)
    asked = "What is 17 * 23, and how many days are there between 2026-03-01 and 2026-12-24?"
    if way == "invoke":
        answer = model.invoke(asked)
    else:
        chunks = list(model.stream(asked))
        answer = chunks[0]
        for chunk in chunks[1:]:
            answer += chunk
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("calculator", {"expression": "17 * 23"}),
        ("days_between", {"start": "2026-03-01", "end": "2026-12-24"}),
    ]

    tools = {tool.name: tool for tool in demo_tools()}
    results = [tools[call["name"]].invoke(call) for call in answer.tool_calls]
    assert model.invoke([("human", asked), answer, *results]).text == (
        "17 * 23 = 391. From 2026-03-01 to 2026-12-24 it is 298 days (42 weeks and 4 days)."
    )


@pytest.mark.parametrize("messages", [None, [{"role": "nobody", "content": "hi"}], [{"content": "hi"}], [1]])
def test_what_are_no_messages_is_refused(client: openai.OpenAI, messages: Any) -> None:
    """The client raises its error for a bad request, with the reason."""
    with pytest.raises(openai.BadRequestError, match="cannot read the messages"):
        client.chat.completions.create(model="any", messages=messages)


def test_other_endpoints_are_not_found(client: openai.OpenAI) -> None:
    """What the server does not speak is not found."""
    with pytest.raises(openai.NotFoundError, match="/v1/embeddings"):
        client.embeddings.create(model="any", input="hi")
    with pytest.raises(openai.NotFoundError, match="/v1/models"):
        client.models.list()


@pytest.mark.parametrize("data", [b"{", b"[]", b""])
def test_what_is_no_json_object_is_refused(server: OpenAIServer, data: bytes) -> None:
    """A body that cannot be read is the client's fault, and is said to be."""
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{server.base_url}/chat/completions", data=data)
    with refused.value as answer:
        assert answer.code == 400
        assert "the request is no JSON" in json.load(answer)["error"]["message"]
    assert server.requests == []


def test_the_answers_are_no_runs(client: openai.OpenAI, instrumented: MakeHandler, traces: Traces) -> None:
    """In a process whose every run is traced, the server's answers leave no trace."""
    instrumented()
    client.chat.completions.create(model="any", messages=ADA)
    assert list(traces) == []


def test_nothing_is_left_of_a_closed_server() -> None:
    """Neither a thread nor a port; closing it again does no harm."""
    before = set(threading.enumerate())
    server = openai_server()
    assert server.base_url.startswith("http://127.0.0.1:")
    server.close()
    server.close()
    assert set(threading.enumerate()) <= before
    client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0)
    with client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="any", messages=ADA)
