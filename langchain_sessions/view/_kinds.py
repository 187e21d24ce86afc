"""Reading what a span was given and what it gave, by its kind. Pure.

OpenInference's attributes are read here, those of the convention for generative AI in `_genai_kinds`.

Nothing here fails on what it reads: what has another type or name than expected is left out, and counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from langchain_sessions.store._conventions import openinference_kind
from langchain_sessions.store._genai import PREFIX
from langchain_sessions.store._texts import answered
from langchain_sessions.store._turn import tool_use
from langchain_sessions.view._contents import (
    Block,
    Document,
    Embedded,
    Embedding,
    Message,
    ModelCall,
    OfferedTool,
    Reranking,
    Retrieval,
    Sum,
    ToolCall,
    ToolRun,
)
from langchain_sessions.view._fields import Fields, Text, text_of
from langchain_sessions.view._genai_kinds import genai_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_sessions.store import Span
    from langchain_sessions.view._contents import Contents

_PARSED: Final = 1_000_000
"""Characters of JSON that is taken apart. What is longer is shown as a text, or not at all."""

_MEDIA: Final = {
    "image": "message_content.image.image.url",
    "audio": "message_content.audio.audio.url",
    "video": "message_content.video.video.url",
    "document": "message_content.document.document.url",
}
"""Where a message's content has the address of what is no text."""

_TEXTS: Final = (
    "message_content.text",
    "message_content.audio.audio.transcript",
    "message_content.document.document.content",
)
"""Where it has a text."""

_SEALED: Final = ("message_content.signature", "message_content.data", "message_content.encrypted_content")
"""What providers attach to reasoning; nobody else can read it."""

_CALLING: Final = ("tool_use", "tool_call", "function_call")
"""Types of content that stand for a call, which the message has among its calls, too."""


def contents_of(span: Span) -> Contents | None:
    """Read what a span was given and gave; None if that is not known of its kind, or there is nothing."""
    kind = openinference_kind(span.attributes)
    if not kind:
        return genai_contents(span)
    read = _READERS.get(kind.upper())
    found = None if read is None else read(span)
    if found is None and read is not None and any(it.startswith(PREFIX) for it in span.attributes):
        return genai_contents(span)  # of OpenInference it has the kind alone
    return found


def _model_call(span: Span) -> ModelCall | None:
    fields = Fields(span.attributes)
    model = fields.word("llm.response.model_name", "llm.model_name", "llm.request.model_name")
    asked_for = fields.word("llm.request.model_name")
    tools = tuple(filter(None, map(_offered, fields.items("llm.tools"))))
    call = ModelCall(
        input=_messages(fields, "llm.input_messages") or _prompts(fields) or _whole(fields, "input.value"),
        output=_messages(fields, "llm.output_messages") or _completions(fields) or _answer(span),
        tools=tools,
        parameters=_parameters(fields.structure("llm.invocation_parameters"), {"tools"} if tools else set()),
        model=model,
        asked_for=asked_for if asked_for != model else "",
        provider=fields.word("llm.provider", "llm.system"),
        finish_reason=fields.word("llm.finish_reason"),
        tokens=_sum(fields, "llm.token_count"),
        cost=_sum(fields, "llm.cost"),
        unread=fields.unread(
            "llm.input_messages", "llm.output_messages", "llm.prompts", "llm.choices", "llm.tools"
        ),
    )
    return call if call.input or call.output or call.tools else None


def _retrieval(span: Span) -> Retrieval | None:
    fields = Fields(span.attributes)
    documents = _documents(fields, "retrieval.documents")
    query = fields.text("input.value")
    unread = fields.unread("retrieval.documents")
    return Retrieval(query, documents, unread) if query or documents else None


def _reranking(span: Span) -> Reranking | None:
    fields = Fields(span.attributes)
    ranking = Reranking(
        query=fields.text("reranker.query"),
        model=fields.word("reranker.model_name"),
        top=fields.number("reranker.top_k"),
        input=_documents(fields, "reranker.input_documents"),
        output=_documents(fields, "reranker.output_documents"),
        unread=fields.unread("reranker.input_documents", "reranker.output_documents"),
    )
    return ranking if ranking.query or ranking.input or ranking.output else None


def _embedding(span: Span) -> Embedding | None:
    fields = Fields(span.attributes)
    texts = [
        Embedded(it.text("embedding.text"), it.length("embedding.vector"))
        for it in fields.items("embedding.embeddings")
    ]
    known = tuple(it for it in texts if it.text is not None or it.dimensions is not None)
    if not known and (given := fields.text("input.value")):
        known = (Embedded(given, None),)
    unread = fields.unread("embedding.embeddings")
    return Embedding(fields.word("embedding.model_name"), known, unread) if known else None


def _tool_run(span: Span) -> ToolRun | None:
    fields = Fields(span.attributes)
    given, gave = fields.text("input.value"), fields.text("output.value")
    if given is None and gave is None:
        return None
    use = tool_use(span.name, span.attributes, None)  # as the page of the session has it
    return ToolRun(
        name=fields.word("tool.name") or span.name,
        description=fields.word("tool.description"),
        id=fields.word("tool.id", "tool_call.id"),
        parameters=fields.structure("tool.parameters"),
        input=given,
        output=None if gave is None else Text(use.output, gave.key),
    )


