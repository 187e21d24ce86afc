"""The texts of a turn, out of what a run was given and returned; no run is needed for it."""

from __future__ import annotations

import dataclasses
import json
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValue
from langgraph.types import Command, Interrupt
from openinference.instrumentation.langchain._tracer import _json_dumps
from pydantic import BaseModel

from langchain_sessions._turns import MAX_DEPTH, input_text, output_text, read_input, read_output

CALL: Final = {"name": "weather", "args": {"city": "Oslo", "days": 2}, "id": "1", "type": "tool_call"}
CALLING: Final = AIMessage("", tool_calls=[CALL])
AS_CODE: Final = 'weather(city="Oslo", days=2)'
RESULT: Final = ToolMessage("rain", tool_call_id="1")
ASKED, SAID = HumanMessage("hi"), AIMessage("hello")
INTERRUPT_ID: Final = "0123456789abcdef" * 2


class Forecast(BaseModel):
    """What an agent may be asked to return."""

    city: str
    degrees: int


class State(BaseModel):
    """The state of a graph."""

    messages: list[AnyMessage]


@dataclasses.dataclass(slots=True)
class PlainState:
    """Another one."""

    messages: list[Any]
    language: str = "de"


def in_openai(role: str, content: object, **more: object) -> dict[str, object]:
    """Return a message as OpenAI's API has it."""
    return {"role": role, "content": content, **more}


