"""Models and retrievers whose bodies open spans, as a provider's instrumented client does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_core.retrievers import BaseRetriever

Open = Callable[[str], AbstractContextManager[Any]]
"""Opens a span of this name."""

CHUNKS = 3


class TracingChatModel(BaseChatModel):
    """A chat model that has synchronous methods alone."""

    open: Open
    label: str = ""

    @property
    def _llm_type(self) -> str:
        return "tracing"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        with self.open(f"{self.label}inside"):
            return ChatResult(generations=[ChatGeneration(message=AIMessage(content="fine"))])

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for number in range(CHUNKS):
            with self.open(f"{self.label}inside {number}"):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=str(number)))
            yield chunk


class TracingAsyncChatModel(TracingChatModel):
    """A chat model that has asynchronous methods, too, which open their spans in tasks of their own."""

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        return await asyncio.create_task(asyncio.to_thread(self._generate))

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for number in range(CHUNKS):
            await asyncio.sleep(0)
            with self.open(f"{self.label}inside {number}"):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=str(number)))
            yield chunk


class TracingLLM(LLM):
    """A completion model."""

    open: Open
    label: str = ""

    @property
    def _llm_type(self) -> str:
        return "tracing"

    def _call(self, *_: Any, **__: Any) -> str:
        with self.open(f"{self.label}inside"):
            return "fine"

    def _stream(self, *_: Any, **__: Any) -> Iterator[GenerationChunk]:
        for number in range(CHUNKS):
            with self.open(f"{self.label}inside {number}"):
                chunk = GenerationChunk(text=str(number))
            yield chunk

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[GenerationChunk]:
        for chunk in self._stream():
            await asyncio.sleep(0)
            yield chunk


class TracingRetriever(BaseRetriever):
    """A retriever; its asynchronous method waits for what it is given."""

    open: Open
    waits_for: Any = None

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        with self.open("inside"):
            return [Document(query)]

    async def _aget_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        if self.waits_for is not None:
            await self.waits_for()
        return await asyncio.to_thread(self._get_relevant_documents, query)
