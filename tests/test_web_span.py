from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document as Found
from langchain_core.language_models import FakeListLLM, FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool

from langchain_sessions import SessionCallbackHandler, session_config
from langchain_sessions.store import SQLiteSessionStore
from langchain_sessions.view._contents import (
    Block,
    Document,
    Embedded,
    Embedding,
    Message,
    ModelCall,
    OfferedTool,
    Reranking,
    Retrieval,
    Sum,
    ToolCall,
    ToolRun,
)
from langchain_sessions.view._fields import Text
from langchain_sessions.view._kinds import contents_of
from langchain_sessions.view.web._span import PIECES, SIZE, span_view
from langchain_sessions.view.web._texts import RENDERED
from tests.support.calls import (
    CHAT,
    COMPLETION,
    EMBEDDING,
    PIXEL,
    RERANKING,
    RETRIEVAL,
    SYSTEM,
    TOOL,
    messages,
    one_span,
)
from tests.support.conversations import QUIET, span
from tests.support.web import addresses, links, said, text_of, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    from langchain_core.callbacks import CallbackManagerForRetrieverRun

    from langchain_sessions.store import Span
    from langchain_sessions.store._span import Value

pytestmark = pytest.mark.core

NOTHING = Sum(None, None, None, {})

USER = "llm.input_messages.0.message"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """An empty store."""
    store = SQLiteSessionStore(tmp_path / "sessions.db")
    yield store
    store.close()


def of_kind(kind: str, attributes: Mapping[str, Value]) -> Span:
    """A span of a kind, with these attributes."""
    return span(1, attributes={"openinference.span.kind": kind, **attributes})


def model_call(attributes: Mapping[str, Value]) -> ModelCall:
    """What is read of a model's call."""
    found = contents_of(of_kind("LLM", attributes))
    assert isinstance(found, ModelCall)
    return found


def button(page: httpx.Response, text: str) -> list[str]:
    """Where a button of a page leads, if there is one with this text."""
    found = re.findall(r'<a class="button" href="([^"]+)">(.*?)</a>', page.text)
    return [html.unescape(href) for href, inner in found if text in inner]


def turned(client: httpx.Client, address: str, text: str) -> Iterator[httpx.Response]:
    """A page, and those that one gets to by a button of it, again and again."""
    yield (page := client.get(address))
    while address := next(iter(button(page, text)), ""):
        yield (page := client.get(address))


def shown(store: SQLiteSessionStore, kind: str, attributes: Mapping[str, Value]) -> str:
    """What the page of a span with these attributes shows."""
    store.add(one_span(kind, attributes))
    with visiting(store) as client:
        return said(client.get(addresses(client)[0]))


# What is read


