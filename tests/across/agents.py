"""An agent without a language model that asks a service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForLLMRun

__all__ = ["CALLS", "Agent", "Call", "agent", "ainvoke", "asking", "invoke"]

Agent: TypeAlias = Runnable[Any, Any]
Call: TypeAlias = Callable[[Agent, str], str]
"""Says something to an agent, and returns its answer."""


class Clerk(BaseChatModel):
    """Passes what the user said to its tool, and to the user what the tool returned."""

    tool: str

    @property
    def _llm_type(self) -> str:
        return "clerk"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return the model itself: it has been told what to call."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        last = messages[-1]
        answer = AIMessage(last.text)
        if not isinstance(last, ToolMessage):
            call = {"name": self.tool, "args": {"question": last.text}, "id": "call_1"}
            answer = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def agent(tool: BaseTool) -> Agent:
    """Return an agent that answers with what the tool returns for the question."""
    return create_agent(Clerk(tool=tool.name), [tool])


def asking(url: str) -> BaseTool:
    """Return a tool named `ask` that posts the question to a service, with httpx."""

    def ask(question: str) -> str:
        return _text(httpx.post(url, json={"question": question}, timeout=PATIENCE))

    async def ask_in_a_coroutine(question: str) -> str:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            return _text(await client.post(url, json={"question": question}))

    return StructuredTool.from_function(ask, ask_in_a_coroutine, description="Ask the service.")


def _text(response: httpx.Response) -> str:
    return response.raise_for_status().json()["text"]


def invoke(agent: Agent, text: str) -> str:
    """Run the agent at once."""
    return agent.invoke({"messages": [("human", text)]})["messages"][-1].text


def ainvoke(agent: Agent, text: str) -> str:
    """Run it in a coroutine."""

    async def run() -> str:
        return (await agent.ainvoke({"messages": [("human", text)]}))["messages"][-1].text

    return asyncio.run(run())


CALLS: Final[tuple[Call, ...]] = (invoke, ainvoke)
