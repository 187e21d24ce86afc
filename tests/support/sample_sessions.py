"""Conversations as an application's telemetry has them, with ids and times that are always the same."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from langchain_sessions.store import Span, SpanEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_sessions.store._span import Value

SECOND: Final = 10**9
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR

END: Final = 1_772_020_800 * SECOND
"""When the last of the sample conversations takes place: 2026-02-25 12:00 UTC."""


@dataclass(frozen=True)
class Call:
    """A tool's call in a turn."""

    name: str
    arguments: str
    result: str
    error: str = ""


@dataclass(frozen=True)
class Said:
    """A turn of a conversation: what was said, and what came of it."""

    question: str
    answer: str
    tools: tuple[Call, ...] = ()
    error: str = ""
    seconds: float = 1.8
    tokens: tuple[int, int] = (420, 96)
    model: str = "gpt-4o-mini"


def turn_spans(
    session_id: str,
    said: Said,
    *,
    started_ns: int = END,
    project: str = "default",
    user: str | None = None,
) -> list[Span]:
    """Make the spans of a turn: a chain, and in it the tools and a model call.

    The same turn always has the same ids, which come from its session, project and start.
    """
    trace_id = _id(32, project, session_id, str(started_ns))
    root_id = _id(16, trace_id, "root")
    ids: dict[str, Value] = {"session.id": session_id}
    if user:
        ids["user.id"] = user
    length = int(said.seconds * SECOND)

    def span(
        name: str, kind: str, begin: float, end: float, error: str, attributes: dict[str, Value]
    ) -> Span:
        is_root = kind == "CHAIN"
        begins = started_ns + int(length * begin)
        return Span(
            trace_id=trace_id,
            span_id=root_id if is_root else _id(16, trace_id, f"{name}{begin}"),
            parent_id=None if is_root else root_id,
            name=name,
            start_ns=begins,
            end_ns=started_ns + int(length * end),
            attributes=ids | {"openinference.span.kind": kind} | attributes,
            status="ERROR" if error else "OK",
            status_message=error,
            events=(SpanEvent("exception", begins, {"exception.message": error}),) if error else (),
            resource={"openinference.project.name": project, "service.name": "shop"},
            scope="openinference.instrumentation.langchain",
        )

    step = 0.5 / max(1, len(said.tools))
    return [
        span("answer", "CHAIN", 0, 1, said.error, _io(said.question, said.answer)),
        *(
            span(
                call.name,
                "TOOL",
                0.1 + place * step,
                0.08 + (place + 1) * step,
                call.error,
                {"tool.name": call.name} | _io(call.arguments, call.result),
            )
            for place, call in enumerate(said.tools)
        ),
        span("ChatOpenAI", "LLM", 0.62 if said.tools else 0.05, 0.98, said.error, _model_call(said)),
    ]


def session_spans(
    session_id: str,
    turns: Sequence[Said],
    *,
    started_ns: int = END,
    project: str = "default",
    user: str | None = None,
    pause_ns: int = 40 * SECOND,
) -> list[Span]:
    """Make the spans of a conversation."""
    return [
        span
        for place, said in enumerate(turns)
        for span in turn_spans(
            session_id, said, started_ns=started_ns + place * pause_ns, project=project, user=user
        )
    ]


def long_session(turns: int, session_id: str = "long", *, started_ns: int = END - 3 * DAY) -> list[Span]:
    """Make a conversation of so many turns, each of one span."""
    return [
        turn_spans(
            session_id,
            Said(f"Question number {place + 1}", f"Answer number {place + 1}."),
            started_ns=started_ns + place * 2 * SECOND,
        )[0]
        for place in range(turns)
    ]


def sample(end_ns: int = END, days: int = 30) -> Iterator[list[Span]]:
    """Yield the spans of some eighty conversations of three projects over a month, the oldest first.

    Args:
        end_ns: When the last one takes place.
        days: Over how many days they are spread.
    """
    chance = random.Random(4711)
    for day in range(days, 0, -1):
        for place in range(chance.choice((1, 2, 3, 3, 5))):
            yield session_spans(
                _id(12, "session", str(day), str(place)),
                [_varied(it, chance) for it in chance.sample(SHORT, chance.randint(1, 5))],
                started_ns=end_ns - day * DAY + chance.randint(0, 20) * HOUR,
                project=chance.choice(PROJECTS),
                user=chance.choice(USERS),
            )
    for session_id, turns, hours, project, user in (
        ("kyoto-旅行", JAPANESE, 5, "travel", "玲奈"),
        ("research-1", RESEARCH, 3, "support-bot", "linus"),
        ("thread/42?draft=#1", CODE, 1, "coding-assistant", "grace"),
        ("refund-4711", REFUND, 0.1, "support-bot", "ada@example.com"),
    ):
        yield session_spans(
            session_id, turns, started_ns=end_ns - int(hours * HOUR), project=project, user=user
        )


