"""The page of a span of the convention for generative AI: what is read of it, and what it shows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_sessions.store import SQLiteSessionStore
from langchain_sessions.view._contents import (
    Block,
    Document,
    Embedded,
    Embedding,
    Message,
    ModelCall,
    OfferedTool,
    Retrieval,
    Sum,
    ToolCall,
    ToolRun,
)
from langchain_sessions.view._fields import Text
from langchain_sessions.view._kinds import contents_of
from langchain_sessions.view.web._span import SIZE, span_view
from langchain_sessions.view.web._texts import RENDERED
from tests.support.calls import GENAI_CHAT, GENAI_TOOL, PIXEL, SYSTEM, one_span
from tests.support.conversations import QUIET
from tests.support.spans import genai, messages, span
from tests.support.web import addresses, links, said, text_of, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from langchain_sessions.store._span import Value

pytestmark = pytest.mark.core

NOTHING: Final = Sum(None, None, None, {})

EMPTY: Final = ModelCall(
    input=(),
    output=(),
    tools=(),
    parameters={},
    model="",
    asked_for="",
    provider="",
    finish_reason="",
    tokens=NOTHING,
    cost=NOTHING,
    unread=0,
)

INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    yield store
    store.close()


def model_call(attributes: Mapping[str, Value], **others: Any) -> ModelCall:
    """What is read of a model's call."""
    found = contents_of(genai(1, attributes=attributes, **others))
    assert isinstance(found, ModelCall)
    return found


def shown(
    store: SQLiteSessionStore,
    attributes: Mapping[str, Value],
    events: Sequence[tuple[str, Mapping[str, Value]]] = (),
) -> str:
    """What the page of a span with these attributes shows."""
    store.add(one_span("", attributes, events=events))
    with visiting(store) as client:
        return said(client.get(addresses(client)[0]))


def part(key: str | None) -> Any:
    """How texts are made that are in an attribute among others, or in an event."""
    return lambda text: Text(text, key, is_part=key is not None)


def spoken(role: str, text: Text, **others: Any) -> Message:
    """A message that is a text."""
    return Message(role, blocks=(Block("text", text),), **others)


# What is read


def test_a_model_call_is_read_as_what_it_is() -> None:
    """Instructions, messages with parts and calls, tools, parameters, models, sums: each has its place."""
    sent, received, offered = map(part, (INPUT, OUTPUT, "gen_ai.tool.definitions"))
    [first, second] = json.loads(str(GENAI_CHAT["gen_ai.tool.definitions"]))
    assert model_call(GENAI_CHAT) == ModelCall(
        input=(
            spoken("system", part("gen_ai.system_instructions")(SYSTEM)),
            Message(
                "user",
                blocks=(
                    Block("text", sent("my order #4711 arrived broken, *can* I get a refund?")),
                    Block("image", url=sent("https://pictures.example/teapot.jpg")),
                    Block("image", url=sent(PIXEL)),
                    Block("audio", url=sent("file-7")),
                ),
            ),
            Message(
                "assistant",
                blocks=(Block("text", sent("Let me look your order up **first**.")),),
                calls=(
                    ToolCall("get_order", "call_1", sent('{"order_id": "4711"}')),
                    ToolCall("policy", "call_2", None),
                ),
            ),
            spoken("tool", sent('{"paid": "card"}'), call_id="call_1"),
            spoken("tool", sent("within 30 days"), call_id="call_2"),
        ),
        output=(
            Message(
                "assistant",
                blocks=(
                    Block("reasoning", received("The spout is cracked.")),
                    Block("text", received("It is broken. I refund:\n\n- **teapot**")),
                ),
                calls=(ToolCall("refund", "call_3", received('{"order_id": "4711", "amount": 34.9}')),),
            ),
        ),
        tools=(
            OfferedTool("get_order", "Look an order up.", offered(json.dumps(first))),
            OfferedTool("refund", "Pay an item back.", offered(json.dumps(second))),
        ),
        parameters={"temperature": "0.2", "max_tokens": "800", "stop_sequences": '["END"]'},
        model="gpt-4o-2024-11-20",
        asked_for="gpt-4o",
        provider="openai",
        finish_reason="tool_call",
        tokens=Sum(
            1_912,
            148,
            2_060,
            {"prompt cache_read": 1_024, "prompt cache_write": 12, "completion reasoning": 64},
        ),
        cost=NOTHING,
        unread=0,
    )


