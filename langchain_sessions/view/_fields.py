"""Attributes whose names are paths, such as `llm.input_messages.0.message.role`, read in pieces. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from langchain_sessions.store._flat import numbered

if TYPE_CHECKING:
    from langchain_sessions.store._span import Attributes

_LARGEST: Final = 10**15
"""What is more, nobody has counted, and no page has room for."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the attributes of a span.

    Attributes:
        text: The text.
        key: The attribute that it is; None if it was put together from several, or is in none.
        is_part: Whether it is only a part of that attribute.
    """

    text: str
    key: str | None = None
    is_part: bool = False


class Fields:
    """The attributes below a name.

    What is not of the type that was asked for is not there; nothing here fails. Every attribute that was read
    is noted, so that one can say which ones were not.

    Args:
        values: The attributes, by what their names are below this one.
        path: What is in front of their names.
        read: Where it is noted which attributes were read, by their whole names.
    """

    __slots__ = ("_path", "_read", "_values")

    def __init__(self, values: Attributes, path: str = "", read: set[str] | None = None) -> None:
        self._values: Final = values
        self._path: Final = path
        self._read: Final = set[str]() if read is None else read

    def text(self, name: str) -> Text | None:
        """Return what is a text."""
        value = self._values.get(name)
        return Text(value, self._note(name)) if isinstance(value, str) else None

    def word(self, *names: str) -> str:
        """Return a text that is a name or an id, the first one under these names; empty if there is none."""
        found = (it.text for name in names if (it := self.text(name)) is not None)
        return next(filter(None, found), "")

    def number(self, name: str) -> int | float | None:
        """Return a number that can be shown; one without a fraction is an int."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
            return None  # what is not a number is not less, either
        self._note(name)
        return int(value) if value == int(value) else value

    def structure(self, name: str) -> Text | None:
        """Return what may be JSON: as such, taken apart into values, or taken apart into attributes."""
        value = self._values.get(name)
        if isinstance(value, str):
            return self.text(name)
        if isinstance(value, (Mapping, Sequence)):
            return Text(text_of(value), self._note(name))
        start = f"{name}."
        below = {key[len(start) :]: it for key, it in self._values.items() if key.startswith(start)}
        for key in below:
            self._note(start + key)
        return Text(text_of(below)) if below else None

    def texts(self, name: str) -> list[Text]:
        """Return the texts of an attribute that is a list of them, and of nothing else."""
        value = self._values.get(name)
        if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
            return []
        items = [it for it in cast("Sequence[object]", value) if isinstance(it, str)]
        return [Text(it, self._note(name)) for it in items] if len(items) == len(value) else []

    def length(self, name: str) -> int | None:
        """Return how long a list is, an embedding's vector for one."""
        value = self._values.get(name)
        if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
            return None
        self._note(name)
        return len(cast("Sequence[object]", value))

    def items(self, name: str) -> list[Fields]:
        """Return the items of a list, each of which has attributes of its own."""
        return [
            Fields(values, f"{self._path}{name}.{number}.", self._read)
            for number, values in numbered(self._values, name).items()
        ]

    def numbers(self, name: str) -> dict[str, int | float]:
        """Return the numbers below a name, by what they are called there."""
        start = f"{name}."
        found = {key[len(start) :]: self.number(key) for key in self._values if key.startswith(start)}
        return {key: number for key, number in found.items() if number is not None}

    def unread(self, *names: str) -> int:
        """Count what was not read of the attributes below some names, and of those themselves."""
        starts = tuple(f"{self._path}{it}." for it in names)
        keys = (self._path + it for it in self._values)
        return sum(key not in self._read and (key.startswith(starts) or f"{key}." in starts) for key in keys)

    def _note(self, name: str) -> str:
        key = self._path + name
        self._read.add(key)
        return key


def text_of(value: object) -> str:
    """Write the value of an attribute."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