def test_a_model_call_is_read_as_what_it_is() -> None:
    """Messages with roles, pieces and calls, tools, parameters, models, sums: each has its place."""

    def key(rest: str) -> str:
        return f"llm.input_messages.{rest}"

    first, second = (str(CHAT[f"llm.tools.{it}.tool.json_schema"]) for it in (0, 1))
    result = str(CHAT[key("3.message.content")])
    assert model_call(CHAT) == ModelCall(
        input=(
            Message("system", blocks=(Block("text", Text(SYSTEM, key("0.message.content"))),)),
            Message(
                "user",
                blocks=(
                    Block(
                        "text",
                        Text(
                            "hi! my order #4711 arrived broken, can I get a refund?", key("1.message.content")
                        ),
                    ),
                ),
            ),
            Message(
                "assistant",
                blocks=(
                    Block(
                        "text",
                        Text(
                            "I'm sorry to hear that! Let me look at your order **first**.",
                            key("2.message.content"),
                        ),
                    ),
                ),
                calls=(
                    ToolCall(
                        "get_order",
                        "call_9xQ",
                        Text(
                            '{"order_id": "4711", "include": ["items"]}',
                            key("2.message.tool_calls.0.tool_call.function.arguments"),
                        ),
                    ),
                ),
            ),
            Message(
                "tool",
                name="get_order",
                call_id="call_9xQ",
                blocks=(Block("text", Text(result, key("3.message.content"))),),
            ),
            Message(
                "user",
                blocks=(
                    Block(
                        "text",
                        Text(
                            "it is the teapot, here is a picture of it",
                            key("4.message.contents.0.message_content.text"),
                        ),
                    ),
                    Block(
                        "image",
                        url=Text(
                            "https://pictures.example/teapot.jpg",
                            key("4.message.contents.1.message_content.image.image.url"),
                        ),
                    ),
                    Block(
                        "image",
                        url=Text(PIXEL, key("4.message.contents.2.message_content.image.image.url")),
                    ),
                ),
            ),
        ),
        output=(
            Message(
                "assistant",
                blocks=(
                    Block(
                        "reasoning",
                        Text(
                            "The spout is cracked. They paid 34.90 for it.",
                            "llm.output_messages.0.message.contents.0.message_content.text",
                        ),
                    ),
                    Block(
                        "text",
                        Text(
                            "It is broken. I refund:\n\n- **teapot**, €34.90",
                            "llm.output_messages.0.message.contents.1.message_content.text",
                        ),
                    ),
                ),
                calls=(
                    ToolCall(
                        "refund",
                        "call_7bT",
                        Text(
                            '{"order_id": "4711", "amount": 34.9}',
                            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
                        ),
                    ),
                ),
            ),
        ),
        tools=(
            OfferedTool("get_order", "Look an order up.", Text(first, "llm.tools.0.tool.json_schema")),
            OfferedTool("refund", "Pay an item back.", Text(second, "llm.tools.1.tool.json_schema")),
        ),
        parameters={
            "model": "gpt-4o",
            "temperature": "0.2",
            "max_tokens": "800",
            "seed": "7",
            "stream": "true",
        },
        model="gpt-4o-2024-11-20",
        asked_for="gpt-4o",
        provider="openai",
        finish_reason="tool_calls",
        tokens=Sum(1_912, 148, 2_060, {"prompt cache_read": 1_024, "completion reasoning": 64}),
        cost=Sum(0.0021, 0.00202, 0.00412, {}),
        unread=0,
    )


def test_completion_models_have_prompts_and_completions() -> None:
    """Both come as items or as a plain list, and a completion also as the output alone."""
    prompt = Text("Q: How long does tea steep?\nA:", "llm.prompts.0.prompt.text")
    completion = Text(" About *three* minutes.", "llm.choices.0.completion.text")
    expected = ModelCall(
        input=(Message("prompt", blocks=(Block("text", prompt),)),),
        output=(Message("completion", blocks=(Block("text", completion),)),),
        tools=(),
        parameters={},
        model="davinci-002",
        asked_for="",
        provider="",
        finish_reason="",
        tokens=NOTHING,
        cost=NOTHING,
        unread=0,
    )
    assert model_call(COMPLETION) == expected
    generations = json.dumps({"generations": [[{"text": "Three minutes."}]]})
    listed = model_call({"llm.prompts": ["a", "b"], "output.value": generations})
    assert listed == replace(
        expected,
        input=tuple(Message("prompt", blocks=(Block("text", Text(it, "llm.prompts")),)) for it in "ab"),
        output=(Message("completion", blocks=(Block("text", Text("Three minutes.", "output.value")),)),),
        model="",
    )


def test_a_call_without_messages_has_its_input_and_output() -> None:
    """Whoever writes no messages wrote what the model was given and gave."""
    call = model_call({"input.value": '{"a": 1}', "output.value": "yes"})
    assert call.input == (Message("input", blocks=(Block("text", Text('{"a": 1}', "input.value")),)),)
    assert call.output == (Message("completion", blocks=(Block("text", Text("yes", "output.value")),)),)


