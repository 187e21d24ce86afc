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
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

__all__ = ["OpenAIServer", "Received", "openai_server"]

Json = dict[str, Any]

_CREATED: Final = 1_700_000_000  # a fixed moment, so that whole answers can be compared


@dataclass(frozen=True)
class Received:
    """A request as it came in; the names of its headers are in lower case."""

    path: str
    headers: dict[str, str]
    body: Json


class OpenAIServer:
    """What a test sees of the running server: where it is, and what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._stopping = threading.Event()
        self._numbers = count(1)
        self._http = _HTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def number(self) -> int:
        """Return the number of this answer, from 1."""
        return next(self._numbers)

    def wait(self, seconds: float) -> None:
        """Wait this long, or until the server stops."""
        self._stopping.wait(seconds)

    def run(self) -> None:
        """Answer requests until `stop` is called."""
        self._http.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        """Stop, and wait for the requests being answered."""
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def openai_server() -> Generator[OpenAIServer]:
    """Run a server on a free port of the loopback interface."""
    server = OpenAIServer()
    thread = threading.Thread(target=server.run, name="openai-server")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() joins them: no thread outlives the test
    request_queue_size = 128  # concurrent clients; the default of 5 would reset some connections


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # for chunked answers
    timeout = 5  # a client that connects and says nothing does not hold up the end of the test

    def __init__(self, app: OpenAIServer, *args: Any) -> None:
        self._app = app
        super().__init__(*args)

    def do_POST(self) -> None:
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._app.requests.append(Received(self.path, headers, body))
        try:
            self._answer(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client left in the middle of its stream, as a test may want

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
        """Stay silent."""

    def _answer(self, body: Json) -> None:
        text = _last_text(body)
        if marker := re.search(r"\bslow (\d+(?:\.\d+)?)", text):
            self._app.wait(float(marker[1]))
        if marker := re.search(r"\bfail (\d{3})\b", text):
            return self._send(int(marker[1]), _error(f"told to: {text}"))
        endpoint = {
            "/v1/chat/completions": _Chat,
            "/v1/completions": _Completion,
            "/v1/embeddings": _Embedding,
        }.get(self.path)
        if endpoint is None:
            return self._send(404, _error(f"no such endpoint: {self.path}"))
        answer = endpoint(body, self._app.number())
        if body.get("stream"):
            return self._send_stream(answer.chunks())
        return self._send(200, answer.whole())

    def _send(self, status: int, payload: Json) -> None:
        data = json.dumps(payload).encode()
        self._start(status, "application/json", "Content-Length", str(len(data)))
        self.wfile.write(data)

    def _send_stream(self, chunks: Iterable[Json]) -> None:
        self._start(200, "text/event-stream", "Transfer-Encoding", "chunked")
        for event in (*map(json.dumps, chunks), "[DONE]"):
            data = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _start(self, status: int, content_type: str, *framing: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header(*framing)
        self.send_header("Connection", "close")  # an idle kept connection would keep its thread
        self.end_headers()


class _Chat:
    """An answer of /v1/chat/completions."""

    def __init__(self, body: Json, number: int) -> None:
        self._body = body
        self._envelope: Json = {"id": f"chatcmpl-{number}", "created": _CREATED, "model": body.get("model")}
        self._call = _tool_call(body, f"call_{number}")
        last = body["messages"][-1]
        verb = "result" if last["role"] == "tool" else "echo"
        self._text = "" if self._call else f"{verb}: {_last_text(body)}"
        self._finish = "tool_calls" if self._call else "stop"
        self._usage = _usage((_text(message.get("content")) for message in body["messages"]), self._text)

    def whole(self) -> Json:
        message: Json = {"role": "assistant", "content": self._text or None}
        if self._call:
            message["tool_calls"] = [self._call]
        choice = {"index": 0, "message": message, "finish_reason": self._finish, "logprobs": None}
        return {**self._envelope, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def chunks(self) -> Iterator[Json]:
        yield self._chunk({"role": "assistant", "content": ""})
        for delta in self._deltas():
            yield self._chunk(delta)
        yield self._chunk({}, self._finish)
        if _wants_usage(self._body):
            yield {**self._envelope, "object": "chat.completion.chunk", "choices": [], "usage": self._usage}

    def _deltas(self) -> Iterator[Json]:
        if not self._call:
            yield from ({"content": piece} for piece in _pieces(self._text))
            return
        function: Json = self._call["function"]
        opening = {**self._call, "index": 0, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [opening]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._envelope, "object": "chat.completion.chunk", "choices": [choice]}


class _Completion:
    """An answer of /v1/completions; a batch of prompts gets one choice each."""

    def __init__(self, body: Json, number: int) -> None:
        self._body = body
        self._envelope: Json = {
            "id": f"cmpl-{number}",
            "object": "text_completion",
            "created": _CREATED,
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

    def __init__(self, body: Json, number: int) -> None:
        del number  # these answers have no id
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


def _pieces(text: str) -> list[str]:
    """Cut a text into words, each with the blank after it, as models stream it."""
    return re.findall(r"\S+\s*", text)


def _usage(prompts: Iterable[str], answer: str) -> Json:
    """Count words as tokens."""
    asked, answered = sum(len(prompt.split()) for prompt in prompts), len(answer.split())
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _wants_usage(body: Json) -> bool:
    options: Json = body.get("stream_options") or {}
    return bool(options.get("include_usage"))


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
