"""The span of a turn says what was said and answered, for real chains, graphs and agents."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypedDict, cast

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint  # pyright: ignore[reportMissingTypeStubs] -- it is typed
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command, Interrupt, interrupt
from openinference.instrumentation import TraceConfig
from openinference.semconv.trace import SpanAttributes
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import StatusCode
from pydantic import BaseModel

from langchain_sessions import SessionCallbackHandler, SessionPolicy
from langchain_sessions._readable import INPUT_ORIGINAL, OUTPUT_ORIGINAL
from langchain_sessions.otel import SessionSpanProcessor
from tests.support import runnables
from tests.support.traces import Traces, attribute

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.conftest import MakeHandler

pytestmark = pytest.mark.core

App: TypeAlias = Runnable[Any, Any]

INPUT: Final = (SpanAttributes.INPUT_VALUE, SpanAttributes.INPUT_MIME_TYPE, INPUT_ORIGINAL)
OUTPUT: Final = (SpanAttributes.OUTPUT_VALUE, SpanAttributes.OUTPUT_MIME_TYPE, OUTPUT_ORIGINAL)
TEXT, JSON, HIDDEN = "text/plain", "application/json", "__REDACTED__"
PNG: Final = "data:image/png;base64," + "iVBORw0KGgo" * 4_000
"""Longer than OpenInference records."""

AS_OPENINFERENCE: Final = SessionPolicy(readable_turns=False)


class Shown(NamedTuple):
    """One side of a turn, as its span shows it."""

    text: object
    mime_type: object
    original: object


def root(traces: Traces) -> ReadableSpan:
    """Return the span of the last turn."""
    return [span for span in traces if span.parent is None][-1]


def said(traces: Traces) -> Shown:
    """Return what the last turn shows of its input."""
    return Shown(*(attribute(root(traces), key) for key in INPUT))


def answered(traces: Traces) -> Shown:
    """Return what the last turn shows of its output."""
    return Shown(*(attribute(root(traces), key) for key in OUTPUT))


def turn(traces: Traces) -> tuple[object, object]:
    """Return both texts of the last turn."""
    return said(traces).text, answered(traces).text


def model(*answers: AIMessage | str) -> GenericFakeChatModel:
    """Return a chat model that gives these answers."""
    return GenericFakeChatModel(messages=iter(answers))


class ToolCallingModel(GenericFakeChatModel):
    """A chat model that may be told of tools."""

    def bind_tools(self, *_: Any, **__: Any) -> ToolCallingModel:
        """Take note of nothing."""
        return self


def calling(name: str, **args: object) -> AIMessage:
    """Return an answer that calls a tool, and says nothing."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1", "type": "tool_call"}])


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@tool(return_direct=True)
def forecast(city: str) -> str:
    """Tell the weather of tomorrow, to the user."""
    return f"sun in {city}"


def agent(*answers: AIMessage | str, **more: Any) -> App:
    """Return an agent with a model that gives these answers."""
    tools = [weather, forecast]
    return cast(
        "App",
        create_agent(ToolCallingModel(messages=iter(answers)), tools, checkpointer=InMemorySaver(), **more),
    )


def graph(*nodes: Callable[[MessagesState], Any], saver: InMemorySaver | None = None) -> App:
    """Return a graph that runs these nodes one after the other."""
    builder, previous = StateGraph(MessagesState), START
    for number, node in enumerate(nodes):
        builder.add_node(f"node {number}", cast("Any", node))
        builder.add_edge(previous, f"node {number}")
        previous = f"node {number}"
    return cast("App", builder.compile(checkpointer=saver or InMemorySaver()))


def echo(state: MessagesState) -> dict[str, Any]:
    """Answer what was said last."""
    return {"messages": [("ai", f"You said: {state['messages'][-1].text}")]}


def ask_age(_: MessagesState) -> dict[str, Any]:
    """Ask the user, and answer what the user says to it."""
    return {"messages": [("ai", f"So you are {interrupt('How old are you?')}.")]}


@pytest.fixture
def config(handler: SessionCallbackHandler) -> RunnableConfig:
    """The config of a call in a conversation."""
    return {"callbacks": [handler], "configurable": {"thread_id": "abc", "session_id": "abc"}}


# --- chains -------------------------------------------------------------------------------------------------


