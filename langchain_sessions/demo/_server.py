"""A server that speaks OpenAI's HTTP API on a port of this machine, for real clients without a key.

Chat completions, whole and streamed, with tools: what the offline model answers.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from langchain_core.messages import convert_to_messages, convert_to_openai_messages

from langchain_sessions.demo._model import MODEL_NAME, answered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

Json = dict[str, Any]

CREATED: Final = 1_700_000_000
"""A fixed moment, so that whole answers can be compared."""


@dataclass(frozen=True)
class Received:
    """A request as it came in.

    Attributes:
        path: For example "/v1/chat/completions".
        headers: Their names are in lower case.
        body: The JSON in it.
    """

    path: str
    headers: dict[str, str]
    body: Json


class Answer(Protocol):
    """What a request gets, at once or in pieces if it asks for a stream."""

    def whole(self) -> Json:
        """The answer."""
        ...

    def chunks(self) -> Iterator[Json]:
        """The same in pieces."""
        ...


class RefusalError(Exception):
    """A request gets this status and message instead of an answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class OpenAIServer:
    """A server that is running, until `close` or the end of a `with` block.

    Attributes:
        base_url: Where it is; clients want it under the same name.
        requests: What it was asked, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._stopping = threading.Event()
        self._numbers = count(1)
        self._http = _HTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"
        # A daemon: a notebook whose reader never gets to `close` ends all the same.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, after the requests that are being answered. Doing it again does no harm."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def wait(self, seconds: float) -> None:
        """Wait this long, or until the server stops."""
        self._stopping.wait(seconds)

    def answer_to(self, request: Received) -> Answer:
        """Answer a request.

        Raises:
            RefusalError: If it cannot be answered.
        """
        if request.path != "/v1/chat/completions":
            raise RefusalError(404, f"no such endpoint: {request.path}")
        # Not by invoking the model: that would be a run, and traced, in a process whose every run is.
        try:
            message = answered(convert_to_messages(request.body["messages"]), _functions(request.body))
        except (KeyError, NotImplementedError, TypeError, ValueError) as error:
            raise RefusalError(400, f"cannot read the messages: {error!r}") from error
        spent = cast("dict[str, int]", message.usage_metadata)
        usage = {
            "prompt_tokens": spent["input_tokens"],
            "completion_tokens": spent["output_tokens"],
            "total_tokens": spent["total_tokens"],
        }
        said = convert_to_openai_messages(message)
        return ChatCompletion(request.body, self.number(), said, usage, model=MODEL_NAME)

    def number(self) -> int:
        """Return the number of this answer, from 1."""
        return next(self._numbers)


def openai_server() -> OpenAIServer:
    """Start a server that speaks OpenAI's chat completions, on a free port that only this machine reaches.

    It answers as `OfflineChatModel` does, whatever the key and the name of the model. Nothing leaves the
    machine.

    ```python
    server = openai_server()
    client = openai.OpenAI(base_url=server.base_url, api_key="any")
    ...
    server.close()
    ```

    Returns:
        The server; also a context manager, which closes it.
    """
    return OpenAIServer()


class ChatCompletion:
    """An answer of /v1/chat/completions."""

    def __init__(self, body: Json, number: int, message: Json, usage: Json, *, model: str) -> None:
        self._envelope: Json = {"id": f"chatcmpl-{number}", "created": CREATED, "model": model}
        self._calls: list[Json] = message.get("tool_calls") or []
        self._text = "" if self._calls else str(message["content"])
        self._finish = "tool_calls" if self._calls else "stop"
        self._usage = usage
        self._tells_usage = wants_usage(body)

    def whole(self) -> Json:
        """The answer."""
        message: Json = {"role": "assistant", "content": self._text or None}
        if self._calls:
            message["tool_calls"] = self._calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish, "logprobs": None}
        return {**self._envelope, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def chunks(self) -> Iterator[Json]:
        """The same word by word."""
        yield self._chunk({"role": "assistant", "content": ""})
        for delta in self._deltas():
            yield self._chunk(delta)
        yield self._chunk({}, self._finish)
        if self._tells_usage:
            yield {**self._envelope, "object": "chat.completion.chunk", "choices": [], "usage": self._usage}

    def _deltas(self) -> Iterator[Json]:
        yield from ({"content": piece} for piece in pieces(self._text))
        for index, call in enumerate(self._calls):
            function: Json = call["function"]
            yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
            for piece in pieces(function["arguments"]):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._envelope, "object": "chat.completion.chunk", "choices": [choice]}


def wants_usage(body: Json) -> bool:
    """Whether the request wants its tokens counted at the end of the stream."""
    options: Json = body.get("stream_options") or {}
    return bool(options.get("include_usage"))


def pieces(text: str) -> list[str]:
    """Cut a text into words, each with the blank after it, as models stream it."""
    return re.findall(r"\S+\s*", text)


def _functions(body: Json) -> list[Json]:
    return [tool for tool in body.get("tools") or () if "function" in tool]


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() joins them: no thread outlives the server
    request_queue_size = 128  # concurrent clients; the default of 5 would reset some connections


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # for chunked answers
    timeout = 5  # a client that connects and says nothing does not hold up the end

    def __init__(self, app: OpenAIServer, *args: Any) -> None:
        self._app = app
        super().__init__(*args)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self._answer(self.path, headers, data)
        except RefusalError as refusal:
            self._refuse(refusal)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client left in the middle of its stream

    def do_GET(self) -> None:
        self._refuse(RefusalError(404, f"no such endpoint: {self.path}"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
        """Stay silent."""

    def _answer(self, path: str, headers: dict[str, str], data: bytes) -> None:
        try:
            body: object = json.loads(data)
        except ValueError as error:
            raise RefusalError(400, f"the request is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise RefusalError(400, "the request is no JSON object")
        request = Received(path, headers, cast("Json", body))
        self._app.requests.append(request)
        answer = self._app.answer_to(request)
        if request.body.get("stream"):
            self._send_stream(answer.chunks())
        else:
            self._send(200, answer.whole())

    def _refuse(self, refusal: RefusalError) -> None:
        error = {"message": str(refusal), "type": "server_error", "param": None, "code": None}
        self._send(refusal.status, {"error": error})

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
