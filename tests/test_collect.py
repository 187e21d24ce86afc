from __future__ import annotations

import asyncio
import gzip
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from langchain_sessions.store import Span, SQLiteSessionStore, StoreError
from langchain_sessions.store._otlp import JSON, PROTOBUF, request_from_spans, to_json
from langchain_sessions.view._collector import collector
from langchain_sessions.view.cli import cli
from tests.support.collecting import collecting
from tests.support.turns import turn
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
    from pathlib import Path

    from tests.support.collecting import Collector

LIMIT = 100_000


def protobuf(spans: Iterable[Span]) -> bytes:
    """The body of a request in protobuf."""
    return request_from_spans(spans).SerializeToString()


def in_json(spans: Iterable[Span]) -> bytes:
    """The body of a request in JSON."""
    return to_json(request_from_spans(spans)).encode()


def post(endpoint: str, body: bytes, kind: str = PROTOBUF, **headers: str) -> int:
    """Send a request over HTTP, and return the status of the answer."""
    headers["content-type"] = kind
    return httpx.post(endpoint, content=body, headers=headers, timeout=PATIENCE).status_code


def send(endpoint: str, body: bytes, kind: str = PROTOBUF, **headers: str) -> int:
    """Send a request, again as long as the store is busy, as clients do; return the last answer's status."""
    while (status := post(endpoint, body, kind, **headers)) == 503:
        pass
    return status


