"""A server that speaks OpenAI's HTTP API on a port of this machine, for tests that want the real client.

    with openai_server() as server:
        ChatOpenAI(base_url=server.base_url, api_key="x", model="test").invoke("hello")  # "echo: hello"

The answer follows from the request, and markers in the last text of the user steer it:

    use add 2 3    call the tool `add`, if the request offers one, with these as its first two arguments
    fail 500       answer with this status
    slow 0.5       answer after this many seconds
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from typing import TYPE_CHECKING, Any

from langchain_sessions.demo import _server
from langchain_sessions.demo._server import CREATED, Answer, ChatCompletion, Received, RefusalError
from langchain_sessions.demo._server import pieces as _pieces
from langchain_sessions.demo._server import wants_usage as _wants_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["OpenAIServer", "Received", "openai_server"]

Json = dict[str, Any]


class OpenAIServer(_server.OpenAIServer):
    """The demonstration's server, with endpoints and answers of its own."""

    def answer_to(self, request: Received) -> Answer:
        body = request.body
        text = _last_text(body)
        if marker := re.search(r"\bslow (\d+(?:\.\d+)?)", text):
            self.wait(float(marker[1]))
        if marker := re.search(r"\bfail (\d{3})\b", text):
            raise RefusalError(int(marker[1]), f"told to: {text}")
        match request.path:
            case "/v1/chat/completions":
                return _chat(body, self.number())
            case "/v1/completions":
                return _Completion(body, self.number())
            case "/v1/embeddings":
                return _Embedding(body)
            case _:
                raise RefusalError(404, f"no such endpoint: {request.path}")


def openai_server() -> OpenAIServer:
    """Run a server on a free port of the loopback interface."""
    return OpenAIServer()


def _chat(body: Json, number: int) -> ChatCompletion:
    call = _tool_call(body, f"call_{number}")
    verb = "result" if body["messages"][-1]["role"] == "tool" else "echo"
    text = "" if call else f"{verb}: {_last_text(body)}"
    message = {"content": text, "tool_calls": [call] if call else []}
    usage = _usage((_text(message.get("content")) for message in body["messages"]), text)
    return ChatCompletion(body, number, message, usage, model=str(body.get("model")))


class _Completion:
    """An answer of /v1/completions; a batch of prompts gets one choice each."""

    def __init__(self, body: Json, number: int) -> None:
        self._body = body
        self._envelope: Json = {
            "id": f"cmpl-{number}",
            "object": "text_completion",
            "created": CREATED,
            "model": body.get("model"),
        }
        prompts = _texts(body["prompt"])
        self._answers = [f"echo: {prompt}" for prompt in prompts]
        self._usage = _usage(prompts, " ".join(self._answers))

    def whole(self) -> Json:
        choices = [self._choice(index, text, "stop") for index, text in enumerate(self._answers)]
        return {**self._envelope, "choices": choices, "usage": self._usage}

    def chunks(self) -> Iterator[Json]:
        for index, answer in enumerate(self._answers):
            for piece in _pieces(answer):
                yield {**self._envelope, "choices": [self._choice(index, piece, None)]}
            yield {**self._envelope, "choices": [self._choice(index, "", "stop")]}
        if _wants_usage(self._body):
            yield {**self._envelope, "choices": [], "usage": self._usage}

    def _choice(self, index: int, text: str, finish: str | None) -> Json:
        return {"index": index, "text": text, "finish_reason": finish, "logprobs": None}


class _Embedding:
    """An answer of /v1/embeddings: eight numbers that depend on the text."""

    def __init__(self, body: Json) -> None:
        self._body = body
        self._inputs = _texts(body["input"])

    def whole(self) -> Json:
        data = [
            {"object": "embedding", "index": index, "embedding": self._encode(text)}
            for index, text in enumerate(self._inputs)
        ]
        tokens = _usage(self._inputs, "")["prompt_tokens"]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self._body.get("model"), "usage": usage}

    def chunks(self) -> Iterator[Json]:
        yield self.whole()  # embeddings are never streamed

    def _encode(self, text: str) -> str | list[float]:
        vector = [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]]
        if self._body.get("encoding_format") == "base64":
            return base64.b64encode(struct.pack("<8f", *vector)).decode()
        return vector


def _tool_call(body: Json, call_id: str) -> Json | None:
    """Return the tool call that the user's text asks for, if the request offers that tool."""
    if body["messages"][-1]["role"] != "user":
        return None
    marker = re.search(r"\buse (\w+)((?: \S+)*)", _last_text(body))
    if marker is None:
        return None
    for tool in body.get("tools") or ():
        function: Json = tool["function"]
        if function["name"] == marker[1]:
            names: Iterable[str] = function["parameters"].get("properties", {})
            arguments = dict(zip(names, map(_value, marker[2].split()), strict=False))
            return {
                "id": call_id,
                "type": "function",
                "function": {"name": marker[1], "arguments": json.dumps(arguments)},
            }
    return None


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def _last_text(body: Json) -> str:
    """Return the text to answer: the user's last (or a tool's result), the last prompt or the last input."""
    if "messages" in body:
        texts = [_text(it.get("content")) for it in body["messages"] if it["role"] in ("user", "tool")]
        return texts[-1] if texts else ""
    texts = _texts(body.get("prompt", body.get("input")))
    return texts[-1] if texts else ""


def _text(content: str | Sequence[Json] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _texts(value: Any) -> list[str]:
    """Return the texts of a prompt or an input, which is one or a list of them; token numbers are joined."""
    if value is None or isinstance(value, str):
        return [value or ""]
    items: list[Any] = list(value)
    if items and all(isinstance(item, int) for item in items):
        return [" ".join(map(str, items))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in items]


def _usage(prompts: Iterable[str], answer: str) -> Json:
    """Count words as tokens."""
    asked, answered = sum(len(prompt.split()) for prompt in prompts), len(answer.split())
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
