"""Small real runnables that the tests share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun


class OneDocument(BaseRetriever):
    """Finds one document, whatever is asked."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(f"about {query}")]


@tool
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def chat_model() -> FakeListChatModel:
    """Return a chat model that streams."""
    return FakeListChatModel(responses=["fine"])


def completion_model() -> FakeListLLM:
    """Return a completion (not chat) model."""
    return FakeListLLM(responses=["fine"])


def chain() -> Runnable[Any, Any]:
    """Return prompt | model | parser."""
    return ChatPromptTemplate.from_messages([("human", "{q}")]) | chat_model() | StrOutputParser()


def parallel() -> Runnable[Any, Any]:
    """Return two chains side by side, and what joins them."""

    def join(both: dict[str, str]) -> str:
        return both["left"] + both["right"]

    return RunnableParallel(left=chain(), right=chain()) | RunnableLambda(join)


def nested() -> Runnable[Any, Any]:
    """Return a function that calls a retriever, a tool and a chain."""

    def answer(question: dict[str, Any]) -> str:
        document = OneDocument().invoke("cats")[0]
        return shout.invoke({"text": document.page_content}) + chain().invoke({"q": question["q"]})

    return RunnableLambda(answer)


def tasks() -> Runnable[Any, Any]:
    """Return a coroutine that fans out into tasks of its own."""

    async def answer(question: dict[str, Any]) -> str:
        started = [asyncio.create_task(chain().ainvoke({"q": question["q"]})) for _ in range(3)]
        return "".join(await asyncio.gather(*started))

    return RunnableLambda(answer)


def failing() -> Runnable[Any, Any]:
    """Return a chain whose last step raises."""

    def fail(_: str) -> str:
        msg = "out of order"
        raise RuntimeError(msg)

    return chain() | RunnableLambda(fail)


def waiting(reached: asyncio.Event) -> Runnable[Any, Any]:
    """Return a chain whose last step says that it was reached, and waits until it is cancelled."""

    async def wait(text: str) -> str:
        reached.set()
        await asyncio.Event().wait()
        return text

    return chain() | RunnableLambda(wait)


class Histories:
    """Message histories by session id."""

    def __init__(self) -> None:
        self._histories: dict[str, InMemoryChatMessageHistory] = {}

    def of(self, session_id: str) -> InMemoryChatMessageHistory:
        """Return the history of a session, as `RunnableWithMessageHistory` asks for it."""
        return self._histories.setdefault(session_id, InMemoryChatMessageHistory())
