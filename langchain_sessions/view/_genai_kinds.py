"""Reading what a span of the convention for generative AI was given and what it gave, by its kind. Pure.

OpenLLMetry, LangSmith's export and Vercel's AI SDK are understood, too. Nothing here fails on what it reads:
what has another type or name than expected stays among the attributes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from langchain_sessions.store._chat import bodies_in
from langchain_sessions.store._conventions import count_in, counts_of, kind_of, model_of, tool_of
from langchain_sessions.store._flat import numbered
from langchain_sessions.store._genai import TOOL_INPUTS, TOOL_OUTPUTS, parsed, received, sent, with_messages
from langchain_sessions.store._texts import escaped
from langchain_sessions.store._turn import tool_use
from langchain_sessions.view._contents import (
    Block,
    Document,
    Embedded,
    Embedding,
    Message,
    ModelCall,
    OfferedTool,
    Retrieval,
    Sum,
    ToolCall,
    ToolRun,
)
from langchain_sessions.view._fields import Fields, Text, text_of
from langchain_sessions.view._genai_messages import Place, blocks_of, mapping, messages_of, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_sessions.store import Span
    from langchain_sessions.store._chat import Body
    from langchain_sessions.store._genai import Given
    from langchain_sessions.store._span import Attributes
    from langchain_sessions.view._contents import Contents

_INSTRUCTIONS: Final = "gen_ai.system_instructions"

_TOOLS: Final = ("gen_ai.tool.definitions", "ai.prompt.tools")
_FLAT_TOOLS: Final = "llm.request.functions"

_REQUEST_MODELS: Final = ("gen_ai.request.model", "ai.model.id")
_PROVIDERS: Final = ("gen_ai.provider.name", "gen_ai.system", "ai.model.provider")

_PARAMETERS: Final = ("gen_ai.request.", "gen_ai.openai.request.", "openai.request.", "ai.settings.")
"""What is in front of the names of parameters. One that is there twice is taken from the first."""

_FINISH_REASONS: Final = ("gen_ai.response.finish_reasons", "ai.response.finishReason")

_PARTS_OF_TOKENS: Final = {
    "prompt cache_read": (
        *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
        *("gen_ai.usage.details.cache_read_tokens", "ai.usage.cachedInputTokens"),
    ),
    "prompt cache_write": (
        *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "completion reasoning": (
        *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
        *("gen_ai.usage.details.reasoning_tokens", "ai.usage.reasoningTokens"),
    ),
}
"""Parts of the tokens: the convention's names first, then those of OpenLLMetry, Pydantic AI and Vercel."""

_READ: Final = re.compile(
    r"\.(0|[1-9][0-9]{0,7})\.(role|content|finish_reason|name|reasoning|tool_call_id"
    r"|tool_calls\.(0|[1-9][0-9]{0,7})\.(id|name|arguments|type))"
)
"""What is read of a message that was taken apart into attributes."""

_ANY: Final = ("content", "arguments")
"""What of it may be other than a text."""

_QUERIES: Final = ("gen_ai.retrieval.query.text", "gen_ai.retrieval.query")
_DOCUMENTS: Final = "gen_ai.retrieval.documents"
_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
_EMBEDDED: Final = ("ai.value", "ai.values")


def genai_contents(span: Span) -> Contents | None:
    """Read what a span was given and gave; None if that is not known of its kind, or there is nothing."""
    attributes = with_messages(span.attributes, ((it.name, it.attributes) for it in span.events))
    read = _READERS.get(kind_of(span.attributes).upper())
    return None if read is None else read(span, attributes)


def _model_call(span: Span, attributes: Attributes) -> ModelCall | None:
    fields = Fields(attributes)
    own = span.attributes
    given, gave = sent(attributes), received(attributes)
    tools, unread_tools = _offered(attributes, own)
    model = model_of(attributes) or fields.word("ai.response.model", *_REQUEST_MODELS)
    asked_for = fields.word(*_REQUEST_MODELS)
    call = ModelCall(
        input=(*_instructions(attributes, own), *_sent(given, attributes, own)),
        output=_received(gave, attributes, own) or _vercel_answer(fields),
        tools=tools,
        parameters=_parameters(attributes),
        model=model,
        asked_for=asked_for if asked_for != model else "",
        provider=fields.word(*_PROVIDERS),
        finish_reason=_finish_reason(attributes, gave),
        tokens=_tokens(attributes),
        cost=Sum(total=counts_of(attributes, "LLM").cost),
        unread=sum(_unread(attributes, it) for it in (given, gave)) + unread_tools,
    )
    return None if call == ModelCall() else call


