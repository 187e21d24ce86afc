"""Spans of OpenTelemetry's convention for generative AI: which conversation, which words, which counts."""

from __future__ import annotations

import json
import random
from contextlib import closing
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from langchain_sessions.store import SQLiteSessionStore, ToolUse
from langchain_sessions.store._conventions import counts_of, kind_of
from langchain_sessions.store._facts import facts_of
from langchain_sessions.store._genai import with_messages
from langchain_sessions.store._members import parts
from langchain_sessions.store._otlp import request_from_json, spans_from_request
from langchain_sessions.store._reading import turn_of
from langchain_sessions.view.terminal._spans import span_tree
from langchain_sessions.view.web._tree import rows
from tests.support.spans import expected, genai, members_of, messages, span
from tests.support.stores import all_sessions, audit, bring_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from langchain_sessions.store import Span, Turn
    from langchain_sessions.store._span import Attributes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteSessionStore]:
    """A store, which has to be sound at the end."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        yield store
    audit(store.path)


def turn_in(*trace: Span) -> Turn:
    """Read the only turn of a trace."""
    [part] = parts(facts_of(it, key, "default") for key, it in enumerate(trace))
    return turn_of(part, trace)


def texts(attributes: Attributes, operation: str = "chat", **others: Any) -> tuple[str, str]:
    """What was said and answered in a span alone."""
    turn = turn_in(genai(1, operation=operation, session="a", attributes=attributes, **others))
    return turn.input, turn.output


# --- which conversation -------------------------------------------------------------------------------------

CASES: Final = {
    "a conversation is the session of a trace that has none": (
        [span(1, kind=""), genai(2, 1, "invoke_agent", conversation="c"), genai(3, 2), span(4, 1, kind="")],
        {"c": {1, 2, 3}},
    ),
    "a session anywhere in the trace, and a conversation is none": (
        [span(1, session="a"), genai(2, 1, conversation="c"), genai(3, conversation="c")],
        {"a": {1, 2}},
    ),
    "one span has both": ([genai(1, session="a", conversation="c")], {"a": {1}}),
    "two conversations beside each other": (
        [
            genai(1, operation="invoke_workflow"),
            genai(2, 1, conversation="c"),
            genai(3, 2, "execute_tool"),
            genai(4, 1, conversation="d"),
        ],
        {"c": {2, 3}, "d": {4}},
    ),
    "a step of generative AI above the only one, or beside it, may be of others, too": (
        [genai(1, operation="invoke_workflow"), genai(2, 1, session="a"), genai(3, 1)],
        {"a": {2}},
    ),
    "texts of missing values, and what is no id": (
        [genai(it, conversation=value) for it, value in enumerate(["undefined", " ", None, True, ["c"]])],
        {},
    ),
    "a number": ([genai(1, conversation=7), genai(2, conversation=" 7 ")], {"7": {1, 2}}),
    "the span around a turn, which shows its session, does not have it": (
        [genai(1, conversation="c", attributes={"langchain_sessions.enclosing": True})],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_conversation_is_a_session_only_where_no_span_names_one(name: str) -> None:
    """Then as sessions are, in whatever order the spans come."""
    spans, wanted = CASES[name]
    for seed in range(4):
        assert members_of(random.Random(seed).sample(spans, len(spans))) == wanted


def test_a_session_that_is_told_later_takes_the_place_of_the_conversation(store: SQLiteSessionStore) -> None:
    """Spans arrive one by one, some twice; what was filed under the conversation moves."""
    inner = genai(2, 1, conversation="c", tokens=(10, 2), attributes={"gen_ai.prompt": "hi"})
    store.add([inner])
    assert list(all_sessions(store)) == [("default", "c")]
    store.add([inner, span(3, 1, kind="")])
    outer = span(1, session="a", said="hello")
    store.add([outer])
    store.add([outer, inner])
    assert all_sessions(store) == expected([outer, inner, span(3, 1, kind="")])
    [turn] = store.session("a").turns
    assert (turn.input, turn.prompt_tokens, turn.completion_tokens, turn.span_count) == ("hello", 10, 2, 3)


def test_a_conversation_is_deleted_and_pruned_as_any_session(store: SQLiteSessionStore) -> None:
    """Of two in a trace the other stays, with its spans alone."""
    store.add([genai(1, operation="chain"), genai(2, 1, conversation="c"), genai(3, 1, conversation="d")])
    store.delete("c")
    assert {key[1]: it.span_count for key, it in all_sessions(store).items()} == {"d": 1}
    store.add([genai(4, 2)])  # nobody's: what it was called by is gone
    assert {key[1]: it.span_count for key, it in all_sessions(store).items()} == {"d": 1}
    store.prune(max_bytes=0)
    assert all_sessions(store) == {}


def test_a_file_from_before_keeps_what_it_has(tmp_path: Path) -> None:
    """A store from before conversations were read gets the columns, and late spans find their trace."""
    path = tmp_path / "sessions.db"
    with closing(SQLiteSessionStore(path)) as store:
        store.add([span(1, session="a", said="hello")])
    bring_back(path, 2)
    with closing(SQLiteSessionStore(path)) as store:
        store.add([genai(2, 1, conversation="c", tokens=(3, 1))])
        [turn] = store.session("a").turns
        assert (turn.input, turn.prompt_tokens, turn.span_count) == ("hello", 3, 2)
    audit(path)


# --- what was said ------------------------------------------------------------------------------------------

HISTORY: Final = [
    {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
    {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {"in": "Paris"}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "rainy"}]},
]
"""The convention's own example."""