INPUTS: Final[dict[str, tuple[object, str | None]]] = {
    "text": ("hi", "hi"),
    "empty text": ("", ""),
    "message": (ASKED, "hi"),
    "pair": (("human", "hi"), "hi"),
    "messages": ([SystemMessage("be kind"), ASKED], "hi"),
    "one variable": ({"topic": "hi"}, "hi"),
    "one usual name among several": ({"language": "de", "question": "hi", "style": "short"}, "hi"),
    "the more telling name": ({"text": "a document", "question": "hi"}, "hi"),
    "a variable and the history": ({"q": "hi", "history": [HumanMessage("before"), SAID]}, "hi"),
    "a variable and no history": ({"q": "hi", "history": []}, "hi"),
    "a history alone": ({"chat": [HumanMessage("before"), SAID, ASKED]}, "hi"),
    "two texts": ({"left": "hi", "right": "ho"}, None),
    "a number": ({"n": 1}, None),
    "a text and a number": ({"topic": "hi", "n": 1}, None),
    "number": (7, None),
    "nothing": (None, None),
    "empty mapping": ({}, None),
    "empty list": ([], None),
    "list of texts": (["hi", "ho"], None),
    "bytes": (b"hi", None),
    "documents": ({"docs": [{"page_content": "hi", "metadata": {}}]}, None),
    "usual name, unusual value": ({"input": {"left": 1, "right": 2}}, None),
    "state": ({"messages": [HumanMessage("before"), SAID, ASKED]}, "hi"),
    "state with one message": ({"messages": ASKED}, "hi"),
    "state with a text": ({"messages": "hi"}, "hi"),
    "state with texts": ({"messages": ["hello", "hi"]}, "hi"),
    "state with a pair": ({"messages": ("human", "hi")}, "hi"),
    "state with pairs": ({"messages": [("ai", "hello"), ("user", "hi")]}, "hi"),
    "state with more": ({"messages": [ASKED], "language": "de", "tools": []}, "hi"),
    "state with dictionaries": ({"messages": [in_openai("system", "x"), in_openai("user", "hi")]}, "hi"),
    "state and question": ({"messages": [ASKED, SAID], "question": "and?"}, "and?"),
    "state without words of the user": ({"messages": [SystemMessage("write a poem")]}, "write a poem"),
    "state that goes on with a result": ({"messages": [CALLING, RESULT]}, "rain"),
    "state that ends with a result": ({"messages": [ASKED, CALLING, RESULT]}, "hi"),
    "state with removals": ({"messages": [ASKED, RemoveMessage("1")]}, "hi"),
    "empty state": ({"messages": []}, ""),
    "pydantic state": (State(messages=[ASKED]), "hi"),
    "dataclass state": ({"input": PlainState([ASKED])}, "hi"),
    "user's mapping": (UserDict({"messages": [ASKED]}), "hi"),
    "wrapped": ({"input": {"messages": [ASKED]}}, "hi"),
    "prompt": (ChatPromptValue(messages=[ASKED]), "hi"),
    "what a chat model is given": ({"messages": [[dumpd(SystemMessage("x")), dumpd(ASKED)]]}, "hi"),
    "what a completion model is given": ({"prompts": ["hi"]}, "hi"),
    "several prompts": ({"prompts": ["hi", "ho"]}, None),
    "resume": (Command(resume="yes"), "yes"),
    "resume in input": ({"input": Command(resume="yes")}, "yes"),
    "resume with nothing to say": (Command(resume=""), ""),
    "resume with a number": (Command(resume=7), "7"),
    "resume with consent": (Command(resume=True), "true"),
    "resume with one text": (Command(resume={"answer": "yes"}), "yes"),
    "resume with more": (Command(resume={"ok": True, "note": "go"}), '{"ok": true, "note": "go"}'),
    "resume with a message": (Command(resume=ASKED), "hi"),
    "resume by id": (Command(resume={INTERRUPT_ID: "yes", "f" * 32: "no"}), "yes\nno"),
    "resume with an object": (
        Command(resume=Forecast(city="Oslo", degrees=7)),
        '{"city": "Oslo", "degrees": 7}',
    ),
    "approval": (Command(resume={"decisions": [{"type": "approve"}]}), "approve"),
    "decisions": (
        Command(
            resume={
                "decisions": [
                    {"type": "reject", "message": "too far"},
                    {"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Rome"}}},
                ]
            }
        ),
        'reject: too far\nedit: weather(city="Rome")',
    ),
    "decisions as they once were": (
        [Command(resume=[{"type": "response", "args": "no"}])][0],
        "response: no",
    ),
    "command with messages": (Command(update={"messages": [ASKED]}), "hi"),
    "command with pairs": (Command(update=[("messages", [ASKED])]), "hi"),
    "command with a way": (Command(goto="somewhere"), None),
    "command from JavaScript": ({"lg_name": "Command", "resume": "yes", "goto": []}, "yes"),
    "image": (
        HumanMessage(
            [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
        ),
        "what is it?\n[image]",
    ),
    "media": (
        HumanMessage(
            [
                {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
                {"type": "input_audio", "input_audio": {"data": "aGk="}},
                {"type": "file", "base64": "aGk=", "mime_type": "application/pdf"},
                {"type": "media", "data": "aGk=", "mime_type": "video/mp4"},
            ]
        ),
        "[image]\n[audio]\n[file]\n[video]",
    ),
    "two texts of a user": (HumanMessage([{"type": "text", "text": "a"}, "b"]), "a\nb"),
    "content blocks": ([{"type": "text", "text": "hi"}, {"type": "image", "url": "x"}], "hi\n[image]"),
    "Google's parts": (
        {"role": "user", "parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "x"}}]},
        "hi\n[image]",
    ),
    "OpenAI's assistants": (in_openai("user", [{"type": "text", "text": {"value": "hi"}}]), "hi"),
    "chat message": ([ChatMessage(content="hi", role="user")], "hi"),
    "message to dict": ([message_to_dict(ASKED)], "hi"),
    "message as it is dumped": ([ASKED.model_dump()], "hi"),
}

OUTPUTS: Final[dict[str, tuple[object, str | None]]] = {
    "text": ("hello", "hello"),
    "message": (SAID, "hello"),
    "chunk": ({"output": AIMessageChunk(content="hello")}, "hello"),
    "serialized": ({"output": dumpd(SAID)}, "hello"),
    "output": ({"output": "hello", "input": "hi"}, "hello"),
    "answer and documents": ({"input": "hi", "context": [{"page_content": "x"}], "answer": "hello"}, "hello"),
    "result": ({"query": "hi", "result": "hello", "source_documents": []}, "hello"),
    "another name": ({"joke": "hello"}, "hello"),
    "no name that tells": ({"question": "hi", "joke": "hello"}, None),
    "message under a name": ({"answer": SAID, "n": 1}, "hello"),
    "number": ({"output": 7}, None),
    "list of texts": ({"output": ["a", "b"]}, None),
    "nothing": ({"output": None}, None),
    "structure": ({"output": {"city": "Oslo", "degrees": 7}}, None),
    "empty answer": ({"messages": [ASKED, AIMessage("")]}, ""),
    "blank answer": (AIMessage([]), ""),
    "state": ({"messages": [ASKED, SAID]}, "hello"),
    "state with an answer of long ago": ({"messages": [ASKED, SAID, HumanMessage("still there?")]}, ""),
    "state with instructions last": ({"messages": [ASKED, SAID, SystemMessage("be brief")]}, "hello"),
    "state with instructions only": ({"messages": [SystemMessage("be brief")]}, ""),
    "empty state": ({"messages": []}, ""),
    "an agent under a name": (
        {"messages": [ASKED, HumanMessage("I found it", name="researcher")]},
        "I found it",
    ),
    "users under their names": (
        {"messages": [HumanMessage("hi", name="ada"), HumanMessage("ho", name="bob")]},
        "",
    ),
    "tool call": ({"messages": [ASKED, CALLING]}, AS_CODE),
    "tool calls": (
        AIMessage("", tool_calls=[CALL, {**CALL, "args": {}, "name": "now"}]),
        f"{AS_CODE}\nnow()",
    ),
    "tool call with words": (AIMessage("I look.", tool_calls=[CALL]), "I look."),
    "tool call in a block": (
        in_openai(
            "assistant", [{"type": "tool_use", "name": "weather", "input": {"city": "Oslo", "days": 2}}]
        ),
        AS_CODE,
    ),
    "tool call as OpenAI has it": (
        in_openai(
            "assistant", None, tool_calls=[{"function": {"name": "now", "arguments": '{"zone": "UTC"}'}}]
        ),
        'now(zone="UTC")',
    ),
    "tool call that is no JSON": (
        AIMessage("", invalid_tool_calls=[{"name": "now", "args": "{zone", "id": "1", "error": None}]),
        "now({zone)",
    ),
    "tool call with a list": (
        in_openai("assistant", "", tool_calls=[{"function": {"name": "add", "arguments": "[1, 2]"}}]),
        "add([1, 2])",
    ),
    "function call": (
        AIMessage("", additional_kwargs={"function_call": {"name": "now", "arguments": "{}"}}),
        "now()",
    ),
    "Google's call": (
        {"role": "model", "parts": [{"functionCall": {"name": "now", "args": {"zone": "UTC"}}}]},
        'now(zone="UTC")',
    ),
    "a tool whose result is the answer": ({"messages": [ASKED, CALLING, RESULT]}, "rain"),
    "two such tools": (
        {"messages": [ASKED, CALLING, RESULT, ToolMessage("sun", tool_call_id="2")]},
        "rain\nsun",
    ),
    "a tool without a result": ({"messages": [ASKED, CALLING, ToolMessage("", tool_call_id="1")]}, AS_CODE),
    "function message": ([FunctionMessage(content="rain", name="weather")], "rain"),
    "reasoning": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hmm", "signature": "x"},
                {"type": "reasoning", "reasoning": "hmm", "summary": [{"text": "hmm"}]},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "hel"},
                {"type": "text", "text": "lo"},
            ]
        ),
        "hello",
    ),
    "Google's reasoning": (
        {"role": "model", "parts": [{"text": "hmm", "thought": True}, {"text": "hello"}]},
        "hello",
    ),
    "searching": (
        AIMessage([{"type": "web_search_call", "id": "1"}, {"type": "output_text", "text": "hello"}]),
        "hello",
    ),
    "refusal": (AIMessage([{"type": "refusal", "refusal": "no"}]), "no"),
    "refusal beside the content": (AIMessage("", additional_kwargs={"refusal": "no"}), "no"),
    "speech": (AIMessage("", additional_kwargs={"audio": {"data": "x", "transcript": "hello"}}), "hello"),
    "picture": (AIMessage([{"type": "image_generation_call", "result": "x"}]), "[image]"),
    "structured after a call": (
        {"messages": [ASKED, CALLING, RESULT], "structured_response": Forecast(city="Oslo", degrees=7)},
        '{"city": "Oslo", "degrees": 7}',
    ),
    "structured after an empty answer": (
        {"messages": [ASKED, AIMessage("")], "structured_response": {"city": "Zürich"}},
        '{"city": "Zürich"}',
    ),
    "structured beside an answer": (
        {"messages": [ASKED, SAID], "structured_response": {"city": "Oslo"}},
        "hello",
    ),
    "structured alone": ({"structured_response": {"city": "Oslo"}}, '{"city": "Oslo"}'),
    "chat model": (LLMResult(generations=[[ChatGeneration(message=SAID)]]), "hello"),
    "completion model": (LLMResult(generations=[[Generation(text="hello")]]).model_dump(), "hello"),
    "model without a result": ({"generations": [[]]}, None),
    "question": ({"messages": [ASKED], "__interrupt__": [Interrupt("how old?", id="1")]}, "how old?"),
    "questions": ({"__interrupt__": (Interrupt("how old?"), Interrupt("how tall?"))}, "how old?\nhow tall?"),
    "question in a mapping": ({"__interrupt__": [Interrupt({"question": "ok?", "n": 1})]}, "ok?"),
    "question that is a structure": ({"__interrupt__": [Interrupt({"left": 1})]}, '{"left": 1}'),
    "question that is a number": ({"__interrupt__": [Interrupt(7)]}, "7"),
    "question that is a message": ({"__interrupt__": [Interrupt(SAID)]}, "hello"),
    "request for approval": (
        {"__interrupt__": [Interrupt({"action_requests": [CALL, {"name": "x", "description": "Do it?"}]})]},
        f"{AS_CODE}?\nDo it?",
    ),
    "request as it once was": (
        {"__interrupt__": [Interrupt([{"action_request": {"action": "weather", "args": {}}, "config": {}}])]},
        "weather()?",
    ),
    "what a node added": ({"agent": {"messages": [SAID]}, "log": None}, None),
    "what nodes added": ({"ask": {"n": 1}, "agent": {"messages": [SAID]}}, "hello"),
    "what a finished agent returned": ({"return_values": {"output": "hello"}, "log": "..."}, "hello"),
}


