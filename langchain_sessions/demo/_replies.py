"""How the offline model answers: each clause of what was said is met by the first rule that knows it.

Pure: a scene in; words, or the tool calls that are needed first, out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_sessions.demo import _language as language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class ToolRequest:
    """A tool call that an answer depends on.

    Attributes:
        tool: The tool's name.
        arguments: Pairs of an argument's name and its value.
        lead: How the sentence that tells the result begins.
    """

    tool: str
    arguments: tuple[tuple[str, str], ...]
    lead: str


class ToolResult(NamedTuple):
    """What a tool has answered, and whether that is an error message."""

    text: str
    failed: bool


@dataclass(frozen=True)
class Scene:
    """The conversation as the model finds it.

    Attributes:
        said: What the user has said, one text per message, the latest last.
        tools: The bound tools: names and, in order, those of their parameters.
        results: What tools have answered to the latest message, by tool and arguments.
        previous: The latest number that a tool found before that message, or None.
    """

    said: tuple[str, ...]
    tools: Mapping[str, tuple[str, ...]]
    results: Mapping[tuple[str, tuple[tuple[str, str], ...]], ToolResult]
    previous: str | None

    @property
    def memory(self) -> language.Memory:
        """What the user has told, the latest message included."""
        return language.learn(clause for text in self.said for clause in language.clauses(text))

    def request(self, kind: str, values: tuple[str, ...], lead: str) -> ToolRequest | None:
        """Ask the bound tool whose name contains `kind`, if there is one that takes so many values."""
        for name, parameters in self.tools.items():
            if kind in name.lower() and len(parameters) >= len(values):
                return ToolRequest(name, tuple(zip(parameters, values, strict=False)), lead)
        return None


def reply(scene: Scene) -> str | list[ToolRequest]:
    """Answer the latest message, clause by clause.

    Returns:
        The answer's text, or the tool calls without whose results it cannot be given.
    """
    if not scene.said:
        return "Nobody has said anything yet."
    parts = [_answer(clause, scene) for clause in language.clauses(scene.said[-1])]
    missing = [
        part
        for part in parts
        if isinstance(part, ToolRequest) and (part.tool, part.arguments) not in scene.results
    ]
    if missing:
        return list(dict.fromkeys(missing))
    return (
        " ".join(part if isinstance(part, str) else _told(part, scene) for part in parts)
        or "You said nothing."
    )


def _answer(clause: str, scene: Scene) -> str | ToolRequest:
    answers: Iterator[str | ToolRequest | None] = (rule(clause, scene) for rule in _RULES)
    return next(answer for answer in answers if answer is not None)


def _told(request: ToolRequest, scene: Scene) -> str:
    """Put a tool's result into its sentence."""
    result = scene.results[request.tool, request.arguments]
    if result.failed:
        return f"The tool {request.tool} refused: {result.text}."
    return f"{request.lead} {result.text}."


def _days(clause: str, scene: Scene) -> str | ToolRequest | None:
    found = language.dates(clause)
    if len(found) != 2:
        return None
    values = (found[0], found[1])
    request = scene.request("days", values, f"From {found[0]} to {found[1]} it is")
    return request or f"I have no calendar here, so I do not know how far {found[0]} is from {found[1]}."


def _sum(clause: str, scene: Scene) -> str | ToolRequest | None:
    expression = language.arithmetic(clause, scene.previous)
    if expression is None:
        return None
    request = scene.request("calc", (expression,), f"{expression} =")
    return request or f"I have no calculator here, and I do not guess: {expression}."


def _elsewhere(clause: str, scene: Scene) -> str | ToolRequest | None:
    """Weather and time of a place, which only a tool can know."""
    asked = re.search(
        r"\b(weather|forecast|temperature|time)\b.*?\b(?:in|at|for)\s+(.+?)[?.! ]*$", clause, re.IGNORECASE
    )
    if not asked or not language.is_question(clause):
        return None
    kind, place = "time" if asked[1].lower() == "time" else "weather", asked[2]
    request = scene.request(kind, (place,), f"The {asked[1].lower()} in {place}:")
    return request or f"I have no tool that knows the {asked[1].lower()} in {place}."


