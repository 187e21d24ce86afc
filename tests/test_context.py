from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.runnables.history import RunnableWithMessageHistory
from openinference.instrumentation import get_attributes_from_context, using_session
from opentelemetry.context import get_current

from langchain_sessions import (
    InvalidSessionIdError,
    SessionCallbackHandler,
    SessionPolicy,
    current_session_id,
    session,
    session_config,
)
from tests.support import runnables
from tests.support.runnables import Histories
from tests.support.traces import SESSION_ID, USER_ID, Traces, attribute

KEY = b"0123456789abcdef"


def in_force() -> dict[str, Any]:
    """Return what OpenInference would copy to a span that starts here."""
    return dict(get_attributes_from_context())


@pytest.mark.core
def test_a_session_block_sets_what_openinference_reads() -> None:
    """Inside the block the canonical ids are in force, outside they are not."""
    with session(UUID(int=1), user_id=7) as id_:
        assert id_ == current_session_id() == "00000000-0000-0000-0000-000000000001"
        assert in_force() == {SESSION_ID: id_, USER_ID: "7"}
        with session("inner"):
            assert in_force() == {SESSION_ID: "inner", USER_ID: "7"}
        assert current_session_id() == id_
    assert in_force() == {}
    assert current_session_id() is None


@pytest.mark.core
def test_a_session_block_ends_on_an_error() -> None:
    """An exception leaves nothing attached."""
    with pytest.raises(RuntimeError), session("abc"):
        raise RuntimeError
    assert current_session_id() is None


async def test_an_async_session_block() -> None:
    """`async with` works the same."""
    async with session("abc") as id_:
        await asyncio.sleep(0)
        assert current_session_id() == id_ == "abc"
    assert current_session_id() is None


def test_an_invalid_id_is_refused_where_it_is_written() -> None:
    """`session` and `session_config` raise instead of going on without a session."""
    for value in (None, "", True, ["abc"]):
        with pytest.raises(InvalidSessionIdError):
            session(value)
        with pytest.raises(InvalidSessionIdError):
            session_config(value)
    with pytest.raises(InvalidSessionIdError):
        session("abc", user_id=1.5)


def test_one_session_may_be_entered_again_and_again() -> None:
    """An instance can be nested in itself and used anew."""
    block = session("abc")
    with block, session("other"), block:
        assert current_session_id() == "abc"
    with block:
        assert current_session_id() == "abc"
    assert current_session_id() is None


def test_one_session_may_be_shared_by_threads() -> None:
    """Threads that overlap in one instance leave no context behind in each other."""
    block, barrier = session("abc"), Barrier(2)

    def overlap(leave_first: bool) -> str | None:
        with block:
            barrier.wait()
            if not leave_first:
                barrier.wait()
        if leave_first:
            barrier.wait()
        return current_session_id()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(overlap, (True, False))) == [None, None]


async def test_one_session_may_be_shared_by_tasks() -> None:
    """Tasks that overlap in one instance leave no context behind in each other."""
    block = session("abc")

    async def overlap(ticks: int) -> str | None:
        async with block:
            for _ in range(ticks):
                await asyncio.sleep(0)
        return current_session_id()

    assert await asyncio.gather(*map(overlap, (3, 1, 2))) == [None, None, None]


def test_a_session_decorates_functions_of_every_kind() -> None:
    """As a decorator it is in force while the body runs, not between two items of a generator."""

    @session("abc")
    def function() -> str | None:
        return current_session_id()

    @session("abc")
    async def coroutine() -> str | None:
        await asyncio.sleep(0)
        return current_session_id()

    @session("abc")
    def generator() -> Iterator[str | None]:
        yield current_session_id()
        yield current_session_id()

    @session("abc")
    async def async_generator() -> AsyncIterator[str | None]:
        yield current_session_id()
        await asyncio.sleep(0)
        yield current_session_id()

    async def consume() -> list[tuple[str | None, str | None]]:
        return [(item, current_session_id()) async for item in async_generator()]

    assert function() == "abc"
    assert asyncio.run(coroutine()) == "abc"
    assert [(item, current_session_id()) for item in generator()] == [("abc", None)] * 2
    assert asyncio.run(consume()) == [("abc", None)] * 2
    assert dict(get_current()) == {}


def test_using_session_is_read_in_canonical_form() -> None:
    """What OpenInference's own context manager holds is normalized, or ignored if it is no id."""
    with using_session("  abc "):
        assert current_session_id() == "abc"
    with using_session(["abc"]):  # type: ignore[arg-type]
        assert current_session_id() is None


def test_a_run_is_closer_than_the_block_around_it(handler: SessionCallbackHandler) -> None:
    """Inside a run's body its id is current, unless a block inside the body is closer still."""

    def body(_: object) -> list[str | None]:
        with session("inside"):
            inner = current_session_id()
        return [current_session_id(), inner]

    with session("outside"):
        result = RunnableLambda(body).invoke(
            "x", {"callbacks": [handler], "metadata": {"session_id": "of the run"}}
        )
        assert current_session_id() == "outside"
    assert result == ["of the run", "inside"]


