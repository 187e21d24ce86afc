"""What a span was given and what it gave, as plain data: messages, documents, a tool's call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from langchain_sessions.view._fields import Text


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a message's content.

    Attributes:
        kind: What it is: "text", "reasoning", "image", or whatever the span calls it.
        text: What it says, or None.
        url: Where what it shows is to be found, or None.
        name: What that is called, or empty.
        is_sealed: Whether there is something that only the model's provider can read.
    """

    kind: str
    text: Text | None = None
    url: Text | None = None
    name: str = ""
    is_sealed: bool = False

    @property
    def is_reasoning(self) -> bool:
        """Whether the model says it to itself."""
        return "reason" in self.kind or "think" in self.kind


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model wants to be called.

    Attributes:
        name: The tool's name, or empty.
        id: What the tool's answer refers to, or empty.
        arguments: JSON, as the model wrote it, or None.
    """

    name: str
    id: str
    arguments: Text | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a model, or from it.

    Attributes:
        role: Whose it is, as the span has it, or empty.
        name: Who that is among several, or the tool's name, or empty.
        call_id: The call that it answers, or empty.
        blocks: What it says, piece by piece.
        calls: The tools that it calls.
    """

    role: str
    name: str = ""
    call_id: str = ""
    blocks: tuple[Block, ...] = ()
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that a model may call.

    Attributes:
        name: Its name, or empty.
        description: What the model is told of it, or empty.
        schema: All that the model is told.
    """

    name: str
    description: str
    schema: Text


@dataclass(frozen=True, slots=True)
class Sum:
    """What a call has used up, of tokens or of money.

    Attributes:
        prompt: Of what was sent, or None.
        completion: Of what was answered, or None.
        total: Of both, or None.
        details: Parts of these by the names that the span gives them, such as "cache_read", in its order.
    """

    prompt: int | float | None = None
    completion: int | float | None = None
    total: int | float | None = None
    details: dict[str, int | float] = field(default_factory=dict[str, int | float])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """A call of a language model, be it one for chats or one for completions.

    Attributes:
        input: The messages that it was sent, or the prompts, whose role is then "prompt".
        output: What it answered: messages, or completions, whose role is then "completion".
        tools: The tools that it was offered.
        parameters: How it was called, by name; the name of what could not be taken apart is empty.
        model: The model, or empty.
        asked_for: The model that was asked for, if another one answered; else empty.
        provider: Who runs it, or empty.
        finish_reason: Why it stopped, or empty.
        tokens: How many tokens.
        cost: What they cost.
        unread: How many attributes of messages and tools could not be read.
    """

    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    model: str = ""
    asked_for: str = ""
    provider: str = ""
    finish_reason: str = ""
    tokens: Sum = field(default_factory=Sum)
    cost: Sum = field(default_factory=Sum)
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was found, or ranked.

    Attributes:
        id: Its id, or empty.
        score: How well it fits, or None.
        text: What it says, or None.
        metadata: JSON about it, or None.
    """

    id: str
    score: int | float | None
    text: Text | None
    metadata: Text | None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A search for documents.

    Attributes:
        query: What was asked for, or None.
        documents: What was found.
        unread: How many attributes of documents could not be read.
    """

    query: Text | None
    documents: tuple[Document, ...]
    unread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """Documents that were put into another order.

    Attributes:
        query: What they have to fit, or None.
        model: The model that did it, or empty.
        top: How many were wanted, or None.
        input: The documents as they came.
        output: Those that are best, in their order.
        unread: How many attributes of documents could not be read.
    """

    query: Text | None
    model: str
    top: int | float | None
    input: tuple[Document, ...]
    output: tuple[Document, ...]
    unread: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text that was made into numbers.

    Attributes:
        text: The text, or None.
        dimensions: How many numbers, or None.
    """

    text: Text | None
    dimensions: int | None


@dataclass(frozen=True, slots=True)
class Embedding:
    """Texts that were made into numbers.

    Attributes:
        model: The model that did it, or empty.
        texts: The texts.
        unread: How many attributes of them could not be read.
    """

    model: str
    texts: tuple[Embedded, ...]
    unread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A tool that was called.

    Attributes:
        name: Its name.
        description: What models are told of it, or empty.
        id: Which call it was, or empty.
        parameters: JSON about what it can be given, or None.
        input: What it got, or None.
        output: What it gave, or None.
    """

    name: str
    description: str
    id: str
    parameters: Text | None
    input: Text | None
    output: Text | None


Contents: TypeAlias = "ModelCall | Retrieval | Reranking | Embedding | ToolRun"
