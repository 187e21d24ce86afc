from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool

from langchain_sessions.demo._model import OfflineChatModel
from langchain_sessions.demo._tools import demo_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.tools import BaseTool


@tool
def current_weather(city: str) -> str:
    """Tell the weather in a city."""
    return {"Oslo": "snow, -4 degrees"}.get(city, "unknown")


@tool
def local_time(city: str) -> str:
    """Tell the time in a city."""
    return f"noon in {city}"


def converse(*said: str, tools: Sequence[BaseTool] = ()) -> list[BaseMessage]:
    """Say these things one after the other, running the tools that the model asks for."""
    model = OfflineChatModel().bind_tools(tools) if tools else OfflineChatModel()
    by_name = {each.name: each for each in tools}
    messages: list[BaseMessage] = []
    for text in said:
        messages.append(HumanMessage(text))
        answer = model.invoke(messages)
        while answer.tool_calls:
            messages += [answer, *(by_name[call["name"]].invoke(call) for call in answer.tool_calls)]
            answer = model.invoke(messages)
        messages.append(answer)
    return messages


def answer_to(*said: str, tools: Sequence[BaseTool] = ()) -> str:
    """The answer to the last of the things said."""
    return str(converse(*said, tools=tools)[-1].text)


def sum_of(chunks: Iterable[AIMessage]) -> AIMessageChunk:
    """What the chunks of a stream add up to."""
    first, *rest = [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    return add_ai_message_chunks(first, *rest)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["Hello, I'm Ada."], "Hello! Nice to meet you, Ada."),
        (["Hi I am Ada Lovelace"], "Hello! Nice to meet you, Ada Lovelace."),
        (["My name is Ada.", "What's my name?"], "Your name is Ada."),
        (["I\u2019m Ada", "who am I?"], "Your name is Ada."),
        (["I'm Ada.", "I'm Bob.", "Do you remember my name?"], "Your name is Bob."),
        (["I'm Ada.", "Thanks!"], "You are welcome, Ada!"),
        (["goodbye"], "Goodbye!"),
        (["What is my name?"], "You have not told me your name."),
        (["I like tea and I also like my boat.", "What do I like?"], "You like tea and your boat."),
        (["I have two cats.", "How many cats do I have?"], "You have two cats."),
        (["I live in Oslo, Norway.", "Where do I live?"], "You live in Oslo, Norway."),
        (["Where do I live?"], "You have not told me where you live."),
        (["My sister is called Eve.", "Who is my sister?"], "Your sister is Eve."),
        (["I play the cello; I live in Rome"], "Noted: you play the cello. Noted: you live in Rome."),
    ],
)
def test_it_remembers_what_the_messages_say(said: list[str], answer: str) -> None:
    """Names and facts come from the conversation, the latest ones first, and are missing when never told."""
    assert answer_to(*said) == answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["I am tired"], 'I understood "I am tired", but I have no rule for it.'),
        (
            ["What is the capital of my country?"],
            "You ask about capital of your country. I only know what you tell me and what my tools compute.",
        ),
        (["What is 2 + 2?"], "I have no calculator here, and I do not guess: 2 + 2."),
        (["What's the weather in Oslo?"], "I have no tool that knows the weather in Oslo."),
        (
            ["How many days from 2026-01-01 to 2026-02-01?"],
            "I have no calendar here, so I do not know how far 2026-01-01 is from 2026-02-01.",
        ),
        (["..."], 'I understood "...", but I have no rule for it.'),
        ([""], "You said nothing."),
        (["I like 3 - 4 cups"], "Noted: you like 3 - 4 cups."),
    ],
)
def test_it_says_so_when_it_does_not_know(said: list[str], answer: str) -> None:
    """Without a rule or a tool it repeats what it understood, and never guesses."""
    assert answer_to(*said) == answer


def test_it_answers_when_nobody_spoke() -> None:
    """A conversation of nothing but instructions has nothing to answer."""
    assert OfflineChatModel().invoke([SystemMessage("Be brief.")]).text == "Nobody has said anything yet."


def test_it_sums_up_the_conversation() -> None:
    """The summary is made of what was told and what was asked before."""
    assert answer_to("I'm Ada and I like tea.", "What do I like?", "What did we talk about?") == (
        'You told me: your name is Ada; you like tea. You asked me: "What do I like?"'
    )
    assert answer_to("Can you summarise?") == "We have not talked about anything yet."


@pytest.mark.parametrize(
    ("question", "expression", "result"),
    [
        ("What is 17 * 23?", "17 * 23", "391"),
        ("what's 15% of 1,280?", "15 / 100 * 1280", "192"),
        ("Calculate (2 + 3) * 4", "(2 + 3) * 4", "20"),
        ("2 to the power of 10", "2 ** 10", "1024"),
        ("How much is 7 divided by 2?", "7 / 2", "3.5"),
        ("add 5 to 6 squared", "6 ** 2 + 5", "41"),
        ("subtract 1 from 10 \u00d7 2", "10 * 2 - 1", "19"),
    ],
)
def test_it_asks_the_calculator(question: str, expression: str, result: str) -> None:
    """A sum in words or signs becomes one call of the calculator, and the answer tells its result."""
    [_, call, told, answer] = converse(question, tools=demo_tools())

    assert isinstance(call, AIMessage)
    assert isinstance(told, ToolMessage)
    assert call.tool_calls == [tool_call(name="calculator", args={"expression": expression}, id="call_1")]
    assert (told.text, answer.text) == (result, f"{expression} = {result}.")