def test_a_block_in_a_body_is_closer_also_with_an_id_from_around(handler: SessionCallbackHandler) -> None:
    """Whether a block was opened inside a run is a matter of the block, not of its id."""

    def body(_: object) -> list[str | None]:
        with session("around"):
            inner = current_session_id()
        return [current_session_id(), inner]

    with session("around"):
        config: Any = {"callbacks": [handler], "metadata": {"session_id": "of the run"}}
        assert RunnableLambda(body).invoke("x", config) == ["of the run", "around"]


def test_the_current_id_is_known_in_tools_threads_and_tasks(handler: SessionCallbackHandler) -> None:
    """LangChain's context-keeping executor and asyncio's tasks pass the id on."""

    async def body(_: object) -> list[str | None]:
        with ContextThreadPoolExecutor() as threads:
            in_thread = await asyncio.wrap_future(threads.submit(current_session_id))
        in_task = await asyncio.create_task(asyncio.to_thread(current_session_id))
        return [current_session_id(), in_thread, in_task]

    config = session_config("abc", callbacks=[handler])
    assert asyncio.run(RunnableLambda(body).ainvoke("x", config)) == ["abc"] * 3


def test_a_run_that_is_not_traced_has_no_id_of_its_own() -> None:
    """Without our handler there is nothing to know about a run."""
    body = RunnableLambda(lambda _: current_session_id())
    assert body.invoke("x", {"metadata": {"session_id": "abc"}}) is None
    with session("around"):
        assert body.invoke("x", {"metadata": {"session_id": "abc"}}) == "around"


def test_session_config_serves_handlers_and_checkpointers(
    handler: SessionCallbackHandler, traces: Traces
) -> None:
    """The id goes to metadata and to LangGraph's thread id; everything else is kept."""
    config = session_config(
        42, user_id=" ada ", callbacks=[handler], tags=["t"], metadata={"k": 1}, configurable={"c": 2}
    )
    assert config == {
        "callbacks": [handler],
        "tags": ["t"],
        "metadata": {"k": 1, "session_id": "42", "user_id": "ada"},
        "configurable": {"thread_id": "42", "session_id": "42", "c": 2},
    }
    runnables.chain().invoke({"q": "hi"}, config)
    assert {(attribute(span, SESSION_ID), attribute(span, USER_ID)) for span in traces} == {("42", "ada")}


def test_session_config_keeps_a_thread_of_its_own_and_refuses_a_second_id() -> None:
    """A checkpointer's thread may differ from the session; two session ids may not."""
    own_thread = session_config("abc", configurable={"thread_id": "t"})
    assert own_thread.get("configurable") == {"thread_id": "t", "session_id": "abc"}
    assert session_config(42, metadata={"session_id": 42}).get("metadata") == {"session_id": 42}
    with pytest.raises(ValueError, match="session_id is given twice, and metadata holds another"):
        session_config("abc", metadata={"session_id": "xyz"})
    with pytest.raises(ValueError, match="user_id is given twice"):
        session_config("abc", user_id="ada", metadata={"user_id": "bob"})


def test_session_config_refuses_what_no_config_has() -> None:
    """A misspelt name says so instead of being ignored."""
    with pytest.raises(TypeError, match="got user, which a RunnableConfig does not have"):
        session_config("abc", user="ada")  # type: ignore[call-arg]


def test_session_config_serves_a_message_history(handler: SessionCallbackHandler, traces: Traces) -> None:
    """`RunnableWithMessageHistory` finds the conversation there, too."""
    histories = Histories()
    chain = RunnableWithMessageHistory(runnables.chain(), histories.of, input_messages_key="q")
    chain.invoke({"q": "hi"}, session_config("abc", callbacks=[handler]))
    assert set(traces.sessions()) == {"abc"}
    assert [message.text for message in histories.of("abc").messages] == ["hi", "fine"]


def test_policies_apply_outside_of_handlers_too() -> None:
    """A block pseudonymizes; a config only shortens, because checkpointers store by it."""
    policy = SessionPolicy(pseudonymize=KEY, max_length=64)
    with session("ada@example.org", policy=policy) as id_:
        assert id_.startswith("anon-")
        assert current_session_id() == id_
    with session("x" * 500, policy=SessionPolicy(max_length=1_000)):
        assert current_session_id() == "x" * 500
    config = session_config("x" * 500, policy=policy)
    assert len(config.get("configurable", {})["thread_id"]) == 64


def test_a_pseudonym_is_the_same_through_a_block_and_through_metadata(
    make_handler: Any, traces: Traces
) -> None:
    """A conversation keeps one pseudonym, whichever way the id comes in."""
    policy = SessionPolicy(pseudonymize=KEY)
    handler = make_handler(policy=policy)
    with session("ada@example.org", policy=policy) as id_:
        runnables.chat_model().invoke("hi", {"callbacks": [handler]})
    with session("ada@example.org"):  # without the policy: the handler still pseudonymizes
        runnables.chat_model().invoke("hi", {"callbacks": [handler]})
    runnables.chat_model().invoke("hi", session_config("ada@example.org", callbacks=[handler]))
    assert traces.sessions() == [id_] * 3
