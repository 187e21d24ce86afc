"""`OfflineChatModel`: a LangChain chat model without a language model, a network or a key."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_sessions.demo._replies import Scene, ToolResult, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

MODEL_NAME: Final = "offline-rules"
"""What the model calls itself in traces."""

_TOKEN: Final = re.compile(r"\w+|[^\w\s]")

_LEADING_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class OfflineChatModel(BaseChatModel):
    """Answers from the conversation it is given, by rules, the same every time.

    It remembers what the messages say about the user (name, where they live, what they like, ...), asks
    the bound tools for sums, dates, times and weather, several at once if need be, sums up the
    conversation, and says so when it has no rule for something.

    Tokens are counted, not estimated: every word and every punctuation mark is one, in the texts and in
    the tool calls' arguments of the messages.
    """

    @property
    def _llm_type(self) -> str:
        return MODEL_NAME

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": MODEL_NAME}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: object,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Args:
            tools: Anything that LangChain can describe as a tool.
            tool_choice: Accepted for the interface's sake; the rules decide.
            **kwargs: Further arguments of the calls.

        Returns:
            The model with the tools.
        """
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=answered(messages, _bound(kwargs)))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> Iterator[ChatGenerationChunk]:
        for message in _chunks(answered(messages, _bound(kwargs))):
            chunk = ChatGenerationChunk(message=message)
            if run_manager and message.text:
                run_manager.on_llm_new_token(message.text, chunk=chunk)
            yield chunk


def _bound(arguments: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    """The tools that `bind_tools` has put among a call's arguments."""
    return cast("Sequence[Mapping[str, Any]]", arguments.get("tools") or ())


def answered(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> AIMessage:
    """Answer the conversation with a text or with tool calls."""
    outcome = reply(_scene(messages, tools))
    text = outcome if isinstance(outcome, str) else ""
    requests = [] if isinstance(outcome, str) else outcome
    # Ids count on through the conversation: a checkpointer keeps the earlier ones beside the new.
    first = 1 + sum(len(message.tool_calls) for message in messages if isinstance(message, AIMessage))
    calls = [
        tool_call(name=request.tool, args=dict(request.arguments), id=f"call_{number}")
        for number, request in enumerate(requests, start=first)
    ]
    answer = AIMessage(content=text, tool_calls=calls, response_metadata={"model_name": MODEL_NAME})
    answer.usage_metadata = _usage(messages, answer)
    return answer


def _scene(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> Scene:
    """Arrange LangChain's messages as the rules want them."""
    latest = max((i for i, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
    functions = [tool["function"] for tool in tools]
    calls = {call["id"]: call for message in messages[latest:] for call in _calls(message)}
    answers = [message for message in messages[latest:] if isinstance(message, ToolMessage)]
    return Scene(
        said=tuple(str(message.text) for message in messages if isinstance(message, HumanMessage)),
        tools={
            function["name"]: tuple(function.get("parameters", {}).get("properties", {}))
            for function in functions
        },
        results={
            (call["name"], _pairs(call["args"])): ToolResult(
                str(answer.text), failed=answer.status == "error"
            )
            for answer in answers
            if (call := calls.get(answer.tool_call_id))
        },
        previous=_previous_number(messages[:latest]),
    )


def _previous_number(messages: Sequence[BaseMessage]) -> str | None:
    """The number with which the latest numeric result of a tool begins."""
    results = (str(message.text) for message in reversed(messages) if isinstance(message, ToolMessage))
    found = next(filter(None, map(_LEADING_NUMBER.match, results)), None)
    return found[0].replace(",", "") if found else None


def _calls(message: BaseMessage) -> list[ToolCall]:
    return message.tool_calls if isinstance(message, AIMessage) else []


def _pairs(arguments: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in arguments.items())


def _chunks(answer: AIMessage) -> Iterator[AIMessageChunk]:
    """The answer word by word; tool calls and usage come with the last chunk."""
    for word in re.findall(r"\S+\s*", str(answer.text)):
        yield AIMessageChunk(content=word)
    yield AIMessageChunk(
        content="",
        tool_call_chunks=[
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
            for index, call in enumerate(answer.tool_calls)
        ],
        usage_metadata=answer.usage_metadata,
        response_metadata=cast("dict[str, Any]", answer.response_metadata),
        chunk_position="last",
    )


def _usage(messages: Sequence[BaseMessage], answer: AIMessage) -> UsageMetadata:
    sent, received = sum(map(_tokens, messages)), _tokens(answer)
    return UsageMetadata(input_tokens=sent, output_tokens=received, total_tokens=sent + received)


def _tokens(message: BaseMessage) -> int:
    arguments = " ".join(json.dumps(call["args"]) for call in _calls(message))
    return len(_TOKEN.findall(f"{message.text} {arguments}"))
