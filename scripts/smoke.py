"""Use the installed package as its first user would, without extras.

Run as `python -I scripts/smoke.py` by the interpreter of a clean environment, so that what is imported is the
wheel and not the checkout beside this file.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import langchain_sessions
from langchain_sessions.store import open_store

BASE = {"langchain-core", "openinference-instrumentation-langchain", "opentelemetry-sdk"}
EXTRAS_ONLY = (
    *("click", "jinja2", "langchain", "langgraph", "markdown_it"),
    *("opentelemetry.proto", "platformdirs", "rich", "starlette", "uvicorn"),
)


def main() -> None:
    """Check what was installed, then run one turn and look at its spans, and at what is stored of them."""
    package = distribution("langchain-sessions")
    base = {re.split(r"[^\w.-]", it)[0] for it in package.requires or () if "extra ==" not in it}
    assert base == BASE, f"base dependencies: {sorted(base)}"
    installed = [name for name in EXTRAS_ONLY if find_spec(name)]
    assert not installed, f"in a base install: {installed}"

    home = Path(langchain_sessions.__file__).parent
    assert "site-packages" in home.parts, f"imported from {home}"
    assert (home / "py.typed").exists(), "no py.typed in the wheel"

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    folder = TemporaryDirectory()
    place = Path(folder.name) / "sessions.db"
    handler = langchain_sessions.SessionCallbackHandler(tracer_provider=provider, store=place)
    chain = ChatPromptTemplate.from_template("{question}") | FakeListChatModel(responses=["fine"])
    chain.invoke({"question": "well?"}, {"callbacks": [handler], "metadata": {"session_id": "smoke"}})
    found = {span.name: (span.attributes or {}).get("session.id") for span in exporter.get_finished_spans()}
    assert len(found) == 3, found
    assert set(found.values()) == {"smoke"}, found

    provider.shutdown()
    store = open_store(place)
    assert [(turn.input, turn.output) for turn in store.session("smoke").turns] == [("well?", "fine")]
    store.close()
    folder.cleanup()
    print(f"{package.name} {package.version}, no extras: {len(found)} spans of one session, stored and read")


if __name__ == "__main__":
    main()