def test_structures_and_a_json_for_each_message_are_the_same() -> None:
    """Whichever way an exporter writes the messages, the same is read."""
    keys = ("gen_ai.system_instructions", "gen_ai.tool.definitions", INPUT, OUTPUT)
    parsed = {key: json.loads(str(GENAI_CHAT[key])) for key in keys}
    wanted = model_call(GENAI_CHAT)
    assert model_call({**GENAI_CHAT, **parsed}) == wanted
    assert model_call({**GENAI_CHAT, **{key: [*map(json.dumps, it)] for key, it in parsed.items()}}) == wanted


FLAT: Final[dict[str, Value]] = {
    "gen_ai.system": "openai",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": '[{"type": "text", "text": "hi"}, '
    '{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]',
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "call_1",
    "gen_ai.prompt.2.tool_calls.0.name": "add",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}',
    "gen_ai.prompt.2.tool_calls.3.name": "sub",
    "gen_ai.prompt.2.tool_calls.3.arguments": '{"b": 2}',
    "gen_ai.prompt.10.role": "tool",
    "gen_ai.prompt.10.tool_call_id": "call_1",
    "gen_ai.prompt.10.content": "3",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "It is *3*.",
    "gen_ai.completion.0.reasoning": "Easy.",
    "gen_ai.completion.0.finish_reason": "stop",
    "llm.request.functions.0.name": "add",
    "llm.request.functions.0.description": "Add numbers.",
    "llm.request.functions.0.parameters": '{"type": "object"}',
}


def test_flattened_messages_lead_to_their_own_attributes() -> None:
    """Texts are whole attributes, blocks parts of one; gaps in the numbers do not matter."""
    call = "gen_ai.prompt.2.tool_calls"
    tool = '{"name": "add", "description": "Add numbers.", "parameters": {"type": "object"}}'
    blocks = part("gen_ai.prompt.0.content")
    assert model_call(FLAT) == replace(
        EMPTY,
        input=(
            Message(
                "user",
                blocks=(
                    Block("text", blocks("hi")),
                    Block("image", url=blocks("https://a.example/b.png")),
                ),
            ),
            Message(
                "assistant",
                calls=(
                    ToolCall("add", "call_1", Text('{"a": 1}', f"{call}.0.arguments")),
                    ToolCall("sub", "", Text('{"b": 2}', f"{call}.3.arguments")),
                ),
            ),
            spoken("tool", Text("3", "gen_ai.prompt.10.content"), call_id="call_1"),
        ),
        output=(
            Message(
                "assistant",
                blocks=(
                    Block("reasoning", Text("Easy.", "gen_ai.completion.0.reasoning")),
                    Block("text", Text("It is *3*.", "gen_ai.completion.0.content")),
                ),
            ),
        ),
        tools=(OfferedTool("add", "Add numbers.", Text(tool)),),
        provider="openai",
        finish_reason="stop",
    )


def test_messages_of_events_are_in_no_attribute() -> None:
    """They are read like those of attributes, and have no address; the reason to stop is the choice's."""
    calls = [{"id": "call_1", "function": {"name": "add", "arguments": '{"a": 1}'}, "type": "function"}]
    events = [
        ("gen_ai.system.message", {"content": "be brief"}),
        ("gen_ai.user.message", {"content": "hi"}),
        ("gen_ai.assistant.message", {"tool_calls": json.dumps(calls)}),
        ("gen_ai.tool.message", {"id": "call_1", "content": "3"}),
        ("gen_ai.choice", {"finish_reason": "stop", "message": '{"content": "It is 3."}'}),
        ("gen_ai.client.inference.operation.details", {"gen_ai.request.top_p": 0.5}),
        ("exception", {"gen_ai.request.top_p": 0.7}),
    ]
    assert model_call({}, events=events) == replace(
        EMPTY,
        input=(
            spoken("system", Text("be brief")),
            spoken("user", Text("hi")),
            Message("assistant", calls=(ToolCall("add", "call_1", Text('{"a": 1}')),)),
            spoken("tool", Text("3"), call_id="call_1"),
        ),
        output=(spoken("assistant", Text("It is 3.")),),
        parameters={"top_p": "0.5"},
        finish_reason="stop",
    )
    flat = [("gen_ai.content.prompt", {"gen_ai.prompt.0.content": "hi"})]
    assert model_call({}, events=flat).input == (spoken("user", Text("hi")),)


