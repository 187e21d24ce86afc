"""What OpenTelemetry's own instrumentor of OpenAI's SDK records, beside LangChain and alone."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from opentelemetry.instrumentation._semconv import (
    _OpenTelemetrySemanticConventionStability as _Stability,
)
from opentelemetry.instrumentation._semconv import _OpenTelemetryStabilitySignalType, _StabilityMode
from opentelemetry.instrumentation.openai_v2 import (  # pyright: ignore[reportMissingTypeStubs] -- it has none
    OpenAIInstrumentor,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from langchain_sessions import instrument, session, uninstrument
from langchain_sessions.otel import SessionSpanProcessor
from langchain_sessions.store import SessionStoreExporter, SQLiteSessionStore, ToolUse
from tests.support.collecting import collecting
from tests.support.openai_server import OpenAIServer, openai_server
from tests.support.stores import audit
from tests.support.web import addresses, said, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_sessions.store import Session


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A running server."""
    with openai_server() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "sessions.db"


@pytest.fixture
def provider(path: Path) -> Iterator[TracerProvider]:
    """A provider that stamps what starts in a session, and stores it."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SessionSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(SessionStoreExporter(path)))
    yield provider
    provider.shutdown()


@pytest.fixture(params=["first version", "no_content", "span_only"])
def content(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, provider: TracerProvider
) -> Iterator[bool]:
    """The instrumentor at work; whether it puts messages on spans.

    It writes the convention's first version unless it is told to write the latest. What it is told in the
    environment is looked at once in a process, by whichever instrumentor comes first.
    """
    mode = _StabilityMode.DEFAULT
    if request.param != "first version":
        mode = _StabilityMode.GEN_AI_LATEST_EXPERIMENTAL
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", request.param)
    else:  # to log events, and nowhere else
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    modes = _Stability._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING
    monkeypatch.setitem(modes, _OpenTelemetryStabilitySignalType.GEN_AI, mode)
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield request.param == "span_only"
    instrumentor.uninstrument()


def stored(path: Path, session_id: str) -> tuple[Session, list[tuple[str, int | None]]]:
    """A session of one turn, and its spans: each one's name, and the place of its parent among them."""
    audit(path)
    with closing(SQLiteSessionStore(path, create=False)) as store:
        found = store.session(session_id)
        [turn] = found.turns
        spans = store.spans(session_id, turn.trace_id)
    places = {it.span_id: place for place, it in enumerate(spans)}
    return found, [(it.name, places.get(it.parent_id or "")) for it in spans]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_call_inside_a_langchain_model_is_one_call(
    path: Path, provider: TracerProvider, server: OpenAIServer, content: bool, streaming: bool
) -> None:
    """The client's span is under the model's, and their tokens count once."""
    model = ChatOpenAI(
        model="test",
        base_url=server.base_url,
        api_key="x",  # pyright: ignore[reportArgumentType] -- pydantic makes a secret of it
        max_retries=0,
        streaming=streaming,
        stream_usage=True,
    )
    instrument(provider)
    try:
        model.invoke("hello there", {"metadata": {"session_id": "abc"}})
    finally:
        uninstrument()
    found, spans = stored(path, "abc")
    assert spans == [("ChatOpenAI", None), ("chat test", 0)]
    [turn] = found.turns
    assert (turn.input, turn.output) == ("hello there", "echo: hello there")
    assert (turn.prompt_tokens, turn.completion_tokens) == (2, 3)


def test_a_call_of_the_client_inside_a_run_is_counted(
    path: Path, provider: TracerProvider, server: OpenAIServer, content: bool
) -> None:
    """The run has the words, and the client's span the tokens; twice two calls are four."""

    def answer(question: str) -> str:
        with openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
            for text in ("be kind?", question):
                done = client.chat.completions.create(
                    model="test", messages=[{"role": "user", "content": text}]
                )
        return f"It says {done.choices[0].message.content}"

    instrument(provider)
    try:
        RunnableLambda(answer).invoke("hello there", {"metadata": {"session_id": "abc"}})
    finally:
        uninstrument()
    found, spans = stored(path, "abc")
    assert spans == [("answer", None), ("chat test", 0), ("chat test", 0)]
    [turn] = found.turns
    assert (turn.input, turn.output) == ("hello there", "It says echo: hello there")
    assert (turn.prompt_tokens, turn.completion_tokens) == (2 + 2, 3 + 3)


