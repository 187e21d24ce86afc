"""`SessionPolicy`, every choice a user may make about ids, and the pure decision that follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from langchain_sessions._ids import (
    DEFAULT_MAX_LENGTH,
    MIN_MAX_LENGTH,
    InvalidSessionIdError,
    normalize_session_id,
    pseudonym,
)

MIN_KEY_BYTES = 16
"""Ids are guessable (e-mail addresses, small numbers), so the key alone protects a pseudonym: 128 bits."""

Source: TypeAlias = Literal["metadata", "configurable", "context", "parent span", "baggage"]
"""Where an id was found, in the order in which we look (the parent run comes after `configurable`)."""

Group: TypeAlias = tuple[Source, Sequence[tuple[str, object]]]
"""The candidates of one source: (key, raw value) pairs in the order of the policy's keys."""


_SWITCHES = (
    "conversation_id",
    "readable_turns",
    "keep_original_io",
    "accept_baggage",
    "propagate_baggage",
    "stamp_enclosing",
)


@dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """Every choice about ids, checked when it is made.

    Attributes:
        keys: Names under which `metadata` and `configurable` may hold the session id, the first one wins.
            The default is LangSmith's order.
        user_keys: Names under which they may hold the id of the user, written as `user.id`. May be empty.
        max_length: The longest id in characters, at least 64. Longer ones are shortened, see
            `normalize_session_id`.
        nested: What happens to a run inside another that brings an id of its own (a LangGraph subgraph with
            its own thread, say): `"root"` keeps the outer run's id, so that a trace is in one session;
            `"own"` gives the inner run and what it calls their own.
        pseudonymize: A secret key of at least 16 bytes. With it, ids are replaced by a keyed hash
            (HMAC-SHA-256) wherever they would be recorded. Use one key in every process.
        conversation_id: Also write the id as `gen_ai.conversation.id`, the name in OpenTelemetry's
            conventions for generative AI.
        readable_turns: Show what the user said, and what was answered, as the input and output of the span
            of a turn: the outermost run of a trace. What is not recognisably a chat is left as it is.
        keep_original_io: With `readable_turns`, keep the JSON beside the text, as
            `langchain_sessions.input.original` and `langchain_sessions.output.original`, unless something
            is hidden that it might show.
        accept_baggage: Take the id from W3C baggage (`session.id`, `user.id`) if nothing nearer gives one.
            Off by default: baggage comes with a request and is whatever its sender claims. Switch it on
            where only services of yours can send requests, or where a gateway removes baggage from outside.
        propagate_baggage: Put the id of a run into baggage, so that instrumented HTTP clients and task queues
            send it along. Off by default: it goes to *every* host that is called inside, a model's or a
            search engine's too. `session(..., propagate=True)` does so for one block.
        stamp_enclosing: Also write the ids, and the input and output of the turn, to the span that encloses
            a LangChain run in this process, a web server's span for instance: backends that read a
            conversation from the root spans of traces, as Phoenix does, find the turn there.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If a value is out of range, or contradicts another.
    """

    keys: Sequence[str] = ("session_id", "conversation_id", "thread_id")
    user_keys: Sequence[str] = ("user_id",)
    max_length: int = DEFAULT_MAX_LENGTH
    nested: Literal["root", "own"] = "root"
    pseudonymize: bytes | None = field(default=None, repr=False)
    conversation_id: bool = False
    readable_turns: bool = True
    keep_original_io: bool = True
    accept_baggage: bool = False
    propagate_baggage: bool = False
    stamp_enclosing: bool = False

    def __post_init__(self) -> None:
        """Check every field, and freeze the key names."""
        object.__setattr__(self, "keys", _key_names("keys", self.keys))
        object.__setattr__(self, "user_keys", _key_names("user_keys", self.user_keys))
        if not self.keys:
            msg = "keys must name at least one key, otherwise no id could ever be found"
            raise ValueError(msg)
        if both := set(self.keys) & set(self.user_keys):
            msg = (
                f"keys and user_keys both name {sorted(both)}; one value cannot be both a session and a user"
            )
            raise ValueError(msg)
        if self.nested not in ("root", "own"):
            msg = f"nested must be 'root' or 'own', not {self.nested!r}"
            raise ValueError(msg)
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                msg = f"{name} must be True or False, not {getattr(self, name)!r}"
                raise TypeError(msg)
        self._check_max_length()
        self._check_pseudonymize()

    def _check_max_length(self) -> None:
        if not isinstance(self.max_length, int) or isinstance(self.max_length, bool):
            msg = f"max_length must be an int (characters), not {self.max_length!r}"
            raise TypeError(msg)
        if self.max_length < MIN_MAX_LENGTH:
            msg = f"max_length must be at least {MIN_MAX_LENGTH} characters, not {self.max_length}"
            raise ValueError(msg)

    def _check_pseudonymize(self) -> None:
        if self.pseudonymize is None:
            return
        if not isinstance(self.pseudonymize, bytes):
            kind = type(self.pseudonymize).__name__
            msg = f"pseudonymize must be bytes, not {kind}; try secrets.token_bytes(32)"
            raise TypeError(msg)
        if len(self.pseudonymize) < MIN_KEY_BYTES:
            msg = f"pseudonymize must have at least {MIN_KEY_BYTES} bytes, not {len(self.pseudonymize)}"
            raise ValueError(msg)

    def canonical(self, value: object) -> str:
        """Give an id the form in which it is recorded.

        Raises:
            InvalidSessionIdError: If the value is not an id, see `normalize_session_id`.
        """
        text = normalize_session_id(value, max_length=self.max_length)
        return text if self.pseudonymize is None else pseudonym(text, self.pseudonymize)


