from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig, RunnableLambda
from openinference.instrumentation import using_attributes, using_metadata
from openinference.semconv.trace import SpanAttributes

from langchain_sessions import SessionCallbackHandler, SessionPolicy, session
from langchain_sessions._privacy import scrub
from tests.support import runnables
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.conftest import MakeHandler

KEY = b"0123456789abcdef"
POLICY = SessionPolicy(pseudonymize=KEY)
ADA, BOB = "ada@example.org", "bob@example.org"
HIDDEN_ADA = POLICY.canonical(ADA)
QUESTION = {"q": "hi"}


@pytest.fixture
def handler(make_handler: MakeHandler) -> SessionCallbackHandler:
    """A handler that pseudonymizes."""
    return make_handler(policy=POLICY)


def everything(span: ReadableSpan) -> str:
    """Return all that a span says, in one text."""
    return json.dumps(json.loads(span.to_json()), ensure_ascii=False)


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        (ADA, [ADA]),
        (f"  {ADA}\n", [ADA]),
        ('über"quoted"@example.org', ["über", "\\u00fcber"]),
        (UUID(int=7), [str(UUID(int=7))]),
        (1234567890, ["1234567890"]),
    ],
)
@pytest.mark.parametrize("where", ["metadata", "configurable"])
def test_the_raw_id_appears_nowhere(
    where: str, raw: object, texts: list[str], handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Not in attributes, in the recorded metadata, in a span's name, status or exceptions."""

    def fail(_: object) -> None:
        msg = f"no such account: {raw}"
        raise KeyError(msg)

    chain = RunnableLambda(fail, name=f"chat with {raw}")
    config = RunnableConfig(callbacks=[handler], metadata={"note": f"asked by {raw}", "copy": [raw]})
    config[where] = {**config.get(where, {}), "session_id": raw, "user_id": raw}
    with pytest.raises(KeyError):
        chain.invoke(QUESTION, config)
    (span,) = traces
    hidden = POLICY.canonical(raw)
    assert (attribute(span, SESSION_ID), attribute(span, USER_ID)) == (hidden, hidden)
    metadata = json.loads(str(attribute(span, SpanAttributes.METADATA)))
    assert {key: metadata.get(key) for key in ("note", "copy")} == {
        "note": f"asked by {hidden}",
        "copy": [hidden],
    }
    assert not [text for text in texts if text in everything(span)]


def test_a_conversation_keeps_one_pseudonym(handler: SessionCallbackHandler, traces: Traces) -> None:
    """However the id is given, and on every span."""
    chain = runnables.chain()
    chain.invoke(QUESTION, {"callbacks": [handler], "metadata": {"session_id": ADA}})
    chain.invoke(QUESTION, {"callbacks": [handler], "configurable": {"thread_id": f" {ADA} "}})
    with session(ADA):
        chain.invoke(QUESTION, {"callbacks": [handler]})
    assert traces.sessions() == [HIDDEN_ADA] * 12


def test_short_ids_are_hidden_where_they_are_ids(handler: SessionCallbackHandler, traces: Traces) -> None:
    """An id of 42 is no reason to rewrite every 42 in a conversation, but metadata does not tell it."""
    metadata = {"session_id": 42, "again": "42", "apples": "42 apples", "in": ["42", 42, 4.2, True, None]}
    runnables.chat_model().invoke("I have 42 apples", {"callbacks": [handler], "metadata": metadata})
    (span,) = traces
    hidden = POLICY.canonical(42)
    recorded = json.loads(str(attribute(span, SpanAttributes.METADATA)))
    assert {key: recorded[key] for key in metadata} == {
        "session_id": hidden,
        "again": hidden,
        "apples": "42 apples",
        "in": [hidden, hidden, 4.2, True, None],
    }
    assert "I have 42 apples" in everything(span)


def test_ignored_refused_and_nested_ids_are_hidden_too(
    handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """An id that lost is as personal as the one that won; so is a value that is no id. Logs tell neither."""
    caplog.set_level(logging.DEBUG, "langchain_sessions")
    inner = RunnableLambda(
        lambda _: runnables.chat_model().invoke("hi", {"metadata": {"session_id": "carol@example.org"}})
    )
    inner.invoke(
        "x",
        {
            "callbacks": [handler],
            "metadata": {"session_id": ADA, "thread_id": BOB, "conversation_id": ["dave@example.org"]},
        },
    )
    said = " ".join(map(everything, traces)) + caplog.text
    assert traces.sessions() == [HIDDEN_ADA] * 2
    assert not [name for name in ("ada@", "bob@", "carol@", "dave@") if name in said]
    assert len(caplog.records) == 3


def test_a_late_id_is_hidden_in_the_runs_that_knew_nothing_of_it(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A run that takes its id from the runs inside it does not record the raw one either."""

    async def answer() -> None:
        configs = [
            RunnableConfig(
                callbacks=[handler], configurable={"thread_id": id_}, metadata={"note": f"for {id_}"}
            )
            for id_ in (ADA, BOB)
        ]
        await runnables.chain().abatch([QUESTION] * 2, configs)

    asyncio.run(answer())
    assert not [span for span in traces if ADA in everything(span) or BOB in everything(span)]
    assert set(traces.sessions()) == {HIDDEN_ADA, POLICY.canonical(BOB)}


@pytest.mark.parametrize("where", ["metadata", "configurable"])
def test_a_raw_id_is_hidden_in_tags(where: str, handler: SessionCallbackHandler, traces: Traces) -> None:
    """Also where it is found when the run has begun."""
    call: Any = {"callbacks": [handler], "tags": ["beta", f"by {ADA}"], where: {"session_id": ADA}}
    runnables.chain().invoke(QUESTION, call)
    asyncio.run(runnables.chain().abatch([QUESTION], [call]))
    assert not [span for span in traces if ADA in everything(span)]
    tags = [attribute(span, SpanAttributes.TAG_TAGS) for span in traces]
    assert [it for it in tags if it is not None] == [("beta", f"by {HIDDEN_ADA}")] * 2


def test_openinferences_context_metadata_is_hidden_too(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """What `using_metadata` adds passes the same filter, for samplers as well."""
    with using_metadata({"asked by": ADA}):
        runnables.chain().invoke(QUESTION, {"callbacks": [handler], "metadata": {"session_id": ADA}})
    assert not [span for span in traces if ADA in everything(span)]


def test_other_handlers_and_the_caller_see_what_was_given(handler: SessionCallbackHandler) -> None:
    """Only what we record is changed: the metadata itself belongs to the application."""
    seen: list[Any] = []
    metadata = {"session_id": ADA, "note": ADA}
    body = RunnableLambda(lambda _, config: seen.append(dict(config.get("metadata", {}))))
    body.invoke("x", {"callbacks": [handler], "metadata": metadata})
    assert seen == [{"session_id": ADA, "note": ADA}]
    assert metadata == {"session_id": ADA, "note": ADA}


@given(
    raw=st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=6, max_size=30),
    before=st.sampled_from(["", " ", "(", "mailto:", '"']),
    after=st.sampled_from(["", " ", ")", ".", '"']),
)
def test_a_raw_id_is_found_in_text_and_in_json(raw: str, before: str, after: str) -> None:
    """Wherever it stands as a whole word, also as JSON escapes it."""
    secrets = {raw: "anon-0"}
    text = f"{before}{raw}{after}"
    if not raw[0].isalnum() or not raw[-1].isalnum():
        return  # not a whole word at its edges
    assert scrub(text, secrets) == f"{before}anon-0{after}"
    for ascii_only in (True, False):
        dumped = json.dumps({"key": text}, ensure_ascii=ascii_only)
        assert json.loads(scrub(dumped, secrets)) == {"key": f"{before}anon-0{after}"}


def test_scrubbing_keeps_what_is_not_an_id() -> None:
    """A short id inside text is left alone, and so are bytes and other numbers."""
    secrets = {"123456": "anon-0", "7": "anon-1"}
    assert scrub("x123456y and 123456!", secrets) == "xanon-0y and anon-0!"
    assert scrub({"7": [7, 70, b"7", 7.0, None, True]}, secrets) == {
        "anon-1": ["anon-1", 70, b"7", 7.0, None, True]
    }
    assert scrub("7 days", secrets) == "7 days"
    assert scrub("anything", {}) == "anything"


# --- where raw ids used to slip through -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [f"I am\n{ADA}", f"x_{ADA}_y", f"user{ADA}", f"<{ADA}>", json.dumps({"email": ADA}), repr([ADA])]
)
def test_a_raw_id_is_hidden_in_any_text(text: str, handler: SessionCallbackHandler, traces: Traces) -> None:
    """Whatever stands beside it: escaped line breaks, quotes, letters."""

    def fail(value: object) -> None:
        raise ValueError(value)

    chain = RunnableLambda(lambda value: {"said": value}) | RunnableLambda(fail)
    with pytest.raises(ValueError, match="said"):
        chain.invoke({"question": text}, {"callbacks": [handler], "metadata": {"session_id": ADA}})
    assert len(traces.ended) == 3
    assert not [span for span in traces if ADA in everything(span)]


@pytest.mark.parametrize("raw", ["zoé@example.org", "CORP\\ada-lovelace", 'the "first" one'])
def test_a_raw_id_is_hidden_in_json_inside_json(
    raw: str, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """As in the arguments of tool calls, which are JSON in a message that becomes JSON."""
    for ascii_only in (True, False):
        value = {"arguments": json.dumps({"user": raw}, ensure_ascii=ascii_only), "user": raw}
        RunnableLambda(lambda given: given).invoke(
            {"call": value, "more": 1}, {"callbacks": [handler], "metadata": {"session_id": raw}}
        )
    for span in traces:
        recorded = json.loads(str(attribute(span, SpanAttributes.INPUT_VALUE)))["call"]
        hidden = POLICY.canonical(raw)
        assert (recorded["user"], json.loads(recorded["arguments"])) == (hidden, {"user": hidden})


@pytest.mark.parametrize("value", [{"email": ADA}, [ADA], ADA.encode(), 5551234567.0])
def test_what_is_no_id_is_hidden_under_an_ids_key(
    value: object, handler: SessionCallbackHandler, traces: Traces
) -> None:
    """A value that was refused may still be personal."""
    runnables.chat_model().invoke("hi", {"callbacks": [handler], "metadata": {"session_id": value}})
    metadata = json.loads(str(attribute(traces.ended[0], SpanAttributes.METADATA)))
    assert metadata["session_id"] == "[not an id]"


def test_a_late_id_is_hidden_in_what_was_recorded_before(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """In the name of the span, and in the exception that ends it."""

    async def fail() -> None:
        def fails(_: object) -> None:
            raise ValueError(ADA)

        config = RunnableConfig(
            callbacks=[handler], configurable={"thread_id": ADA}, run_name=f"chat of {ADA}"
        )
        with pytest.raises(ValueError, match="ada"):
            await (RunnableLambda(str) | RunnableLambda(fails)).abatch(["x"], [config])

    asyncio.run(fail())
    assert f"chat of {HIDDEN_ADA}" in traces.names()
    assert not [span for span in traces if ADA in everything(span)]


def test_a_runs_name_is_not_logged(
    handler: SessionCallbackHandler, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold the id, before anybody knows that it is one."""
    caplog.set_level(logging.DEBUG, "langchain_sessions")
    handler.raise_error = False
    config = RunnableConfig(
        callbacks=[handler], metadata={"session_id": [ADA], "thread_id": ADA}, run_name=f"chat of {ADA}"
    )
    runnables.chat_model().invoke("hi", config)
    handler.reports.error(f"chat of {ADA}", "start", ValueError(ADA))
    assert len(caplog.records) == 2
    assert ADA not in caplog.text
    assert traces.sessions() == [HIDDEN_ADA]


def test_tags_and_prompt_templates_of_the_context_are_hidden(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Whatever `using_attributes` puts on spans passes the filter, lists included."""
    with using_attributes(
        tags=[ADA, "other"], prompt_template=f"Hi {ADA}", prompt_template_version=ADA, user_id=ADA
    ):
        runnables.chain().invoke({"q": "hi"}, {"callbacks": [handler], "metadata": {"session_id": ADA}})
    assert attribute(traces.ended[0], SpanAttributes.TAG_TAGS) == (HIDDEN_ADA, "other")
    assert not [span for span in traces if ADA in everything(span)]


def test_metadata_that_cannot_be_concealed_is_not_recorded(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """Rather nothing than a raw id."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    handler.raise_error = False
    runnables.chat_model().invoke(
        "hi", {"callbacks": [handler], "metadata": {"session_id": "ada", "odd": Hostile()}}
    )
    assert traces.sessions() == [POLICY.canonical("ada")]
    assert attribute(traces.ended[0], SpanAttributes.METADATA) is None
    assert handler.error_count == 1


def test_an_outranked_id_is_hidden_in_content_too(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Raw ids are looked for in every place that could have given one."""
    with session(BOB):
        runnables.chat_model().invoke(
            f"{ADA}, {BOB} and carol@example.org",
            {
                "callbacks": [handler],
                "metadata": {"session_id": ADA},
                "configurable": {"thread_id": "carol@example.org"},
            },
        )
    (span,) = traces
    assert not [raw for raw in (ADA, BOB, "carol@example.org") if raw in everything(span)]


def test_a_huge_id_is_hidden_where_it_is_an_id(handler: SessionCallbackHandler, traces: Traces) -> None:
    """Text is not searched for ids of more than a thousand characters, which nobody types."""
    raw = "x" * 100_000
    runnables.chat_model().invoke(
        "hi", {"callbacks": [handler], "metadata": {"session_id": raw, "again": raw}}
    )
    assert raw not in everything(traces.ended[0])
