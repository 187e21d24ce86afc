from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from openinference.semconv.resource import ResourceAttributes
from openinference.semconv.trace import (
    MessageAttributes,
    MessageContentAttributes,
    OpenInferenceSpanKindValues,
    SpanAttributes,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Span,
    Status,
    StatusCode,
    format_trace_id,
    set_span_in_context,
)
from pydantic import TypeAdapter

from langchain_sessions.store import (
    SearchHit,
    Session,
    SessionStats,
    SessionSummary,
    ToolUse,
    Turn,
    sessions_from_spans,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

JSON = "application/json"
LLM = OpenInferenceSpanKindValues.LLM
TOOL = OpenInferenceSpanKindValues.TOOL


class Recorder:
    """Makes spans at the times it is told, through a real provider."""

    def __init__(self, project: str | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        resource = Resource({ResourceAttributes.PROJECT_NAME: project} if project else {})
        self.provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def span(
        self,
        start: int,
        end: int,
        *,
        parent: Span | None = None,
        kind: OpenInferenceSpanKindValues | None = OpenInferenceSpanKindValues.CHAIN,
        name: str = "step",
        error: str | None = None,
        **attributes: AttributeValue,
    ) -> Span:
        context = set_span_in_context(parent) if parent else None
        span = self.tracer.start_span(name, context=context, start_time=start)
        if kind is not None:
            span.set_attribute(SpanAttributes.OPENINFERENCE_SPAN_KIND, kind.value)
        span.set_attributes({_KEYS[key]: value for key, value in attributes.items()})
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=end)
        return span

    def finished(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


_KEYS = {
    "session": SpanAttributes.SESSION_ID,
    "user": SpanAttributes.USER_ID,
    "input": SpanAttributes.INPUT_VALUE,
    "input_type": SpanAttributes.INPUT_MIME_TYPE,
    "output": SpanAttributes.OUTPUT_VALUE,
    "output_type": SpanAttributes.OUTPUT_MIME_TYPE,
    "tool": SpanAttributes.TOOL_NAME,
    "prompt_tokens": SpanAttributes.LLM_TOKEN_COUNT_PROMPT,
    "completion_tokens": SpanAttributes.LLM_TOKEN_COUNT_COMPLETION,
}


def say(span: Span, prefix: str, messages: Sequence[tuple[str, str]]) -> None:
    """Write messages to a span that is still open, flattened as OpenInference does."""
    for index, (role, content) in enumerate(messages):
        span.set_attribute(f"{prefix}.{index}.{MessageAttributes.MESSAGE_ROLE}", role)
        span.set_attribute(f"{prefix}.{index}.{MessageAttributes.MESSAGE_CONTENT}", content)


def model_call(
    recorder: Recorder, start: int, end: int, parent: Span, sent: Sequence[tuple[str, str]], received: str
) -> None:
    """Record a model call with these messages; it counts 10 tokens for each one sent, and 3 received."""
    span = recorder.tracer.start_span("model", context=set_span_in_context(parent), start_time=start)
    span.set_attribute(SpanAttributes.OPENINFERENCE_SPAN_KIND, LLM.value)
    span.set_attribute(SpanAttributes.LLM_TOKEN_COUNT_PROMPT, 10 * len(sent))
    span.set_attribute(SpanAttributes.LLM_TOKEN_COUNT_COMPLETION, 3)
    say(span, SpanAttributes.LLM_INPUT_MESSAGES, sent)
    say(span, SpanAttributes.LLM_OUTPUT_MESSAGES, [("assistant", received)])
    span.end(end_time=end)


def trace_id(span: Span) -> str:
    """The id of the span's trace, as text."""
    return format_trace_id(span.get_span_context().trace_id)


@pytest.fixture
def recorder() -> Recorder:
    """An empty recorder."""
    return Recorder()


def test_a_turn_is_read_from_its_model_calls_and_tools(recorder: Recorder) -> None:
    """Where the root's JSON was cut off, the first call's last user message is the question, and so on."""
    cut = '{"messages": ['
    root = recorder.span(
        *(100, 900), session="abc", user="ada", input=cut, input_type=JSON, output=cut, output_type=JSON
    )
    question = [("user", "earlier"), ("assistant", "yes?"), ("user", "what is 6 * 7?")]
    model_call(recorder, 200, 300, root, [("system", "be brief"), *question], "")
    result = json.dumps({"type": "tool", "data": {"content": "42", "status": "success"}})
    recorder.span(400, 500, parent=root, kind=TOOL, tool="calculator", input="6 * 7", output=result)
    model_call(recorder, 600, 700, root, [*question, ("tool", "42")], "It is 42.")

    assert sessions_from_spans(recorder.finished()) == [
        Session.of(
            [
                Turn(
                    trace_id=trace_id(root),
                    session_id="abc",
                    user="ada",
                    input="what is 6 * 7?",
                    output="It is 42.",
                    tools=(ToolUse("calculator", "6 * 7", "42", None),),
                    prompt_tokens=80,
                    completion_tokens=6,
                    started_ns=100,
                    duration_ns=800,
                    error=None,
                    span_count=4,
                )
            ]
        )
    ]


def test_messages_are_in_the_order_of_their_numbers(recorder: Recorder) -> None:
    """Message 10 comes after message 9, whatever the order of the attributes and of their names."""
    root = recorder.span(0, 9, session="abc")
    model_call(recorder, 1, 2, root, [("user", f"message {number}") for number in range(12)], "ok")

    [session] = sessions_from_spans(recorder.finished())
    assert session.turns[0].input == "message 11"


def test_a_trace_without_a_model_shows_what_went_into_its_root_and_came_out(recorder: Recorder) -> None:
    """Where no model was called, the root's input and output are the turn's texts."""
    recorder.span(0, 9, session="abc", input="ping", output="pong")

    [session] = sessions_from_spans(recorder.finished())
    assert (session.turns[0].input, session.turns[0].output) == ("ping", "pong")


def test_content_blocks_become_text(recorder: Recorder) -> None:
    """Text blocks are joined, media named, reasoning left out."""
    root = recorder.span(0, 9, session="abc")
    span = recorder.tracer.start_span("model", context=set_span_in_context(root), start_time=1)
    span.set_attribute(SpanAttributes.OPENINFERENCE_SPAN_KIND, LLM.value)
    for prefix, role, blocks in (
        (SpanAttributes.LLM_INPUT_MESSAGES, "user", [("text", "what is this?"), ("image", "")]),
        (
            SpanAttributes.LLM_OUTPUT_MESSAGES,
            "assistant",
            [("reasoning", "hm"), ("text", "a "), ("text", "cat")],
        ),
    ):
        span.set_attribute(f"{prefix}.0.{MessageAttributes.MESSAGE_ROLE}", role)
        for index, (kind, text) in enumerate(blocks):
            block = f"{prefix}.0.{MessageAttributes.MESSAGE_CONTENTS}.{index}"
            span.set_attribute(f"{block}.{MessageContentAttributes.MESSAGE_CONTENT_TYPE}", kind)
            span.set_attribute(f"{block}.{MessageContentAttributes.MESSAGE_CONTENT_TEXT}", text)
    span.end(end_time=2)

    [session] = sessions_from_spans(recorder.finished())
    assert (session.turns[0].input, session.turns[0].output) == ("what is this?\n[image]", "a cat")


def sessions(recorder: Recorder) -> list[tuple[str, str | None, int, str]]:
    """What the recorded sessions are: id, user, number of spans, how they began."""
    return [
        (it.id, it.user, it.span_count, it.first_input) for it in sessions_from_spans(recorder.finished())
    ]


def test_a_span_belongs_to_the_session_that_it_names(recorder: Recorder) -> None:
    """A span inside of another session's is in its own, and what is below it is, too."""
    root = recorder.span(0, 9, session="outer", input="from outside")
    inner = recorder.span(1, 8, parent=root, session="inner", input="from inside")
    recorder.span(2, 3, parent=inner)
    recorder.span(8, 9, parent=root)

    assert sessions(recorder) == [("outer", None, 2, "from outside"), ("inner", None, 2, "from inside")]


def test_the_span_above_one_session_is_part_of_it(recorder: Recorder) -> None:
    """A span that no session encloses, a web server's say, belongs to the only one in its trace."""
    root = recorder.span(0, 9, kind=None)
    recorder.span(1, 8, parent=root, session=" abc ", user="ada", input="hi")
    recorder.span(8, 9, parent=root, kind=None)

    assert sessions(recorder) == [("abc", "ada", 2, "hi")]


def test_the_span_above_several_sessions_belongs_to_none(recorder: Recorder) -> None:
    """A job over two conversations, and what it does beside them, is filed under neither."""
    root = recorder.span(0, 9, input="all of them")
    recorder.span(5, 6, parent=root, session="second", user="eve", input="two")
    recorder.span(1, 4, parent=root, session="first", user="ada", input="one")
    recorder.span(7, 8, parent=root)

    assert sessions(recorder) == [("first", "ada", 1, "one"), ("second", "eve", 1, "two")]


def test_one_id_in_two_projects_is_two_sessions() -> None:
    """What different applications say under one id is not one conversation."""
    spans: list[ReadableSpan] = []
    for project in ("shop", "support"):
        recorder = Recorder(project)
        recorder.span(0, 9, session="abc", input=project)
        spans += recorder.finished()

    found = [(it.id, it.project, it.first_input) for it in sessions_from_spans(spans)]
    assert found == [("abc", "shop", "shop"), ("abc", "support", "support")]


def test_traces_without_an_id_are_left_out(recorder: Recorder) -> None:
    """A trace that names no session, or a blank one, belongs to none."""
    recorder.span(0, 9)
    recorder.span(0, 9, session="  ")

    assert sessions_from_spans(recorder.finished()) == []


def test_an_integer_id_is_its_digits(recorder: Recorder) -> None:
    """Ids that another instrumentor wrote as numbers are text to us."""
    recorder.span(0, 9, session=42)

    assert [session.id for session in sessions_from_spans(recorder.finished())] == ["42"]


def test_turns_and_sessions_are_in_the_order_in_which_they_began(recorder: Recorder) -> None:
    """The order in which spans arrive does not matter."""
    for start, session, text in [(50, "b", "3"), (30, "a", "2"), (70, "a", "4"), (10, "b", "1")]:
        recorder.span(start, start + 5, session=session, input=text)
    spans = recorder.finished()

    read = [
        [(s.id, *(turn.input for turn in s.turns)) for s in sessions_from_spans(o)]
        for o in (spans, spans[::-1])
    ]
    assert read == [[("b", "1", "3"), ("a", "2", "4")]] * 2


def test_a_session_sums_its_turns(recorder: Recorder) -> None:
    """Times, spans, errors and tokens of a session follow from its turns."""
    first = recorder.span(100, 900, session="abc")
    recorder.span(200, 300, parent=first, kind=LLM, prompt_tokens=5, completion_tokens=2)
    second = recorder.span(1000, 1500, session="abc", error="boom", user="ada")
    recorder.span(1100, 1200, parent=second, kind=LLM, prompt_tokens=7, completion_tokens=1)
    recorder.span(1100, 1200, parent=second, prompt_tokens=1000, completion_tokens=1000)

    [session] = sessions_from_spans(recorder.finished())
    assert (session.started_ns, session.last_activity_ns) == (100, 1500)
    assert (session.turn_count, session.span_count, session.error_count) == (2, 5, 1)
    assert session.p50_turn_ns == 500
    assert (session.prompt_tokens, session.completion_tokens, session.user) == (12, 3, "ada")


@pytest.mark.parametrize(
    ("description", "headline"),
    [
        ("ValueError('no')Traceback (most recent call last):\n\n  File ...", "ValueError('no')"),
        ("first\nsecond", "first"),
        ("", "failed without saying why"),
    ],
)
def test_an_error_is_one_line(recorder: Recorder, description: str, headline: str) -> None:
    """Of an error's description the first line is kept, without the traceback that LangChain glues to it."""
    recorder.span(0, 9, session="abc", error=description)

    [session] = sessions_from_spans(recorder.finished())
    assert session.turns[0].error == headline


def test_a_failed_tool_is_not_a_failed_turn(recorder: Recorder) -> None:
    """A tool that raised, and one that answered with an error message, fail alone."""
    root = recorder.span(0, 9, session="abc")
    recorder.span(1, 2, parent=root, kind=TOOL, name="raises", input="1", error="ValueError('no')")
    refused = json.dumps({"data": {"content": "no such city\nsorry", "status": "error"}})
    recorder.span(3, 4, parent=root, kind=TOOL, name="refuses", input="2", output=refused)

    [session] = sessions_from_spans(recorder.finished())
    assert session.error_count == 0
    assert session.turns[0].tools == (
        ToolUse("raises", "1", "", "ValueError('no')"),
        ToolUse("refuses", "2", "no such city\nsorry", "no such city"),
    )


@pytest.mark.parametrize("output", ['{"a": 1}', '{"content": ["x"]}', '{"data": 3}', "{not json", "[1, 2]"])
def test_json_that_is_no_message_stays_as_it_is(recorder: Recorder, output: str) -> None:
    """Only an object with a text under `content` is unwrapped."""
    recorder.span(0, 9, session="abc", output=output)

    [session] = sessions_from_spans(recorder.finished())
    assert session.turns[0].output == output


def test_a_trace_may_come_without_its_root(recorder: Recorder) -> None:
    """When the enclosing span went elsewhere, the turn is from the first to the last of what is there."""
    elsewhere = recorder.tracer.start_span("server", start_time=0)
    recorder.span(100, 200, parent=elsewhere, session="abc", input="one", output="uno")
    recorder.span(300, 450, parent=elsewhere, session="abc", input="two", output="due")

    [session] = sessions_from_spans(recorder.finished())
    [turn] = session.turns
    assert (turn.input, turn.output, turn.started_ns, turn.duration_ns) == ("one", "due", 100, 350)


def test_a_span_that_was_delivered_twice_counts_once(recorder: Recorder) -> None:
    """Exporters retry; a session does not grow by it."""
    root = recorder.span(0, 9, session="abc")
    recorder.span(1, 2, parent=root, kind=LLM, prompt_tokens=5)
    spans = recorder.finished()

    assert sessions_from_spans([*spans, *spans]) == sessions_from_spans(spans)


def test_the_answer_falls_back_to_the_root_when_the_model_only_called_tools(recorder: Recorder) -> None:
    """A tool whose result is the answer leaves the last model call without text."""
    root = recorder.span(0, 9, session="abc", output="done")
    model_call(recorder, 1, 2, root, [("user", "do it")], "")

    [session] = sessions_from_spans(recorder.finished())
    assert (session.turns[0].input, session.turns[0].output) == ("do it", "done")


def test_no_spans_are_no_sessions() -> None:
    """Nothing in, nothing out."""
    assert sessions_from_spans([]) == []


@pytest.mark.parametrize("kind", [SearchHit, Session, SessionStats, SessionSummary, Turn])
def test_web_frameworks_understand_what_a_store_returns(kind: type) -> None:
    """Pydantic, and so FastAPI, can describe it and write it as JSON: its annotations can be read."""
    described = TypeAdapter(kind).json_schema()
    assert described["properties"]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"message.content": "Hello Bob!"}, "Hello Bob!"),
        (
            {
                "message.tool_calls.0.tool_call.function.name": "weather",
                "message.tool_calls.0.tool_call.function.arguments": '{"city": "Bergen"}',
                "message.tool_calls.1.tool_call.function.name": "clock",
            },
            'weather(city="Bergen")\nclock()',
        ),
        ({}, '{"id": "x", "n": 1}'),
    ],
)
def test_a_model_call_alone_is_read_by_its_messages(
    recorder: Recorder, message: dict[str, str], shown: str
) -> None:
    """What its provider answered in JSON of its own is shown as the message beside it, or as it is."""
    span = recorder.tracer.start_span("ChatCompletion", start_time=1)
    span.set_attributes(
        {
            SpanAttributes.OPENINFERENCE_SPAN_KIND: LLM.value,
            SpanAttributes.SESSION_ID: "abc",
            SpanAttributes.OUTPUT_VALUE: '{"id": "x", "n": 1}',
            SpanAttributes.OUTPUT_MIME_TYPE: JSON,
            **{f"{SpanAttributes.LLM_OUTPUT_MESSAGES}.0.{key}": value for key, value in message.items()},
        }
    )
    span.end(end_time=2)
    [session] = sessions_from_spans(recorder.finished())
    assert [it.output for it in session.turns] == [shown]