def test_a_chain_that_returns_a_message(config: RunnableConfig, traces: Traces) -> None:
    """The text is shown, and the JSON stays beside it."""
    chain = ChatPromptTemplate.from_template("{q}, in {language}") | model("fine")
    chain.invoke({"question": "how are you?", "q": "how are you?", "language": "English"}, config)
    text, mime_type, original = answered(traces)
    assert (text, mime_type) == ("fine", TEXT)
    assert json.loads(str(original))["data"]["content"] == "fine"
    text, mime_type, original = said(traces)
    assert (text, mime_type) == ("how are you?", TEXT)
    assert json.loads(str(original))["language"] == "English"


def test_a_chain_of_texts_stays_as_it_is(config: RunnableConfig, traces: Traces) -> None:
    """OpenInference writes a single text as it is, and there is nothing to keep beside it."""
    runnables.chain().invoke({"q": "hi"}, config)
    assert said(traces) == ("hi", None, None)
    assert answered(traces) == ("fine", None, None)


def test_only_the_outermost_run_is_rewritten(config: RunnableConfig, traces: Traces) -> None:
    """A step shows what OpenInference writes: that is what one looks at to find a mistake."""
    (RunnableLambda(lambda text: {"messages": [("human", text)]}) | graph(echo)).invoke("hi", config)
    inner = traces.named("LangGraph")
    assert turn(traces) == ("hi", "You said: hi")
    assert attribute(inner, SpanAttributes.INPUT_MIME_TYPE) == JSON
    assert not [span for span in traces if span.parent and attribute(span, OUTPUT_ORIGINAL)]


@pytest.mark.parametrize(
    ("value", "result"),
    [({"numbers": [1, 2]}, [3]), ({"a": "x", "b": "y"}, {"left": "x", "right": "y"}), (["a", "b"], 7)],
    ids=["numbers", "texts", "list"],
)
def test_what_is_no_chat_is_left_as_it_was(
    value: Any, result: Any, make_handler: MakeHandler, traces: Traces
) -> None:
    """Attribute for attribute."""
    job = RunnableLambda(lambda _: result)
    job.invoke(value, {"callbacks": [make_handler()]})
    ours = dict(root(traces).attributes or {})
    job.invoke(value, {"callbacks": [make_handler(policy=AS_OPENINFERENCE)]})
    assert ours == dict(root(traces).attributes or {})


