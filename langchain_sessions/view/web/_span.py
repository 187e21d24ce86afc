"""What a span was given and what it gave, made ready to be shown. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from langchain_sessions.view._contents import (
    Embedding,
    ModelCall,
    Reranking,
    Retrieval,
    ToolRun,
)
from langchain_sessions.view._kinds import contents_of
from langchain_sessions.view._plain import beginning, compact, counted
from langchain_sessions.view.web._links import attribute_address, span_address
from langchain_sessions.view.web._markdown import not_loaded
from langchain_sessions.view.web._pages import call_line
from langchain_sessions.view.web._span_facts import cost_of, known, tokens_of
from langchain_sessions.view.web._span_parts import (
    BlockView,
    CallView,
    DocumentView,
    MessageView,
    OfferedView,
    Piece,
    Section,
    SpanView,
)
from langchain_sessions.view.web._texts import PREVIEWED, RENDERED, is_data, previewed, rendered, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_sessions.store import Span, Turn
    from langchain_sessions.view._contents import (
        Block,
        Contents,
        Document,
        Embedded,
        Message,
        OfferedTool,
        ToolCall,
    )
    from langchain_sessions.view._fields import Text
    from langchain_sessions.view.web._span_parts import Look

SIZE: Final = 50
"""Messages, or documents, on a page."""

PIECES: Final = 20
"""Pieces of a message's content that are shown, and likewise its calls."""

TOOLS: Final = 100
"""Tools that a model was offered that are shown."""

_PARAMETERS: Final = 40
"""Parameters of a call that are shown."""

_SHARED: Final = 200_000
"""Characters of all messages of a page together. Each has its share of them."""

_LEAST: Final = 500
"""Characters of a text that are shown in any case."""

_STYLES: Final = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "ai", "model", "completion"), "assistant"),
    **dict.fromkeys(("tool", "function"), "tool"),
    **dict.fromkeys(("system", "developer"), "system"),
    "input": "input",
}
"""Whose words look how. Those of any other role look like a system's."""

_SPEAKERS: Final = {"human": "User", "ai": "Assistant", "model": "Assistant"}
"""What roles are called that have another name elsewhere."""

_LOOKS: Final[dict[str, Look]] = {"assistant": "prose", "tool": "data", "input": "data"}

_TEXTS: Final = frozenset({"text", "input_text", "output_text"})
"""Kinds of content that are nothing but a text."""


def span_view(turn: Turn, span: Span, starts: Mapping[str, int | None]) -> SpanView | None:
    """Make ready what a span was given and what it gave.

    Args:
        turn: The turn that the span is of.
        span: The span.
        starts: With which place its "input" and its "output" begin, from 0; None if nothing was asked for.

    Returns:
        What is shown; None if the span has nothing but attributes.
    """
    contents = contents_of(span)
    return None if contents is None else _Maker(turn, span, starts).view(contents)


