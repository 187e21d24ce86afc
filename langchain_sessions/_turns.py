"""What the user said and what was answered, out of what a run was given and what it returned. Pure.

Both come as the application's objects, or as the JSON that they become in a span, parsed. Conversations are
read from their end, and no further than needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

from langchain_sessions._messages import (
    AI,
    HUMAN,
    SYSTEM,
    TOOL,
    Fields,
    Message,
    are_blocks,
    backwards,
    call_as_code,
    compact,
    conversation,
    fields_of,
    message_of,
    plain,
    text_of,
)

Reader: TypeAlias = Callable[[Any, int], str | None]
"""Reads a payload, through so many more wrappers."""

MAX_DEPTH: Final = 5
"""Wrappers opened on the way to a text, as in `{"output": {"messages": [...]}}`."""

_SAID_KEYS: Final = (
    *("input", "question", "query", "user_input", "human_input", "user_message", "user_query"),
    *("message", "prompt", "text", "content", "request", "instruction", "utterance", "q", "msg"),
)
"""Names under which a user's words are given, the most telling first."""

_ANSWERED_KEYS: Final = (
    *("output", "answer", "final_answer", "response", "final_response", "result", "reply", "completion"),
    *("output_text", "generation", "text", "content", "message", "return_values"),
)
"""Names under which an answer is returned, the most telling first."""

_SAID_ENDINGS: Final = ("_question", "_query", "_message", "_input", "_utterance")
_ANSWERED_ENDINGS: Final = ("_answer", "_response", "_reply", "_output")
"""How other names for the same end: `customer_question`, `bot_reply`. One such name counts, not several."""

_ASKED_KEYS: Final = (*_SAID_KEYS, "description", "title")
"""Names under which the value of an interrupt has the question."""

_COMMAND: Final = frozenset({"graph", "update", "resume", "goto", "lg_name"})
"""The fields of LangGraph's `Command`, in Python and JavaScript."""

_DECISIONS: Final = frozenset({"approve", "accept", "edit", "reject", "ignore", "respond", "response"})
"""What a person may decide about a tool call, in LangChain's middleware and in its predecessor."""

_INTERRUPT_ID: Final = 32
"""Digits of the id of an interrupt."""

_HEXADECIMAL: Final = frozenset("0123456789abcdef")


def input_text(payload: object) -> str | None:
    """Return what the user said.

    Args:
        payload: What a run was given: a text, messages, lists and mappings of them, a `Command`; or the JSON
            of any of these, parsed.

    Returns:
        The text; empty if nothing was said; None if the payload is not recognisably a chat.
    """
    return _guarded(read_input, payload)


def output_text(payload: object) -> str | None:
    """Return what was answered; if the run was interrupted by a question, the question.

    Args:
        payload: What a run returned: a text, messages, lists and mappings of them, a model's result; or the
            JSON of any of these, parsed.

    Returns:
        The text; empty if the answer is; None if the payload is not recognisably a chat.
    """
    return _guarded(read_output, payload)


def _guarded(read: Reader, payload: object) -> str | None:
    try:
        text = _single_text(payload) or read(payload, MAX_DEPTH)
    except Exception:  # an object of the application may fail in whatever is asked of it, or contain itself
        return None
    if text is None or text.isascii():
        return text
    # A lone surrogate, which JSON may escape, makes a whole batch of spans undeliverable.
    return text.encode("utf-8", "backslashreplace").decode()


def _single_text(payload: Any) -> str | None:
    """Return the text of a mapping that has nothing else: what most chains are given and return."""
    if type(payload) is dict and len(cast("Fields", payload)) == 1:
        (only,) = cast("Fields", payload).values()
        return only if type(only) is str else None
    return None


def read_input(payload: Any, depth: int) -> str | None:
    """Read what the user said; unlike `input_text`, fail if the payload's own code fails."""
    if isinstance(payload, str):
        return plain(payload)
    if depth == 0:
        return None
    if (message := message_of(payload)) is not None:
        return message.words
    if isinstance(payload, (list, tuple)):
        return _input_of_list(cast("Sequence[Any]", payload), depth)
    fields = fields_of(payload)
    if not fields:
        return None
    if "resume" in fields and _COMMAND.issuperset(fields):
        resume, update = fields["resume"], fields.get("update")
        return read_input(update, depth - 1) if resume is None else _resumed(resume, depth - 1)
    prompts = fields.get("prompts")  # a completion model is given one per run
    if isinstance(prompts, (list, tuple)) and len(cast("Sequence[Any]", prompts)) == 1:
        return read_input(prompts[0], depth - 1)
    return _input_of_state(fields, depth)