VERCEL: Final[dict[str, Value]] = {
    "gen_ai.system": "openai.chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.request.max_tokens": 800,
    "ai.settings.maxRetries": 2,
    "ai.prompt.messages": json.dumps(
        [
            {"role": "user", "content": [{"type": "text", "text": "time?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "clock", "input": {}}],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "c1",
                        "toolName": "clock",
                        "output": {"type": "text", "value": "noon"},
                    }
                ],
            },
        ]
    ),
    "ai.prompt.tools": ['{"type":"function","name":"clock","description":"Tell the time."}'],
    "ai.response.text": "It is noon.",
    "ai.response.reasoning": "I know.",
    "ai.response.toolCalls": '[{"toolCallId":"c2","toolName":"ring","args":"{\\"at\\":12}"}]',
    "ai.response.finishReason": "tool-calls",
    "ai.usage.cachedInputTokens": 5,
    "gen_ai.usage.input_tokens": 7,
}


def test_vercels_messages_and_answers() -> None:
    """Its parts are named otherwise, and what the model answered is in several attributes."""
    sent = part("ai.prompt.messages")
    tool = '{"type": "function", "name": "clock", "description": "Tell the time."}'
    assert model_call(VERCEL) == replace(
        EMPTY,
        input=(
            spoken("user", sent("time?")),
            Message("assistant", calls=(ToolCall("clock", "c1", sent("{}")),)),
            spoken("tool", sent("noon"), name="clock", call_id="c1"),
        ),
        output=(
            Message(
                "assistant",
                blocks=(
                    Block("reasoning", Text("I know.", "ai.response.reasoning")),
                    Block("text", Text("It is noon.", "ai.response.text")),
                ),
                calls=(ToolCall("ring", "c2", part("ai.response.toolCalls")('{"at":12}')),),
            ),
        ),
        tools=(OfferedTool("clock", "Tell the time.", part("ai.prompt.tools")(tool)),),
        parameters={"max_tokens": "800", "maxRetries": "2"},
        model="gpt-4o",
        provider="openai.chat",
        finish_reason="tool-calls",
        tokens=Sum(7, None, 7, {"prompt cache_read": 5}),
    )


PROMPT: Final = part("gen_ai.prompt")