def parsed(payload: object) -> object:
    """Return what is left of a payload when OpenInference has written it, and a store has read it."""
    return json.loads(_json_dumps(payload))


@pytest.mark.parametrize(("payload", "text"), INPUTS.values(), ids=INPUTS)
def test_what_the_user_said(payload: object, text: str | None) -> None:
    """It is found wherever LangChain, LangGraph and the usual dialects have it; else nothing is."""
    assert input_text(payload) == text


WRITTEN: Final = {name: it for name, it in INPUTS.items() if not isinstance(it[0], (bytes, UserDict))}
"""Of the others, OpenInference writes Python's representation."""


@pytest.mark.parametrize(("payload", "text"), WRITTEN.values(), ids=WRITTEN)
def test_what_the_user_said_is_read_from_json(payload: object, text: str | None) -> None:
    """What OpenInference writes of a payload reads as the payload does."""
    assert input_text(parsed(payload)) == text


@pytest.mark.parametrize(("payload", "text"), OUTPUTS.values(), ids=OUTPUTS)
def test_what_was_answered(payload: object, text: str | None) -> None:
    """The last words of the model; what it does if it says nothing; the question if there is one."""
    assert output_text(payload) == text


@pytest.mark.parametrize(("payload", "text"), OUTPUTS.values(), ids=OUTPUTS)
def test_what_was_answered_is_read_from_json(payload: object, text: str | None) -> None:
    """What OpenInference writes of a payload reads as the payload does."""
    assert output_text(parsed(payload)) == text


