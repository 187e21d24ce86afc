"""Use the installed package as its first user would, without extras.

Run as `python -I scripts/smoke.py` by the interpreter of a clean environment, so that what is imported is the
wheel and not the checkout beside this file.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import langchain_sessions

BASE = {"langchain-core", "openinference-instrumentation-langchain", "opentelemetry-sdk"}
EXTRAS_ONLY = ("click", "langchain", "langgraph", "rich")


def main() -> None:
    """Check what was installed, then run one turn and look at its spans."""
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
    handler = langchain_sessions.SessionCallbackHandler(tracer_provider=provider)
    chain = ChatPromptTemplate.from_template("{question}") | FakeListChatModel(responses=["fine"])
    chain.invoke({"question": "well?"}, {"callbacks": [handler], "metadata": {"session_id": "smoke"}})
    found = {span.name: (span.attributes or {}).get("session.id") for span in exporter.get_finished_spans()}
    assert len(found) == 3, found
    assert set(found.values()) == {"smoke"}, found
    print(f"{package.name} {package.version}, no extras: {len(found)} spans, each with its session id")


if __name__ == "__main__":
    main()