_READERS: Final[dict[str, Callable[[Span], Contents | None]]] = {
    "LLM": _model_call,
    "RETRIEVER": _retrieval,
    "RERANKER": _reranking,
    "EMBEDDING": _embedding,
    "TOOL": _tool_run,
}


# --- models -------------------------------------------------------------------------------------------------


def _messages(fields: Fields, name: str) -> tuple[Message, ...]:
    return tuple(filter(None, map(_message, fields.items(name))))


def _message(fields: Fields) -> Message | None:
    content = fields.text("message.content")
    blocks = [] if content is None else [Block("text", content)]
    blocks += filter(None, map(_block, fields.items("message.contents")))
    calls = list(filter(None, map(_call, fields.items("message.tool_calls"))))
    function = fields.word("message.function_call_name")
    arguments = fields.structure("message.function_call_arguments_json")
    if function or arguments:
        calls.append(ToolCall(function, "", arguments))
    message = Message(
        role=fields.word("message.role"),
        name=fields.word("message.name"),
        call_id=fields.word("message.tool_call_id"),
        blocks=tuple(blocks),
        calls=tuple(calls),
    )
    return None if message == Message("") else message


def _block(fields: Fields) -> Block | None:
    text = next(filter(None, map(fields.text, _TEXTS)), None)
    urls = {kind: fields.text(name) for kind, name in _MEDIA.items()}
    medium, url = next(((kind, it) for kind, it in urls.items() if it is not None), ("text", None))
    sealed = [fields.text(it) for it in (*_SEALED, "message_content.id")]
    block = Block(
        kind=fields.word("message_content.type") or medium,
        text=text,
        url=url,
        name=fields.word(
            "message_content.document.document.name", "message_content.document.document.mime_type"
        ),
        is_sealed=any(sealed[:-1]),
    )
    is_empty = text is None and url is None and not block.is_sealed
    return None if is_empty and (block.kind == "text" or block.kind in _CALLING) else block


def _call(fields: Fields) -> ToolCall | None:
    call = ToolCall(
        name=fields.word("tool_call.function.name"),
        id=fields.word("tool_call.id"),
        arguments=fields.structure("tool_call.function.arguments"),
    )
    fields.text("tool_call.reasoning_signature")
    return None if call == ToolCall("", "", None) else call


def _prompts(fields: Fields) -> tuple[Message, ...]:
    prompts = [it.text("prompt.text") for it in fields.items("llm.prompts")]
    return _said("prompt", [*prompts, *fields.texts("llm.prompts")])  # some instrumentors write a plain list


def _completions(fields: Fields) -> tuple[Message, ...]:
    completions = [it.text("completion.text") for it in fields.items("llm.choices")]
    return _said("completion", [*completions, *fields.texts("llm.choices")])


def _whole(fields: Fields, name: str) -> tuple[Message, ...]:
    return _said("input", [fields.text(name)])


def _answer(span: Span) -> tuple[Message, ...]:
    """What a model answered that says so in its output alone, as completion models do."""
    text = answered(span.attributes)
    return _said("completion", [None if text is None else Text(text, "output.value")])


def _said(role: str, texts: Iterable[Text | None]) -> tuple[Message, ...]:
    return tuple(Message(role, blocks=(Block("text", it),)) for it in texts if it is not None)


def _offered(fields: Fields) -> OfferedTool | None:
    schema = fields.structure("tool.json_schema")
    if schema is None:
        return None
    tool = _object(schema.text)
    function = tool.get("function")  # as OpenAI has it; others have no wrapper
    about = cast("dict[str, object]", function) if isinstance(function, dict) else tool
    name, description = about.get("name"), about.get("description")
    return OfferedTool(
        name if isinstance(name, str) else "", description if isinstance(description, str) else "", schema
    )


def _parameters(parameters: Text | None, elsewhere: set[str]) -> dict[str, str]:
    """How a model was called; what was not set, and what is shown elsewhere, is left out."""
    if parameters is None:
        return {}
    given = _object(parameters.text)
    if not given and parameters.text.strip() != "{}":
        return {"": parameters.text}  # masked, or cut off
    return {
        name: text_of(value) for name, value in given.items() if value is not None and name not in elsewhere
    }


def _sum(fields: Fields, name: str) -> Sum:
    details = {
        f"{side} {part}": number
        for side in ("prompt", "completion")
        for part, number in fields.numbers(f"{name}.{side}_details").items()
    }
    prompt, completion, total = (fields.number(f"{name}.{it}") for it in ("prompt", "completion", "total"))
    return Sum(prompt, completion, total, details)


# --- documents ----------------------------------------------------------------------------------------------


def _documents(fields: Fields, name: str) -> tuple[Document, ...]:
    return tuple(filter(None, map(_document, fields.items(name))))


def _document(fields: Fields) -> Document | None:
    document = Document(
        id=fields.word("document.id"),
        score=fields.number("document.score"),
        text=fields.text("document.content"),
        metadata=fields.structure("document.metadata"),
    )
    return None if document == Document("", None, None, None) else document


# --- all of them --------------------------------------------------------------------------------------------


def _object(text: str) -> dict[str, object]:
    """The JSON object that a text is, or an empty one."""
    if len(text) > _PARSED:
        return {}
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else {}