def _tool_run(span: Span, attributes: Attributes) -> ToolRun | None:
    fields = Fields(attributes)
    given, gave = (_first_there(attributes, span.attributes, it) for it in (TOOL_INPUTS, TOOL_OUTPUTS))
    use = tool_use(span.name, attributes, None)  # as the page of the session has it
    run = ToolRun(
        name=tool_of(attributes) or span.name,
        description=fields.word("gen_ai.tool.description"),
        id=fields.word("gen_ai.tool.call.id", "ai.toolCall.id"),
        parameters=None,
        input=given,
        output=None if gave is None else Text(use.output, gave.key),
    )
    return run if run.input or run.output or run.description or run.id else None


def _retrieval(span: Span, attributes: Attributes) -> Retrieval | None:
    fields = Fields(attributes)
    query = next((it for name in _QUERIES if (it := fields.text(name)) is not None), None)
    if query is None and (given := sent(attributes)) is not None:
        asked = given.payload
        if (inner := mapping(asked)) is not None:  # LangSmith's
            asked = inner.get("query")
        if isinstance(asked, str):
            query = _place(given.key, span.attributes, given.raw == asked).text(asked)
    key, found = _DOCUMENTS, parsed(attributes.get(_DOCUMENTS))
    if found is None and (gave := received(attributes)) is not None:
        key, found = gave.key, gave.payload
    if (inner := mapping(found)) is not None:
        found = inner.get("documents")
    place = _place(key, span.attributes)
    documents = tuple(_document(it, place) for it in sequence(found))
    unread = int(
        _DOCUMENTS in attributes and not documents and attributes[_DOCUMENTS] not in ("", "[]", [], ())
    )
    return Retrieval(query, documents, unread) if query or documents else None


def _document(value: object, place: Place) -> Document:
    about = cast("Attributes | None", mapping(value))
    if about is None:
        return Document("", None, place.text(value), None)
    names = ("content", "page_content", "text")
    return Document(
        id=escaped(Fields(about).word("id")),
        score=Fields(about).number("score"),
        text=next((place.text(about[it]) for it in names if about.get(it) is not None), None),
        metadata=place.text(about.get("metadata") or None),
    )


def _embedding(span: Span, attributes: Attributes) -> Embedding | None:
    fields = Fields(attributes)
    size = fields.number(_DIMENSIONS)
    dimensions = size if isinstance(size, int) else None
    texts = [text for name in _EMBEDDED if (text := fields.text(name)) is not None]
    texts += fields.texts(_EMBEDDED[1])
    said = _sent(sent(attributes), attributes, span.attributes) if not texts else ()
    texts += [block.text for it in said for block in it.blocks if block.text is not None]
    return (
        Embedding(model_of(attributes), tuple(Embedded(it, dimensions) for it in texts), 0) if texts else None
    )


_READERS: Final[dict[str, Callable[[Span, Attributes], Contents | None]]] = {
    "LLM": _model_call,
    "AGENT": _model_call,
    "RETRIEVER": _retrieval,
    "EMBEDDING": _embedding,
    "TOOL": _tool_run,
}


# --- messages -----------------------------------------------------------------------------------------------


def _sent(given: Given | None, attributes: Attributes, own: Attributes) -> tuple[Message, ...]:
    """Read what a model was sent.

    Args:
        given: Where it is.
        attributes: What the span has, its events included.
        own: What it has without them.
    """
    if given is None:
        return ()
    return _messages(given, attributes, own, "user", "prompt") or _whole(given, own, "input")


def _received(gave: Given | None, attributes: Attributes, own: Attributes) -> tuple[Message, ...]:
    """Read what a model answered, as `_sent` does."""
    if gave is None:
        return ()
    return _messages(gave, attributes, own, "assistant", "completion") or _whole(gave, own, "completion")


def _messages(
    given: Given, attributes: Attributes, own: Attributes, role: str, role_of_texts: str
) -> tuple[Message, ...]:
    """Read messages that are of a known form. They have the first role if they say none, texts the second."""
    if given.is_flat:
        return tuple(_flat_messages(given, attributes, own))
    payload = given.payload
    if isinstance(payload, str) and payload == given.raw:
        return _whole(given, own, role_of_texts)
    are_texts = isinstance(payload, str) or all(isinstance(it, str) for it in sequence(payload) or [None])
    bodies = bodies_in(payload, role_of_texts if are_texts else role) or ()
    return tuple(it for body in bodies for it in messages_of(body, _place(given.key, own)))


def _flat_messages(given: Given, attributes: Attributes, own: Attributes) -> Iterable[Message]:
    found, of_span = numbered(attributes, given.key), numbered(own, given.key)
    for (number, values), body in zip(found.items(), sequence(given.payload), strict=True):
        place = Place(f"{given.key}.{number}", is_attribute=True) if number in of_span else Place(None)
        yield from messages_of(mapping(body) or {}, place, list(numbered(values, "tool_calls")))


def _whole(given: Given, own: Attributes, role: str) -> tuple[Message, ...]:
    """Show what is of no known form, or was cut off, as it is written."""
    text = _place(given.key, own, is_whole=True).text(given.raw)
    return (Message(role, blocks=(Block("text", text),)),)