def test_it_asks_for_several_tools_at_once() -> None:
    """Two things asked in one message are two calls in one answer, with ids of their own."""
    question = "What is 6 * 7, and how many days are there between 2026-03-01 and 2026-03-31?"
    [_, calls, _, _, answer] = converse(question, tools=demo_tools())

    assert isinstance(calls, AIMessage)
    assert calls.tool_calls == [
        tool_call(name="calculator", args={"expression": "6 * 7"}, id="call_1"),
        tool_call(name="days_between", args={"start": "2026-03-01", "end": "2026-03-31"}, id="call_2"),
    ]
    assert answer.text == "6 * 7 = 42. From 2026-03-01 to 2026-03-31 it is 30 days (4 weeks and 2 days)."


def test_it_asks_tools_about_places() -> None:
    """Weather and time go to whichever bound tool is named for them."""
    tools = [current_weather, local_time]

    assert answer_to("What's the weather in Oslo? What time is it in Rome?", tools=tools) == (
        "The weather in Oslo: snow, -4 degrees. The time in Rome: noon in Rome."
    )


def test_that_stands_for_the_latest_result() -> None:
    """A follow-up goes on with the number that a tool found in an earlier turn, also a negative one."""
    messages = converse("What is 5 - 7?", "Multiply that by 3.", "And what is it ** 2?", tools=demo_tools())

    answers = [str(message.text) for message in messages if isinstance(message, AIMessage) and message.text]
    assert answers == ["5 - 7 = -2.", "(-2) * 3 = -6.", "(-6) ** 2 = 36."]


def test_it_passes_a_refusal_on() -> None:
    """When a tool cannot help, the answer says why."""
    assert (
        answer_to("What is 1 / 0?", tools=demo_tools())
        == "The tool calculator refused: 1 / 0 divides by zero."
    )


def test_a_stream_is_the_answer_word_by_word() -> None:
    """The chunks add up to what `invoke` returns, text, calls and usage."""
    model = OfflineChatModel()
    chunks = list(model.stream("Hello, I'm Ada."))
    whole = sum_of(chunks)
    answer = model.invoke("Hello, I'm Ada.")

    assert [chunk.content for chunk in chunks] == ["Hello! ", "Nice ", "to ", "meet ", "you, ", "Ada.", ""]
    assert _said(whole) == _said(answer)


def test_a_stream_carries_tool_calls() -> None:
    """Calls come whole with the last chunk."""
    model = OfflineChatModel().bind_tools(demo_tools())
    question = "What is 1 + 1 and what is 2 + 2?"
    whole = sum_of(model.stream(question))

    assert _said(whole) == _said(model.invoke(question))
    assert [call["id"] for call in whole.tool_calls] == ["call_1", "call_2"]


def test_handlers_hear_every_word() -> None:
    """A streaming run tells its callbacks each token as it comes."""

    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: object) -> None:
            self.heard.append(str(token))

    listener = Listener()
    list(OfflineChatModel().stream("hello", config={"callbacks": [listener]}))

    assert [token for token in listener.heard if token] == ["Hello!"]


async def test_it_works_asynchronously() -> None:
    """`ainvoke` and `astream` say the same as `invoke`."""
    model = OfflineChatModel()
    streamed = [chunk.text async for chunk in model.astream("hello")]

    assert (await model.ainvoke("hello")).text == "".join(streamed) == model.invoke("hello").text


def test_tokens_are_words_and_punctuation_marks() -> None:
    """Usage is counted from the messages: `Hi`, `,`, `I`, `'`, `m`, `Ada` are six."""
    usage = (
        OfflineChatModel().invoke([SystemMessage("Be brief."), HumanMessage("Hi, I'm Ada")]).usage_metadata
    )

    assert usage == UsageMetadata(input_tokens=9, output_tokens=9, total_tokens=18)


def _said(message: AIMessage) -> tuple[Any, ...]:
    return message.text, message.tool_calls, message.usage_metadata, message.response_metadata


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", "7"),
        ("0.1 + 0.2", "0.3"),
        ("-(2 ** 3) % +5", "2"),
        ("2 ** 0.5", "1.41421356237"),
        ("2 ** -1", "0.5"),
        ("1 / 0", "1 / 0 divides by zero"),
        ("9 ** 9 ** 9", "9 ** 9 ** 9 is too large"),
        ("1e308 * 10", "1e308 * 10 is too large"),
        ("(-8) ** 0.5", "the result is not a real number"),
        ("2 ^ 3", "'2 ^ 3' is not made of numbers and + - * / % ** ( )"),
        ("__import__('os')", "\"__import__('os')\" is not made of numbers and + - * / % ** ( )"),
        ("True + 1", "'True' is not made of numbers and + - * / % ** ( )"),
        ("1 +", "'1 +' is not an arithmetic expression"),
        ("1 + \0", "'1 + \\x00' is not an arithmetic expression"),
        ("1" * 201, "the expression is longer than 200 characters"),
    ],
)
def test_the_calculator_computes_or_says_why_not(expression: str, result: str) -> None:
    """Arithmetic has a result; anything else, and anything too large, is refused in a sentence."""
    calculator, _ = demo_tools()

    assert calculator.invoke({"expression": expression}) == result


@pytest.mark.parametrize(
    ("start", "end", "result"),
    [
        ("2026-01-01", "2026-12-24", "357 days (51 weeks)"),
        ("2028-03-01", "2028-02-28", "2 days"),
        ("2026-01-01", "2026-01-02", "1 day"),
        ("2026-01-01", "2026-01-09", "8 days (1 week and 1 day)"),
        ("2026-02-30", "2026-03-01", "'2026-02-30' is not a date like 2026-12-24"),
    ],
)
def test_days_are_counted_in_the_calendar(start: str, end: str, result: str) -> None:
    """Leap days count, the order of the dates does not, and what is no date is refused."""
    _, days_between = demo_tools()

    assert days_between.invoke({"start": start, "end": end}) == result
