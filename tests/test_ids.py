from __future__ import annotations

import enum
import math
import unicodedata
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from langchain_sessions import InvalidSessionIdError, normalize_session_id
from langchain_sessions._ids import pseudonym

pytestmark = pytest.mark.core

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates and controls included
LONG = "x" * 5_000


class Colour(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


class Hostile(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "somebody else"

    def __call__(self) -> str:
        return "somebody else"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "abc"),
        ("  abc \n", "abc"),
        ("a b", "a b"),
        (42, "42"),
        (0, "0"),
        (-1, "-1"),
        (2**100, str(2**100)),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Colour.RED, "red"),
        (Number.SEVEN, "7"),
        (Hostile("mine"), "mine"),
        ("e\u0301", "\u00e9"),
        ("日本語", "日本語"),
        ("a\x00b\x1bc\u2028d\u2029e\u200bf\u202eg", "abcdefg"),
        ("a\ud800b", "a\\ud800b"),
        ("\ufeffabc", "abc"),
        ("x" * 200, "x" * 200),
        ("Ada@Example.org", "Ada@Example.org"),
    ],
)
def test_acceptable_values_have_one_canonical_form(value: object, expected: str) -> None:
    """Text, UUIDs and ints become the same text wherever they appear."""
    result = normalize_session_id(value)
    assert result == expected
    assert type(result) is str


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "bool True"),
        (1.0, "float 1.0"),
        (math.nan, "float nan"),
        (b"abc", "bytes b'abc'"),
        (None, "got None"),
        (["abc"], "a list"),
        ({"id": "abc"}, "a dict"),
        (object(), "a object"),
        (Decimal(1), "a Decimal"),
        ("", "str ''"),
        (" \t\n", "str ' \\t\\n'"),
        ("\u200b\u2028\x00", "str '\\u200b\\u2028\\x00'"),
        ("None", "str 'None'"),
        ("undefined", "str 'undefined'"),
        ("NULL", "str 'NULL'"),
        ("nan", "str 'nan'"),
        ("[object Object]", "str '[object Object]'"),
    ],
)
def test_a_refusal_says_what_was_given(value: object, shown: str) -> None:
    """A value that is not an id raises an error that shows it."""
    with pytest.raises(InvalidSessionIdError) as refusal:
        normalize_session_id(value)
    assert shown in str(refusal.value)


def test_a_refusal_says_what_is_accepted() -> None:
    """The error for a wrong type names the acceptable ones."""
    with pytest.raises(
        ValueError, match=r"a non-blank str, a uuid\.UUID or an int \(not a bool\); got a list"
    ):
        normalize_session_id([])


def test_an_int_too_large_to_print_is_refused() -> None:
    """Python's own limit on printing ints surfaces as a refusal, not as another error."""
    with pytest.raises(InvalidSessionIdError, match="too large to print"):
        normalize_session_id(10**5_000)


def test_a_long_refused_value_is_shown_in_part() -> None:
    """An error message stays short."""
    with pytest.raises(InvalidSessionIdError) as refusal:
        normalize_session_id(b"x" * 1_000_000)
    assert len(str(refusal.value)) < 200


def test_long_ids_that_differ_only_at_the_end_stay_different() -> None:
    """Shortening keeps a readable head and hashes the whole."""
    one, other = normalize_session_id(LONG + "1"), normalize_session_id(LONG + "2")
    assert one != other
    assert len(one) == len(other) == 200
    assert one.startswith("x" * 150)
    assert one == normalize_session_id(LONG + "1")


def test_the_length_limit_can_be_set() -> None:
    """`max_length` bounds the result, and is itself bounded so that a hash fits."""
    assert len(normalize_session_id(LONG, max_length=64)) == 64
    assert normalize_session_id("y" * 300, max_length=300) == "y" * 300
    with pytest.raises(ValueError, match="at least 64"):
        normalize_session_id("abc", max_length=63)


@given(ANY_TEXT)
@example("\u0340\u200b")  # composes differently once the invisible character is gone
@example("\u2000a")  # a space that NFC replaces by another
def test_normalizing_is_a_fixed_point(text: str) -> None:
    """An id passes any number of our components unchanged."""
    try:
        once = normalize_session_id(text, max_length=64)
    except InvalidSessionIdError:
        return
    assert normalize_session_id(once, max_length=64) == once


@given(ANY_TEXT)
def test_what_is_accepted_can_be_recorded(text: str) -> None:
    """Every id is encodable, stripped, composed, of bounded length and without controls."""
    try:
        id_ = normalize_session_id(text)
    except InvalidSessionIdError:
        return
    assert id_.encode()
    assert id_ == id_.strip() == unicodedata.normalize("NFC", id_)
    assert 1 <= len(id_) <= 200
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in id_)


@given(st.text(st.characters(categories=("L", "N", "P")), min_size=1), st.text("abc", min_size=1))
def test_different_plain_texts_stay_different(text: str, suffix: str) -> None:
    """No two ids of letters, digits and punctuation meet, however long they are."""
    one, other = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", text + suffix)
    assume(one != other)
    for head in ("", LONG):
        try:
            ids = normalize_session_id(head + one), normalize_session_id(head + other)
        except InvalidSessionIdError:  # the text of a missing value
            continue
        assert ids[0] != ids[1]


@given(
    st.one_of(
        st.floats(),
        st.binary(),
        st.none(),
        st.booleans(),
        st.lists(st.text()),
        st.dictionaries(st.text(), st.text()),
    )
)
def test_values_of_other_types_are_refused(value: Any) -> None:
    """Nothing but text, UUIDs and ints becomes an id by accident of its `str`."""
    with pytest.raises(InvalidSessionIdError):
        normalize_session_id(value)


@given(st.integers())
def test_an_int_and_its_digits_are_one_id(number: int) -> None:
    """An id read from a database as a number and one from a URL as text are the same conversation."""
    assert normalize_session_id(number) == normalize_session_id(str(number))


def test_pseudonyms_are_keyed_stable_and_recognized() -> None:
    """A pseudonym depends on the id and the key, and is not hashed twice."""
    key, other_key = b"k" * 32, b"o" * 32
    hidden = pseudonym("ada@example.org", key)
    assert hidden == pseudonym("ada@example.org", key)
    assert hidden == pseudonym(hidden, key) == normalize_session_id(hidden)
    assert len({hidden, pseudonym("bob@example.org", key), pseudonym("ada@example.org", other_key)}) == 3
    assert "ada" not in hidden
