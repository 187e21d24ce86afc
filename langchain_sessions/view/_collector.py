"""OTLP over HTTP, as any OpenTelemetry SDK sends it, into a session store.

Follows https://opentelemetry.io/docs/specs/otlp/#otlphttp. What is acknowledged is in the store: a client
that hears nothing, or 503, sends again, and a store ignores what it has already.

It is meant for the programs of one machine. A page in a browser must not be able to send to it: not in a
request to another origin, and not by a name of its own that leads to this machine (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from langchain_sessions.store import StoreError
from langchain_sessions.store._otlp import JSON, PROTOBUF, DecodeError, decode, spans_from_request, to_json
from langchain_sessions.view._access import host_name, is_bearer, is_loopback, is_same_origin
from langchain_sessions.view._extra import missing

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise missing("receiving spans", error) from error

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from google.protobuf.message import Message
    from starlette.requests import Request

    from langchain_sessions.store import Span, WritableSessionStore

PATH: Final = "/v1/traces"

LARGEST: Final = 64 * 2**20
"""Bytes of a request, as it comes and decompressed."""

PATIENCE: Final = 5.0
"""Seconds to wait for the store: less than the 10 for which SDKs wait for an answer before they give up."""

_READING: Final = 60.0
"""Seconds for a request to arrive."""

_AGAIN: Final = {"Retry-After": "2"}
"""Seconds after which a client may send again."""

_STEP: Final = 2**20

_DENSEST: Final = 200
"""How many times as large a body may become, beyond the first megabyte. Spans shrink to a tenth or a
thirtieth; what shrinks to a thousandth is made of nothing, and takes a hundred times its size when parsed."""


def collector(
    store: WritableSessionStore,
    *,
    token: str | None = None,
    is_local: bool = True,
    largest: int = LARGEST,
    patience: float = PATIENCE,
    on_added: Callable[[Sequence[Span], int], None] = lambda _spans, _new: None,
    on_trouble: Callable[[str], None] = lambda _text: None,
) -> Starlette:
    """Make the application.

    Args:
        store: Where spans go.
        token: What clients have to send, as `Authorization: Bearer ...`; None if anybody may send.
        is_local: Whether it listens for this machine only, so that no other name of it is right.
        largest: Bytes that a request may have, as it comes and decompressed.
        patience: Seconds to wait for the store.
        on_added: Called with spans that were stored, and how many of them are new. In the server's thread.
        on_trouble: Called with what is wrong with the store.
    """
    receiver = _Receiver(store, largest, patience, on_added, on_trouble)
    guard = _Guard(token, is_local=is_local)

    async def traces(request: Request) -> Response:
        kind = _media_type(request)
        try:
            guard.check(request)
            if kind not in {PROTOBUF, JSON}:
                raise _RefusedError(415, f"send {PROTOBUF} or {JSON}")
            answer = await receiver.receive(request, kind)
        except _RefusedError as refused:
            # google.rpc.Status, whose code OTLP does not use; its text is in the same place as in OTLP's own.
            return _response(refused.status, Status(message=str(refused)), kind, refused.headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        return _response(200, answer, kind)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        receiver.close()

    app = Starlette(routes=[Route(PATH, traces, methods=["POST"])], lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would name the Host that the request claims
    return app


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status: Final = status
        self.headers: Final = headers


class _Guard:
    """Lets programs pass, and no web pages."""

    def __init__(self, token: str | None, *, is_local: bool) -> None:
        self._token: Final = token
        self._is_local: Final = is_local

    def check(self, request: Request) -> None:
        headers = request.headers
        host = headers.get("host", "")
        if "origin" in headers and not is_same_origin(headers["origin"], host):
            raise _RefusedError(403, "web pages of other origins cannot send spans here")
        if self._is_local and not is_loopback(host_name(host)):
            raise _RefusedError(403, "this collector is known as localhost and 127.0.0.1 only")
        if self._token is not None and not is_bearer(headers.get("authorization", ""), self._token):
            text = "send the header Authorization: Bearer TOKEN"
            raise _RefusedError(401, text, {"WWW-Authenticate": "Bearer"})


class _Receiver:
    """From the body of a request to the store."""

    def __init__(
        self,
        store: WritableSessionStore,
        largest: int,
        patience: float,
        on_added: Callable[[Sequence[Span], int], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._store: Final = store
        self._largest: Final = largest
        self._patience: Final = patience
        self._on_added: Final = on_added
        self._on_trouble: Final = on_trouble
        # One thread: a store lets one write at a time, and who waits here can be told to come again.
        self._writer: Final = ThreadPoolExecutor(1, thread_name_prefix="langchain-sessions-collector")

    async def receive(self, request: Request, kind: str) -> ExportTraceServiceResponse:
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"gzip", "identity", ""}:
            raise _RefusedError(415, "send with Content-Encoding: gzip, or without")
        body = await self._body(request)
        rejected: list[str] = []
        try:
            spans = await asyncio.to_thread(self._read, body, encoding, kind, rejected)
        except DecodeError as error:
            raise _RefusedError(400, str(error)) from None
        if spans:
            await self._add(spans)
        answer = ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = len(rejected)
            answer.partial_success.error_message = rejected[0]
        return answer

    def close(self) -> None:
        self._writer.shutdown()

    async def _body(self, request: Request) -> bytes:
        """The body as it comes."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._largest:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(_READING):
                async for piece in request.stream():
                    body += piece
                    if len(body) > self._largest:
                        raise self._too_large()
        except TimeoutError:
            raise _RefusedError(408, f"the request did not arrive within {_READING:.0f} s") from None
        return bytes(body)

    def _read(self, body: bytes, encoding: str, kind: str, rejected: list[str]) -> list[Span]:
        if encoding == "gzip":
            body = self._inflated(body)
        return spans_from_request(decode(body, kind), rejected)

    def _inflated(self, body: bytes) -> bytes:
        """Decompress a step at a time: a small body may become any size."""
        inflated = bytearray()
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
                while piece := stream.read(_STEP):
                    inflated += piece
                    if len(inflated) > min(self._largest, _STEP + _DENSEST * len(body)):
                        raise self._too_large()
        except (OSError, EOFError, zlib.error):
            msg = "the body is not compressed with gzip, though its Content-Encoding says so"
            raise DecodeError(msg) from None
        return bytes(inflated)

    async def _add(self, spans: list[Span]) -> None:
        """Return once the spans are in the store.

        If that takes too long the client is sent away, to come again. What is being written then may yet get
        into the store, where it is ignored when it comes for the second time.
        """
        adding = self._writer.submit(self._store.add, spans)
        try:
            new = await asyncio.wait_for(asyncio.wrap_future(adding), self._patience)
        except TimeoutError:
            text = f"the session store has been busy for {self._patience:g} s"
        except StoreError as error:
            text = str(error)
        else:
            self._on_added(spans, new)
            return
        self._on_trouble(text)
        raise _RefusedError(503, text, _AGAIN)

    def _too_large(self) -> _RefusedError:
        return _RefusedError(413, f"a request may have {self._largest:,} bytes, also when decompressed")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _response(status: int, answer: Message, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer as the request was: in protobuf, else in JSON."""
    if kind == PROTOBUF:
        return Response(answer.SerializeToString(), status, headers, PROTOBUF)
    return Response(to_json(answer), status, headers, JSON)