DIALECTS: Final[dict[str, tuple[object, tuple[Message, ...]]]] = {
    "a text": ("hi", (spoken("prompt", Text("hi", "gen_ai.prompt")),)),
    "a list of texts": (["a", "b"], (spoken("prompt", PROMPT("a")), spoken("prompt", PROMPT("b")))),
    "parts without a message": (
        [{"type": "text", "text": "a"}, {"text": "b"}],
        (Message("user", blocks=(Block("text", PROMPT("a")), Block("text", PROMPT("b")))),),
    ),
    "LangChain's constructors": (
        {
            "messages": [
                [
                    {
                        "lc": 1,
                        "id": ["langchain", "AIMessage"],
                        "kwargs": {
                            "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {}}],
                            "tool_calls": [{"id": "c", "name": "add", "args": {"a": 1}}],
                        },
                    }
                ]
            ]
        },
        (Message("ai", calls=(ToolCall("add", "c", PROMPT('{"a": 1}')),)),),
    ),
    "Anthropic's": (
        {
            "system": "be brief",
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "x"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "text", "text": "3"}],
                        },
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
                        },
                    ],
                },
            ],
        },
        (
            spoken("system", PROMPT("be brief")),
            Message(
                "assistant",
                blocks=(
                    Block("thinking", PROMPT("hm"), is_sealed=True),
                    Block("redacted_thinking", is_sealed=True),
                ),
                calls=(ToolCall("add", "t", PROMPT('{"a": 1}')),),
            ),
            spoken("tool", PROMPT("3"), call_id="t"),
            Message("user", blocks=(Block("image", url=PROMPT("data:image/png;base64,AA")),)),
        ),
    ),
    "Google's": (
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "hi"},
                        {"inline_data": {"mime_type": "audio/wav", "data": "AA"}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"thought": True, "text": "hm"},
                        {"functionCall": {"name": "add", "args": {}}},
                    ],
                },
                {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"a": 1}}}]},
            ]
        },
        (
            Message(
                "user",
                blocks=(Block("text", PROMPT("hi")), Block("audio", url=PROMPT("data:audio/wav;base64,AA"))),
            ),
            Message(
                "model",
                blocks=(Block("reasoning", PROMPT("hm")),),
                calls=(ToolCall("add", "", PROMPT("{}")),),
            ),
            spoken("tool", PROMPT('{"a": 1}'), name="add"),
        ),
    ),
    "OpenAI's responses": (
        {
            "instructions": "be brief",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "function_call", "id": "fc", "call_id": "c", "name": "add", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "3"},
            ],
        },
        (
            spoken("system", PROMPT("be brief")),
            Message("user", blocks=(Block("input_text", PROMPT("hi")),)),
            Message("assistant", blocks=(Block("reasoning", PROMPT("hm")),)),
            Message("assistant", calls=(ToolCall("add", "c", PROMPT("{}")),)),
            spoken("tool", PROMPT("3"), call_id="c"),
        ),
    ),
    "what is no message among messages, and parts that nobody knows": (
        [7, {"role": "critic", "parts": [{"type": "new", "x": 1}, 8, {"type": "text", "content": ["a"]}]}],
        (
            spoken("", PROMPT("7")),
            Message(
                "critic",
                blocks=(
                    Block("new", PROMPT('{"type": "new", "x": 1}')),
                    Block("text", PROMPT("8")),
                    Block("text", PROMPT('{"type": "text", "content": ["a"]}')),
                ),
            ),
        ),
    ),
    "of no known form": ({"a": 1}, (spoken("input", Text('{"a": 1}', "gen_ai.prompt")),)),
    "cut off": ('[{"role": "us', (spoken("prompt", Text('[{"role": "us', "gen_ai.prompt")),)),
    "half a character": (["\ud800"], (spoken("prompt", PROMPT("\\ud800")),)),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_messages_in_several_dialects(name: str) -> None:
    """Whatever a library has instead of messages, the same is read; what is unknown stays JSON."""
    payload, wanted = DIALECTS[name]
    given = payload if isinstance(payload, str) else json.dumps(payload)
    assert model_call({"gen_ai.prompt": given}).input == wanted


def test_answers_in_several_dialects() -> None:
    """Alternatives are messages one after the other, and say why the model stopped."""
    text = part("gen_ai.completion")
    alternatives = [
        {"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"},
        {"message": {"role": "assistant", "content": None, "refusal": "b"}, "finish_reason": "filter"},
    ]
    call = model_call({"gen_ai.completion": json.dumps({"choices": alternatives})})
    assert (call.output, call.finish_reason) == (
        (spoken("assistant", text("a")), Message("assistant", blocks=(Block("refusal", text("b")),))),
        "stop, filter",
    )
    generations = json.dumps({"generations": [[{"text": "a", "message": None}]]})
    assert model_call({"gen_ai.completion": generations}).output == (spoken("assistant", text("a")),)
    candidate = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    call = model_call({"gen_ai.completion": json.dumps(candidate)})
    assert (call.output, call.finish_reason) == ((spoken("assistant", text("a")),), "STOP")
    [unknown] = model_call({"gen_ai.completion": '{"a": 1}'}).output
    assert unknown == spoken("completion", Text('{"a": 1}', "gen_ai.completion"))
    assert model_call({"gen_ai.completion": "a"}).output == (
        spoken("completion", Text("a", "gen_ai.completion")),
    )


