"""What the offline model understands of English: clauses, facts about the speaker, sums. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CLAUSE_BREAK: Final = re.compile(
    r"""(?<=[.!?])\s+ | ;\s* | \n+ |
        ,?\s+(?:and|but)\s+(?=(?:i|i'm|my|how|what|what's|where|who|when|do|add|divide|multiply|subtract)\b) |
        ,\s+(?=(?:i|i'm|my|how|what|what's|where|who|when|do)\b) |
        (?:(?<=\bhi)|(?<=\bhey)|(?<=\bhello))\s+(?=(?:i|i'm|my)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
"""Where one thing said ends and the next begins. Other commas stay: "a red boat, a blue one" is one thing."""

_NAME: Final = re.compile(r"(?i:i'm|i am|call me|this is)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)$")
"""Only a capital makes a name: "I'm Ada", but not "I'm tired"."""

_PROPERTY: Final = re.compile(r"my\s+(.+?)\s+(?:is|are)\s+(?:called\s+)?(.+)$", re.IGNORECASE)

_HABIT: Final = re.compile(r"i\s+(?:(?:also|really|now|just)\s+)*([a-z]+)\s+(.+)$", re.IGNORECASE)

_NOT_A_HABIT: Final = re.compile(
    r"(?:am|was|will|would|can|could|shall|should|may|might|must|do|did|had|don't|didn't|can't|won't)$",
    re.IGNORECASE,
)
"""Verbs that say nothing about the speaker by themselves."""

_OTHER_PERSON: Final[Mapping[str, str]] = {
    "i": "you",
    "i'm": "you are",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
}
"""How the model says what the speaker said."""

_QUESTION: Final = re.compile(
    r"(?:what|what's|how|where|who|when|why|which|do|does|is|are|can)\b", re.IGNORECASE
)

_SPELLED_SIGNS: Final = (
    (r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+of\b", r"\1 / 100 *"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|\u2212", "-"),
    (r"\btimes\b|\bmultiplied by\b|\u00d7", "*"),
    (r"\bdivided by\b|\u00f7", "/"),
    (r"\bto the power of\b|\^", "**"),
    (r"\bsquared\b", "** 2"),
    (r"\bmod(?:ulo)?\b", "%"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)

_COMMANDS: Final = (
    (r"\badd\s+(.+?)\s+to\s+(.+)", r"\2 + \1"),
    (r"\bsubtract\s+(.+?)\s+from\s+(.+)", r"\2 - \1"),
    (r"\bmultiply\s+(.+?)\s+(?:by|with)\s+(.+)", r"\1 * \2"),
    (r"\bdivide\s+(.+?)\s+by\s+(.+)", r"\1 / \2"),
)

_SUM: Final = re.compile(r"[-(]*\d[\d.\s()]*(?:[-+*/%][-+*/%\s(]*\d[\d.\s()]*)+")

_ASKS_FOR_SUM: Final = re.compile(
    r"(?:(?:and|now|then|please|so)\s+)*"
    r"(?:what(?:'s|\s+is)|how\s+much\s+is|calculate|compute|add|subtract|multiply|divide|[-(\d])",
    re.IGNORECASE,
)

_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")


@dataclass
class Memory:
    """What the speaker has said about themselves.

    Attributes:
        properties: "name" -> "Ada", "favourite colour" -> "green"; what was said last counts.
        habits: "live" -> ["in Oslo"], "like" -> ["sailing", "tea"].
    """

    properties: dict[str, str] = field(default_factory=dict[str, str])
    habits: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def told(self) -> list[str]:
        """Everything known, as clauses about "you"."""
        known = [f"your {key} is {value}" for key, value in self.properties.items()]
        return known + [f"you {verb} {' and '.join(rest)}" for verb, rest in self.habits.items()]


def clauses(text: str) -> list[str]:
    """Split what was said into the single things said, in order, each with its final mark."""
    straight = text.replace("\u2019", "'")
    return [clause for part in _CLAUSE_BREAK.split(straight) if (clause := part.strip(" ,"))]


def learn(said: Iterable[str]) -> Memory:
    """Collect the facts in clauses, earliest first."""
    memory = Memory()
    for clause in said:
        if property_ := stated_property(clause):
            memory.properties[property_[0]] = property_[1]
        elif habit := stated_habit(clause):
            known = memory.habits.setdefault(habit[0], [])
            known += [habit[1]] if habit[1] not in known else []
    return memory


def stated_property(clause: str) -> tuple[str, str] | None:
    """What the clause states about something of the speaker's: ("name", "Ada") for "I'm Ada."."""
    if is_question(clause):
        return None
    bare = _bare(clause)
    if name := _NAME.match(bare):
        return "name", name[1]
    if owned := _PROPERTY.match(bare):
        return owned[1].lower(), to_other_person(owned[2])
    return None


def stated_habit(clause: str) -> tuple[str, str] | None:
    """What the clause states that the speaker does: ("live", "in Oslo") for "I live in Oslo."."""
    match = None if is_question(clause) else _HABIT.match(_bare(clause))
    if not match or _NOT_A_HABIT.match(match[1]):
        return None
    return match[1].lower(), to_other_person(match[2])


def is_question(clause: str) -> bool:
    """Whether the clause ends as a question does, or begins like one."""
    return clause.endswith("?") or _QUESTION.match(clause) is not None


def to_other_person(text: str) -> str:
    """Say from the other side what a speaker said: "my boat" becomes "your boat"."""
    return re.sub(r"[A-Za-z']+", lambda word: _OTHER_PERSON.get(word[0].lower(), word[0]), text)


def dates(clause: str) -> list[str]:
    """The ISO dates in a clause, in order."""
    return _DATE.findall(clause)


def arithmetic(clause: str, previous: str | None) -> str | None:
    """The sum that the clause asks for, as an expression.

    Args:
        clause: For example "What is 15% of 80?", "divide that by 7".
        previous: The number that "that" and "it" stand for, if there is one.

    Returns:
        "15 / 100 * 80", or None if the clause asks for no sum.
    """
    if not _ASKS_FOR_SUM.match(clause):
        return None
    text = _bare(clause)
    if previous is not None:
        number = f"({previous})" if previous.startswith("-") else previous
        text = re.sub(r"\b(?:that|it|the result)\b", number, text, flags=re.IGNORECASE)
    for pattern, replacement in (*_COMMANDS, *_SPELLED_SIGNS):
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    found = _SUM.search(_DATE.sub(" ", text))
    return " ".join(found[0].split()) if found else None


def _bare(clause: str) -> str:
    return clause.rstrip(" .!?=")
