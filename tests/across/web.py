"""A FastAPI service whose answers come from a chain: `python -m tests.across.web [--accept-baggage]`.

Nothing in it gives an id. What its spans say of a conversation came with the requests.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Annotated, Final

import uvicorn
from fastapi import Body, FastAPI
from langchain_core.runnables import RunnableLambda
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from langchain_sessions import SessionPolicy, instrument
from tests.across.telemetry import tracer_provider
from tests.support import runnables
from tests.support.waiting import PATIENCE

CHAIN: Final = RunnableLambda(lambda question: {"q": question}) | runnables.chain()
Question = Annotated[str, Body(embed=True)]
Answer = dict[str, str]

app: Final = FastAPI()
meeting: Final = asyncio.Barrier(2)


@app.post("/answers")
async def answer(question: Question) -> Answer:
    """Answer in the event loop."""
    return {"text": await CHAIN.ainvoke(question)}


@app.post("/answers/threaded")
def answer_threaded(question: Question) -> Answer:
    """Answer in one of FastAPI's threads."""
    return {"text": CHAIN.invoke(question)}


@app.post("/answers/together")
async def answer_together(question: Question) -> Answer:
    """Answer two requests at the same time: the chain of each waits inside for the other's."""

    async def meet(question: str) -> str:
        async with asyncio.timeout(PATIENCE):
            await meeting.wait()
        return question

    return {"text": await (RunnableLambda(meet) | CHAIN).ainvoke(question)}


def main() -> None:
    """Trace the service, and serve it until the process is told to end."""
    provider = tracer_provider("answers")
    instrument(provider, policy=SessionPolicy(accept_baggage="--accept-baggage" in sys.argv[1:]))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"listening on port {listener.getsockname()[1]}\n")
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