@pytest.mark.parametrize(
    ("attributes", "unread"),
    [
        ({"gen_ai.prompt.0.role": 7}, 1),
        ({"gen_ai.prompt.x.content": "a"}, 1),
        ({"gen_ai.prompt.01.content": "a"}, 1),
        ({"gen_ai.prompt.0.other": "a", "gen_ai.prompt.0.tool_calls.0.id": 3}, 2),
        ({"gen_ai.prompt.0.tool_calls.0.name": "a", "gen_ai.completion.0.content": "a"}, 0),
        ({"gen_ai.tool.definitions": "cut o"}, 1),
        ({"gen_ai.tool.definitions": "[]"}, 0),
    ],
)
def test_what_cannot_be_read_is_counted(attributes: dict[str, Value], unread: int) -> None:
    """Another type, another name or no number: it is left out, and one is told how much that is."""
    assert model_call({"gen_ai.prompt.0.content": "hi", **attributes}).unread == unread


def test_tools_documents_and_embeddings_are_read() -> None:
    """By the convention, and as LangSmith, OpenLLMetry and Vercel have them."""
    arguments, result = (f"gen_ai.tool.call.{it}" for it in ("arguments", "result"))
    assert contents_of(genai(1, attributes=GENAI_TOOL)) == ToolRun(
        name="get_order",
        description="Look an order up.",
        id="call_1",
        parameters=None,
        input=Text('{"order_id": "4711"}', arguments),
        output=Text('{"paid": "card"}', result),
    )
    structured = contents_of(genai(1, None, "execute_tool", name="add", attributes={arguments: {"a": 1}}))
    assert structured == ToolRun(
        name="add", description="", id="", parameters=None, input=Text('{"a": 1}', arguments), output=None
    )
    found = "gen_ai.retrieval.documents"
    documents = [{"id": "a", "score": 0.5, "content": "b", "metadata": {"c": 1}}, {"id": 7}, "d"]
    query = {"gen_ai.retrieval.query.text": "q", found: json.dumps(documents)}
    at = part(found)
    assert contents_of(genai(1, None, "retrieval", attributes=query)) == Retrieval(
        Text("q", "gen_ai.retrieval.query.text"),
        (
            Document("a", 0.5, at("b"), at('{"c": 1}')),
            Document("", None, None, None),
            Document("", None, at("d"), None),
        ),
        0,
    )
    langsmith = {
        "gen_ai.prompt": '{"query": "q"}',
        "gen_ai.completion": '{"documents": [{"page_content": "b", "metadata": {}}]}',
        found: "cut o",
    }
    assert contents_of(genai(1, None, "retrieval", attributes={**langsmith, found: None})) == Retrieval(
        PROMPT("q"), (Document("", None, part("gen_ai.completion")("b"), None),), 0
    )
    values = {"gen_ai.request.model": "m", "ai.values": ["a", "b"], "gen_ai.embeddings.dimension.count": 3}
    assert contents_of(genai(1, None, "embeddings", attributes=values)) == Embedding(
        "m", (Embedded(Text("a", "ai.values"), 3), Embedded(Text("b", "ai.values"), 3)), 0
    )
    flat = {"gen_ai.prompt.0.content": "a", "llm.request.type": "embedding", "gen_ai.request.model": "m"}
    assert contents_of(span(1, kind="", attributes=flat)) == Embedding(
        "m", (Embedded(Text("a", "gen_ai.prompt.0.content"), None),), 0
    )