@pytest.mark.parametrize("message", [ASKED, SAID, CALLING, RESULT, AIMessageChunk(content="hello")], ids=repr)
def test_every_form_of_a_message_reads_the_same(message: BaseMessage) -> None:
    """As an object, a dump, LangChain's constructor, and its message_to_dict."""
    forms = [message, message.model_dump(), dumpd(message), message_to_dict(message)]
    assert len({output_text({"messages": [ASKED, form]}) for form in forms}) == 1


def test_a_long_call_is_shortened() -> None:
    """A call says which one it was; a document among its arguments is not for a line of a chat."""
    text = output_text(AIMessage("", tool_calls=[{**CALL, "args": {"text": "x\n" * 10_000}}]))
    assert text is not None
    assert (len(text), text[:14], text[-2:], "\n" in text) == (200, 'weather(text="', "…)", False)


def test_a_text_can_always_be_exported() -> None:
    """A lone surrogate, which JSON may escape, would make a batch of spans undeliverable."""
    text = input_text(json.loads('{"input": "\\ud800 and 🙂 and ü"}'))
    assert text == "\\ud800 and 🙂 and ü"


def test_the_text_of_a_message_is_a_plain_one() -> None:
    """LangChain's is a text that can be called, and OpenInference calls what it can."""
    for text in (input_text({"input": ASKED.text}), output_text(SAID.text)):
        assert type(text) is str