class _Maker:
    """Makes the view of one span, whose texts have addresses."""

    def __init__(self, turn: Turn, span: Span, starts: Mapping[str, int | None]) -> None:
        self._turn: Final = turn
        self._span: Final = span
        self._starts: Final = starts

    def view(self, contents: Contents) -> SpanView:
        match contents:
            case ModelCall():
                return self._model_call(contents)
            case Retrieval():
                return self._retrieval(contents)
            case Reranking():
                return self._reranking(contents)
            case Embedding():
                return self._embedding(contents)
            case ToolRun():
                return self._tool_run(contents)

    # Models

    def _model_call(self, call: ModelCall) -> SpanView:
        asked_for = f"{call.asked_for} was asked for" if call.asked_for else ""
        return SpanView(
            facts=known(
                ("Model", [call.model, asked_for]),
                ("Provider", [call.provider]),
                ("Tokens", tokens_of(call.tokens)),
                ("Cost", cost_of(call.cost)),
                ("Finish reason", [call.finish_reason]),
            ),
            parameters=list(call.parameters.items())[:_PARAMETERS],
            tools=[self._offered(it, number) for number, it in enumerate(call.tools[:TOOLS], 1)],
            more_tools=max(0, len(call.tools) - TOOLS),
            sections=self._both_sides(call),
            unread=call.unread,
        )

    def _both_sides(self, call: ModelCall) -> list[Section]:
        if not call.input and not call.output:
            return [Section("Messages", "", [], 0, nothing="None were recorded")]
        # A conversation is read from its end; what the model answers to is there.
        start = max(0, len(call.input) - SIZE)
        given = self._messages("Input", "input", call.input, start)
        gave = self._messages("Output", "output", call.output, 0)
        return [given, replace(gave, nothing="No answer")]

    def _messages(self, title: str, side: str, messages: Sequence[Message], start: int) -> Section:
        start = self._start(side, messages, start)
        shown = messages[start : start + SIZE]
        texts = sum(min(PIECES, len(it.blocks)) + min(PIECES, len(it.calls)) for it in shown)
        most = max(_LEAST, min(RENDERED, _SHARED // max(1, texts)))
        views = [self._message(it, most) for it in shown]
        return self._section(title, "message", side, views, len(messages), start)

    def _message(self, message: Message, most: int) -> MessageView:
        role = message.role[:100].strip().lower()
        style = _STYLES.get(role, "system")
        look: Look = _LOOKS.get(style, "written")
        speaker = _SPEAKERS.get(role) or beginning(message.role, 40) or "No role"
        return MessageView(
            style=style,
            speaker=speaker[:1].upper() + speaker[1:],
            message=message,
            blocks=[self._block(it, look, most) for it in message.blocks[:PIECES]],
            calls=[self._call(it, most) for it in message.calls[:PIECES]],
            left=max(0, len(message.blocks) - PIECES) + max(0, len(message.calls) - PIECES),
        )

    def _block(self, block: Block, look: Look, most: int) -> BlockView:
        if block.is_reasoning:
            look = "prose"
        piece = None if block.text is None else self._piece(block.text, look, most)
        if block.is_reasoning:
            return BlockView("reasoning", piece)
        if block.url is not None:
            return self._medium(block, block.url, piece)
        if block.kind in _TEXTS and piece is not None:
            return BlockView("text", piece)
        sealed = ", which only the model's provider can read" if piece is None and block.is_sealed else ""
        return BlockView("medium", piece, f"{_named(block)}{sealed}")

    def _medium(self, block: Block, url: Text, piece: Piece | None) -> BlockView:
        scheme, _, rest = url.text[:100].partition(":")
        if scheme.lower() != "data":
            label = not_loaded(_titled(block.kind), beginning(block.name or url.text, 120), url.text)
            return BlockView("medium", piece, label)
        kind = beginning(rest.partition(",")[0].partition(";")[0], 40) or "data"
        label = not_loaded(_titled(block.kind), f"{kind}, {compact(len(url.text))} characters")
        return BlockView("medium", piece, label, self._address(url))

    def _call(self, call: ToolCall, most: int) -> CallView:
        given = call.arguments
        line = call_line(call.name or "(no name)", "" if given is None else given.text)
        return CallView(line, call.id, None if given is None else self._piece(given, "data", most))

    def _offered(self, tool: OfferedTool, number: int) -> OfferedView:
        name = beginning(tool.name, 80) or f"Tool {number}"
        return OfferedView(
            name, beginning(tool.description, 160), self._piece(tool.schema, "data", PREVIEWED)
        )

    # Documents

    def _retrieval(self, retrieval: Retrieval) -> SpanView:
        return SpanView(
            facts=(),
            sections=[
                *self._query(retrieval.query),
                self._documents("Documents", "output", retrieval.documents),
            ],
            unread=retrieval.unread,
        )

    def _reranking(self, ranking: Reranking) -> SpanView:
        top = "" if ranking.top is None else f"{ranking.top:,}"
        return SpanView(
            facts=known(("Model", [ranking.model]), ("At most", [top])),
            sections=[
                *self._query(ranking.query),
                self._documents("Documents, the best first", "output", ranking.output),
                self._documents("Documents as they came", "input", ranking.input),
            ],
            unread=ranking.unread,
        )

    def _embedding(self, embedding: Embedding) -> SpanView:
        start = self._start("output", embedding.texts)
        shown = enumerate(embedding.texts[start : start + SIZE], start + 1)
        views = [self._embedded(it, number) for number, it in shown]
        return SpanView(
            facts=known(("Model", [embedding.model])),
            sections=[self._section("Texts", "text", "output", views, len(embedding.texts), start)],
            unread=embedding.unread,
        )

    def _documents(self, title: str, side: str, documents: Sequence[Document]) -> Section:
        start = self._start(side, documents)
        shown = enumerate(documents[start : start + SIZE], start + 1)
        views = [self._document(it, number) for number, it in shown]
        return self._section(title, "document", side, views, len(documents), start)

    def _document(self, document: Document, number: int) -> DocumentView:
        return DocumentView(
            number,
            document.id,
            "" if document.score is None else f"score {document.score:.4g}",
            None if document.text is None else self._piece(document.text, "written", PREVIEWED),
            None if document.metadata is None else self._piece(document.metadata, "data", PREVIEWED),
        )

    def _embedded(self, embedded: Embedded, number: int) -> DocumentView:
        note = "" if embedded.dimensions is None else counted(embedded.dimensions, "number")
        text = None if embedded.text is None else self._piece(embedded.text, "written", PREVIEWED)
        return DocumentView(number, "", note, text, None)

    # Tools

    def _tool_run(self, tool: ToolRun) -> SpanView:
        schema = tool.parameters
        return SpanView(
            facts=known(
                ("Tool", [tool.name if tool.name != self._span.name else ""]),
                ("Call", [tool.id]),
                ("What it does", [tool.description]),
            ),
            tools=[]
            if schema is None
            else [OfferedView("Parameters", "", self._piece(schema, "data", PREVIEWED))],
            sections=[
                self._text("Arguments", tool.input, "data"),
                self._text("Result", tool.output, "data"),
            ],
        )

    # All of them

    def _query(self, query: Text | None) -> list[Section]:
        return [] if query is None else [self._text("Query", query, "written")]

    def _text(self, title: str, text: Text | None, look: Look) -> Section:
        pieces = [] if text is None or not text.text else [self._piece(text, look, PREVIEWED)]
        nothing = "Not recorded" if text is None else "Nothing"
        return Section(title, "", pieces, len(pieces), nothing=nothing)

    def _piece(self, text: Text, look: Look, most: int) -> Piece:
        if look != "written" and is_data(text.text):
            look = "data"
        if look == "data":
            shown = previewed(text.text, min(most, PREVIEWED))
        else:
            shown = rendered(text.text, most) if look == "prose" else written(text.text, most)
        return Piece(look, shown, self._address(text) if shown.left else None, text.is_part)

    def _address(self, text: Text) -> str | None:
        return None if text.key is None else attribute_address(self._turn, self._span, text.key)

    def _start(self, side: str, items: Sequence[object], otherwise: int = 0) -> int:
        """The place of the first of them on the page."""
        asked = self._starts.get(side)
        return otherwise if asked is None else min(asked, max(0, len(items) - 1))

    def _section(
        self,
        title: str,
        noun: str,
        side: str,
        views: Sequence[MessageView] | Sequence[DocumentView],
        count: int,
        start: int,
    ) -> Section:
        def beginning_with(place: int) -> str:
            return span_address(self._turn, self._span, **{**self._starts, side: place})

        return Section(
            title,
            noun,
            views,
            count,
            start,
            beginning=beginning_with(0) if start > SIZE else None,
            earlier=beginning_with(max(0, start - SIZE)) if start else None,
            later=beginning_with(start + SIZE) if start + SIZE < count else None,
        )


def _titled(kind: str) -> str:
    word = beginning(kind, 40).replace("_", " ")
    return word[:1].upper() + word[1:]


def _named(block: Block) -> str:
    name = beginning(block.name, 120)
    return f"{_titled(block.kind)}: {name}" if name else _titled(block.kind)