def test_who_is_read_how() -> None:
    """An agent's messages are shown like a model's; OpenInference's attributes count more than others."""
    said_of = {INPUT: messages(("user", "hi"))}
    agent = contents_of(genai(1, None, "invoke_agent", attributes=said_of))
    assert isinstance(agent, ModelCall)
    assert agent.input == (spoken("user", part(INPUT)("hi")),)
    assert contents_of(genai(1, None, "invoke_workflow", attributes=said_of)) is None
    assert contents_of(genai(1, None, "execute_tool", attributes={"gen_ai.tool.name": "x"})) is None
    assert contents_of(genai(1, None, "retrieval")) is None
    assert contents_of(genai(1, None, "embeddings")) is None
    assert contents_of(genai(1)) is None
    openinference = {"openinference.span.kind": "LLM", **said_of}
    call = contents_of(span(1, attributes=openinference))
    assert isinstance(call, ModelCall)
    assert call.input == agent.input
    call = contents_of(span(1, attributes={**openinference, "llm.input_messages.0.message.content": "a"}))
    assert isinstance(call, ModelCall)
    assert call.input == (spoken("", Text("a", "llm.input_messages.0.message.content")),)
    assert contents_of(span(1, attributes={**said_of, "openinference.span.kind": "AGENT"})) is None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.just("\ud800")
)
FIELDS = st.sampled_from(
    [
        *("role", "parts", "content", "type", "text", "message", "messages", "tool_calls", "function"),
        *("arguments", "response", "id", "name", "uri", "source", "data", "media_type", "thought", "summary"),
        *("generations", "choices", "system", "finish_reason", "functionCall", "documents", "metadata"),
    ]
)
WORDS = st.sampled_from(
    ["user", "tool", "text", "reasoning", "tool_call", "tool_call_response", "blob", "uri", "function_call"]
)
JSON = st.recursive(
    st.one_of(SCALARS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=5)),
    max_leaves=14,
)
KEYS = st.sampled_from(
    sorted(
        {
            *GENAI_CHAT,
            *GENAI_TOOL,
            *FLAT,
            *VERCEL,
            *(
                "gen_ai.prompt",
                "gen_ai.completion",
                "gen_ai.prompt.x.y",
                "ai.prompt",
                "ai.values",
                "ai.value",
            ),
            *("gen_ai.retrieval.documents", "gen_ai.retrieval.query", "gen_ai.embeddings.dimension.count"),
            *("gen_ai.prompt.0.tool_calls", "gen_ai.prompt.0.tool_calls.x.name", "gen_ai.event.content"),
            *(
                "content",
                "message",
                "ai.value",
                "gen_ai.request.",
                "gen_ai.prompt.",
                "openinference.span.kind",
            ),
        }
    )
)
VALUES = st.dictionaries(KEYS, st.one_of(JSON, JSON.map(json.dumps)), max_size=8)
EVENTS = st.sampled_from(
    ["gen_ai.user.message", "gen_ai.tool.message", "gen_ai.choice", "gen_ai.content.prompt", "other"]
)


@given(
    st.sampled_from(["chat", "invoke_agent", "execute_tool", "retrieval", "embeddings"]),
    VALUES,
    st.lists(st.tuples(EVENTS, VALUES), max_size=3),
)
@settings(max_examples=60)
def test_whatever_a_span_has_nothing_fails(operation: str, attributes: Any, events: Any) -> None:
    """Any value under any name: it is shown, or it stays among the attributes."""
    made = genai(1, attributes={**attributes, "gen_ai.operation.name": operation}, events=events)
    span_view(QUIET, made, {"input": None, "output": None})


@pytest.mark.parametrize(
    "deep",
    [
        "[" * 100_000,
        "[" * 900 + "]" * 900,
        '[{"role": "user", "content": ' + '[{"type": "tool_result", "content": ' * 400 + "1" + "}]" * 401,
        '{"messages": ' * 400 + "1" + "}" * 400,
    ],
)
def test_deep_json_is_no_failure(deep: str) -> None:
    """What is nested beyond sense is shown as it is written."""
    made = genai(1, attributes=dict.fromkeys((INPUT, "gen_ai.completion", "gen_ai.tool.definitions"), deep))
    assert span_view(QUIET, made, {"input": None, "output": None}) is not None


# What is shown