def _instructions(attributes: Attributes, own: Attributes) -> tuple[Message, ...]:
    value = attributes.get(_INSTRUCTIONS)
    told = parsed(value)
    if mapping(told) is not None:
        told = [told]
    blocks = blocks_of(told, _place(_INSTRUCTIONS, own, is_whole=isinstance(told, str) and told == value))
    return (Message("system", blocks=blocks),) if blocks else ()


def _vercel_answer(fields: Fields) -> tuple[Message, ...]:
    """Read the answer where it is in attributes of its own, as Vercel's AI SDK has it."""
    names = (("reasoning", "reasoning"), ("text", "text"), ("text", "object"))
    found = ((kind, fields.text(f"ai.response.{name}")) for kind, name in names)
    blocks = tuple(Block(kind, it) for kind, it in found if it is not None and it.text)
    calls: list[ToolCall] = []
    if (given := fields.structure("ai.response.toolCalls")) is not None:
        body = {"role": "", "tool_calls": sequence(parsed(given.text))}
        calls += [call for it in messages_of(body, Place(given.key)) for call in it.calls]
    return (Message("assistant", blocks=blocks, calls=tuple(calls)),) if blocks or calls else ()


def _finish_reason(attributes: Attributes, gave: Given | None) -> str:
    """Read why the model stopped: of several answers, all the different reasons."""
    for name in _FINISH_REASONS:
        value = parsed(attributes.get(name))
        if found := [it for it in (sequence(value) or [value]) if isinstance(it, str) and it]:
            return escaped(", ".join(dict.fromkeys(found)))
    if gave is None or isinstance(gave.payload, str):
        return ""
    bodies = sequence(gave.payload) if gave.is_flat else bodies_in(gave.payload, "assistant") or ()
    reasons = [it.get("finish_reason") for it in map(mapping, bodies) if it]
    return escaped(", ".join(dict.fromkeys(it for it in reasons if isinstance(it, str))))


def _unread(attributes: Attributes, given: Given | None) -> int:
    """Count what could not be read of messages that were taken apart into attributes."""
    if given is None or not given.is_flat:
        return 0
    start = len(given.key)
    return sum(
        not (
            (known := _READ.fullmatch(key, start)) is not None
            and (isinstance(value, str) or known[2].rpartition(".")[2] in _ANY)
        )
        for key, value in attributes.items()
        if key.startswith(f"{given.key}.")
    )


# --- about the call -----------------------------------------------------------------------------------------


def _offered(attributes: Attributes, own: Attributes) -> tuple[tuple[OfferedTool, ...], int]:
    """Read the tools that a model was offered, and count the attributes of them that could not be read."""
    for name in _TOOLS:
        value = attributes.get(name)
        if value in (None, "", [], (), "[]"):
            continue
        given = sequence(parsed(value))
        tools = [_tool(it, _place(name, own)) for it in map(mapping, given) if it]
        return tuple(tools), int(not tools or len(tools) < len(given))
    flat = numbered(attributes, _FLAT_TOOLS)
    return tuple(
        _tool({name: parsed(it) for name, it in tool.items()}, Place(None)) for tool in flat.values()
    ), 0


def _tool(tool: Body, place: Place) -> OfferedTool:
    about = mapping(tool.get("function")) or tool  # as OpenAI has it; others have no wrapper
    name, description = about.get("name"), about.get("description")
    return OfferedTool(
        escaped(name) if isinstance(name, str) else "",
        escaped(description) if isinstance(description, str) else "",
        place.text(tool) or Text(""),
    )


def _parameters(attributes: Attributes) -> dict[str, str]:
    """How a model was called; which one is shown elsewhere."""
    found: dict[str, str] = {}
    for start in _PARAMETERS:
        for key, value in attributes.items():
            name = key[len(start) :]
            if key.startswith(start) and name and name != "model" and value is not None:
                found.setdefault(name, text_of(value))
    return found


def _tokens(attributes: Attributes) -> Sum:
    counts = counts_of(attributes, "LLM")
    details = {name: count_in(attributes, keys) for name, keys in _PARTS_OF_TOKENS.items()}
    return Sum(
        counts.prompt_tokens or None,
        counts.completion_tokens or None,
        counts.tokens or None,
        {name: count for name, count in details.items() if count},
    )


# --- all of them --------------------------------------------------------------------------------------------


def _place(key: str, own: Attributes, is_whole: bool = False) -> Place:
    """Where something is that is under this name: in an attribute, or else in an event."""
    return Place(key, is_attribute=is_whole) if key in own else Place(None)


def _first_there(attributes: Attributes, own: Attributes, names: Iterable[str]) -> Text | None:
    name = next((it for it in names if attributes.get(it) is not None), "")
    return _place(name, own, is_whole=True).text(attributes.get(name))