def test_lone_models_tools_and_retrievers(config: RunnableConfig, traces: Traces) -> None:
    """A model called on its own is a turn; a tool or a retriever is no conversation."""
    runnables.chat_model().invoke([("system", "be kind"), ("human", "hi")], config)
    assert (turn(traces), said(traces).mime_type) == (("hi", "fine"), TEXT)
    runnables.completion_model().invoke("hi", config)
    assert (turn(traces), said(traces).mime_type) == (("hi", "fine"), TEXT)
    lone: list[tuple[App, Any]] = [(runnables.OneDocument(), "cats"), (runnables.shout, {"text": "hi"})]
    for app, value in lone:
        app.invoke(value, config)
        assert (said(traces).original, answered(traces).original) == (None, None)
    runnables.OneDocument().invoke("cats", config)
    assert answered(traces).mime_type == JSON


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory` was deprecated")
@pytest.mark.parametrize("key", ["question", None])
def test_message_histories(key: str | None, config: RunnableConfig, traces: Traces) -> None:
    """Every turn shows what is new in it, however the history is wired."""
    if key:
        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "{question}")])
        step, names = (
            prompt | model("one", "two"),
            {"input_messages_key": key, "history_messages_key": "past"},
        )
    else:
        step, names = model("one", "two"), {}
    app = RunnableWithMessageHistory(step, runnables.Histories().of, **cast("Any", names))
    for question, answer in (("first", "one"), ("second", "two")):
        app.invoke({key: question} if key else [HumanMessage(question)], config)
        assert turn(traces) == (question, answer)


def test_a_multimodal_question(config: RunnableConfig, traces: Traces) -> None:
    """An image is named in the text, and too large a one is not kept beside it either."""
    content = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": PNG}}]
    model("a cat").invoke([HumanMessage(cast("Any", content))], config)
    text, _, original = said(traces)
    assert text == "what is it?\n[image]"
    assert PNG not in str(original)
    assert HIDDEN in json.dumps(json.loads(str(original)))


# --- graphs and agents --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [("human", "hi")],
        "hi",
        [HumanMessage("hi")],
        {"role": "user", "content": "hi"},
        ("user", "hi"),
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    ],
    ids=["pairs", "text", "messages", "dictionary", "pair", "dictionaries"],
)
def test_the_first_turn_and_later_ones(messages: Any, config: RunnableConfig, traces: Traces) -> None:
    """A graph returns the whole conversation; the turn is its end."""
    app = graph(echo)
    for text in ("hi", "hi again"):
        app.invoke({"messages": messages if text == "hi" else text}, config)
        assert turn(traces) == (text, f"You said: {text}")
    assert len(json.loads(str(answered(traces).original))["messages"]) == 4


def test_a_question_and_the_answer_to_it(config: RunnableConfig, traces: Traces) -> None:
    """The output of an interrupted turn is what the user is asked; the input of the next, what they say."""
    app = graph(echo, ask_age)
    app.invoke({"messages": "hi"}, config)
    assert turn(traces) == ("hi", "How old are you?")
    assert root(traces).status.status_code is StatusCode.OK
    app.invoke(Command(resume="7"), config)
    assert turn(traces) == ("7", "So you are 7.")


def test_questions_of_several_nodes_and_of_a_subgraph(config: RunnableConfig, traces: Traces) -> None:
    """All of them are shown, from whatever depth."""

    def ask_height(_: MessagesState) -> None:
        interrupt({"question": "How tall are you?", "unit": "cm"})

    builder = StateGraph(MessagesState)
    builder.add_node("ask", cast("Any", ask_height))
    builder.add_node("sub", cast("Any", graph(ask_age, saver=cast("Any", False))))
    builder.add_edge(START, "ask")
    builder.add_edge(START, "sub")
    cast("App", builder.compile(checkpointer=InMemorySaver())).invoke({"messages": "hi"}, config)
    text = str(answered(traces).text)
    assert sorted(text.splitlines()) == ["How old are you?", "How tall are you?"]


def test_a_question_before_anything_was_returned(config: RunnableConfig, traces: Traces) -> None:
    """It is shown, too, when OpenInference would write nothing, or null."""

    class Nothing(TypedDict, total=False):
        answer: str

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(_: str) -> str:
        return interrupt("Really?")

    def ask(_: Nothing) -> Nothing:
        return {"answer": interrupt("Really?")}

    builder = StateGraph(Nothing)
    builder.add_node("ask", cast("Any", ask))
    builder.add_edge(START, "ask")
    builder.compile(checkpointer=InMemorySaver()).invoke({}, config)
    assert answered(traces).text == "Really?"
    cast("App", workflow).invoke("hi", {**config, "configurable": {"thread_id": "another"}})
    assert turn(traces) == ("hi", "Really?")
    assert answered(traces).original is None


def test_a_question_that_somebody_else_answers(config: RunnableConfig, traces: Traces) -> None:
    """An interrupt that does not end the turn is not what was answered."""

    def ask(_: str) -> str:
        raise GraphInterrupt([Interrupt("Really?")])

    app = cast("Any", RunnableLambda(ask))
    app.with_fallbacks([RunnableLambda(lambda _: AIMessage("fine"))]).invoke("hi", config)
    assert turn(traces) == ("hi", "fine")


def test_a_graph_that_goes_on_without_input(config: RunnableConfig, traces: Traces) -> None:
    """Nothing was said, so nothing is shown."""
    app = graph(echo, echo)
    app.invoke({"messages": "hi"}, config, interrupt_after=["node 0"])
    assert turn(traces) == ("hi", "You said: hi")
    app.invoke(None, config)
    assert turn(traces) == ("", "You said: You said: hi")


def test_an_agent(config: RunnableConfig, traces: Traces) -> None:
    """Its answer, be it the model's or that of a tool which speaks to the user, or empty."""
    app = agent(calling("weather", city="Oslo"), "It rains.", calling("forecast", city="Oslo"), "")
    for question, answer in (("weather?", "It rains."), ("tomorrow?", "sun in Oslo"), ("and?", "")):
        app.invoke({"messages": question}, config)
        assert turn(traces) == (question, answer)


def test_an_agent_with_structured_output(config: RunnableConfig, traces: Traces) -> None:
    """What it returns as an object is shown as JSON, where the model has said nothing."""

    class Forecast(BaseModel):
        city: str
        degrees: int

    app = agent(calling("Forecast", city="Oslo", degrees=7), response_format=ToolStrategy(Forecast))
    app.invoke({"messages": "weather?"}, config)
    assert turn(traces) == ("weather?", '{"city": "Oslo", "degrees": 7}')


def test_an_agent_that_asks_for_approval(config: RunnableConfig, traces: Traces) -> None:
    """The request is shown as the question, and the decision as the answer to it."""
    approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    app = agent(calling("weather", city="Oslo"), "It rains.", middleware=[approval])
    app.invoke({"messages": "weather?"}, config)
    assert "Tool: weather" in str(answered(traces).text)
    app.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert turn(traces) == ("approve", "It rains.")


def test_a_turn_that_fails(config: RunnableConfig, traces: Traces) -> None:
    """What was said is shown; there is no answer."""

    def fail(_: MessagesState) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        graph(echo, cast("Any", fail)).invoke({"messages": "hi"}, config)
    assert turn(traces) == ("hi", None)


# --- streams ------------------------------------------------------------------------------------------------

Consume: TypeAlias = Callable[[App, object, RunnableConfig], object]


async def consumed(app: App, value: object, config: RunnableConfig) -> None:
    """Read all chunks."""
    async for _ in app.astream(value, config):
        pass


async def events(app: App, value: object, config: RunnableConfig) -> None:
    """Read all events."""
    async for _ in app.astream_events(value, config, version="v2"):
        pass


STREAMS: Final[dict[str, Consume]] = {
    "stream": lambda app, value, config: list(app.stream(value, config)),
    "astream": lambda app, value, config: asyncio.run(consumed(app, value, config)),
    "astream_events": lambda app, value, config: asyncio.run(events(app, value, config)),
}
MODES: Final = ["values", "updates", "messages", "custom", "debug", "tasks", ["values", "messages"]]


@pytest.mark.parametrize("consume", STREAMS.values(), ids=STREAMS)
def test_a_stream_that_is_read_to_its_end(consume: Consume, config: RunnableConfig, traces: Traces) -> None:
    """Chunks are put together as LangChain does."""
    prompt = ChatPromptTemplate.from_template("{q}")
    consume(prompt | model("fine and well"), {"q": "how are you?"}, config)
    assert turn(traces) == ("how are you?", "fine and well")
    consume(model("fine and well"), "how are you?", config)
    assert turn(traces) == ("how are you?", "fine and well")
    consume(graph(echo, ask_age), {"messages": "hi"}, config)
    assert turn(traces) == ("hi", "How old are you?")
    consume(RunnableLambda(lambda text: {"messages": text}) | graph(echo), "hi", config)
    assert turn(traces) == ("hi", "You said: hi")


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_graph_streams_in_any_mode(mode: Any, config: RunnableConfig, traces: Traces) -> None:
    """What the consumer gets makes no difference to what is shown."""
    app = cast("Any", graph(echo, ask_age))
    list(app.stream({"messages": "hi"}, config, stream_mode=mode, subgraphs=True))
    assert turn(traces) == ("hi", "How old are you?")
    list(app.stream(Command(resume="7"), config, stream_mode=mode))
    assert turn(traces) == ("7", "So you are 7.")


@pytest.mark.parametrize(("chunks", "text"), [(1, ""), (2, "fine"), (4, "fine and")])
def test_a_stream_that_is_left(chunks: int, text: str, config: RunnableConfig, traces: Traces) -> None:
    """What LangChain tells of it is shown: what the consumer has asked for, but for the last chunk."""
    stream = (ChatPromptTemplate.from_template("{q}") | model("fine and well") | StrOutputParser()).stream(
        {"q": "how are you?"}, config
    )
    for _ in range(chunks):
        next(stream)
    cast("Any", stream).close()
    assert turn(traces)[0] == "how are you?"
    assert str(turn(traces)[1]).strip() == text.strip()


# --- what is hidden stays hidden ----------------------------------------------------------------------------

SECRET: Final = "the secret word"
IMAGE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGlkZGVu"}}


class Expected(NamedTuple):
    """What a turn shows when a switch is on."""

    said: str
    answered: str
    has_originals: bool


OPEN: Final = Expected("my question\n[image]", "my answer", has_originals=True)
NO_INPUT: Final = Expected(HIDDEN, "my answer", has_originals=False)
NO_OUTPUT: Final = Expected("my question\n[image]", HIDDEN, has_originals=False)
NO_ORIGINALS: Final = Expected("my question\n[image]", "my answer", has_originals=False)

SWITCHES: Final[dict[str, tuple[Any, Expected]]] = {
    "hide_inputs": (True, NO_INPUT),
    "hide_input_messages": (True, NO_INPUT),
    "hide_input_text": (True, NO_INPUT),
    "hide_prompts": (True, NO_INPUT),
    "hide_outputs": (True, NO_OUTPUT),
    "hide_output_messages": (True, NO_OUTPUT),
    "hide_output_text": (True, NO_OUTPUT),
    "hide_choices": (True, NO_OUTPUT),
    # The state of a graph may have images, documents and descriptions of tools anywhere in it.
    "hide_input_images": (True, NO_ORIGINALS),
    "hide_retrieval_documents": (True, NO_ORIGINALS),
    "hide_llm_tools": (True, NO_ORIGINALS),
    # Of these, nothing is in a payload.
    "hide_llm_invocation_parameters": (True, OPEN),
    "hide_embedding_vectors": (True, OPEN),
    "hide_embeddings_vectors": (True, OPEN),
    "hide_embeddings_text": (True, OPEN),
    "enable_genai_semconv": (True, OPEN),
    "base64_image_max_length": (3, OPEN),
    "blob_uploader": (None, OPEN),
}


@pytest.mark.parametrize("name", [field.name for field in fields(TraceConfig)])
def test_every_switch_of_openinference_holds(name: str, make_handler: MakeHandler, traces: Traces) -> None:
    """Also where OpenInference itself would write the whole JSON; a new switch has to be thought about."""
    assert name in SWITCHES, f"what does {name} hide of a readable turn? See _readable.py"
    value, expected = SWITCHES[name]
    handler = make_handler(config=TraceConfig(**{name: value}))
    content = [{"type": "text", "text": "my question"}, IMAGE]
    app = graph(lambda _: {"messages": [("ai", "my answer")]})
    config: RunnableConfig = {"callbacks": [handler], "configurable": {"thread_id": "abc"}}
    app.invoke({"messages": [("ai", "before"), ("human", content)]}, config)
    assert turn(traces) == (expected.said, expected.answered)
    originals = (said(traces).original, answered(traces).original)
    assert [original is not None for original in originals] == [expected.has_originals] * 2
    if name == "base64_image_max_length":
        assert "aGlkZGVu" not in str(originals)
        assert [json.loads(str(original)) for original in originals]
    for hidden, word in ((expected.said, "my question"), (expected.answered, "my answer")):
        assert hidden != HIDDEN or word not in str(dict(root(traces).attributes or {}))


@pytest.mark.parametrize("name", [name for name, (_, expected) in SWITCHES.items() if HIDDEN in expected])
def test_a_switch_holds_for_plain_texts_and_lone_models(
    name: str, make_handler: MakeHandler, traces: Traces
) -> None:
    """What needs no rewriting is the user's words, too."""
    config: RunnableConfig = {"callbacks": [make_handler(config=TraceConfig(**cast("Any", {name: True})))]}
    _, expected = SWITCHES[name]
    apps: list[tuple[App, Any]] = [
        (runnables.chain(), {"q": "hi"}),
        (model("fine"), "hi"),
        (runnables.completion_model(), "hi"),
    ]
    for app, value in apps:
        app.invoke(value, config)
        assert [text == HIDDEN for text in turn(traces)] == [
            expected.said == HIDDEN,
            expected.answered == HIDDEN,
        ]


def test_a_question_is_hidden_like_any_output(make_handler: MakeHandler, traces: Traces) -> None:
    """Whether OpenInference writes something in its place or not."""
    config: RunnableConfig = {
        "callbacks": [make_handler(config=TraceConfig(hide_outputs=True))],
        "configurable": {"thread_id": "abc"},
    }
    graph(echo, ask_age).invoke({"messages": "hi"}, config)
    assert turn(traces) == ("hi", HIDDEN)
    assert "How old" not in str(dict(root(traces).attributes or {}))


class Masking(TraceConfig):
    """A user's config: no secret words, and of a state only its messages' texts."""

    def mask(self, key: str, value: Any, **more: Any) -> Any:
        """Hide the word in every text, and the whole of the field "password"."""
        if key == SpanAttributes.INPUT_VALUE and str(value).startswith("{"):
            value = json.dumps({**json.loads(str(value)), "question": "(hidden)"})
        return super().mask(key, value.replace(SECRET, "***") if isinstance(value, str) else value, **more)


def test_a_config_of_ones_own_is_asked(make_handler: MakeHandler, traces: Traces) -> None:
    """For the texts, and the originals; what it hides in JSON is not read before it has."""
    config: RunnableConfig = {"callbacks": [make_handler(config=Masking())]}
    chain = RunnableLambda(lambda _: AIMessage(f"I know {SECRET}."))
    chain.invoke({"question": SECRET, "n": 1}, config)
    assert turn(traces) == ("(hidden)", "I know ***.")
    assert not [value for value in (root(traces).attributes or {}).values() if SECRET in str(value)]
    assert json.loads(str(said(traces).original)) == {"question": "(hidden)", "n": 1}
    RunnableLambda(str).invoke({"question": f"Is it {SECRET}?"}, config)
    assert said(traces) == ("Is it ***?", None, None)
    RunnableLambda(str).invoke({"question": "Is it?"}, config)
    assert said(traces) == ("Is it?", None, None)


class Refusing(TraceConfig):
    """A user's config that lets no text of an input pass, and does not look at it."""

    def mask(self, key: str, value: Any, **more: Any) -> Any:
        """Refuse what is no JSON."""
        is_input = key == SpanAttributes.INPUT_VALUE
        return None if is_input and not str(value).startswith("{") else super().mask(key, value, **more)


def test_a_config_that_refuses_the_text(make_handler: MakeHandler, traces: Traces) -> None:
    """Nothing is shown in its place."""
    RunnableLambda(str).invoke({"question": "hi", "n": 1}, {"callbacks": [make_handler(config=Refusing())]})
    assert said(traces).text is None


class Failing(TraceConfig):
    """A user's config that relies on JSON."""

    def mask(self, key: str, value: Any, **more: Any) -> Any:
        """Parse what is not always JSON."""
        if key == SpanAttributes.INPUT_VALUE:
            json.loads(str(value))
        return super().mask(key, value, **more)


def test_a_config_that_fails_on_texts(
    make_handler: MakeHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """The span says what OpenInference would have written; the error is counted and logged, once."""
    handler = make_handler(config=Failing())
    handler.raise_error = False
    for _ in range(2):
        RunnableLambda(len).invoke({"question": "hi", "n": 1}, {"callbacks": [handler]})
    assert json.loads(str(said(traces).text)) == {"question": "hi", "n": 1}
    assert handler.error_count == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("raw", ["ada@example.org", "42"], ids=["address", "number"])
def test_pseudonyms_hold(raw: str, make_handler: MakeHandler, traces: Traces) -> None:
    """In texts and originals; a short id where it is a whole value, also of a block, or of a question."""
    policy = SessionPolicy(pseudonymize=b"0123456789abcdef")

    def ask(_: MessagesState) -> None:
        interrupt({"question": raw})

    config: RunnableConfig = {"callbacks": [make_handler(policy=policy)], "configurable": {"thread_id": raw}}
    content = [{"type": "text", "text": "I am"}, {"type": "text", "text": raw}]
    graph(ask).invoke({"messages": [HumanMessage(cast("Any", content), id="1")]}, config)
    hidden = policy.canonical(raw)
    assert turn(traces) == (f"I am\n{hidden}", hidden)
    assert hidden in str(said(traces).original)
    assert not [value for value in (root(traces).attributes or {}).values() if f'"{raw}"' in str(value)]


# --- the policy, limits, and other spans --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "text", "has_original"),
    [
        (SessionPolicy(), "hi", True),
        (SessionPolicy(keep_original_io=False), "hi", False),
        (AS_OPENINFERENCE, '{"messages": "hi", "n": 1}', False),
    ],
    ids=["default", "no original", "off"],
)
def test_the_policy_decides(
    policy: SessionPolicy, text: str, has_original: bool, make_handler: MakeHandler, traces: Traces
) -> None:
    """Readable turns are on by default, and so are the originals."""
    RunnableLambda(str).invoke({"messages": "hi", "n": 1}, {"callbacks": [make_handler(policy=policy)]})
    assert (said(traces).text, said(traces).original is not None) == (text, has_original)


def test_limits_of_the_sdk_hold() -> None:
    """Values are cut as all are; with too many attributes, the texts stay, and the originals go first."""
    traces = Traces()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=20, max_span_attribute_length=10))
    provider.add_span_processor(traces)
    messages = [("human" if number % 2 else "ai", f"message {number:03}") for number in range(40)]
    handler = SessionCallbackHandler(tracer_provider=provider)
    runnables.chat_model().invoke(messages, {"callbacks": [handler], "metadata": {"session_id": "abc"}})
    assert (said(traces), answered(traces)) == (("message 03", TEXT, None), ("fine", TEXT, None))


def test_the_enclosing_span_shows_them_too(make_handler: MakeHandler, traces: Traces) -> None:
    """A web server's span gets the texts, with their types, and no originals."""
    policy = SessionPolicy(stamp_enclosing=True)
    traces.provider.add_span_processor(SessionSpanProcessor(policy=policy))
    config: RunnableConfig = {"callbacks": [make_handler()], "configurable": {"thread_id": "abc"}}
    with traces.provider.get_tracer("web").start_as_current_span("POST /chat"):
        graph(echo).invoke({"messages": [("human", "hi")]}, config)
        runnables.chain().invoke({"q": "and?"}, config)
    assert said(traces) == ("hi", TEXT, None)
    assert answered(traces) == ("fine", TEXT, None)


@pytest.mark.parametrize("switch", ["hide_inputs", "hide_input_text"])
def test_the_enclosing_span_hides_what_is_hidden(
    switch: str, make_handler: MakeHandler, traces: Traces
) -> None:
    """It shows no more than the turn does."""
    traces.provider.add_span_processor(SessionSpanProcessor(policy=SessionPolicy(stamp_enclosing=True)))
    handler = make_handler(config=TraceConfig(**cast("Any", {switch: True})))
    with traces.provider.get_tracer("web").start_as_current_span("POST /chat"):
        graph(echo).invoke({"messages": "hi"}, {"callbacks": [handler], "configurable": {"thread_id": "abc"}})
    assert turn(traces) == (HIDDEN, "You said: hi")


def test_a_run_whose_parent_is_unknown(handler: SessionCallbackHandler, traces: Traces) -> None:
    """To a handler that is told of a model alone, the model's run is the turn: the root of its trace."""
    inner = GenericFakeChatModel(messages=iter(["fine"]), callbacks=[handler])
    (ChatPromptTemplate.from_template("{q}") | inner).invoke({"q": "hi"})
    assert len(traces.ended) == 1
    assert turn(traces) == ("hi", "fine")


class Unreadable(list[object]):
    """A value of the application that fails when it is read."""

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError


def test_an_error_of_reading_costs_nothing(
    make_handler: MakeHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the run nor its span; it is counted and logged."""
    handler = make_handler(policy=SessionPolicy(pseudonymize=b"0123456789abcdef"))
    handler.raise_error = False

    def ask(_: str) -> None:
        raise GraphInterrupt([Interrupt(Unreadable())])

    node = cast("Any", RunnableLambda(ask).with_config(metadata={"langgraph_node": "ask"}))
    app = node.with_fallbacks([RunnableLambda(len)])
    config: RunnableConfig = {"callbacks": [handler], "metadata": {"session_id": "somebody"}}
    assert app.invoke("hi", config) == 2
    assert turn(traces) == ("hi", "2")
    assert handler.error_count == len(caplog.records) == 1


def test_a_run_in_the_trace_of_another_handlers_run(instrumented: MakeHandler, traces: Traces) -> None:
    """It is a step of that turn, though LangChain does not say so."""
    instrumented()
    inner = graph(echo)

    def call(text: str) -> str:
        config: RunnableConfig = {"callbacks": [], "configurable": {"thread_id": "abc"}}
        return inner.invoke({"messages": [("human", text)]}, config)["messages"][-1].text

    RunnableLambda(call).invoke("hi", {"metadata": {"session_id": "abc"}})
    graphs = [span for span in traces if span.name == "LangGraph"]
    assert [attribute(span, SpanAttributes.INPUT_MIME_TYPE) for span in graphs] == [JSON]
    assert turn(traces) == ("hi", "You said: hi")