def _input_of_list(items: Sequence[Any], depth: int) -> str | None:
    if (spoken := conversation(items)) is not None:
        return _last_said(spoken)
    if are_blocks(items):
        return text_of(items, "\n")
    if len(items) == 1 and isinstance(items[0], (list, tuple)):
        pair = cast("Sequence[Any]", items[0])  # an update in pairs, as a Command's JSON may have it
        is_pair = len(pair) == 2 and isinstance(pair[0], str)
        return read_input({pair[0]: pair[1]}, depth - 1) if is_pair else None
    return None


def _input_of_state(fields: Fields, depth: int) -> str | None:
    spoken = conversation(fields.get("messages"), in_state=True)
    last = None if spoken is None else next((it for it in backwards(spoken) if it.role != SYSTEM), None)
    if last is not None and last.role == HUMAN:
        return last.words
    # What does not end with the user's words is a history, and they are beside it.
    if (text := _under(_SAID_KEYS, _SAID_ENDINGS, fields, depth, read_input)) is not None:
        return text
    return _only_text(fields, depth, read_input) if spoken is None else _last_said(spoken)


def _last_said(spoken: Sequence[Any]) -> str:
    last: Message | None = None
    for message in backwards(spoken):
        if message.role == HUMAN:
            return message.words
        last = last or message  # a model may be called with instructions alone, or go on with a tool's result
    return "" if last is None else last.words


def read_output(payload: Any, depth: int) -> str | None:
    """Read what was answered; unlike `output_text`, fail if the payload's own code fails."""
    if isinstance(payload, str):
        return plain(payload)
    if depth == 0:
        return None
    if (message := message_of(payload)) is not None:
        return message.words
    if isinstance(payload, (list, tuple)):
        items = cast("Sequence[Any]", payload)
        if (spoken := conversation(items)) is not None:
            return _last_answered(spoken)
        return text_of(items, "") if are_blocks(items) else None
    fields = fields_of(payload)
    if not fields:
        return None
    if interrupts := fields.get("__interrupt__"):
        return _asked(interrupts, depth - 1)
    if isinstance(generations := fields.get("generations"), (list, tuple)):
        return _generated(cast("Sequence[Any]", generations))
    return _output_of_state(fields, depth)


def _output_of_state(fields: Fields, depth: int) -> str | None:
    spoken = conversation(fields.get("messages"), in_state=True)
    if (structured := fields.get("structured_response")) is not None:
        last = next((message for message in backwards(spoken or ()) if message.role == AI), None)
        is_answer = last is not None and last.text.strip() and not last.calls
        return last.text if last is not None and is_answer else compact(structured)
    if spoken is not None:
        return _last_answered(spoken)
    if (text := _under(_ANSWERED_KEYS, _ANSWERED_ENDINGS, fields, depth, read_output)) is not None:
        return text
    text = _only_text(fields, depth, read_output)
    return _last_update(fields) if text is None else text


def _last_update(fields: Fields) -> str | None:
    """Read what the nodes of a graph added to its messages, by their names: the last chunk of a stream."""
    answers: list[str] = []
    for update in fields.values():
        state = fields_of(update)
        if state is None:
            return None
        if (spoken := conversation(state.get("messages"), in_state=True)) is not None:
            answers.append(_last_answered(spoken))
    return answers[-1] if answers else None


def _last_answered(spoken: Sequence[Any]) -> str:
    """Read the end of a conversation: the model's words, or tools' results if these were the answer."""
    results: list[str] = []
    messages = backwards(spoken)
    for message in messages:
        if message.role == TOOL:
            results.append(message.text)
            continue
        if any(results):
            break
        if message.role == SYSTEM:
            continue
        if message.role == HUMAN and not _speaks_for_an_agent(message, messages):
            return ""  # nobody has answered yet
        return message.words
    return "\n".join(filter(None, reversed(results)))


def _speaks_for_an_agent(message: Message, before: Iterator[Message]) -> bool:
    """Whether a human message is an agent's: supervisors pass results on under a name; users have none."""
    return bool(message.body.get("name")) and any(
        it.role == HUMAN and not it.body.get("name") for it in before
    )


