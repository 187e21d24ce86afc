"""What a span is, in OpenInference's words, whichever convention describes it. Pure.

OpenInference says so itself. OpenTelemetry's convention for generative AI (`gen_ai.*`) has operations, which
are kinds by other names; who followed an older version of it, or has names beside it, is understood too:
OpenLLMetry, LangSmith, Vercel's AI SDK. All other spans are of no kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from openinference.semconv.trace import SpanAttributes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_sessions.store._span import Attributes, Value

LLM: Final = "LLM"
TOOL: Final = "TOOL"
AGENT: Final = "AGENT"
_CHAIN: Final = "CHAIN"
_EMBEDDING: Final = "EMBEDDING"
_RETRIEVER: Final = "RETRIEVER"

CONVERSATION_ID: Final = "gen_ai.conversation.id"

ERROR_TYPE: Final = "error.type"

_OPERATION: Final = "gen_ai.operation.name"

_OPERATIONS: Final = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion"), LLM),
    **dict.fromkeys(("embeddings", "embedding"), _EMBEDDING),
    "retrieval": _RETRIEVER,
    "execute_tool": TOOL,
    **dict.fromkeys(("invoke_agent", "create_agent"), AGENT),
}
"""The convention's operations. Any other one, such as "invoke_workflow", is a step: a chain."""

_LANGSMITH_KIND: Final = "langsmith.span.kind"
"""LangSmith has the same operation for prompts and models, and for retrievers and embeddings."""

_LANGSMITH_KINDS: Final = {
    "llm": LLM,
    "tool": TOOL,
    "retriever": _RETRIEVER,
    "embedding": _EMBEDDING,
    "prompt": "PROMPT",
}

_REQUEST_TYPE: Final = "llm.request.type"
"""What OpenLLMetry has had instead of an operation."""

_REQUEST_TYPES: Final = {"embedding": _EMBEDDING, "rerank": "RERANKER"}

_TRACELOOP_KIND: Final = "traceloop.span.kind"
"""OpenLLMetry's tasks and workflows are the application's own spans; only its tools are something more."""

_REQUEST_MODEL: Final = "gen_ai.request.model"
_RESPONSE_MODEL: Final = "gen_ai.response.model"

_MODELS: Final = (SpanAttributes.LLM_MODEL_NAME, _RESPONSE_MODEL, _REQUEST_MODEL)

_AGENTS: Final = ("agent.name", "gen_ai.agent.name")

_TOOLS: Final = (SpanAttributes.TOOL_NAME, "gen_ai.tool.name", "ai.toolCall.name", "traceloop.entity.name")

_PROMPT_TOKENS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_COMPLETION_TOKENS: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
"""The second ones are those of the convention's first versions."""

_COSTS: Final = (SpanAttributes.LLM_COST_TOTAL, "gen_ai.usage.cost")
"""The convention has no cost; several libraries have given it this name."""

_CALLS: Final = frozenset({_REQUEST_MODEL, _RESPONSE_MODEL, *_PROMPT_TOKENS, *_COMPLETION_TOKENS})
"""What only a call of a model has, if no operation is named."""

_MOST_TOKENS: Final = 2**32
"""More is nobody's count, and the sum of many would not fit into the 64 bits that a database has for it."""

_MOST_DIGITS: Final = 10
"""Of a count that is written as a text."""


class Counts(NamedTuple):
    """What a model call used.

    Attributes:
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        cost: What it cost, or None.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        """Sent and received."""
        return self.prompt_tokens + self.completion_tokens


_NOTHING: Final = Counts()


def kind_of(attributes: Attributes) -> str:
    """Return OpenInference's kind of the span, such as "LLM", or what corresponds to it; empty if nothing."""
    return openinference_kind(attributes) or genai_kind(attributes)


def openinference_kind(attributes: Attributes) -> str:
    """Return the kind that OpenInference gives to the span; empty for spans of others."""
    kind = attributes.get(SpanAttributes.OPENINFERENCE_SPAN_KIND)
    return kind if isinstance(kind, str) else ""


def genai_kind(attributes: Attributes) -> str:
    """Return the kind of a span that follows the convention for generative AI; empty if it does not."""
    operation = attributes.get(_OPERATION)
    if isinstance(operation, str) and operation:
        kind = attributes.get(_LANGSMITH_KIND)
        known = _LANGSMITH_KINDS.get(kind) if isinstance(kind, str) else None
        return known or _OPERATIONS.get(operation.lower(), _CHAIN)
    if "gen_ai.tool.name" in attributes or "ai.toolCall.name" in attributes:
        return TOOL
    if attributes.get(_TRACELOOP_KIND) == "tool":
        return TOOL
    if not _CALLS.isdisjoint(attributes):
        request = attributes.get(_REQUEST_TYPE)
        return _REQUEST_TYPES.get(request, LLM) if isinstance(request, str) else LLM
    return AGENT if "gen_ai.agent.name" in attributes else ""


def counts_of(attributes: Attributes, kind: str) -> Counts:
    """Return what a span used, if it is a model's call, or an agent's of the convention for generative AI.

    Args:
        attributes: The span's.
        kind: Its kind, as `kind_of` returns it.
    """
    if kind != LLM and (kind != AGENT or openinference_kind(attributes)):
        return _NOTHING
    return Counts(
        _count(attributes.get(SpanAttributes.LLM_TOKEN_COUNT_PROMPT)) or count_in(attributes, _PROMPT_TOKENS),
        _count(attributes.get(SpanAttributes.LLM_TOKEN_COUNT_COMPLETION))
        or count_in(attributes, _COMPLETION_TOKENS),
        next((it for it in map(_cost, _values(attributes, _COSTS)) if it is not None), None),
    )


def count_in(attributes: Attributes, keys: Iterable[str]) -> int:
    """Return the first count in these attributes, be it a text or a fraction; 0 if there is none."""
    for value in _values(attributes, keys):
        if type(value) is str and value.isdecimal() and value.isascii() and len(value) <= _MOST_DIGITS:
            value = int(value)  # Micrometer, for one, has nothing but texts
        elif type(value) is float and value.is_integer():
            value = int(value)  # JavaScript has one type of number
        if count := _count(value):
            return count
    return 0


def model_of(attributes: Attributes) -> str:
    """Return the name of the model that was called; empty if there is none."""
    return _first_text(attributes, _MODELS)


def agent_of(attributes: Attributes) -> str:
    """Return the name of the agent that a span says it is about; empty if there is none."""
    return _first_text(attributes, _AGENTS)


def tool_of(attributes: Attributes) -> str:
    """Return the name of the tool that was called; empty if there is none."""
    return _first_text(attributes, _TOOLS)


def _values(attributes: Attributes, keys: Iterable[str]) -> Iterable[Value]:
    return (attributes[key] for key in keys if key in attributes)


def _first_text(attributes: Attributes, keys: Iterable[str]) -> str:
    return next((str(it) for it in _values(attributes, keys) if it is not None and it != ""), "")


def _count(value: Value) -> int:
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else 0


def _cost(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < float("inf") else None