def refuses(address: tuple[Any, ...]) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(address, PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


class Here:
    """A collector in this process, without a network."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.store = SQLiteSessionStore(path)
        self.app = collector(self.store, largest=LIMIT, **options)

    def post(
        self,
        body: bytes,
        kind: str = PROTOBUF,
        path: str = "/v1/traces",
        method: str = "POST",
        **headers: str,
    ) -> httpx.Response:
        """Send a request; `content_encoding` is the header Content-Encoding, and so on."""
        named = {name.replace("_", "-"): it for name, it in headers.items()}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4318") as client:
                return await client.request(
                    method, path, content=body, headers={"content-type": kind} | named
                )

        return asyncio.run(send())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    """A collector that nobody but the test reaches."""
    here = Here(tmp_path / "here.db")
    yield here
    here.store.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector as a process."""
    with collecting(tmp_path_factory.mktemp("collector")) as running:
        yield running


def spans_in(path: Path) -> int:
    """How many spans a store has."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM spans").fetchone()[0]
    finally:
        connection.close()


def error_of(response: httpx.Response) -> str:
    """What an error says, in either encoding (google.rpc.Status)."""
    if response.headers["content-type"] == PROTOBUF:
        return Status.FromString(response.content).message
    return response.json()["message"]


@pytest.mark.parametrize("kind", [PROTOBUF, JSON, "application/json; charset=utf-8"])
@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_what_is_acknowledged_is_in_the_store(here: Here, kind: str, encoding: str) -> None:
    """In both encodings, compressed or not, and answered in the same encoding; sent again, it is ignored."""
    spans = turn("abc")
    body = protobuf(spans) if kind == PROTOBUF else in_json(spans)
    headers = {"content_encoding": encoding} if encoding else {}
    for _ in range(2):
        response = here.post(gzip.compress(body) if encoding == "gzip" else body, kind, **headers)
        assert response.status_code == 200
        assert response.headers["content-type"] == kind.partition(";")[0]
        assert response.content == (b"" if kind == PROTOBUF else b"{}")
        [summary] = here.store.sessions()
        assert here.store.spans("abc", spans[0].trace_id) == spans
        assert summary.span_count == 3


def test_a_request_without_spans_is_fine(here: Here) -> None:
    """SDKs send one to see whether somebody listens."""
    assert here.post(b"").status_code == 200
    assert here.post(b"{}", JSON).status_code == 200


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_spans_without_identity_are_counted_in_the_answer(here: Here, kind: str) -> None:
    """A partial success says how many were refused, and why; the others are kept."""
    request = request_from_spans([*turn("abc"), *turn("abc", 2)])
    for resource in request.resource_spans:
        resource.scope_spans[0].spans[0].trace_id = bytes(16)
    body = request.SerializeToString() if kind == PROTOBUF else to_json(request).encode()
    response = here.post(body, kind)
    assert response.status_code == 200
    if kind == JSON:
        success = response.json()["partialSuccess"]
        assert success["rejectedSpans"] == "2"
        assert "trace id" in success["errorMessage"]
    else:
        answer = ExportTraceServiceResponse.FromString(response.content)
        assert answer.partial_success.rejected_spans == 2
        assert "trace id" in answer.partial_success.error_message
    assert spans_in(here.store.path) == 4


BOMB = gzip.compress(bytes(LIMIT + 1), mtime=0)


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "what"),
    [
        (b"\xff\xff", PROTOBUF, {}, 400, "protobuf"),
        (b"{", JSON, {}, 400, "no JSON"),
        (b"", JSON, {}, 400, "no JSON"),
        (b"{}", JSON, {"content_encoding": "gzip"}, 400, "not compressed"),
        (gzip.compress(b"{}", mtime=0)[:-4], JSON, {"content_encoding": "gzip"}, 400, "not compressed"),
        (b"", "text/plain", {}, 415, "application/json"),
        (b"", "", {}, 415, "application/json"),
        (b"", PROTOBUF, {"content_encoding": "br"}, 415, "gzip"),
        (b"", PROTOBUF, {"content_encoding": "gzip, gzip"}, 415, "gzip"),
        (bytes(LIMIT + 1), PROTOBUF, {}, 413, "100,000 bytes"),
        (BOMB, PROTOBUF, {"content_encoding": "gzip"}, 413, "100,000 bytes"),
        (BOMB * 3, JSON, {"content_encoding": "gzip"}, 413, "100,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(
    here: Here, body: bytes, kind: str, headers: dict[str, str], status: int, what: str
) -> None:
    """With the status that tells clients not to send it again, and a reason in their own encoding."""
    response = here.post(body, kind, **headers)
    assert response.status_code == status
    assert what in error_of(response)
    assert response.headers["content-type"] == (PROTOBUF if kind == PROTOBUF else JSON)


def test_a_body_of_unknown_length_is_limited(here: Here) -> None:
    """One that is sent in pieces, without its length, is refused when it is too large."""

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield bytes(LIMIT // 10)

    async def send() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(here.app)) as client:
            headers = {"content-type": PROTOBUF}
            return (
                await client.post("http://localhost/v1/traces", content=pieces(), headers=headers)
            ).status_code

    assert asyncio.run(send()) == 413


def test_a_bomb_takes_no_memory(here: Here) -> None:
    """A small body that would become huge is given up once it is larger than what is allowed."""
    bomb = gzip.compress(bytes(64 * 2**20))
    assert len(bomb) < LIMIT
    here.post(b"")
    tracemalloc.start()
    try:
        assert here.post(bomb, PROTOBUF, content_encoding="gzip").status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_what_shrinks_too_well_is_nothing_to_keep(running: Collector) -> None:
    """Spans of nothing take little room when they are sent, and a hundred times as much when read."""
    empty = gzip.compress(b"\x0a\x00" * 2**20)

    assert send(running.endpoint, empty, **{"content-encoding": "gzip"}) == 413


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/traces", "GET", 405),
        ("/v1/traces", "PUT", 405),
        ("/v1/logs", "POST", 404),
        ("/v1/traces/", "POST", 404),
        ("/", "GET", 404),
    ],
)
def test_there_is_nothing_else(here: Here, path: str, method: str, status: int) -> None:
    """It receives spans, and does nothing else."""
    assert here.post(b"", path=path, method=method).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:4318"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:4318", "origin": "http://evil.example:4318"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "192.168.0.7:4318"}, 403),
        ({"host": "["}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost:4318"}, 200),
        ({"host": "LOCALHOST."}, 200),
        ({"host": "127.1.2.3"}, 200),
        ({"host": "[::1]:4318"}, 200),
    ],
)
def test_web_pages_cannot_send(here: Here, headers: dict[str, str], status: int) -> None:
    """Neither from another origin, nor under a name of their own that leads to this machine."""
    response = here.post(protobuf(turn("abc")), **headers)
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers
    assert spans_in(here.store.path) == (3 if status == 200 else 0)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer secret", 200),
        ("bearer secret", 200),
        ("Bearer secreT", 401),
        ("secret", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_a_token_is_asked_for(tmp_path: Path, given: str | None, status: int) -> None:
    """Who listens to other machines takes spans only with the token, by whatever name it is called."""
    there = Here(tmp_path / "there.db", token="secret", is_local=False)
    headers = {} if given is None else {"authorization": given}
    response = there.post(b"", host="collector.example", **headers)
    assert response.status_code == status
    assert response.headers.get("www-authenticate") == (None if status == 200 else "Bearer")
    there.store.close()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process, as it were, that writes to the store and does not come to an end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_who_finds_the_store_locked_is_asked_to_come_again(tmp_path: Path) -> None:
    """503 with Retry-After, one warning for all of them, and the next attempt succeeds."""
    troubles: list[str] = []
    here = Here(tmp_path / "here.db", patience=0.2, on_trouble=troubles.append)
    with locked(here.store.path):
        response = here.post(protobuf(turn("abc")))
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "busy" in error_of(response)
        assert len(troubles) == 1
    while here.post(protobuf(turn("abc"))).status_code == 503:
        pass
    assert spans_in(here.store.path) == 3
    here.store.close()


def test_a_store_that_fails_asks_to_come_again(tmp_path: Path) -> None:
    """A full disk may have room later; so may whatever else a store complains of."""
    troubles: list[str] = []
    here = Here(tmp_path / "here.db", on_trouble=troubles.append)
    here.store.close()
    response = here.post(protobuf(turn("abc")))
    assert response.status_code == 503
    assert error_of(response) == troubles[0]
    with pytest.raises(StoreError, match=re.escape(troubles[0])):
        here.store.add(turn("abc"))


def test_what_is_added_is_told(tmp_path: Path) -> None:
    """Whoever shows the counts is told of the spans, and how many of them are new."""
    told: list[tuple[int, int]] = []
    here = Here(tmp_path / "here.db", on_added=lambda spans, new: told.append((len(spans), new)))
    for _ in range(2):
        here.post(protobuf(turn("abc")))
    assert told == [(3, 3), (3, 0)]
    here.store.close()


def test_the_command_says_where_it_listens(running: Collector) -> None:
    """It prints the line for the environment of those who are to send, and listens on loopback only."""
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1/traces", running.endpoint)
    assert f"Receiving spans into {running.store}" in running.said


def test_a_process_receives(running: Collector) -> None:
    """Requests over a real connection, several in one, are acknowledged when they are stored."""
    with httpx.Client(headers={"content-type": JSON}, timeout=PATIENCE) as client:
        for number in range(1, 6):
            while client.post(running.endpoint, content=in_json(turn("http", number))).status_code == 503:
                pass
            assert spans_in(running.store) >= 3 * number
    assert "\n127.0.0.1" not in running.said


def test_many_send_at_once(running: Collector) -> None:
    """Whatever comes at the same time is stored, once."""
    before = spans_in(running.store)

    def send_ten(start: int) -> None:
        for number in range(start, start + 10):
            body = gzip.compress(protobuf(turn(f"s{start}", number)))
            assert send(running.endpoint, body, **{"content-encoding": "gzip"}) == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_ten, [1_000 + 10 * (it // 2) for it in range(8)]))
    assert spans_in(running.store) - before == 4 * 10 * 3


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """A collector that is killed in the midst of receiving has lost nothing that it had acknowledged."""
    acknowledged: list[int] = []

    def send_all(endpoint: str) -> None:
        with suppress(httpx.TransportError):
            for number in range(1, 100_000):
                assert send(endpoint, protobuf(turn("abc", number))) == 200
                acknowledged.append(number)

    with collecting(tmp_path) as running:
        thread = threading.Thread(target=send_all, args=(running.endpoint,))
        thread.start()
        until(lambda: len(acknowledged) >= 30, "nothing is acknowledged")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        thread.join()
    store = SQLiteSessionStore(running.store, create=False)
    kept = {int(it.trace_id, 16) for it in store.session("abc").turns}
    store.close()
    assert kept >= set(acknowledged)
    assert len(kept) - len(acknowledged) <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_quietly_and_finishes_what_is_in_flight(tmp_path: Path, number: int) -> None:
    """A request that has begun when the signal comes is answered, and stored, and no other begins."""
    body = protobuf(turn("abc"))
    with collecting(tmp_path) as running:
        address = urlsplit(running.endpoint)
        where = (address.hostname, address.port)
        with socket.create_connection(where, PATIENCE) as client, client.makefile("rb") as answer:
            client.sendall(
                f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {PROTOBUF}\r\n"
                f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"  # so the request has begun
            running.process.send_signal(number)
            until(lambda: refuses(where), "it goes on listening after the signal")
            assert running.process.poll() is None
            client.sendall(body)
            assert b"HTTP/1.1 200 OK\r\n" in answer.readlines()
        assert running.process.wait(PATIENCE) == 0
    assert spans_in(running.store) == 3
    assert len(running.said.splitlines()) == 3


def test_a_process_whose_store_is_locked(tmp_path: Path) -> None:
    """A client gets its 503 while the store is locked, and may then send again."""
    with collecting(tmp_path) as running:
        with locked(running.store):
            assert post(running.endpoint, protobuf(turn("abc"))) == 503
        assert send(running.endpoint, protobuf(turn("abc"))) == 200
        assert running.said.count("Warning: ") == 1
    assert spans_in(running.store) == 3


def test_a_token_comes_with_the_line_for_the_environment(tmp_path: Path) -> None:
    """It is escaped as OpenTelemetry's variables ask for, and may come from the environment."""
    with collecting(tmp_path, LANGCHAIN_SESSIONS_TOKEN="a b=c") as running:
        assert "OTEL_EXPORTER_OTLP_TRACES_HEADERS=Authorization=Bearer%20a%20b%3Dc\n" in running.said
        assert send(running.endpoint, b"{}", JSON) == 401
        assert send(running.endpoint, b"{}", JSON, authorization="Bearer a b=c") == 200


def test_a_terminal_shows_the_counts(tmp_path: Path) -> None:
    """A line with the numbers of spans and sessions, which follows what comes in."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "langchain_sessions", "collect", "--port", "0"]
    environment = os.environ | {"TERM": "xterm", "LANGCHAIN_SESSIONS_DB": str(tmp_path / "a.db")}
    shown = b""

    def until_shown(what: bytes) -> None:
        nonlocal shown
        give_up = time.monotonic() + PATIENCE
        while what not in shown and time.monotonic() < give_up:
            if select.select([master], [], [], 1)[0]:
                shown += os.read(master, 10_000)
        assert what in shown

    with subprocess.Popen(command, env=environment, stderr=slave, stdout=subprocess.PIPE) as process:
        try:
            os.close(slave)
            assert process.stdout
            endpoint = process.stdout.readline().decode().strip().partition("=")[2]
            until_shown(b"0 new spans of 0 sessions")
            strange: Any = {"session.id": ["a", "list"]}
            body = in_json([*turn("abc"), *turn("other", 2), *turn("", 3, attributes=strange)[:1]])
            assert send(endpoint, body, JSON) == 200
            until_shown(b"7 new spans of 3 sessions")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    os.close(master)


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--host", "0.0.0.0"], 2, "needs a --token"),
        (["--host", "::"], 2, "needs a --token"),
        (["--host", "192.168.0.7", "--token", " "], 2, "a token is made of"),
        (["--token", "sécret"], 2, "a token is made of"),
        (["--port", "65536"], 2, "65536"),
        (["--host", "192.0.2.1", "--token", "x"], 1, "cannot listen on 192.0.2.1"),
        (["--host", "no.such.host.invalid"], 1, "there is no host no.such.host.invalid"),
    ],
)
def test_what_it_does_not_listen_on(tmp_path: Path, arguments: list[str], code: int, what: str) -> None:
    """Other machines only with a token, and no address that is not this machine's."""
    result = CliRunner().invoke(cli, ["collect", "--store", str(tmp_path / "a.db"), *arguments])
    assert (result.exit_code, what in result.stderr) == (code, True), result.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The error names it, and how to take another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(cli, ["collect", "--store", str(tmp_path / "a.db"), "--port", port])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in result.stderr
    assert "another --port" in result.stderr


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("starlette", "receiving spans needs starlette"),
        ("uvicorn", "receiving spans needs uvicorn"),
        ("opentelemetry.proto", "OTLP needs opentelemetry-proto"),
    ],
)
def test_what_is_missing_is_one_clear_error(tmp_path: Path, module: str, what: str) -> None:
    """Without a package of the extra `view`, it names it and the line that installs it."""
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from langchain_sessions.__main__ import main\nsys.argv[1:] = ['collect']\nmain()"
    )
    environment = os.environ | {"LANGCHAIN_SESSIONS_DB": str(tmp_path / "a.db")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr == f"Error: {what}: pip install 'langchain-sessions[view]'\n"


def test_it_does_not_answer_pages_about_itself(here: Here) -> None:
    """A preflight request of a browser gets no permission."""
    response = here.post(
        b"", method="OPTIONS", origin="http://evil.example", access_control_request_method="POST"
    )
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]