_ASKED_PROPERTY: Final = re.compile(
    r"(?:(?:what|who|where)(?:'s|\s+is|\s+are)|do you (?:know|remember))\s+my\s+(.+?)\W*$", re.IGNORECASE
)

_ASKED_SUMMARY: Final = re.compile(
    r"talk(?:ed|ing)? about|summar|recap|what did i (?:say|tell|ask)", re.IGNORECASE
)


def _recalled_property(clause: str, scene: Scene) -> str | None:
    asked = _ASKED_PROPERTY.match(clause)
    key = "name" if re.match(r"who am i\b", clause, re.IGNORECASE) else asked[1].lower() if asked else None
    if key is None:
        return None
    value = scene.memory.properties.get(key)
    return f"Your {key} is {value}." if value else f"You have not told me your {key}."


def _recalled_habit(clause: str, scene: Scene) -> str | None:
    asked = re.match(r"(what|where|who|how many)\b.*?\bdo\s+i\s+([a-z]+)", clause, re.IGNORECASE)
    if not asked:
        return None
    verb = asked[2].lower()
    if rest := scene.memory.habits.get(verb):
        return f"You {verb} {' and '.join(rest)}."
    return f"You have not told me {asked[1].lower()} you {verb}."


def _summary(clause: str, scene: Scene) -> str | None:
    if not _ASKED_SUMMARY.search(clause):
        return None
    earlier = [clause for text in scene.said[:-1] for clause in language.clauses(text)]
    told = language.learn(earlier).told()
    asked = [f'"{clause}"' for clause in earlier if language.is_question(clause)]
    parts = [f"You told me: {'; '.join(told)}."] if told else []
    parts += [f"You asked me: {' '.join(asked)}"] if asked else []
    return " ".join(parts) or "We have not talked about anything yet."


def _noted_property(clause: str, _scene: Scene) -> str | None:
    stated = language.stated_property(clause)
    if not stated:
        return None
    key, value = stated
    return f"Nice to meet you, {value}." if key == "name" else f"Noted: your {key} is {value}."


def _noted_habit(clause: str, _scene: Scene) -> str | None:
    stated = language.stated_habit(clause)
    return f"Noted: you {' '.join(stated)}." if stated else None


def _courtesy(clause: str, scene: Scene) -> str | None:
    name = scene.memory.properties.get("name")
    # A name that came with this very message is greeted by its own rule.
    known = (
        f", {name}"
        if name and not any(map(language.stated_property, language.clauses(scene.said[-1])))
        else ""
    )
    for pattern, answer in _COURTESIES.items():
        if re.match(pattern, clause, re.IGNORECASE):
            return f"{answer}{known}!"
    return None


_COURTESIES: Final[Mapping[str, str]] = {
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening))\b": "Hello",
    r"(?:thanks|thank you)\b": "You are welcome",
    r"(?:bye|goodbye|see you)\b": "Goodbye",
}


def _honest(clause: str, _scene: Scene) -> str:
    """What is left: say what was understood, and that there is no answer to it."""
    if not language.is_question(clause):
        return f'I understood "{clause}", but I have no rule for it.'
    words = [word for word in re.findall(r"[\w'-]+", clause) if not _FILLER.match(word)]
    topic = language.to_other_person(" ".join(words)) or clause
    return f"You ask about {topic}. I only know what you tell me and what my tools compute."


_FILLER: Final = re.compile(
    r"(?:an?|and|any|are|can|could|do|does|did|for|how|i|in|is|it|me|on|please|should|tell|that|the|there|this|to"
    r"|was|what|what's|when|where|which|who|why|will|with|would|you|your|know|about)$",
    re.IGNORECASE,
)
"""Words that do not say what a question is about."""


_RULES: Final[tuple[Callable[[str, Scene], str | ToolRequest | None], ...]] = (
    _days,
    _sum,
    _elsewhere,
    _recalled_property,
    _recalled_habit,
    _summary,
    _noted_property,
    _noted_habit,
    _courtesy,
    _honest,
)
"""In order of how sure they are; the last one answers anything."""