def _generated(generations: Sequence[Any]) -> str | None:
    """Read a model's result: alternatives for each of its prompts, of which a run has one."""
    first: Any = generations[0] if generations else None
    if isinstance(first, (list, tuple)):
        alternatives = cast("Sequence[Any]", first)
        first = alternatives[0] if alternatives else None
    if (fields := fields_of(first)) is None:
        return None
    if (message := message_of(fields.get("message"))) is not None:
        return message.words
    text = fields.get("text")
    return plain(text) if isinstance(text, str) else None


def _under(
    keys: Iterable[str], endings: tuple[str, ...], fields: Fields, depth: int, read: Reader
) -> str | None:
    for key in keys:
        if (value := fields.get(key)) is not None and (text := read(value, depth - 1)) is not None:
            return text
    alike = [value for key, value in fields.items() if isinstance(key, str) and key.lower().endswith(endings)]
    return plain(alike[0]) if len(alike) == 1 and isinstance(alike[0], str) else None


def _only_text(fields: Fields, depth: int, read: Reader) -> str | None:
    """Read the one text of a mapping that has nothing beside it but what was said before."""
    if len(fields) == 1:
        (only,) = fields.values()
        is_readable = isinstance(only, str) or conversation(only)
        return read(only, depth - 1) if is_readable else None
    text: str | None = None
    for value in fields.values():
        if isinstance(value, str) and text is None:
            text = plain(value)
        elif conversation(value) is None and not (isinstance(value, list) and not value):
            return None
    return text


# --- what people are asked, and what they answer to it ------------------------------------------------------


def _asked(interrupts: Any, depth: int) -> str:
    items = cast("Sequence[Any]", interrupts) if isinstance(interrupts, (list, tuple)) else (interrupts,)
    return "\n".join(_question(_value_of(item), depth) for item in items)


def _value_of(interrupt: Any) -> Any:
    fields = fields_of(interrupt) or {}
    return fields["value"] if "value" in fields and "id" in fields else interrupt


def _question(value: Any, depth: int) -> str:
    if isinstance(value, (list, tuple)) and depth and all(map(fields_of, cast("Sequence[Any]", value))):
        return "\n".join(_question(item, depth - 1) for item in cast("Sequence[Any]", value))
    if (message := message_of(value)) is not None:
        return message.words
    fields = fields_of(value)
    if not fields or depth == 0:
        return compact(value)
    if isinstance(requests := fields.get("action_requests"), (list, tuple)):
        return "\n".join(map(_request, cast("Sequence[Any]", requests)))
    if "action_request" in fields:  # as the middleware's predecessor has it
        return _request(
            {"description": fields.get("description"), **(fields_of(fields["action_request"]) or {})}
        )
    text = _under(_ASKED_KEYS, _SAID_ENDINGS, fields, depth, read_input)
    return compact(value) if text is None else text


def _request(request: Any) -> str:
    fields = fields_of(request) or {}
    description = fields.get("description")
    if isinstance(description, str) and description.strip():
        return plain(description)
    call = call_as_code(fields)
    return compact(request) if call is None else f"{call}?"


def _resumed(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return plain(value)
    if depth and (message := message_of(value)) is not None:
        return message.words
    if isinstance(value, (list, tuple)):
        decisions = [_decision(item) for item in cast("Sequence[Any]", value)]
        return "\n".join(map(str, decisions)) if all(decisions) else compact(value)
    fields = fields_of(value)
    if not fields or depth == 0:
        return compact(value)
    if isinstance(decisions := fields.get("decisions"), (list, tuple)):
        return _resumed(decisions, depth - 1)
    if all(map(_is_interrupt_id, fields)):
        return "\n".join(_resumed(answer, depth - 1) for answer in fields.values())
    if len(fields) == 1 and isinstance(only := next(iter(fields.values())), str):
        return plain(only)
    return _decision(fields) or compact(value)


def _is_interrupt_id(key: object) -> bool:
    return isinstance(key, str) and len(key) == _INTERRUPT_ID and _HEXADECIMAL.issuperset(key)


def _decision(decision: Any) -> str | None:
    fields = fields_of(decision) or {}
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _DECISIONS:
        return None
    edited = fields.get("edited_action") or fields.get("args")
    detail = fields.get("message") or (
        edited if isinstance(edited, str) else call_as_code(fields_of(edited) or {})
    )
    return f"{kind}: {detail}" if detail else kind
