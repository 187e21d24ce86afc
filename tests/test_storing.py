from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from langchain_sessions import SessionCallbackHandler, uninstrument
from langchain_sessions._storing import storing
from langchain_sessions._upstream import processors_of
from langchain_sessions.store import SQLiteSessionStore, StoreError, open_store
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeHandler
    from tests.support.traces import Traces

pytestmark = pytest.mark.core

CHAIN = ChatPromptTemplate.from_template("{question}") | FakeListChatModel(responses=["fine"])

PROGRAM = """
import os, sys
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from langchain_sessions import SessionCallbackHandler, instrument

place = sys.argv[1]

def body(text):
    with trace.get_tracer("mine").start_as_current_span("mine"):
        return text.upper()

def ask(question, *callbacks):
    config = {"metadata": {"session_id": "abc"}, "callbacks": list(callbacks)}
    RunnableLambda(body).with_config(run_name="answer").invoke(question, config)

def application_provider():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter
"""
"""The beginning of an application that stores its conversations in the file it is told."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "sessions.db"


@pytest.fixture(autouse=True)
def _nothing_goes_on(path: Path, traces: Traces) -> Iterator[None]:
    """Stop the thread that stores."""
    yield
    traces.provider.shutdown()


def application(path: Path, code: str, **environment: str) -> str:
    """Run an application to its end, in an interpreter of its own; return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + code, str(path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def turns(path: Path) -> list[tuple[str, str, int]]:
    """What was said in the session, and how many spans that made."""
    store = open_store(path, create=False)
    found = [(turn.input, turn.output, turn.span_count) for turn in store.session("abc").turns]
    store.close()
    return found


def test_a_handler_stores_what_it_traces(make_handler: MakeHandler, path: Path) -> None:
    """One argument, and the conversation can be read."""
    handler = make_handler(store=path)
    for question in ("well?", "and now?"):
        CHAIN.invoke(
            {"question": question},
            {"callbacks": [handler], "metadata": {"session_id": "abc", "user_id": "ada"}},
        )

    assert handler.force_flush()
    assert turns(path) == [("well?", "fine", 3), ("and now?", "fine", 3)]


def test_the_users_provider_keeps_what_it_has(make_handler: MakeHandler, traces: Traces, path: Path) -> None:
    """The provider gets one processor more, and loses none, however many handlers store there."""
    before = processors_of(traces.provider)
    handlers = [make_handler(store=place) for place in (path, str(path), path)]
    for handler in handlers:
        RunnableLambda(str.upper).invoke("hi", {"callbacks": [handler], "metadata": {"session_id": "abc"}})
    handlers[0].force_flush()

    assert processors_of(traces.provider) == (*before, storing(path).processor)
    assert len(traces.ended) == 3
    assert len(turns(path)) == 3


def test_a_store_object_is_as_good_as_a_path(make_handler: MakeHandler, path: Path) -> None:
    """Whoever has opened a store hands it over, and goes on reading from it."""
    store = SQLiteSessionStore(path)
    handler = make_handler(store=store)
    RunnableLambda(str.upper).invoke("hi", {"callbacks": [handler], "metadata": {"session_id": "abc"}})
    handler.force_flush()

    assert store.session("abc").turns[0].output == "HI"
    store.close()


def test_a_store_that_cannot_be_one_is_an_error_at_once(path: Path) -> None:
    """A file that is something else is not written to."""
    path.write_bytes(b"something else " * 1000)

    with pytest.raises(StoreError, match=f"{path} is damaged, or no SQLite database"):
        SessionCallbackHandler(store=path)
    assert path.read_bytes() == b"something else " * 1000


def test_instrument_stores_until_it_is_switched_off(
    instrumented: MakeHandler, traces: Traces, path: Path
) -> None:
    """What other libraries trace inside a run is stored with it, and nothing after `uninstrument()`."""
    before = processors_of(traces.provider)

    def body(text: str) -> str:
        with traces.provider.get_tracer("mine").start_as_current_span("mine"):
            return text.upper()

    instrumented(store=path)
    RunnableLambda(body).invoke("hi", {"metadata": {"session_id": "abc"}})
    uninstrument()
    RunnableLambda(body).invoke("again", {"metadata": {"session_id": "abc"}})

    assert turns(path) == [("hi", "HI", 2)]
    assert processors_of(traces.provider) == before


def test_without_a_provider_the_handler_has_one_of_its_own(path: Path) -> None:
    """Nothing is set up by the application; what has ended is stored when the process ends."""
    said = application(
        path,
        'ask("hi", SessionCallbackHandler(store=place)); print(type(trace.get_tracer_provider()).__name__)',
    )

    assert said == "ProxyTracerProvider"
    assert turns(path) == [("hi", "HI", 1)]


def test_a_provider_that_is_set_later_is_used_from_then_on(path: Path) -> None:
    """The handler's own provider stands aside, and the store goes on getting everything."""
    said = application(
        path,
        'handler = SessionCallbackHandler(store=place); ask("one", handler)\n'
        'exporter = application_provider(); ask("two", handler)\n'
        "print([span.name for span in exporter.get_finished_spans()])",
    )

    assert said == "['mine', 'answer']"
    assert [turn[:2] for turn in turns(path)] == [("one", "ONE"), ("two", "TWO")]


def test_instrument_gives_an_application_without_a_provider_one(path: Path) -> None:
    """So that what other libraries trace is stored, too."""
    application(path, 'instrument(store=place); ask("hi")')

    assert turns(path) == [("hi", "HI", 2)]


def test_instrument_uses_the_provider_that_is_there(path: Path) -> None:
    """It is added to, not replaced."""
    said = application(
        path,
        'exporter = application_provider(); instrument(store=place); ask("hi")\n'
        "print([span.name for span in exporter.get_finished_spans()])",
    )

    assert said == "['mine', 'answer']"
    assert turns(path) == [("hi", "HI", 2)]


def test_processes_that_are_forked_later_store_as_well(path: Path) -> None:
    """As the workers of gunicorn and Celery are, from a process that has made its handler."""
    application(
        path,
        """
handler = SessionCallbackHandler(store=place)
ask("parent", handler)
handler.force_flush()
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        ask(f"child {number}", handler)
        os._exit(0 if handler.force_flush() else 1)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
ask("parent again", handler)
""",
    )

    assert sorted(turn[0] for turn in turns(path)) == [
        "child 0",
        "child 1",
        "child 2",
        "parent",
        "parent again",
    ]


def test_processes_of_multiprocessing_store_when_they_end(path: Path) -> None:
    """They end without `atexit`; a handler may have been made before they were forked, or in them."""
    application(
        path,
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
context = multiprocessing.get_context("fork")
handler = SessionCallbackHandler(store=place)
ask("parent", handler)
child = context.Process(target=ask, args=("child", handler))
child.start()
child.join()

def work(number):
    ask(f"worker {number}", SessionCallbackHandler(store=place))

with ProcessPoolExecutor(2, mp_context=context) as pool:
    list(pool.map(work, range(2)))
""",
    )

    assert sorted(turn[0] for turn in turns(path)) == ["child", "parent", "worker 0", "worker 1"]


def test_true_is_the_default_place(path: Path) -> None:
    """Where the command line looks if it is told nothing."""
    application(path, 'ask("hi", SessionCallbackHandler(store=True))', LANGCHAIN_SESSIONS_DB=str(path))

    assert turns(path) == [("hi", "HI", 1)]


def test_a_long_history_keeps_its_messages_and_the_log_quiet(path: Path) -> None:
    """A provider of our own has room for more attributes than OpenTelemetry's 128."""
    application(
        path,
        """
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
messages = [HumanMessage(f"message {number}") for number in range(300)]
config = {"callbacks": [SessionCallbackHandler(store=place)], "metadata": {"session_id": "abc"}}
FakeListChatModel(responses=["fine"]).invoke(messages, config)
""",
    )

    store = open_store(path)
    [span] = store.spans("abc", store.session("abc").turns[0].trace_id)
    assert span.attributes["llm.input_messages.0.message.content"] == "message 0"
    store.close()


def test_the_environment_decides_how_spans_are_batched(path: Path) -> None:
    """OpenTelemetry's variables hold for this processor as for others."""
    application(
        path,
        """
import time
from langchain_sessions.store import open_store
ask("hi", SessionCallbackHandler(store=place))
store = open_store(place)
give_up = time.monotonic() + 120
while not store.sessions() and time.monotonic() < give_up:
    time.sleep(0.01)
assert store.sessions()
store.close()
""",
        OTEL_BSP_SCHEDULE_DELAY="1",
    )


def test_a_handler_without_a_store_loads_no_database() -> None:
    """What is not used costs nothing."""
    code = (
        "import sys; from langchain_sessions import SessionCallbackHandler; SessionCallbackHandler()\n"
        "print('langchain_sessions.store' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
