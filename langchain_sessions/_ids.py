"""Ids as text: what is accepted as one, and the one form it takes.

Pure: imports neither LangChain nor OpenTelemetry.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import cast
from uuid import UUID

DEFAULT_MAX_LENGTH = 200
"""Characters. The longest session id that Langfuse accepts, the strictest of the backends we know."""

MIN_MAX_LENGTH = 64
"""Characters. Room for a pseudonym, or for the hash of a shortened id and a head one can still recognize."""

_DIGEST_CHARACTERS = 40
"""160 bits in hex: two ids that share them are out of reach, also for somebody who tries."""

_PSEUDONYM = re.compile(rf"anon-[0-9a-f]{{{_DIGEST_CHARACTERS}}}")

_REMOVED_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories that no id keeps: controls, invisible format characters, line and paragraph separators.
Spaces (Zs) stay inside an id: without them "ab c" and "a bc" would be one conversation."""

_TEXTS_OF_NOTHING = frozenset({"none", "null", "nil", "undefined", "nan", "[object object]"})
"""What `str(None)`, `String(undefined)` and their like leave behind. Accepted as an id, one of them would
join the conversations of every user whose id was missing."""

_ACCEPTED = "a non-blank str, a uuid.UUID or an int (not a bool)"


class InvalidSessionIdError(ValueError):
    """A value cannot be used as a session or user id."""


def normalize_session_id(value: object, *, max_length: int = DEFAULT_MAX_LENGTH) -> str:
    """Give an id its one canonical form.

    The text is stripped, its control, format and line-separator characters are removed, and it is brought to
    Unicode's NFC form. Text longer than `max_length` is shortened to a readable head and a hash of the whole,
    so that two long ids which differ anywhere stay different. The result is a fixed point: normalizing it
    again returns it unchanged.

    Args:
        value: A `str` (or a subclass), a `uuid.UUID`, or an `int` that is not a `bool`. `0` is an id. The
            texts that a missing value leaves behind ("None", "null", "undefined", "nan", ...) are not.
        max_length: The longest result, in characters; at least 64.

    Returns:
        The canonical id: 1 to `max_length` characters.

    Raises:
        InvalidSessionIdError: If `value` is of another type, blank, or the text of a missing value.
        ValueError: If `max_length` is less than 64.
    """
    if max_length < MIN_MAX_LENGTH:
        msg = f"max_length must be at least {MIN_MAX_LENGTH} characters, not {max_length}"
        raise ValueError(msg)
    text = _clean(text_of(value))
    if not text:
        msg = f"an id must have at least one visible character; got {_shown(value)}"
        raise InvalidSessionIdError(msg)
    if text.casefold() in _TEXTS_OF_NOTHING:
        msg = f"{_shown(value)} is the text of a missing value, not an id; leave the key out instead"
        raise InvalidSessionIdError(msg)
    return text if len(text) <= max_length else _shorten(text, max_length)


def text_of(value: object) -> str:
    """Turn an acceptable value into text, before any cleaning.

    Raises:
        InvalidSessionIdError: If the value's type is not acceptable.
    """
    kind = type(value)  # not isinstance(), which believes the proxies that claim to be something else
    if issubclass(kind, str):
        return str.__str__(cast("str", value))  # a StrEnum or a callable str must not have its own say
    if issubclass(kind, UUID):
        return UUID.__str__(cast("UUID", value))
    if issubclass(kind, int) and not issubclass(kind, bool):
        try:
            return int.__repr__(cast("int", value))
        except ValueError:  # Python refuses to print very large ints, see sys.set_int_max_str_digits
            msg = f"an id must be {_ACCEPTED}; got an int too large to print"
            raise InvalidSessionIdError(msg) from None
    msg = f"an id must be {_ACCEPTED}; got {_shown(value)}"
    raise InvalidSessionIdError(msg)


def pseudonym(text: str, key: bytes) -> str:
    """Replace an id by a keyed hash of it (HMAC-SHA-256), recognizable as such.

    A pseudonym is returned unchanged, so that an id which passes two of our components (a `session()` block
    and a handler, say) is hashed once.

    Args:
        text: A canonical id.
        key: The secret key.

    Returns:
        `anon-` and 40 hexadecimal digits.
    """
    if _PSEUDONYM.fullmatch(text):
        return text
    digest = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"anon-{digest[:_DIGEST_CHARACTERS]}"


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():  # the everyday id: nothing to remove or to compose
        return text.strip()
    if not text.isprintable():  # the quick test: what is removed is not printable
        # A lone surrogate cannot be sent in UTF-8, hence in OTLP; its escape keeps the id different.
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        text = "".join(c for c in text if unicodedata.category(c) not in _REMOVED_CATEGORIES)
    return unicodedata.normalize("NFC", text).strip()


def _shorten(text: str, max_length: int) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    head = text[: max_length - _DIGEST_CHARACTERS - 1].rstrip()
    return f"{head}~{digest}"


def _shown(value: object) -> str:
    """Show a refused value briefly; a value whose repr fails or is long is shown by its type alone."""
    kind = type(value).__name__
    if type(value) not in (
        str,
        bool,
        int,
        float,
        bytes,
        type(None),
    ):  # a subclass may do anything in its repr
        return f"a {kind}"
    shown = repr(value)
    if value is None:
        return shown
    return f"{kind} {shown}" if len(shown) <= 60 else f"{kind} {shown[:57]}..."