class Hostile:
    """An object that fails in whatever it is asked."""

    model_fields = property(lambda _: 1 / 0)

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError

    def __eq__(self, _: object) -> bool:
        raise RuntimeError

    __hash__ = None  # pyright: ignore[reportAssignmentType] -- that is what Python sets, too


class HostileMapping(UserDict[str, object]):
    """A mapping that fails."""

    def __getitem__(self, key: str) -> object:
        raise RuntimeError(key)


def deep(depth: int) -> object:
    """Return mappings inside each other."""
    value: object = "hi"
    for _ in range(depth):
        value = {"input": value, "output": value, "messages": [value]}
    return value


def circular() -> object:
    """Return a mapping that contains itself."""
    value: dict[str, object] = {}
    value["input"] = value["output"] = value["structured_response"] = value
    return value


UNREADABLE: Final[dict[str, Callable[[], object]]] = {
    "an object": Hostile,
    "under usual names": lambda: {"input": Hostile(), "output": Hostile()},
    "among messages": lambda: {"messages": [Hostile()]},
    "a mapping": lambda: HostileMapping({"input": "hi", "n": 1}),
    "in a command": lambda: Command(resume={"a": Hostile(), "b": 1}),
    "circular": circular,
    "circular in a command": lambda: Command(resume=circular()),
    "deep": lambda: deep(10_000),
    "deep lists": lambda: {"messages": [[[[[[[[]]]]]]]]},
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_left_alone(make: Callable[[], object]) -> None:
    """Objects that fail, that contain themselves, that are nested without end: no error, and no text."""
    payload = make()
    assert input_text(payload) is None
    assert output_text(payload) is None


NAMES: Final = st.sampled_from(
    [
        *(
            "type",
            "role",
            "content",
            "text",
            "id",
            "kwargs",
            "data",
            "messages",
            "input",
            "output",
            "name",
            "args",
        ),
        *(
            "tool_calls",
            "additional_kwargs",
            "function",
            "arguments",
            "__interrupt__",
            "value",
            "resume",
            "goto",
        ),
        *(
            "decisions",
            "action_requests",
            "structured_response",
            "generations",
            "message",
            "prompts",
            "parts",
        ),
        "lc",
    ]
)
WORDS: Final = st.sampled_from(
    ["human", "ai", "tool", "text", "image", "HumanMessage", "user", "approve", "hi"]
)
LEAVES: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=2)
    | WORDS
)
PAYLOADS: Final = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(WORDS, inner)
        | st.dictionaries(NAMES | st.text(max_size=2) | st.integers(), inner, max_size=5)
        | st.builds(Command, resume=inner)
        | st.builds(lambda value: [Interrupt(value)], inner)
    ),
    max_leaves=20,
)


@given(PAYLOADS)
@settings(max_examples=500)
def test_no_data_is_an_error(payload: object) -> None:
    """Whatever the shape of the data, reading it does not rely on the guard."""
    for read in (read_input, read_output):
        text = read(payload, MAX_DEPTH)
        assert text is None or type(text) is str


def test_a_long_conversation_is_read_from_its_end() -> None:
    """Of a state of any length, no more is looked at than the last messages."""
    looked_at: list[int] = []

    class Long(list[object]):
        def __iter__(self) -> Iterator[object]:
            for place, item in enumerate(super().__iter__()):
                looked_at.append(place)
                yield item

        def __reversed__(self) -> Iterator[object]:
            for place, item in enumerate(super().__reversed__(), 1):
                looked_at.append(-place)
                yield item

    messages = Long([in_openai("user", "hi"), in_openai("assistant", "hello")] * 500)
    assert (input_text({"messages": messages}), output_text({"messages": messages})) == ("hi", "hello")
    assert set(looked_at) == {-1, -2}
