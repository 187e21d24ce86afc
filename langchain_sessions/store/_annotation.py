"""What somebody thinks of a session."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Annotator: TypeAlias = Literal["HUMAN", "LLM", "CODE"]
"""Who thinks so: a person, a model or a program."""

NOTE: Final = "note"
"""The name of what is no judgement. A session may have any number of notes, and one of any other name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What somebody thinks of a session: a label, a score, a note, or several of these.

    Attributes:
        name: What it is about, such as "helpful".
        label: The judgement in a word, or None.
        score: The judgement as a number, or None.
        note: Why, or whatever is to be remembered.
        annotator: Who thinks so.
        time_ns: When it was written; stores set it.

    Raises:
        ValueError: If there is no name, if it says nothing, or if the score is no finite number.
    """

    name: str = NOTE
    label: str | None = None
    score: float | None = None
    note: str = ""
    annotator: Annotator = "HUMAN"
    time_ns: int = 0

    def __post_init__(self) -> None:
        if not self.name.strip():
            msg = "an annotation needs a name"
            raise ValueError(msg)
        if self.score is not None and not _is_score(self.score):
            msg = f"a score is a finite number, not {self.score!r:.100}"
            raise ValueError(msg)
        if self.name == NOTE and (self.label is not None or self.score is not None):
            msg = f"what has a label or a score needs another name than {NOTE!r}"
            raise ValueError(msg)
        if not self.label and self.score is None and not self.note.strip():
            msg = "an annotation needs a label, a score or a note"
            raise ValueError(msg)


def _is_score(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # of an integer that is no float's
        return False