def test_documents_are_read() -> None:
    """Those that were found, ranked, or made into numbers, with what is known of each."""
    text = "Refunds are on your card within 5 days."
    at = "retrieval.documents.{}.document.{}".format
    assert contents_of(of_kind("RETRIEVER", RETRIEVAL)) == Retrieval(
        Text("how long does a refund take?", "input.value"),
        (
            Document(
                "policy-12",
                0.9134,
                Text(f"{text}\n\nFrom abroad it may be 10.", at(0, "content")),
                Text('{"source": "policy.md", "page": 12}', at(0, "metadata")),
            ),
            Document(
                "policy-3",
                0.71,
                Text("Keep the invoice until the money has arrived.", at(1, "content")),
                None,
            ),
            Document("", None, Text("Tea is best kept dry and dark.", at(2, "content")), None),
        ),
        0,
    )
    assert contents_of(of_kind("RERANKER", RERANKING)) == Reranking(
        query=Text("how long does a refund take?", "reranker.query"),
        model="rerank-v3",
        top=1,
        input=(
            Document(
                "",
                None,
                Text("Tea is best kept dry and dark.", "reranker.input_documents.0.document.content"),
                None,
            ),
            Document("", None, Text(text, "reranker.input_documents.1.document.content"), None),
        ),
        output=(Document("", 0.98, Text(text, "reranker.output_documents.0.document.content"), None),),
        unread=0,
    )
    question = Text("how long does a refund take?", "embedding.embeddings.0.embedding.text")
    assert contents_of(of_kind("EMBEDDING", EMBEDDING)) == Embedding(
        "text-embedding-3-small", (Embedded(question, 3),), 0
    )
    assert contents_of(of_kind("EMBEDDING", {"input.value": "a"})) == Embedding(
        "", (Embedded(Text("a", "input.value"), None),), 0
    )


def test_a_tool_run_is_read() -> None:
    """Its arguments and its result, without the message that LangChain puts around it."""
    assert contents_of(of_kind("TOOL", TOOL)) == ToolRun(
        name="get_order",
        description="Look an order up.",
        id="",
        parameters=Text(str(TOOL["tool.parameters"]), "tool.parameters"),
        input=Text('{"order_id": "4711"}', "input.value"),
        output=Text('{"id": "4711", "paid": 39.85}', "output.value"),
    )


def test_metadata_may_be_taken_apart() -> None:
    """Some backends give JSON back as values, or as attributes of its fields; it is JSON again."""
    name = "retrieval.documents.0.document.metadata"
    for attributes in ({f"{name}.page": 1, f"{name}.tags.0": "x"}, {name: {"page": 1, "tags.0": "x"}}):
        found = contents_of(of_kind("RETRIEVER", attributes))
        assert isinstance(found, Retrieval)
        assert [it.metadata.text for it in found.documents if it.metadata] == ['{"page": 1, "tags.0": "x"}']
        assert found.unread == 0


