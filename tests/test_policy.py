from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_sessions import SessionPolicy
from langchain_sessions._policy import Conflict, Group, resolve

pytestmark = pytest.mark.core

KEY = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keys": ()}, ValueError, "at least one key"),
        ({"keys": "session_id"}, TypeError, "must be a sequence of names"),
        ({"keys": {"session_id"}}, TypeError, "must be a sequence of names"),
        ({"keys": ("session_id", 1)}, TypeError, "must hold names"),
        ({"keys": ("session_id", " ")}, ValueError, "blank name"),
        ({"keys": ("a", "a")}, ValueError, "names a key twice"),
        ({"keys": ("id",), "user_keys": ("id",)}, ValueError, r"both name \['id'\]"),
        ({"user_keys": "user_id"}, TypeError, "user_keys must be a sequence"),
        ({"max_length": 63}, ValueError, "at least 64"),
        ({"max_length": "200"}, TypeError, "must be an int"),
        ({"max_length": True}, TypeError, "must be an int"),
        ({"nested": "inner"}, ValueError, "'root' or 'own', not 'inner'"),
        ({"pseudonymize": "secret"}, TypeError, "must be bytes, not str"),
        ({"pseudonymize": True}, TypeError, "must be bytes, not bool"),
        ({"pseudonymize": b""}, ValueError, "at least 16 bytes"),
        ({"conversation_id": 1}, TypeError, "conversation_id must be True or False"),
        ({"readable_turns": "no"}, TypeError, "readable_turns must be True or False"),
        ({"keep_original_io": None}, TypeError, "keep_original_io must be True or False"),
    ],
)
def test_wrong_and_contradictory_choices_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A policy that cannot work says so when it is made."""
    with pytest.raises(error, match=message):
        SessionPolicy(**arguments)


def test_a_policy_is_a_value() -> None:
    """Policies are frozen, comparable and hashable, whatever sequence the keys came in."""
    policy = SessionPolicy(keys=["chat"], user_keys=[])
    assert policy == SessionPolicy(keys=("chat",), user_keys=())
    assert hash(policy) == hash(SessionPolicy(keys=("chat",), user_keys=()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.nested = "own"  # type: ignore[misc]


def test_the_key_does_not_show() -> None:
    """Printing or logging a policy does not reveal the secret."""
    assert "0123" not in repr(SessionPolicy(pseudonymize=KEY))


def test_the_first_acceptable_candidate_wins() -> None:
    """Refused candidates are passed over and remembered."""
    groups: list[Group] = [("metadata", [("session_id", True), ("thread_id", " t "), ("other", None)])]
    resolution = resolve(groups, SessionPolicy())
    assert resolution.id == "t"
    assert [(refusal.key, refusal.kind) for refusal in resolution.refusals] == [("session_id", "bool")]
    assert resolution.conflicts == []


def test_two_keys_with_two_ids_are_a_conflict() -> None:
    """The first key wins, and the second is reported; the same id written differently is no conflict."""
    pairs = [("session_id", "a"), ("conversation_id", " a "), ("thread_id", "b")]
    resolution = resolve([("metadata", pairs)], SessionPolicy())
    assert resolution == ("a", [], [Conflict("metadata", "session_id", "thread_id")])


def test_later_sources_are_not_even_looked_at() -> None:
    """A costly source is visited only if the ones before it had no id."""

    def groups() -> Iterator[Group]:
        yield "metadata", [("session_id", "a")]
        pytest.fail("looked too far")

    assert resolve(groups(), SessionPolicy()).id == "a"


def test_no_candidate_means_no_id() -> None:
    """An id is never invented."""
    assert resolve([("metadata", []), ("configurable", [("session_id", [])])], SessionPolicy()).id is None
