"""The parts of a span's page, as its template is given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from langchain_sessions.view._contents import Message
    from langchain_sessions.view.web._texts import Shown

Look: TypeAlias = Literal["prose", "written", "data"]
"""How a text is shown: as markdown, as it was written, or as what a program wrote."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, or a part of one.

    Attributes:
        look: How it is shown.
        shown: What of it is shown.
        href: Where all of it is, or None.
        is_within: Whether there is more than this there.
    """

    look: Look
    shown: Shown
    href: str | None = None
    is_within: bool = False


@dataclass(frozen=True, slots=True)
class BlockView:
    """A piece of a message's content.

    Attributes:
        kind: "text", "reasoning", or "medium".
        piece: Its text, or None.
        label: What stands for it, if it is no text; else None.
        href: Where it is in full, if it is in the span itself; else None.
    """

    kind: str
    piece: Piece | None
    label: Markup | str | None = None
    href: str | None = None


@dataclass(frozen=True, slots=True)
class CallView:
    """A tool that a model wants to be called.

    Attributes:
        line: The call in one line.
        id: What the tool's answer refers to, or empty.
        arguments: What the tool is to be given, or None.
    """

    line: str
    id: str
    arguments: Piece | None


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message to a model, or from it.

    Attributes:
        style: How it looks: "user", "assistant", "tool", "system" or "input".
        speaker: Whose it is.
        message: What the span says.
        blocks: What it says.
        calls: The tools that it calls.
        left: How many more pieces and calls there are.
    """

    style: str
    speaker: str
    message: Message
    blocks: Sequence[BlockView]
    calls: Sequence[CallView]
    left: int


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document, or a text that was made into numbers.

    Attributes:
        number: Its place, from 1.
        title: Its id, or empty.
        note: Its score, or how many numbers it became; or empty.
        text: What it says, or None.
        metadata: What is known about it, or None.
    """

    number: int
    title: str
    note: str
    text: Piece | None
    metadata: Piece | None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a list, or a page of it.

    Attributes:
        title: What it is.
        noun: What is in it: "message", "document" or "text"; empty for a text that is no list.
        items: What is shown of it.
        count: How many there are.
        start: The place of the first that is shown, from 0.
        beginning: Where the first ones are shown, or None if that is where those before are, or here.
        earlier: Where those before are shown, or None.
        later: Where those behind are shown, or None.
        nothing: What is said if there is nothing.
    """

    title: str
    noun: str
    items: Sequence[MessageView] | Sequence[DocumentView] | Sequence[Piece]
    count: int
    start: int = 0
    beginning: str | None = None
    earlier: str | None = None
    later: str | None = None
    nothing: str = "Nothing"


@dataclass(frozen=True, slots=True)
class OfferedView:
    """A tool that a model was offered.

    Attributes:
        name: Its name.
        description: The beginning of what the model is told of it.
        schema: All that the model is told.
    """

    name: str
    description: str
    schema: Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanView:
    """What a span was given and what it gave.

    Attributes:
        facts: About it, in words: a name, and one or more lines.
        parameters: How a model was called: names and values.
        tools: What a model was offered.
        more_tools: How many more.
        sections: What went in and came out.
        unread: How many attributes of that could not be read.
    """

    facts: Sequence[tuple[str, Sequence[str]]]
    sections: Sequence[Section]
    parameters: Sequence[tuple[str, str]] = ()
    tools: Sequence[OfferedView] = ()
    more_tools: int = 0
    unread: int = 0
