"""Spans of models, retrievers, rerankers, embeddings and tools, with all that OpenInference has for them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_sessions.store import SpanEvent
from tests.support.sample_sessions import END, HOSTILE, HOSTILE_ID, SECOND, Said, turn_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_sessions.store import Span
    from langchain_sessions.store._span import Value

PIXEL: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def one_span(
    kind: str,
    attributes: Mapping[str, Value],
    *,
    session_id: str = "abc",
    project: str = "default",
    name: str = "",
    started_ns: int = END,
    question: str = "hello?",
    events: Sequence[tuple[str, Mapping[str, Value]]] = (),
) -> list[Span]:
    """Make the spans of a turn: a chain, and in it one span of a kind with these attributes and no others.

    A span of another convention is of no kind, "".
    """
    said = Said(question, "hello!")
    root, call = turn_spans(session_id, said, started_ns=started_ns, project=project)
    whole: dict[str, Value] = {
        "session.id": session_id,
        **({"openinference.span.kind": kind} if kind else {}),
        **attributes,
    }
    happened = tuple(SpanEvent(event, call.start_ns, some) for event, some in events)
    return [root, replace(call, name=name or kind.lower(), attributes=whole, events=happened)]


def messages(prefix: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """Write messages as attributes: what each has by the names below `message.`."""
    return {
        f"{prefix}.{number}.message.{name}": value
        for number, item in enumerate(items)
        for name, value in item.items()
    }


def _tool(name: str, description: str, **properties: str) -> str:
    parameters = {"type": "object", "properties": {it: {"type": kind} for it, kind in properties.items()}}
    function = {"name": name, "description": description, "parameters": parameters}
    return json.dumps({"type": "function", "function": function})


SYSTEM: Final = (
    "You help customers of a shop for tea.\n\n# Rules\n\n"
    "1. Look an order up before you promise anything.\n"
    "2. Refund what arrived broken; *never* more than was paid.\n"
    "   - the teapot comes with free shipping\n\n"
    "<policy>\n  refunds: within 30 days\n</policy>"
)

CHAT: Final[dict[str, Value]] = {
    "llm.model_name": "gpt-4o-2024-11-20",
    "llm.request.model_name": "gpt-4o",
    "llm.provider": "openai",
    "llm.finish_reason": "tool_calls",
    "llm.token_count.prompt": 1_912,
    "llm.token_count.completion": 148,
    "llm.token_count.total": 2_060,
    "llm.token_count.prompt_details.cache_read": 1_024,
    "llm.token_count.completion_details.reasoning": 64,
    "llm.cost.total": 0.00412,
    "llm.cost.prompt": 0.0021,
    "llm.cost.completion": 0.00202,
    "llm.invocation_parameters": json.dumps(
        {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 800, "stop": None, "seed": 7, "stream": True}
    ),
    "llm.tools.0.tool.json_schema": _tool("get_order", "Look an order up.", order_id="string"),
    "llm.tools.1.tool.json_schema": _tool("refund", "Pay an item back.", order_id="string", amount="number"),
    **messages(
        "llm.input_messages",
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "hi! my order #4711 arrived broken, can I get a refund?"},
            {
                "role": "assistant",
                "content": "I'm sorry to hear that! Let me look at your order **first**.",
                "tool_calls.0.tool_call.id": "call_9xQ",
                "tool_calls.0.tool_call.function.name": "get_order",
                "tool_calls.0.tool_call.function.arguments": '{"order_id": "4711", "include": ["items"]}',
            },
            {
                "role": "tool",
                "name": "get_order",
                "tool_call_id": "call_9xQ",
                "content": '{"id": "4711", "items": [{"sku": "TP-BLUE", "price": 34.9}], "paid": "card"}',
            },
            {
                "role": "user",
                "contents.0.message_content.type": "text",
                "contents.0.message_content.text": "it is the teapot, here is a picture of it",
                "contents.1.message_content.type": "image",
                "contents.1.message_content.image.image.url": "https://pictures.example/teapot.jpg",
                "contents.2.message_content.type": "image",
                "contents.2.message_content.image.image.url": PIXEL,
            },
        ],
    ),
    **messages(
        "llm.output_messages",
        [
            {
                "role": "assistant",
                "contents.0.message_content.type": "reasoning",
                "contents.0.message_content.text": "The spout is cracked. They paid 34.90 for it.",
                "contents.1.message_content.type": "text",
                "contents.1.message_content.text": "It is broken. I refund:\n\n- **teapot**, €34.90",
                "tool_calls.0.tool_call.id": "call_7bT",
                "tool_calls.0.tool_call.function.name": "refund",
                "tool_calls.0.tool_call.function.arguments": '{"order_id": "4711", "amount": 34.9}',
            }
        ],
    ),
    "input.value": '{"messages": []}',
    "output.value": '{"generations": []}',
    "metadata": '{"langgraph_node": "model"}',
}
"""A model's call that has everything: roles, tools, pictures, reasoning, a cache."""