ANSWER: Final = [
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "They want to know the weather."},
            {"type": "text", "content": "It "},
            {"type": "text", "content": "rains."},
        ],
        "finish_reason": "stop",
    }
]
CALLS: Final = [{"role": "assistant", "parts": HISTORY[2]["parts"], "finish_reason": "tool_call"}]


def test_messages_as_the_convention_has_them() -> None:
    """The user's last words and the model's; as JSON, structured, or a JSON for each message."""
    wanted = ("Weather in Paris?", "It rains.")
    for write in (json.dumps, lambda it: it, lambda it: list(map(json.dumps, it))):
        given = {"gen_ai.input.messages": write(HISTORY), "gen_ai.output.messages": write(ANSWER)}
        assert texts(given) == wanted
        assert texts(given, "invoke_agent") == wanted
    assert texts({"gen_ai.output.messages": CALLS})[1] == 'weather(in="Paris")'


def test_parts_that_are_no_text() -> None:
    """A reader is told of media; reasoning and what tools returned are not the words of anybody."""
    parts_of_user = [
        {"type": "text", "content": "What is this?"},
        {"type": "uri", "modality": "image", "mime_type": None, "uri": "https://example.org/a.png"},
        {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "AAAA"},
        {"type": "file", "modality": "video", "file_id": "1"},
        {"type": "something.new", "content": 1},
    ]
    sent = [{"role": "user", "parts": parts_of_user}]
    assert texts({"gen_ai.input.messages": sent})[0] == "What is this?\n[image]\n[audio]\n[video]"


def test_of_several_alternatives_the_first_is_shown_and_of_an_agents_messages_the_last() -> None:
    """A model's output messages are choices; an agent's are what it said one after the other."""
    both = {"gen_ai.output.messages": messages(("assistant", "one"), ("assistant", "two"))}
    assert (texts(both)[1], texts(both, "invoke_agent")[1]) == ("one", "two")
    silent = [{"role": "assistant", "parts": [ANSWER[0]["parts"][0]]}, *ANSWER]
    assert texts({"gen_ai.output.messages": silent})[1] == "It rains."


OLDER: Final[dict[str, tuple[dict[str, Any], tuple[str, str]]]] = {
    "flattened": (
        {
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "be brief",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": "hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "hello",
            "gen_ai.completion.0.finish_reason": "stop",
        },
        ("hi", "hello"),
    ),
    "flattened, with blocks, calls, and without roles": (
        {
            "gen_ai.prompt.0.content": '[{"type": "text", "text": "hi"}, {"type": "image_url"}]',
            "gen_ai.completion.0.tool_calls.0.name": "add",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 2}',
        },
        ("hi\n[image]", "add(a=2)"),
    ),
    "a text that looks like blocks": (
        {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": '["hi"]'},
        ('["hi"]', ""),
    ),
    "a text each": ({"gen_ai.prompt": "hi", "gen_ai.completion": "hello"}, ("hi", "hello")),
    "a list of texts": (
        {"gen_ai.prompt": '["be brief", "hi"]', "gen_ai.completion": ["hello"]},
        ("hi", "hello"),
    ),
    "LangSmith's": (
        {
            "langsmith.span.kind": "llm",
            "gen_ai.prompt": json.dumps(
                {
                    "messages": [
                        [{"lc": 1, "id": ["HumanMessage"], "kwargs": {"content": "hi", "type": "human"}}]
                    ]
                }
            ),
            "gen_ai.completion": json.dumps({"generations": [[{"text": "hello", "message": None}]]}),
        },
        ("hi", "hello"),
    ),
    "Vercel's": (
        {
            "ai.prompt.messages": '[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]',
            "ai.response.text": "hello",
        },
        ("hi", "hello"),
    ),
    "the newest of two": (
        {"gen_ai.input.messages": messages(("user", "new")), "gen_ai.prompt": "old"},
        ("new", ""),
    ),
    "an empty list, and the same elsewhere": (
        {"gen_ai.input.messages": "[]", "gen_ai.prompt": "hi"},
        ("hi", ""),
    ),
    "of no known form": (
        {"gen_ai.prompt": '{"a": 1, "b": 2}', "gen_ai.completion": {"a": 1}},
        ('{"a": 1, "b": 2}', '{"a": 1}'),
    ),
    "cut off": ({"gen_ai.input.messages": '[{"role": "us'}, ('[{"role": "us', "")),
    "nothing": ({"gen_ai.request.model": "m"}, ("", "")),
}