def test_the_client_alone(path: Path, provider: TracerProvider, server: OpenAIServer, content: bool) -> None:
    """In a session of ours its call is a turn, with what its span carries: messages if it was told to."""
    with openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client, session("abc"):
        client.chat.completions.create(
            model="test",
            messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}],
        )
    found, spans = stored(path, "abc")
    assert spans == [("chat test", None)]
    [turn] = found.turns
    said = ("hello there", "echo: hello there") if content else ("", "")
    assert (turn.input, turn.output, turn.error) == (*said, None)
    assert (turn.prompt_tokens, turn.completion_tokens) == (4, 3)


def test_a_tool_call_and_a_failure(
    path: Path, provider: TracerProvider, server: OpenAIServer, content: bool
) -> None:
    """An answer without words is the call in it, on its page, too; a failed call is a failed turn."""
    add = {"name": "add", "parameters": {"type": "object", "properties": {"a": {}, "b": {}}}}
    with openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        with session("calls"):
            client.chat.completions.create(
                model="test",
                messages=[{"role": "user", "content": "use add 2 3"}],
                tools=[{"type": "function", "function": add}],  # pyright: ignore[reportArgumentType]
            )
        with session("fails"), pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="test", messages=[{"role": "user", "content": "fail 500"}])
    with closing(SQLiteSessionStore(path, create=False)) as store, visiting(store) as client:
        page = said(client.get(addresses(client, "calls")[0]))
    chat = (
        'Input User use add 2 3 Output Assistant Tool: add(a=2, b=3) Call call_1 { "a": 2, "b": 3 }'
        if content
        else "Messages None were recorded"
    )
    assert page == f"Model test Provider openai Tokens 4 in Finish reason tool_calls {chat}"
    [turn] = stored(path, "calls")[0].turns
    assert turn.output == ("add(a=2, b=3)" if content else "")
    [turn] = stored(path, "fails")[0].turns
    assert turn.input == ("fail 500" if content else "")
    assert turn.error is not None
    assert "told to: fail 500" in turn.error


def as_json(number: int, parent: int, name: str, **attributes: object) -> dict[str, object]:
    """A span as OpenTelemetry's exporter for JavaScript writes it."""

    def value(it: object) -> dict[str, object]:
        return {"intValue": it} if isinstance(it, int) else {"stringValue": it}

    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": f"17000000000000{number:05}",
        "endTimeUnixNano": "1700000000000100000",
        "attributes": [{"key": key.replace("__", "."), "value": value(it)} for key, it in attributes.items()],
        "droppedAttributesCount": 0,
        "events": [],
        "status": {"code": 0},
        "links": [],
    }


def test_javascript_sends_a_conversation_of_vercels_sdk(tmp_path: Path) -> None:
    """A request, a call of the SDK with two steps and a tool; children first, and one batch twice."""
    asked = '[{"role":"user","content":[{"type":"text","text":"What is the time?"}]}]'
    step = {"gen_ai__system": "openai", "gen_ai__request__model": "gpt-4o", "ai__prompt__messages": asked}
    inner = [
        as_json(
            3,
            2,
            "ai.generateText.doGenerate",
            **step,
            ai__response__toolCalls="[]",
            gen_ai__usage__input_tokens=12,
            gen_ai__usage__output_tokens=3,
        ),
        as_json(4, 2, "ai.toolCall", ai__toolCall__name="clock", ai__toolCall__result='"noon"'),
        as_json(
            5,
            2,
            "ai.generateText.doGenerate",
            **step,
            ai__response__text="It is noon.",
            gen_ai__usage__input_tokens=20,
            gen_ai__usage__output_tokens=5,
        ),
    ]
    outer = [
        as_json(2, 1, "ai.generateText", ai__model__id="gpt-4o", session__id="from-vercel"),
        as_json(1, 0, "POST /api/chat"),
    ]
    with collecting(tmp_path) as running:
        for spans in (inner, outer, inner):
            resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "assistant"}}]}
            body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": spans}]}]}
            assert httpx.post(running.endpoint, json=body).status_code == 200
        found, _ = stored(running.store, "from-vercel")
    [turn] = found.turns
    assert (found.project, turn.span_count, turn.error) == ("assistant", 5, None)
    assert (turn.input, turn.output) == ("What is the time?", "It is noon.")
    assert (turn.prompt_tokens, turn.completion_tokens) == (32, 8)
    assert turn.tools == (ToolUse("clock", "", '"noon"'),)