COMPLETION: Final[dict[str, Value]] = {
    "llm.model_name": "davinci-002",
    "llm.prompts.0.prompt.text": "Q: How long does tea steep?\nA:",
    "llm.choices.0.completion.text": " About *three* minutes.",
}
"""A call of a model without messages."""

RETRIEVAL: Final[dict[str, Value]] = {
    "input.value": "how long does a refund take?",
    "output.value": '{"documents": []}',
    **{
        f"retrieval.documents.{number}.document.{name}": value
        for number, document in enumerate(
            (
                {
                    "id": "policy-12",
                    "content": "Refunds are on your card within 5 days.\n\nFrom abroad it may be 10.",
                    "score": 0.9134,
                    "metadata": '{"source": "policy.md", "page": 12}',
                },
                {"id": "policy-3", "content": "Keep the invoice until the money has arrived.", "score": 0.71},
                {"content": "Tea is best kept dry and dark."},
            )
        )
        for name, value in document.items()
    },
}
"""Documents with and without id, score and metadata."""

RERANKING: Final[dict[str, Value]] = {
    "reranker.query": "how long does a refund take?",
    "reranker.model_name": "rerank-v3",
    "reranker.top_k": 1,
    "reranker.input_documents.0.document.content": "Tea is best kept dry and dark.",
    "reranker.input_documents.1.document.content": "Refunds are on your card within 5 days.",
    "reranker.output_documents.0.document.content": "Refunds are on your card within 5 days.",
    "reranker.output_documents.0.document.score": 0.98,
}

EMBEDDING: Final[dict[str, Value]] = {
    "embedding.model_name": "text-embedding-3-small",
    "embedding.embeddings.0.embedding.text": "how long does a refund take?",
    "embedding.embeddings.0.embedding.vector": [0.25, -0.5, 0.125],
}

TOOL: Final[dict[str, Value]] = {
    "tool.name": "get_order",
    "tool.description": "Look an order up.",
    "tool.parameters": '{"type": "object", "properties": {"order_id": {"type": "string"}}}',
    "input.value": '{"order_id": "4711"}',
    "output.value": json.dumps(
        {"type": "tool", "data": {"content": '{"id": "4711", "paid": 39.85}', "tool_call_id": "call_9xQ"}}
    ),
}