@pytest.mark.parametrize("name", OLDER)
def test_older_forms_and_those_of_others(name: str) -> None:
    """Whatever a library writes, the same words are read."""
    given, wanted = OLDER[name]
    assert texts(given) == wanted


EVENTS: Final[dict[str, list[tuple[str, dict[str, Any]]]]] = {
    "an attribute for each field": [
        ("gen_ai.system.message", {"gen_ai.system": "openai", "content": "be brief"}),
        ("gen_ai.user.message", {"gen_ai.system": "openai", "content": "hi"}),
        ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content": "hello"}'}),
    ],
    "a JSON for each message": [
        ("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "hi"}'}),
        ("gen_ai.choice", {"gen_ai.event.content": '{"message": {"content": "hello"}, "index": 0}'}),
    ],
    "blocks without a type": [
        ("gen_ai.user.message", {"content": '[{"text": "hi"}]'}),
        ("gen_ai.choice", {"message": '[{"text": "hello"}]', "finish_reason": "end_turn"}),
    ],
    "texts": [
        ("gen_ai.user.message", {"gen_ai.event.content": "hi"}),
        ("gen_ai.choice", {"message": "hello"}),
    ],
    "all of it in two": [
        ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "hi"}]'}),
        (
            "gen_ai.content.completion",
            {"gen_ai.event.content": '[{"role": "assistant", "content": "hello"}]'},
        ),
    ],
    "all of it in one": [
        (
            "gen_ai.client.inference.operation.details",
            {
                "gen_ai.input.messages": json.loads(messages(("user", "hi"))),
                "gen_ai.output.messages": json.loads(messages(("assistant", "hello"))),
            },
        )
    ],
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", EVENTS)
def test_events_on_spans(store: SQLiteSessionStore, name: str, late: bool) -> None:
    """Messages that a span has as events are read, at once and when another span of the turn comes later."""
    spoken = genai(1, session="a", events=EVENTS[name])
    wanted = ("hi", "hello")
    turn = turn_in(spoken)
    assert (turn.input, turn.output) == wanted
    store.add([spoken])
    if late:
        store.add([genai(2, 1)])
    [turn] = store.session("a").turns
    assert (turn.input, turn.output) == wanted


def test_half_a_surrogate_pair_in_the_json_of_an_event(store: SQLiteSessionStore) -> None:
    """It is escaped in the turn's text, and neither the span nor those beside it are refused."""
    choice: dict[str, Any] = {"role": True, "content": "x", "tool_calls": json.dumps("\ud800")}
    odd = span(1, kind="", attributes={"gen_ai.conversation.id": "a"}, events=[("gen_ai.choice", choice)])
    store.add([odd, genai(1, trace=2, conversation="b")])
    assert store.session("a").turns[0].output.count("\\ud800") == 1
    assert {it.id for it in store.sessions()} == {"a", "b"}


def test_what_attributes_say_counts_more_than_events() -> None:
    """Where a span has both they are the same, or the event was shortened."""
    given = {"gen_ai.input.messages": messages(("user", "hi there"))}
    assert texts(given, events=EVENTS["texts"]) == ("hi there", "hello")
    others = [("exception", {"gen_ai.prompt": "no"}), ("gen_ai.content.completion.chunk", {})]
    assert with_messages(given, others) is given


