"""A Celery worker whose task runs a chain: `python -m celery --app tests.across.worker worker`."""

# Celery and its instrumentor come without types.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any, Final

from celery import Celery
from celery.signals import worker_process_init
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from langchain_sessions import SessionPolicy, instrument
from tests.across.telemetry import tracer_provider
from tests.support import runnables
from tests.support.waiting import PATIENCE

app: Final[Any] = Celery("tests.across.worker")
app.conf.worker_proc_alive_timeout = PATIENCE  # in seconds: what a process imports may take more than its 4


@app.task
def answer(question: str) -> str:
    """Answer a question."""
    return runnables.chain().invoke({"q": question})


@worker_process_init.connect
def start_tracing(**_: Any) -> None:
    """Trace a process of the worker, in it: threads and connections do not survive a fork."""
    provider = tracer_provider("worker")
    instrument(provider, policy=SessionPolicy(accept_baggage=True))
    CeleryInstrumentor().instrument(tracer_provider=provider)