GENAI_CHAT: Final[dict[str, Value]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-11-20",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 800,
    "gen_ai.request.stop_sequences": ["END"],
    "gen_ai.response.finish_reasons": ["tool_call"],
    "gen_ai.usage.input_tokens": 1_912,
    "gen_ai.usage.output_tokens": 148,
    "gen_ai.usage.cache_read.input_tokens": 1_024,
    "gen_ai.usage.cache_creation.input_tokens": 12,
    "gen_ai.usage.reasoning.output_tokens": 64,
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
    "gen_ai.tool.definitions": json.dumps(
        [
            {
                "type": "function",
                "name": "get_order",
                "description": "Look an order up.",
                "parameters": {"type": "object"},
            },
            json.loads(_tool("refund", "Pay an item back.", order_id="string")),
        ]
    ),
    "gen_ai.input.messages": json.dumps(
        [
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": "my order #4711 arrived broken, *can* I get a refund?"},
                    {"type": "uri", "modality": "image", "uri": "https://pictures.example/teapot.jpg"},
                    {
                        "type": "blob",
                        "modality": "image",
                        "mime_type": "image/png",
                        "content": PIXEL.rpartition(",")[2],
                    },
                    {"type": "file", "modality": "audio", "file_id": "file-7"},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "Let me look your order up **first**."},
                    {
                        "type": "tool_call",
                        "id": "call_1",
                        "name": "get_order",
                        "arguments": {"order_id": "4711"},
                    },
                    {"type": "tool_call", "id": "call_2", "name": "policy", "arguments": None},
                ],
            },
            {
                "role": "tool",
                "parts": [
                    {"type": "tool_call_response", "id": "call_1", "response": {"paid": "card"}},
                    {"type": "tool_call_response", "id": "call_2", "result": "within 30 days"},
                ],
            },
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "The spout is cracked."},
                    {"type": "text", "content": "It is broken. I refund:\n\n- **teapot**"},
                    {
                        "type": "tool_call",
                        "id": "call_3",
                        "name": "refund",
                        "arguments": {"order_id": "4711", "amount": 34.9},
                    },
                ],
                "finish_reason": "tool_call",
            }
        ]
    ),
}
"""A model's call by OpenTelemetry's convention for generative AI that has everything."""

GENAI_TOOL: Final[dict[str, Value]] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "get_order",
    "gen_ai.tool.description": "Look an order up.",
    "gen_ai.tool.call.id": "call_1",
    "gen_ai.tool.call.arguments": '{"order_id": "4711"}',
    "gen_ai.tool.call.result": '{"paid": "card"}',
}


def calls_session(session_id: str = "calls", *, started_ns: int = END) -> list[Span]:
    """Make a session with a turn for each kind of call."""
    kinds = (
        ("LLM", "ChatOpenAI", CHAT),
        ("LLM", "OpenAI", COMPLETION),
        ("RETRIEVER", "VectorStoreRetriever", RETRIEVAL),
        ("RERANKER", "CohereRerank", RERANKING),
        ("EMBEDDING", "OpenAIEmbeddings", EMBEDDING),
        ("TOOL", "get_order", TOOL),
        ("", "chat gpt-4o", GENAI_CHAT),
        ("", "execute_tool get_order", GENAI_TOOL),
    )
    return [
        span
        for place, (kind, name, attributes) in enumerate(kinds)
        for span in one_span(
            kind,
            attributes,
            session_id=session_id,
            name=name,
            started_ns=started_ns + place * 60 * SECOND,
            question=f"Show me: {name}",
        )
    ]


def hostile_calls(started_ns: int = END + 60 * SECOND) -> list[Span]:
    """Make turns of the hostile session whose calls have such a text wherever they can have one."""
    spoken = [
        {
            "role": text,
            "content": text,
            "name": text,
            "tool_call_id": text,
            "tool_calls.0.tool_call.id": text,
            "tool_calls.0.tool_call.function.name": text,
            "tool_calls.0.tool_call.function.arguments": json.dumps({text: text}) if place % 2 else text,
            "contents.0.message_content.type": text,
            "contents.0.message_content.text": text,
            "contents.1.message_content.type": "image",
            "contents.1.message_content.image.image.url": text,
            "contents.2.message_content.type": "image",
            "contents.2.message_content.image.image.url": f"data:{text};base64,{text}",
            "contents.3.message_content.type": "reasoning",
            "contents.3.message_content.text": text,
            "contents.4.message_content.document.document.name": text,
            "contents.4.message_content.document.document.url": f"javascript:alert(1)//{text}",
            "function_call_name": text,
            "function_call_arguments_json": text,
        }
        for place, text in enumerate(HOSTILE)
    ]
    roles = ("system", "user", "assistant", "tool")
    by_role = [{**item, "role": roles[place % len(roles)]} for place, item in enumerate(spoken)]
    names = ("llm.model_name", "llm.request.model_name", "llm.provider", "llm.system", "llm.finish_reason")
    told = (
        *("embedding.model_name", "reranker.model_name", "reranker.query", "input.value", "output.value"),
        *("tool.name", "tool.description", "tool.id", "tool.parameters"),
    )
    lists = ("retrieval.documents", "reranker.input_documents", "reranker.output_documents")
    fields = ("id", "content", "metadata")
    everything: dict[str, Value] = {
        **dict.fromkeys((*names, *told), HOSTILE_ID),
        "llm.invocation_parameters": json.dumps(dict.fromkeys(HOSTILE, HOSTILE_ID)),
        **messages("llm.input_messages", [*spoken, *by_role]),
        **messages("llm.output_messages", by_role),
        **{f"llm.tools.{at}.tool.json_schema": _tool(it, it, **{it: it}) for at, it in enumerate(HOSTILE)},
        **{f"llm.token_count.prompt_details.{it}": 7 for it in HOSTILE},
        **{f"llm.cost.completion_details.{it}": 7 for it in HOSTILE},
        **{f"embedding.embeddings.{at}.embedding.text": it for at, it in enumerate(HOSTILE)},
        **{
            f"{name}.{at}.document.{field}": json.dumps({it: it}) if field == "metadata" and at % 2 else it
            for name in lists
            for at, it in enumerate(HOSTILE)
            for field in fields
        },
    }
    return [
        *_hostile_genai(started_ns + 6 * 60 * SECOND),
        *(
            span
            for place, kind in enumerate(("LLM", "RETRIEVER", "RERANKER", "EMBEDDING", "TOOL", HOSTILE_ID))
            for span in one_span(
                kind,
                everything,
                session_id=HOSTILE_ID,
                project=HOSTILE_ID,
                name=HOSTILE_ID,
                started_ns=started_ns + place * 60 * SECOND,
            )
        ),
    ]