@pytest.mark.parametrize(
    ("attributes", "unread"),
    [
        ({f"{USER}.content": ["hi"]}, 1),
        ({f"{USER}.content": "hi", f"{USER}.role": 7}, 1),
        ({f"{USER}.content": "hi", f"{USER}.tool_calls": "none"}, 1),
        ({f"{USER}.content": "hi", f"{USER}.tool_calls.0.tool_call.id": 3}, 1),
        ({f"{USER}.content": "hi", f"{USER}.contents.x.message_content.text": "a"}, 1),
        ({f"{USER}.content": "hi", f"{USER}.contents.0.message_content.text": True}, 1),
        ({f"{USER}.content": "hi", "llm.input_messages": "[]"}, 1),
        ({f"{USER}.content": "hi", "llm.input_messages.01.message.content": "a"}, 1),
        ({f"{USER}.content": "hi", "llm.input_messages.-1.message.content": "a"}, 1),
        ({f"{USER}.content": "hi", "llm.input_messages.1": "a", "llm.input_messages": "b"}, 2),
        ({f"{USER}.content": "hi", f"llm.input_messages.{'9' * 5_000}.message.content": "a"}, 1),
        ({f"{USER}.content": "hi", "llm.tools.0.tool.json_schema": 1}, 1),
        ({f"{USER}.content": "hi", "llm.prompts": [1, "a"]}, 1),
        ({f"{USER}.content": "hi", f"{USER}.contents.0.message_content.id": "rs_1"}, 0),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted(attributes: dict[str, Value], unread: int) -> None:
    """Another type, another name or no number: it is left out, and one is told how much that is."""
    call = model_call({"input.value": "x", **attributes})
    assert call.unread == unread
    assert [it.text.text for message in call.input for it in message.blocks if it.text] in (["hi"], ["x"])


def test_gaps_in_the_numbers_do_not_matter() -> None:
    """Messages are in the order of their numbers, however these are, and lead to their own attributes."""
    call = model_call({f"llm.input_messages.{it}.message.content": f"at {it}" for it in (10, 2, 700)})
    assert [it.blocks[0].text for it in call.input] == [
        Text(f"at {it}", f"llm.input_messages.{it}.message.content") for it in (2, 10, 700)
    ]


@pytest.mark.parametrize("value", ["12", True, -1e400, float("nan"), 10**400, None, [1]])
def test_what_is_no_number_is_no_sum(value: Any) -> None:
    """Counts, costs and scores that are something else are not shown."""
    call = model_call({"input.value": "x", "llm.token_count.prompt": value, "llm.cost.total": value})
    assert (call.tokens, call.cost) == (NOTHING, NOTHING)
    found = contents_of(
        of_kind("RETRIEVER", {"input.value": "x", "retrieval.documents.0.document.score": value})
    )
    assert isinstance(found, Retrieval)
    assert found.documents == ()


@pytest.mark.parametrize("kind", ["CHAIN", "AGENT", "", "nobody's", 7, ["LLM"], None])
def test_other_kinds_have_attributes_only(kind: Any) -> None:
    """Of a span that calls nothing, nothing is read."""
    assert contents_of(span(1, attributes={**CHAT, "openinference.span.kind": kind})) is None


@pytest.mark.parametrize("kind", ["LLM", "RETRIEVER", "RERANKER", "EMBEDDING", "TOOL"])
def test_a_span_that_says_nothing_has_attributes_only(kind: str) -> None:
    """Without anything that it was given or gave, there is nothing to be shown above them."""
    assert contents_of(of_kind(kind, {"llm.model_name": "x", "tool.name": "y"})) is None


WORDS = st.sampled_from(
    [
        *("llm", "input_messages", "output_messages", "message", "role", "content", "contents", "tool_calls"),
        *("message_content", "type", "text", "image", "url", "tool_call", "function", "name", "arguments"),
        *(
            "tools",
            "tool",
            "json_schema",
            "prompts",
            "prompt",
            "choices",
            "completion",
            "token_count",
            "cost",
        ),
        *("retrieval", "documents", "document", "score", "metadata", "embedding", "embeddings", "vector"),
        *("reranker", "input_documents", "invocation_parameters", "0", "1", "01", "-1", "x", "", "९"),
    ]
)
NAMES = st.one_of(
    st.lists(WORDS, min_size=1, max_size=9).map(".".join),
    st.sampled_from(sorted({**CHAT, **COMPLETION, **RETRIEVAL, **RERANKING, **EMBEDDING, **TOOL})),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.just('{"a": [1, "\\ud800"]}'),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)
)


@given(
    st.sampled_from(["LLM", "RETRIEVER", "RERANKER", "EMBEDDING", "TOOL"]),
    st.dictionaries(NAMES, VALUES, max_size=12),
)
@settings(max_examples=60)
def test_whatever_a_span_has_nothing_fails(kind: str, attributes: dict[str, Value]) -> None:
    """Any value under any name: it is shown, or it stays among the attributes."""
    span_view(QUIET, of_kind(kind, attributes), {"input": None, "output": None})


# What is shown


def test_a_model_call_is_shown_as_a_chat(store: SQLiteSessionStore) -> None:
    """What is known of the call, what it was offered, who said what, and what the model answered."""
    store.add(one_span("LLM", CHAT))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
    assert said(page) == (
        "Model gpt-4o-2024-11-20 gpt-4o was asked for "
        "Provider openai "
        "Tokens 1,912 in, 148 out 1,024 read from a cache 64 for reasoning "
        "Cost $0.0041 $0.0021 in, $0.0020 out "
        "Finish reason tool_calls "
        "Parameters model gpt-4o temperature 0.2 max_tokens 800 seed 7 stream true "
        "2 tools offered "
        'get_order Look an order up. { "type": "function", "function": { "name": "get_order", '
        '"description": "Look an order up.", "parameters": { "type": "object", "properties": '
        '{ "order_id": { "type": "string" } } } } } '
        'refund Pay an item back. { "type": "function", "function": { "name": "refund", '
        '"description": "Pay an item back.", "parameters": { "type": "object", "properties": '
        '{ "order_id": { "type": "string" }, "amount": { "type": "number" } } } } } '
        "Input 5 messages To the output "
        f"System {' '.join(SYSTEM.split())} "
        "User hi! my order #4711 arrived broken, can I get a refund? "
        "Assistant I'm sorry to hear that! Let me look at your order first . "
        'Tool: get_order(order_id="4711", include=["items"]) Call call_9xQ '
        '{ "order_id": "4711", "include": [ "items" ] } '
        "Tool get_order answers call_9xQ "
        '{ "id": "4711", "items": [ { "sku": "TP-BLUE", "price": 34.9 } ], "paid": "card" } '
        "User it is the teapot, here is a picture of it "
        "Image, not loaded: https://pictures.example/teapot.jpg "
        "Image, not loaded: image/png, 118 characters as text "
        "Output Assistant Reasoning The spout is cracked. They paid 34.90 for it. "
        "It is broken. I refund: teapot , €34.90 "
        'Tool: refund(order_id="4711", amount=34.9) Call call_7bT { "order_id": "4711", "amount": 34.9 }'
    )
    assert "<strong>first</strong>" in page.text
    assert "# Rules" in page.text
    assert page.text.count('<details class="folded reasoning">') == 1
    assert page.text.count(" open><summary>") == 0


def test_what_was_folded_stays_in_reach(store: SQLiteSessionStore) -> None:
    """All attributes are listed below, and a picture that is in the span is there as text."""
    store.add(one_span("LLM", CHAT))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        everything = text_of(page)
        assert f"All {len(CHAT) + 2} attributes" in everything
        for name in CHAT:
            assert name in everything
        [picture] = links(page, "image.image.url")
        assert PIXEL in client.get(picture).text


def test_completions_are_shown(store: SQLiteSessionStore) -> None:
    """A prompt stays as it was written, a completion is markdown."""
    assert shown(store, "LLM", COMPLETION) == (
        "Model davinci-002 Input Prompt Q: How long does tea steep? A: Output Completion About three minutes."
    )


def test_documents_are_shown(store: SQLiteSessionStore) -> None:
    """The question, and each document with its score, its text, and its metadata folded."""
    store.add(one_span("RETRIEVER", RETRIEVAL))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
    assert said(page) == (
        "Query how long does a refund take? "
        "Documents 3 documents "
        "1 policy-12 score 0.9134 Refunds are on your card within 5 days. From abroad it may be 10. "
        'Metadata { "source": "policy.md", "page": 12 } '
        "2 policy-3 score 0.71 Keep the invoice until the money has arrived. "
        "3 Tea is best kept dry and dark."
    )
    assert '<details class="folded"><summary>Metadata</summary>' in page.text


def test_rankings_embeddings_and_tools_are_shown(store: SQLiteSessionStore) -> None:
    """Each as what it is: documents before and after, texts and how long their vectors are, a call."""
    text = "Refunds are on your card within 5 days."
    assert shown(store, "RERANKER", RERANKING) == (
        "Model rerank-v3 At most 1 Query how long does a refund take? "
        f"Documents, the best first 1 score 0.98 {text} "
        f"Documents as they came 2 documents 1 Tea is best kept dry and dark. 2 {text}"
    )
    store.delete("abc")
    assert shown(store, "EMBEDDING", EMBEDDING) == (
        "Model text-embedding-3-small Texts 1 3 numbers how long does a refund take?"
    )
    store.delete("abc")
    assert shown(store, "TOOL", TOOL) == (
        "Tool get_order What it does Look an order up. What it can be given Parameters "
        '{ "type": "object", "properties": { "order_id": { "type": "string" } } } '
        'Arguments { "order_id": "4711" } Result { "id": "4711", "paid": 39.85 }'
    )


def test_what_is_masked_is_shown_so(store: SQLiteSessionStore) -> None:
    """What was hidden before it was stored shows that it was, wherever it is."""
    hidden = "__REDACTED__"
    assert shown(
        store,
        "LLM",
        {
            "llm.invocation_parameters": hidden,
            f"{USER}.role": "user",
            f"{USER}.contents.0.message_content.text": hidden,
            f"{USER}.contents.1.message_content.type": "image",
            f"{USER}.contents.1.message_content.image.image.url": hidden,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": hidden,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": hidden,
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": hidden,
        },
    ) == (
        f"Parameters {hidden} Input User {hidden} Image, not loaded: {hidden} "
        f"Output Assistant {hidden} Tool: {hidden}({hidden}) {hidden}"
    )


def test_half_a_character_is_shown_as_an_escape(store: SQLiteSessionStore) -> None:
    """JSON can have one, which no page can be encoded with: it stays an escape, here and in the chat."""
    store.add(one_span("TOOL", {"input.value": '{"a": "\\ud800"}', "output.value": "b"}))
    with visiting(store) as client:
        assert said(client.get(addresses(client)[0])) == 'Arguments { "a": "\\ud800" } Result b'
        assert '{ "a": "\\ud800" }' in text_of(client.get("/session?id=abc"))


def test_what_is_no_text_is_named(store: SQLiteSessionStore) -> None:
    """Files, sounds, refusals, reasoning that is sealed, an empty message, a role that nobody knows."""
    content = "llm.input_messages.0.message.contents"
    assert shown(
        store,
        "LLM",
        {
            "llm.input_messages.0.message.role": "critic",
            f"{content}.0.message_content.type": "document",
            f"{content}.0.message_content.document.document.name": "invoice.pdf",
            f"{content}.0.message_content.document.document.url": "file-7",
            f"{content}.1.message_content.type": "audio",
            f"{content}.1.message_content.audio.audio.transcript": "hello there",
            f"{content}.2.message_content.type": "refusal",
            f"{content}.2.message_content.text": "I cannot.",
            f"{content}.3.message_content.type": "reasoning",
            f"{content}.3.message_content.encrypted_content": "gAAAA",
            f"{content}.4.message_content.data": "sealed",
            f"{content}.5.message_content.type": "tool_use",
            "llm.input_messages.1.message.name": "nobody",
            "llm.input_messages.2.message.role": "function",
            "llm.input_messages.2.message.content": "42",
            "llm.input_messages.3.message.content": 42,
            "llm.output_messages.0.message.role": "ai",
            "llm.output_messages.0.message.function_call_name": "add",
            "llm.output_messages.0.message.function_call_arguments_json": '{"a": 1}',
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call_1",
        },
    ) == (
        "Input 3 messages To the output Critic Document, not loaded: invoice.pdf Audio hello there "
        "Refusal I cannot. Reasoning, which only the model's provider can read "
        "Text, which only the model's provider can read "
        "No role nobody Nothing "
        "Function 42 "
        "Output Assistant Tool: (no name)() Call call_1 No arguments "
        'Tool: add(a=1) { "a": 1 } '
        "1 attribute of this could not be read, and is shown below only."
    )


def test_a_model_that_gave_nothing_has_no_answer(store: SQLiteSessionStore) -> None:
    """A call that failed shows what it was sent, and that nothing came back."""
    assert shown(store, "LLM", {f"{USER}.role": "user", f"{USER}.content": "hi"}) == (
        "Input User hi Output No answer"
    )


def test_sums_are_written_as_far_as_they_are_known(store: SQLiteSessionStore) -> None:
    """A total alone, other parts than the usual ones, a price that is none, parameters that are no JSON."""
    said_of = {
        f"{USER}.content": "hi",
        "llm.token_count.total": 12.0,
        "llm.cost.total": -1,
        "llm.system": "x",
    }
    parts = {"llm.token_count.prompt_details.image_tiles": 4, "llm.cost.completion_details.output": 0.25}
    long = {"llm.invocation_parameters": f'{{"a": "{"b" * 1_000_000}"}}'}
    assert shown(store, "LLM", {**said_of, **parts, **long}) == (
        "Provider x Tokens 12 in all 4 image tiles Cost $0.25 output "
        f'Parameters {{"a": "{"b" * 73}… Input No role hi Output No answer'
    )


def test_an_answer_in_json_has_lines(store: SQLiteSessionStore) -> None:
    """What a model wrote for a program is laid out, not taken for markdown."""
    store.add(
        one_span("LLM", messages("llm.output_messages", [{"role": "assistant", "content": '{"a_b_": 1}'}]))
    )
    with visiting(store) as client:
        assert "{\n  &#34;a_b_&#34;: 1\n}" in client.get(addresses(client)[0]).text


def test_other_kinds_are_as_they_were(store: SQLiteSessionStore) -> None:
    """A chain has its attributes, unfolded."""
    store.add(one_span("CHAIN", {"input.value": "hello?", "output.value": "hello!"}))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
    assert 'class="messages"' not in page.text
    assert "attributes</summary>" not in page.text
    assert "input.value hello? openinference.span.kind CHAIN output.value hello!" in text_of(page)


def test_a_long_conversation_has_pages(store: SQLiteSessionStore) -> None:
    """Of 500 messages the last ones are shown; the others are a link away, and every page is small."""
    spoken = [{"role": "user", "content": f"Message {it}."} for it in range(500)]
    store.add(one_span("LLM", messages("llm.input_messages", spoken)))
    with visiting(store) as client:
        pages = list(turned(client, addresses(client)[0], "Earlier messages"))
        later = client.get(button(pages[-1], "Later messages")[0])
        first = client.get(button(pages[0], "Beginning")[0])
    assert [re.findall(r"\d+-\d+ of 500", text_of(it)) for it in (*pages, later, first)] == [
        [f"{it + 1}-{it + SIZE} of 500"] for it in (*range(450, -1, -SIZE), SIZE, 0)
    ]
    assert [len(button(it, "Beginning")) for it in pages] == [1] * 8 + [0, 0]
    seen = [re.findall(r'class="bubble user" dir="auto">(Message \d+\.)<', it.text) for it in pages]
    assert list(chain.from_iterable(reversed(seen))) == [f"Message {it}." for it in range(500)]
    assert max(len(it.content) for it in pages) < 120_000


def test_long_messages_are_cut(store: SQLiteSessionStore) -> None:
    """The beginning of 10 MB is shown, and less of each of many long ones; a link has all of it."""
    long = "All work and no play. " * 480_000
    store.add(one_span("LLM", messages("llm.input_messages", [{"role": "user", "content": long}])))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        assert len(page.content) < 4 * RENDERED
        assert "All of this message (10.6M characters)" in said(page)
        [whole] = [it for it in links(page, "message.content") if "/text?" in it][:1]
        assert client.get(f"{whole}&raw=1").text == long
    store.delete("abc")
    many = [{"role": "assistant", "content": long[:100_000]} for _ in range(SIZE)]
    store.add(one_span("LLM", messages("llm.output_messages", many)))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        assert page.text.count("All of this message (100.0k characters)") == SIZE
        assert len(page.content) < 600_000


def test_many_pieces_and_tools_are_cut(store: SQLiteSessionStore) -> None:
    """With a thousand pieces, calls and tools the page stays small, and says how many are left."""
    pieces = {f"contents.{it}.message_content.text": f"piece {it}." for it in range(1_000)}
    calls = {f"tool_calls.{it}.tool_call.function.name": f"tool_{it}" for it in range(1_000)}
    tools = {f"llm.tools.{it}.tool.json_schema": "{}" for it in range(1_000)}
    spoken = messages("llm.input_messages", [{"role": "user", **pieces, **calls}])
    store.add(one_span("LLM", {**spoken, **tools}))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        text = said(page)
        assert f"piece {PIECES - 1}." in text
        assert f"piece {PIECES}." not in text
        assert f"{2_000 - 2 * PIECES:,} more pieces: among the attributes." in text
        assert "1,000 tools offered" in text
        assert "900 more tools: among the attributes." in text
        assert len(page.content) < 200_000


def test_many_documents_have_pages(store: SQLiteSessionStore) -> None:
    """They begin with the first, and their numbers go on."""
    found = {f"retrieval.documents.{it}.document.content": f"Document {it}." for it in range(120)}
    store.add(one_span("RETRIEVER", found))
    with visiting(store) as client:
        page = client.get(addresses(client)[0])
        assert f"1-{SIZE} of 120 Later documents" in said(page)
        page = client.get(links(page, f"output={SIZE}")[0])
        assert f"Earlier documents {SIZE + 1}-{2 * SIZE} of 120 {SIZE + 1} Document {SIZE}." in said(page)
        page = client.get(f"{addresses(client)[0]}&output=999999")
        assert "Earlier documents 120-120 of 120 120 Document 119." in said(page)


def test_many_attributes_have_pages(store: SQLiteSessionStore) -> None:
    """All of them can be reached, by name; a page that one has turned to is not folded."""
    store.add(one_span("TOOL", {"input.value": "x", **{f"n.{it:03}": it for it in range(500)}}))
    with visiting(store) as client:
        pages = list(turned(client, addresses(client)[0], "More attributes"))
        before = client.get(button(pages[-1], "Attributes before")[0])
    ranges = ["1-200 of 503", "201-400 of 503", "401-503 of 503", "201-400 of 503"]
    assert [re.findall(r"\d+-\d+ of 503", text_of(it)) for it in (*pages, before)] == [[it] for it in ranges]
    assert [it.text.count("open><summary>All 503 attributes") for it in pages] == [0, 1, 1]
    seen = [re.findall(r"<dt>(n\.\d+)</dt>", it.text) for it in pages]
    assert list(chain.from_iterable(seen)) == [f"n.{it:03}" for it in range(500)]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Shelf(BaseRetriever):
    """A retriever that always finds the same."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Found]:
        return [Found(page_content=f"All about {query}.", metadata={"page": 7})]


def test_what_langchain_does_is_shown(tmp_path: Path) -> None:
    """Calls of a chat model, a completion model, a tool and a retriever, from the handler to the page."""
    place = tmp_path / "sessions.db"
    handler = SessionCallbackHandler(store=place)
    config = session_config("abc", callbacks=[handler])
    call = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "call_1"}])
    chat = FakeMessagesListChatModel(responses=[call])
    chat.invoke([("system", "Use tools."), ("human", "1 + 2?")], config, stop=["END"])
    FakeListLLM(responses=["in *Oslo*"]).invoke("Where is it?", config)
    add.invoke({"a": 1, "b": 2}, config)
    Shelf().invoke("boats", config)
    assert handler.force_flush()
    store = SQLiteSessionStore(place)
    with visiting(store) as client:
        pages = [said(client.get(it)) for it in addresses(client)]
    store.close()
    assert [re.sub(r"^.*?(?=Input|Query|Arguments)", "", it) for it in pages] == [
        "Input 2 messages System Use tools. User 1 + 2? "
        'Output Assistant Tool: add(a=1, b=2) Call call_1 { "a": 1, "b": 2 }',
        "Input Prompt Where is it? Output Completion in Oslo",
        'Arguments { "a": 1, "b": 2 } Result 3',
        'Query boats Documents 1 All about boats. Metadata { "page": 7 }',
    ]