def test_a_run_of_openinference_speaks_for_what_is_below_it() -> None:
    """Its own words are shown, also where the model inside was asked something else."""
    inner = genai(
        2,
        1,
        attributes={"gen_ai.prompt": "Is it polite?", "gen_ai.completion": "yes"},
    )
    turn = turn_in(span(1, session="a", said="question", answered="answer"), inner)
    assert (turn.input, turn.output) == ("question", "answer")
    turn = turn_in(span(1, session="a", said="__REDACTED__", answered="__REDACTED__"), inner)
    assert (turn.input, turn.output) == ("__REDACTED__", "__REDACTED__")
    turn = turn_in(span(1, session="a"), inner)  # it has none, as with any model inside
    assert (turn.input, turn.output) == ("Is it polite?", "yes")


# --- tools, counts, errors ----------------------------------------------------------------------------------


def test_an_agent_in_another_language(store: SQLiteSessionStore) -> None:
    """A trace of agent, models and tools without a word of OpenInference is a turn like any other."""
    spans = [
        span(1, kind="", name="POST /chat"),
        genai(
            2,
            1,
            "invoke_agent",
            conversation="c",
            tokens=(33, 9),
            start=1,
            attributes={
                "gen_ai.agent.name": "Weather",
                "gen_ai.input.messages": messages(("user", "Weather?")),
                "gen_ai.output.messages": messages(("assistant", "It rains.")),
            },
        ),
        genai(
            3,
            2,
            tokens=(20, 4),
            start=2,
            attributes={"gen_ai.response.model": "large-2", "gen_ai.request.model": "large"},
        ),
        genai(
            4,
            2,
            "execute_tool",
            start=3,
            name="execute_tool weather",
            attributes={
                "gen_ai.tool.name": "weather",
                "gen_ai.tool.call.arguments": {"in": "Paris"},
                "gen_ai.tool.call.result": "rainy",
            },
        ),
        genai(
            5,
            2,
            "execute_tool",
            start=4,
            name="execute_tool map",
            error="",
            attributes={"error.type": "timeout"},
        ),
        genai(6, 2, tokens=(13, 5), start=5, attributes={"gen_ai.request.model": "small"}),
        genai(7, 2, "embeddings", tokens=(99, 0), start=6, attributes={"gen_ai.request.model": "vectors"}),
    ]
    for it in random.Random(1).sample(spans, len(spans)):
        store.add([it])
    assert all_sessions(store) == expected(spans)
    [turn] = store.session("c").turns
    assert (turn.input, turn.output, turn.error, turn.span_count) == ("Weather?", "It rains.", None, 7)
    assert (turn.prompt_tokens, turn.completion_tokens) == (33, 9)
    assert turn.tools == (
        ToolUse("weather", '{"in": "Paris"}', "rainy"),
        ToolUse("execute_tool map", "", "", "timeout"),
    )
    shown = [(it.kind, it.style, it.model, it.tokens) for it in rows(store.spans("c", turn.trace_id))]
    assert shown == [
        ("span", "span", "", 0),
        ("agent", "agent", "Weather", 42),
        ("llm", "llm", "large-2", 24),
        ("tool", "tool", "", 0),
        ("tool", "tool", "", 0),
        ("llm", "llm", "small", 18),
        ("embedding", "embedding", "vectors", 0),
    ]
    console = Console(width=100, file=StringIO())
    with console.capture() as printed:
        console.print(span_tree(store.spans("c", turn.trace_id)))
    lines = [line.strip("│├└─ ").rstrip() for line in printed.get().splitlines()]
    assert lines == [
        "POST /chat 1.0 s",
        "step AGENT 1.0 s",
        "step LLM 1.0 s",
        "execute_tool weather TOOL 1.0 s",
        "execute_tool map TOOL 1.0 s timeout",
        "step LLM 1.0 s",
        "step EMBEDDING 1.0 s",
    ]


