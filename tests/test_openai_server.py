"""The test server is good enough if the real clients cannot tell."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import openai
import pytest
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from tests.support.openai_server import OpenAIServer, openai_server
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# What the tests of the oldest supported versions stand on has to hold there, too.
pytestmark = pytest.mark.core


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A running server."""
    with openai_server() as server:
        yield server


@pytest.fixture
def chat(server: OpenAIServer) -> ChatOpenAI:
    """LangChain's chat model, on that server."""
    return ChatOpenAI(
        model="test", base_url=server.base_url, api_key=_key(), max_retries=0, stream_usage=True
    )


@pytest.fixture
def completion(server: OpenAIServer) -> OpenAI:
    """LangChain's completion model, on that server."""
    return OpenAI(model="test", base_url=server.base_url, api_key=_key(), max_retries=0)


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, on that server."""
    with openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        yield client


def _key() -> Any:
    return "x"  # the field is a SecretStr, which pydantic makes of a str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_chat_model_gets_an_echo_with_usage(chat: ChatOpenAI) -> None:
    """ChatOpenAI.invoke returns an answer that follows from the user's text, and counts its words."""
    answer = chat.invoke([("system", "be brief"), ("human", "hello there")])
    assert answer.text == "echo: hello there"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == 4
    assert answer.usage_metadata["output_tokens"] == 3


async def test_chat_model_gets_an_echo_asynchronously(chat: ChatOpenAI) -> None:
    """ChatOpenAI.ainvoke returns the same."""
    assert (await chat.ainvoke("hello")).text == "echo: hello"


def test_chat_model_streams_words_and_then_usage(chat: ChatOpenAI) -> None:
    """ChatOpenAI.stream yields the answer word by word, and the usage at the end."""
    chunks = list(chat.stream("one two"))
    assert [chunk.text for chunk in chunks if chunk.text] == ["echo: ", "one ", "two"]
    assert [chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata] == [5]


async def test_chat_model_streams_asynchronously(chat: ChatOpenAI) -> None:
    """ChatOpenAI.astream yields the same words."""
    assert [chunk.text async for chunk in chat.astream("one two") if chunk.text] == ["echo: ", "one ", "two"]


def test_tool_call_and_its_result(chat: ChatOpenAI) -> None:
    """A text that asks for a tool gets a tool call, and the tool's message gets an answer."""
    model = chat.bind_tools([add])
    answer = model.invoke("please use add 2 3")
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("add", {"a": 2, "b": 3})
    result: ToolMessage = add.invoke(call)
    assert model.invoke([("human", "use add 2 3"), answer, result]).text == "result: 5"


def test_streamed_tool_call(chat: ChatOpenAI) -> None:
    """A tool call whose arguments arrive in pieces is whole at the end."""
    chunks = chat.bind_tools([add]).stream("use add 2 3")
    whole = add_ai_message_chunks(AIMessageChunk(content=""), *cast("Iterator[AIMessageChunk]", chunks))
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("add", {"a": 2, "b": 3})]


def test_tool_not_offered_is_not_called(chat: ChatOpenAI) -> None:
    """Without such a tool in the request, asking for one is just a text."""
    assert chat.bind_tools([add]).invoke("use multiply 2 3").text == "echo: use multiply 2 3"


def test_text_of_a_multimodal_message(chat: ChatOpenAI) -> None:
    """The text blocks of a message are answered, an image beside them is not."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert chat.invoke(
        [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}]
    ).text == ("echo: what is it?")


def test_completion_model(completion: OpenAI) -> None:
    """The completion model answers one prompt, a batch of them, and in a stream."""
    assert completion.invoke("hello") == "echo: hello"
    assert completion.batch(["a", "b"]) == ["echo: a", "echo: b"]
    assert list(filter(None, completion.stream("one two"))) == ["echo: ", "one ", "two"]


async def test_completion_model_asynchronously(completion: OpenAI) -> None:
    """The completion model answers and streams in a coroutine, too."""
    assert await completion.ainvoke("hello") == "echo: hello"
    assert [chunk async for chunk in completion.astream("hello") if chunk] == ["echo: ", "hello"]


def test_sdk(client: openai.OpenAI) -> None:
    """The openai SDK itself reads whole and streamed chat completions, and completions."""
    messages: Any = [{"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model="test", messages=messages)
    assert whole.choices[0].message.content == "echo: hello"
    assert whole.id == "chatcmpl-1"
    stream = client.chat.completions.create(
        model="test", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "echo: hello"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert client.completions.create(model="test", prompt=["a", "b"]).choices[1].text == "echo: b"


async def test_asynchronous_sdk(server: OpenAIServer) -> None:
    """The asynchronous openai SDK reads whole and streamed chat completions."""
    messages: Any = [{"role": "user", "content": "hello"}]
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        whole = await client.chat.completions.create(model="test", messages=messages)
        assert whole.choices[0].message.content == "echo: hello"
        stream = await client.chat.completions.create(model="test", messages=messages, stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in stream]
        assert "".join(filter(None, texts)) == "echo: hello"


def test_embeddings(client: openai.OpenAI, server: OpenAIServer) -> None:
    """Embeddings depend on the text alone, whatever encoding the client asks for."""
    plain = client.embeddings.create(model="test", input=["a", "b"], encoding_format="float")
    packed = client.embeddings.create(model="test", input="a")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert plain.data[0].embedding != plain.data[1].embedding
    embeddings = OpenAIEmbeddings(
        model="test", base_url=server.base_url, api_key=_key(), check_embedding_ctx_length=False
    )
    assert embeddings.embed_query("a") == pytest.approx(plain.data[0].embedding)


def test_request_is_recorded(chat: ChatOpenAI, server: OpenAIServer) -> None:
    """A test can see the headers and the body of what was asked."""
    chat.invoke("hello", extra_headers={"Traceparent": "00-1-2-01"})
    [request] = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["traceparent"] == "00-1-2-01"
    assert request.body["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_failure_on_demand(chat: ChatOpenAI, status: int, error: type[Exception]) -> None:
    """A text with a `fail` marker gets that status, whether streaming or not."""
    with pytest.raises(error, match=f"fail {status}"):
        chat.invoke(f"please fail {status}")
    with pytest.raises(error, match=f"fail {status}"):
        list(chat.stream(f"please fail {status}"))


def test_delay_on_demand(chat: ChatOpenAI) -> None:
    """A text with a `slow` marker gets its answer that much later."""
    started = time.monotonic()
    assert chat.invoke("slow 0.2").text == "echo: slow 0.2"
    assert time.monotonic() - started >= 0.2


def test_unknown_endpoint(client: openai.OpenAI) -> None:
    """What the server does not speak is not found."""
    with pytest.raises(openai.NotFoundError, match="/v1/moderations"):
        client.moderations.create(input="x")


def test_client_that_leaves_a_stream(chat: ChatOpenAI) -> None:
    """A stream that nobody reads to its end does not disturb the next request."""
    stream = cast("Generator[AIMessageChunk]", chat.stream("one two three"))
    next(stream)
    stream.close()
    assert chat.invoke("hello").text == "echo: hello"


def test_no_thread_outlives_the_server() -> None:
    """Leaving the context ends the requests in flight and every thread of the server."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor(1) as pool:
        with openai_server() as server:
            client = openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0)
            answer = pool.submit(client.completions.create, model="test", prompt="slow 600")
            while not server.requests:
                time.sleep(0.001)
            started = time.monotonic()
        assert answer.result().choices[0].text == "echo: slow 600"
        client.close()
    assert time.monotonic() - started < PATIENCE
    assert set(threading.enumerate()) <= before