def test_a_model_call_is_shown_as_a_chat(store: SQLiteSessionStore) -> None:
    """What is known of the call, what it was offered, who said what, and what the model answered."""
    store.add(one_span("", GENAI_CHAT))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        [picture, *_] = [it for it in links(page, INPUT) if "/text?" in it]
        assert PIXEL.rpartition(",")[2] in client.get(picture).text
    assert said(page) == (
        "Model gpt-4o-2024-11-20 gpt-4o was asked for "
        "Provider openai "
        "Tokens 1,912 in, 148 out 1,024 read from a cache 12 written to a cache 64 for reasoning "
        "Finish reason tool_call "
        'Parameters temperature 0.2 max_tokens 800 stop_sequences ["END"] '
        "2 tools offered "
        'get_order Look an order up. { "type": "function", "name": "get_order", '
        '"description": "Look an order up.", "parameters": { "type": "object" } } '
        'refund Pay an item back. { "type": "function", "function": { "name": "refund", '
        '"description": "Pay an item back.", "parameters": { "type": "object", "properties": '
        '{ "order_id": { "type": "string" } } } } } '
        "Input 5 messages To the output "
        f"System {' '.join(SYSTEM.split())} "
        "User my order #4711 arrived broken, *can* I get a refund? "
        "Image, not loaded: https://pictures.example/teapot.jpg "
        "Image, not loaded: image/png, 118 characters as text "
        "Audio, not loaded: file-7 "
        "Assistant Let me look your order up first . "
        'Tool: get_order(order_id="4711") Call call_1 { "order_id": "4711" } '
        "Tool: policy() Call call_2 No arguments "
        'Tool answers call_1 { "paid": "card" } '
        "Tool answers call_2 within 30 days "
        "Output Assistant Reasoning The spout is cracked. It is broken. I refund: teapot "
        'Tool: refund(order_id="4711", amount=34.9) Call call_3 { "order_id": "4711", "amount": 34.9 }'
    )
    assert "<strong>first</strong>" in page.text
    assert page.text.count('<details class="folded reasoning">') == 1
    assert f"All {len(GENAI_CHAT) + 1} attributes" in text_of(page)


def test_a_tool_is_shown(store: SQLiteSessionStore) -> None:
    """With what it does, which call it is, its arguments and its result; what was not recorded is told."""
    assert shown(store, GENAI_TOOL) == (
        "Tool get_order Call call_1 What it does Look an order up. "
        'Arguments { "order_id": "4711" } Result { "paid": "card" }'
    )
    store.delete("abc")
    silent = {"gen_ai.tool.call.arguments": None, "gen_ai.tool.call.result": ""}
    assert shown(store, {**GENAI_TOOL, **silent}) == (
        "Tool get_order Call call_1 What it does Look an order up. Arguments Not recorded Result Nothing"
    )


def test_a_call_without_words_is_shown(store: SQLiteSessionStore) -> None:
    """Most libraries record none unless they are told to; what they do record is there."""
    assert (
        shown(
            store,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "m",
                "gen_ai.usage.input_tokens": 5,
                "gen_ai.request.seed": 7,
            },
        )
        == "Model m Tokens 5 in Parameters seed 7 Messages None were recorded"
    )


def test_a_long_conversation_has_pages(store: SQLiteSessionStore) -> None:
    """Of 500 messages in one attribute the last ones are shown, and the others are a link away."""
    spoken_of = messages(*(("user", f"Message {it}.") for it in range(500)))
    store.add(one_span("", {"gen_ai.operation.name": "chat", INPUT: spoken_of}))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        assert f"{500 - SIZE + 1}-500 of 500" in said(page)
        assert "Message 499." in said(page)
        first = client.get(links(page, "input=0")[0])
        assert f"User Message {SIZE - 1}." in said(first)
        assert f"1-{SIZE} of 500" in said(first)
        assert len(page.content) < 120_000


def test_long_messages_are_cut(store: SQLiteSessionStore) -> None:
    """The rest of one in an attribute is where that attribute is; of one in an event there is no more."""
    long = "All work and no play. " * 48_000
    store.add(one_span("", {"gen_ai.operation.name": "chat", INPUT: messages(("user", long))}))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        assert len(page.content) < 4 * RENDERED
        assert "All of this message (1.1M characters), within its attribute" in said(page)
        [whole] = [it for it in links(page, INPUT) if "/text?" in it][:1]
        assert long in client.get(f"{whole}&raw=1").text
    store.delete("abc")
    events = [("gen_ai.user.message", {"content": long})]
    text = shown(store, {"gen_ai.operation.name": "chat"}, events)
    assert text.endswith("The rest of this message (1.1M characters in all) is not shown. Output No answer")