COUNTED: Final[dict[str, tuple[Sequence[Span], tuple[int, int]]]] = {
    "a client's call in a model's": (
        [span(1, session="a", kind="LLM", tokens=(10, 2)), genai(2, 1, tokens=(9, 1))],
        (10, 2),
    ),
    "a client's call in a model's that has no counts": (
        [span(1, session="a", kind="LLM"), span(2, 1, kind=""), genai(3, 2, tokens=(9, 1))],
        (9, 1),
    ),
    "a model of OpenInference in one of the convention": (
        [genai(1, session="a", tokens=(10, 2)), span(2, 1, kind="LLM", tokens=(9, 1))],
        (10, 2),
    ),
    "an agent with the sum of its calls": (
        [
            genai(1, None, "invoke_agent", session="a", tokens=(30, 3)),
            genai(2, 1, tokens=(9, 1)),
            genai(3, 1, tokens=(20, 2)),
        ],
        (29, 3),
    ),
    "an agent elsewhere, in an agent that also calls a model": (
        [
            genai(1, None, "invoke_agent", session="a", tokens=(30, 3)),
            genai(2, 1, "invoke_agent", tokens=(20, 2)),
            genai(3, 1, tokens=(9, 1)),
        ],
        (29, 3),
    ),
    "an agent in an agent, and no model": (
        [
            genai(1, None, "invoke_agent", session="a", tokens=(30, 3)),
            genai(2, 1, "invoke_agent", tokens=(20, 2)),
        ],
        (30, 3),
    ),
    "an agent in a model's call": (
        [span(1, session="a", kind="LLM", tokens=(10, 2)), genai(2, 1, "invoke_agent", tokens=(9, 1))],
        (10, 2),
    ),
    "an agent of OpenInference has no counts of its own": (
        [span(1, session="a", kind="AGENT", tokens=(10, 2), attributes={"gen_ai.usage.input_tokens": 5})],
        (0, 0),
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_tokens_are_counted_once(store: SQLiteSessionStore, name: str) -> None:
    """Whoever tells of a call, and in whatever order."""
    spans, wanted = COUNTED[name]
    for it in reversed(spans):
        store.add([it, it])
    [turn] = store.session("a").turns
    assert (turn.prompt_tokens, turn.completion_tokens) == wanted
    assert turn == turn_in(*spans)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}, (5, 2, None)),
        ({"gen_ai.usage.prompt_tokens": 5, "gen_ai.usage.completion_tokens": 2}, (5, 2, None)),
        ({"gen_ai.usage.input_tokens": 5, "gen_ai.usage.prompt_tokens": 7}, (5, 0, None)),
        ({"gen_ai.usage.input_tokens": "5", "gen_ai.usage.output_tokens": 2.0}, (5, 2, None)),
        ({"gen_ai.usage.input_tokens": "x", "gen_ai.usage.output_tokens": 2.5}, (0, 0, None)),
        ({"gen_ai.usage.input_tokens": -1, "gen_ai.usage.output_tokens": True}, (0, 0, None)),
        ({"gen_ai.usage.input_tokens": "9" * 5_000, "gen_ai.usage.output_tokens": 2**40}, (0, 0, None)),
        ({"gen_ai.usage.cost": 0.5}, (0, 0, 0.5)),
        ({"llm.token_count.prompt": 5, "gen_ai.usage.input_tokens": 7}, (5, 0, None)),
    ],
)
def test_names_and_types_of_counts(given: Attributes, wanted: tuple[object, ...]) -> None:
    """Older names are understood, and numbers that are written as texts."""
    assert counts_of(given, "LLM") == wanted
    assert counts_of(given, "CHAIN") == (0, 0, None)


def test_a_tool_that_two_libraries_tell_of_is_listed_once() -> None:
    """A client of MCP inside a LangChain tool is that call; a tool that an agent inside calls is another."""
    turn = turn_in(
        span(1, session="a"),
        span(2, 1, kind="TOOL", name="add", start=1),
        genai(3, 2, "execute_tool", start=2),
        span(4, 3, kind="", start=3),
        genai(5, 4, "execute_tool", start=4),
        span(6, 1, kind="TOOL", name="ask", start=5),
        genai(7, 6, "invoke_agent", start=6),
        genai(8, 7, "execute_tool", name="look up", start=7),
        span(9, 1, kind="TOOL", name="outer", start=8),
        span(10, 9, kind="TOOL", name="inner", start=9),
    )
    assert [it.name for it in turn.tools] == ["add", "ask", "look up", "outer", "inner"]


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, "LLM"),
        ({"gen_ai.operation.name": "generate_content"}, "LLM"),
        ({"gen_ai.operation.name": "text_completion"}, "LLM"),
        ({"gen_ai.operation.name": "embeddings"}, "EMBEDDING"),
        ({"gen_ai.operation.name": "retrieval"}, "RETRIEVER"),
        ({"gen_ai.operation.name": "execute_tool"}, "TOOL"),
        ({"gen_ai.operation.name": "invoke_agent"}, "AGENT"),
        ({"gen_ai.operation.name": "create_agent"}, "AGENT"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "CHAIN"),
        ({"gen_ai.operation.name": "framework"}, "CHAIN"),
        ({"gen_ai.operation.name": "chat", "openinference.span.kind": "AGENT"}, "AGENT"),
        ({"gen_ai.operation.name": "chat", "langsmith.span.kind": "prompt"}, "PROMPT"),
        ({"gen_ai.operation.name": "chain", "langsmith.span.kind": "chain"}, "CHAIN"),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m"}, "LLM"),
        ({"llm.request.type": "embedding", "gen_ai.request.model": "m"}, "EMBEDDING"),
        ({"llm.request.type": "chat", "gen_ai.request.model": "m"}, "LLM"),
        ({"ai.toolCall.name": "add"}, "TOOL"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "add"}, "TOOL"),
        ({"traceloop.span.kind": "workflow"}, ""),
        ({"gen_ai.agent.name": "Weather"}, "AGENT"),
        ({"gen_ai.conversation.id": "c", "gen_ai.system": "openai"}, ""),  # what a processor may stamp
        ({"http.request.method": "POST"}, ""),
        ({"gen_ai.operation.name": 5, "openinference.span.kind": True}, ""),
    ],
)
def test_what_a_span_is(attributes: Attributes, kind: str) -> None:
    """OpenInference's word, else what corresponds to the operation, else to what it has."""
    assert kind_of(attributes) == kind