class Refusal(NamedTuple):
    """A candidate that was not an id."""

    source: Source
    key: str
    error: InvalidSessionIdError
    kind: str
    """The value's type: what a log may say of it."""


class Conflict(NamedTuple):
    """A second key of the same mapping that held another id."""

    source: Source
    kept: str
    ignored: str


class Resolution(NamedTuple):
    """What was decided, and what the user should hear about it."""

    id: str | None
    refusals: Sequence[Refusal] = ()
    conflicts: Sequence[Conflict] = ()


def resolve(groups: Iterable[Group], policy: SessionPolicy) -> Resolution:
    """Choose the id: the first acceptable candidate of the first source that has one.

    Args:
        groups: The sources in order of precedence. Consumed only as far as needed, so that a costly source
            may be a generator's last step.
        policy: Length limit and pseudonymization.

    Returns:
        The id or None, with every refused candidate met on the way and every other id in the chosen source.
    """
    refusals: list[Refusal] = []
    for source, pairs in groups:
        chosen: tuple[str, str] | None = None
        conflicts: list[Conflict] = []
        for key, value in pairs:
            if value is None:  # a key that says "no id" is as good as no key
                continue
            try:
                found = policy.canonical(value)
            except InvalidSessionIdError as error:
                refusals.append(Refusal(source, key, error, type(value).__name__))
                continue
            if chosen is None:
                chosen = (key, found)
            elif found != chosen[1]:
                conflicts.append(Conflict(source, chosen[0], key))
        if chosen is not None:
            return Resolution(chosen[1], refusals, conflicts)
    return Resolution(None, refusals)


def _key_names(field_name: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        msg = f"{field_name} must be a sequence of names such as ('session_id',), not {names!r}"
        raise TypeError(msg)
    for name in names:
        if not isinstance(name, str):
            msg = f"{field_name} must hold names (str), not {name!r}"
            raise TypeError(msg)
        if not name.strip():
            msg = f"{field_name} holds a blank name"
            raise ValueError(msg)
    if len(set(names)) != len(names):
        msg = f"{field_name} names a key twice: {tuple(names)}"
        raise ValueError(msg)
    return tuple(names)