REFUND: Final = (
    Said(
        "hi! my order #4711 arrived broken, can I get a refund?",
        "I'm sorry to hear that! Let me look at your order first.\n\n"
        "Which of the two items is broken: the *teapot* or the *cups*?",
        seconds=1.3,
    ),
    Said(
        "the teapot. it has a crack in the spout :(",
        "Thanks. I found your order and started the refund:\n\n"
        "| Item | Quantity | Refund |\n|:--|--:|--:|\n| Teapot, blue | 1 | €34.90 |\n"
        "| Shipping | 1 | €4.95 |\n| **Total** | | **€39.85** |\n\n"
        "The money is on your card **within 5 days**. You can keep the teapot.",
        (
            Call(
                "get_order",
                '{"order_id": "4711", "include": ["items", "payments"]}',
                '{"id": "4711", "items": [{"sku": "TP-BLUE", "price": 34.9}, {"sku": "CUP-6", "price": 22}], '
                '"paid_with": "card", "shipping": 4.95}',
            ),
            Call(
                "refund", '{"order_id": "4711", "sku": "TP-BLUE", "amount": 39.85}', '{"status": "accepted"}'
            ),
        ),
        seconds=4.7,
        tokens=(1_912, 148),
    ),
    Said(
        "great, thank you!",
        "You're welcome, and sorry again for the trouble. Enjoy the cups! ☕",
        seconds=0.8,
    ),
)
"""Tools, a table."""

CODE: Final = (
    Said(
        "How do I read a big CSV file in Python without running out of memory?",
        "Read it in chunks. With the **standard library** alone, `csv.reader` reads one row at a time:\n\n"
        "```python\nimport csv\nfrom pathlib import Path\n\n\ndef total(path: Path) -> float:\n"
        '    """Sum the column "amount"."""\n    with path.open(newline="") as file:\n'
        '        return sum(float(row["amount"]) for row in csv.DictReader(file))\n```\n\nA few notes:\n\n'
        '1. `newline=""` lets the `csv` module handle line ends.\n2. Nothing but the current row is kept.\n'
        "3. For *many* columns, [Polars](https://docs.pola.rs/user-guide/lazy/) can stream, too.\n\n"
        "> Measure before you optimise: 100 MB of CSV fit into most machines.\n\n### If you use pandas\n\n"
        "- pass `chunksize=100_000`\n- and `dtype=` for the columns",
        seconds=6.2,
        tokens=(310, 402),
        model="gpt-4o",
    ),
    Said(
        "and how long does that take for 10 GB?",
        "",
        error="RateLimitError: Error code: 429 - you exceeded your current quota, check your plan",
        seconds=12.4,
        tokens=(720, 0),
        model="gpt-4o",
    ),
    Said(
        "and how long does that take for 10 GB?",
        "About **two minutes** on one core: `csv` reads some 80 MB/s. Let me check what your disk does.",
        (
            Call(
                "benchmark_disk",
                '{"path": "/data"}',
                "",
                "PermissionError: [Errno 13] Permission denied: '/data'",
            ),
        ),
        seconds=3.9,
        tokens=(1_105, 61),
        model="gpt-4o",
    ),
)
"""Markdown, a failed turn, a failed tool."""

JAPANESE: Final = (
    Said(
        "京都で三日間の旅行を計画しています。どこに行けばいいですか",
        "はい、三日間のプランはこちらです 🏯\n\n- **一日目** 伏見稲荷大社、東福寺\n"
        "- **二日目** 嵐山の竹林、金閣寺\n- **三日目** 清水寺、祇園\n\n"
        "朝は早めに出かけると、混雑を避けられます。",
        seconds=2.6,
        tokens=(88, 190),
    ),
    Said(
        "雨の日はどうしますか",
        "京都国立博物館や錦市場がおすすめです。屋根があるので濡れません。☔",
        seconds=1.4,
    ),
)