def _hostile_genai(started_ns: int) -> list[Span]:
    """The same by the convention for generative AI: messages, flattened ones, events, documents, a tool."""
    spoken = [
        {
            "role": role,
            "name": text,
            "tool_call_id": text,
            "parts": [
                text,
                {"type": text, "content": text},
                {"type": "text", "content": text},
                {"type": "reasoning", "content": text},
                {"type": "tool_call", "id": text, "name": text, "arguments": {text: text}},
                {"type": "tool_call_response", "id": text, "response": text},
                {"type": "uri", "modality": text, "uri": f"javascript:alert(1)//{text}"},
                {"type": "uri", "modality": "image", "uri": text},
                {"type": "blob", "mime_type": text, "content": text},
                {"type": "file", "file_id": text, "filename": text},
            ],
            "finish_reason": text,
        }
        for text in HOSTILE
        for role in (text, "assistant")
    ]
    names = (
        *("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.tool.name"),
        *("gen_ai.tool.description", "gen_ai.tool.call.id", "gen_ai.tool.call.arguments"),
        *("gen_ai.tool.call.result", "gen_ai.retrieval.query.text"),
    )
    documents = [{"id": it, "content": it, "metadata": {it: it}} for it in HOSTILE]
    told: dict[str, Value] = {
        **dict.fromkeys(names, HOSTILE_ID),
        **{f"gen_ai.request.{it}": it for it in HOSTILE},
        "gen_ai.tool.definitions": json.dumps([{"name": it, "description": it} for it in HOSTILE]),
        "gen_ai.system_instructions": json.dumps(HOSTILE),
        "gen_ai.retrieval.documents": json.dumps(documents),
    }
    whole = {f"gen_ai.{side}.messages": json.dumps(spoken) for side in ("input", "output")}
    flat = {
        f"gen_ai.{side}.{at}.{field}": text
        for side in ("prompt", "completion")
        for at, text in enumerate(HOSTILE)
        for field in ("role", "content", "reasoning", "tool_calls.0.name", "tool_calls.0.arguments")
    }
    happened = [("gen_ai.user.message", {"content": it, "role": it}) for it in HOSTILE]
    return [
        span
        for place, (operation, attributes, events) in enumerate(
            (
                ("chat", whole, ()),
                ("chat", flat, ()),
                ("chat", {}, happened),
                ("retrieval", {}, ()),
                ("execute_tool", {}, ()),
            )
        )
        for span in one_span(
            "",
            {"gen_ai.operation.name": operation, **told, **attributes},
            session_id=HOSTILE_ID,
            project=HOSTILE_ID,
            name=HOSTILE_ID,
            started_ns=started_ns + place * 60 * SECOND,
            events=events,
        )
    ]