@pytest.mark.parametrize(
    ("message", "kind", "error"),
    [
        ("", "timeout", "timeout"),
        ("The server is busy", "500", "The server is busy"),
        ("", "_OTHER", "failed without saying why"),
        ("", None, "failed without saying why"),
    ],
)
def test_the_type_of_an_error_that_has_no_message(message: str, kind: str | None, error: str) -> None:
    """Is what the turn says."""
    turn = turn_in(genai(1, session="a", error=message, attributes={"error.type": kind}))
    assert turn.error == error


# --- as others send it --------------------------------------------------------------------------------------


def test_otlp_as_java_sends_it(store: SQLiteSessionStore) -> None:
    """Micrometer has texts for all values: Spring AI's client, model and tool, without OpenInference."""

    def it(number: int, parent: int, **values: str) -> dict[str, object]:
        return {
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": f"{number:016x}",
            "parentSpanId": f"{parent:016x}" if parent else "",
            "name": values["spring.ai.kind"],
            "startTimeUnixNano": str(10**18 + number),
            "endTimeUnixNano": str(10**18 + 1_000),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in values.items()],
        }

    spans = [
        it(
            1, 0, **{"spring.ai.kind": "chat_client", "gen_ai.operation.name": "framework", "session.id": "a"}
        ),
        it(
            2,
            1,
            **{
                "spring.ai.kind": "chat_model",
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": "12",
                "gen_ai.usage.output_tokens": "3",
                "gen_ai.prompt": '["be brief", "hi"]',
                "gen_ai.completion": '["hello"]',
            },
        ),
        it(
            3,
            1,
            **{
                "spring.ai.kind": "tool_call",
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "clock",
                "gen_ai.tool.call.result": '"noon"',
            },
        ),
    ]
    request = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}
    store.add(spans_from_request(request_from_json(request)))
    [turn] = store.session("a").turns
    assert (turn.input, turn.output, turn.prompt_tokens, turn.completion_tokens) == ("hi", "hello", 12, 3)
    assert turn.tools == (ToolUse("clock", "", '"noon"'),)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["role", "parts", "content", "type", "text", "message", "tool_calls", "name"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.tool_calls.0.name",
        "gen_ai.usage.input_tokens",
        "gen_ai.conversation.id",
        "gen_ai.operation.name",
        "gen_ai.tool.name",
        "gen_ai.tool.call.arguments",
        "gen_ai.event.content",
        "message",
        "content",
        "error.type",
    ]
)
VALUES = st.dictionaries(KEYS, st.one_of(JSON, JSON.map(json.dumps)), max_size=6)
NAMES = st.sampled_from(["gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt", "other"])


@settings(max_examples=80)
@given(attributes=VALUES, events=st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_whatever_is_there_nothing_fails(attributes: dict[str, Any], events: list[Any]) -> None:
    """Malformed values are shown as they are, or not at all."""
    for operation in ("chat", "execute_tool"):
        turn = turn_in(genai(1, None, operation, session="a", attributes=attributes, events=events))
        assert isinstance(turn.input, str)
        assert isinstance(turn.output, str)
        assert all(isinstance(text, str) for it in turn.tools for text in (it.name, it.input, it.output))
    assert len(rows([genai(1, attributes=attributes)])) == 1