RESEARCH: Final = (
    Said(
        "Compare the battery life of the three phones in the report",
        "According to the report, **B** lasts longest:\n\n1. Phone B: 14 h 20 min\n2. Phone A: 12 h 5 min\n"
        "3. Phone C: 11 h 50 min\n\nThe measurements were made at 200 nits. "
        "![chart](https://charts.example/battery.png)",
        (
            Call("search_documents", "battery life phones report", json.dumps([{"page": 12, "score": 0.91}])),
            Call("read_page", '{"page": 12}', "Phone A: 725 min\nPhone B: 860 min\nPhone C: 710 min"),
            Call("calculator", "860 / 60", "14.333333333333334"),
        ),
        seconds=9.8,
        tokens=(5_402, 210),
        model="claude-sonnet",
    ),
)
"""Three tools, and a picture that must not be loaded."""

SHORT: Final = (
    Said("What time do you open on Sunday?", "We open at **10:00** on Sundays.", seconds=0.7),
    Said("Translate 'good evening' into Norwegian", "*God kveld*", seconds=0.6),
    Said("A haiku about telemetry?", "Spans fall like the rain\nA session gathers them\nNow I see the chat"),
    Said("Is the blue teapot back in stock?", "Yes! There are 14 left.", seconds=1.1),
    Said("Summarise my last three invoices", "You paid €212.40: €80.00, €61.90 and €70.50.", seconds=2.8),
    Said(
        "Why was I charged twice?",
        "One of the two is a reservation; your bank releases it within 3 days.",
        seconds=3.3,
    ),
)

USERS: Final = ("ada@example.com", "grace", "linus", "玲奈", "user-7f3a", None)

PROJECTS: Final = ("support-bot", "coding-assistant", "travel")


def _varied(said: Said, chance: random.Random) -> Said:
    return Said(
        said.question,
        said.answer,
        error="TimeoutError: the model did not answer in 30 s" if chance.random() < 0.04 else "",
        seconds=said.seconds * chance.uniform(0.5, 2.5),
        tokens=(chance.randint(100, 3_000), chance.randint(20, 600)),
    )


def _io(question: str, answer: str) -> dict[str, Value]:
    return {"input.value": question, "output.value": answer}


def _model_call(said: Said) -> dict[str, Value]:
    return {
        "llm.model_name": said.model,
        "llm.token_count.prompt": said.tokens[0],
        "llm.token_count.completion": said.tokens[1],
        "llm.cost.total": said.tokens[0] * 1.5e-7 + said.tokens[1] * 6e-7,
        "llm.invocation_parameters": json.dumps({"model": said.model, "temperature": 0.2}),
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": said.question,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": said.answer,
    }


def _id(digits: int, *of: str) -> str:
    return sha256("\n".join(of).encode("utf-8", "surrogatepass")).hexdigest()[:digits]


HOSTILE: Final = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'\"></title></textarea></style></script><script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![look](https://evil.example/pixel.png)",
    "[![look](https://evil.example/pixel.png)](javascript:alert(1))",
    "<iframe src=https://evil.example></iframe>",
    "<style>body{background:url(https://evil.example/x)}</style>",
    "<base href=https://evil.example/>",
    '<a href="javascript:alert(1)" onclick=alert(1)>x</a>',
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    '```<script>\nalert(1)\n```\n```"onmouseover="alert(1)\nx\n```',
    '<https://evil.example/"onmouseover=alert(1)>',
    "{{ 7 * 7 }} {% raw %} ${7*7} <!--",
    "]]><![CDATA[<script>alert(1)</script>",
    "\u202eevil\u202c \x1b[31m \x00",
)
"""Texts that would act, load something or break a page that does not escape them."""

HOSTILE_ID: Final = "".join(HOSTILE)


def hostile_spans(started_ns: int = END) -> list[Span]:
    """Make a session that has such a text wherever a text can be."""
    everything = "\n\n".join(HOSTILE)
    said = Said(
        everything,
        everything,
        tuple(Call(it, it, it, it if place % 2 else "") for place, it in enumerate(HOSTILE)),
        error=HOSTILE_ID,
        model=HOSTILE[0],
    )
    spans = turn_spans(HOSTILE_ID, said, started_ns=started_ns, project=HOSTILE_ID, user=HOSTILE_ID)
    return [
        replace(it, name=HOSTILE_ID, scope=HOSTILE_ID, attributes={**it.attributes, HOSTILE_ID: HOSTILE_ID})
        for it in spans
    ]
