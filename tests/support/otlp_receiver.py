"""A receiver of OTLP over HTTP on a port of this machine, for the spans of several processes.

```python
with otlp_receiver() as receiver:
    exporter = OTLPSpanExporter(endpoint=receiver.endpoint)  # here and in other processes, in any language
    ...
    spans = receiver.wait_for(lambda spans: len(spans) == 4)
```
"""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

__all__ = ["OTLPReceiver", "ReceivedSpan", "otlp_receiver"]

_PATH: Final = "/v1/traces"


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came in: ids in hexadecimal, `parent_id` empty for a root, `kind` as in "SERVER"."""

    service: str
    scope: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.trace_id} {self.parent_id or '-':>16} <- {self.span_id} {self.service}: {self.name}"


Expectation: TypeAlias = "Callable[[Sequence[ReceivedSpan]], bool]"
"""Says whether the spans so far are all that a test waits for."""


class OTLPReceiver:
    """What a test sees of the running receiver: where it is, and what it was sent."""

    def __init__(self) -> None:
        self._spans: list[ReceivedSpan] = []
        self._arrival = threading.Condition()
        self._http = _HTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}{_PATH}"

    @property
    def spans(self) -> list[ReceivedSpan]:
        """The spans that have arrived, in this order."""
        with self._arrival:
            return list(self._spans)

    def receive(self, spans: Iterable[ReceivedSpan]) -> None:
        """Keep these spans, and tell who waits."""
        with self._arrival:
            self._spans.extend(spans)
            self._arrival.notify_all()

    def clear(self) -> None:
        """Forget what has arrived."""
        with self._arrival:
            self._spans.clear()

    def wait_for(self, expectation: Expectation, timeout: float = PATIENCE) -> list[ReceivedSpan]:
        """Return the spans once they are what is expected; fail, and show them, if that takes too long."""
        with self._arrival:
            arrived = self._arrival.wait_for(lambda: expectation(self._spans), timeout)
            spans = list(self._spans)
        listed = "\n".join(map(str, spans))
        assert arrived, f"after {timeout} s not what was expected, but {len(spans)} spans:\n{listed}"
        return spans

    def run(self) -> None:
        """Answer requests until `stop` is called."""
        self._http.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        """Stop, and wait for the requests being answered."""
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def otlp_receiver() -> Generator[OTLPReceiver]:
    """Run a receiver on a free port of the loopback interface."""
    receiver = OTLPReceiver()
    thread = threading.Thread(target=receiver.run, name="otlp-receiver")
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        thread.join()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() joins them: no thread outlives the test
    request_queue_size = 128  # exporters of several processes; the default of 5 would reset some connections


class _Handler(BaseHTTPRequestHandler):
    # The base class speaks HTTP/1.0, so that no exporter keeps a connection open, and with it a thread.
    timeout = 30  # a client that connects and says nothing does not hold up the end of the test

    def __init__(self, app: OTLPReceiver, *args: Any) -> None:
        self._app = app
        super().__init__(*args)

    def do_POST(self) -> None:
        if not self.path.endswith(_PATH) or self.headers["Content-Type"] != "application/x-protobuf":
            self.send_error(415 if self.path.endswith(_PATH) else 404)
            return
        body = b"".join(self._body())
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self._app.receive(_spans(ExportTraceServiceRequest.FromString(body)))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> Iterator[bytes]:
        if self.headers["Transfer-Encoding"] != "chunked":
            yield self.rfile.read(int(self.headers["Content-Length"]))
            return
        while size := int(self.rfile.readline(), 16):  # as Node's exporter sends it
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
        """Stay silent."""


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield ReceivedSpan(
                    service=resource.get("service.name", ""),
                    scope=scope_spans.scope.name,
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes=_attributes(span.attributes),
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
