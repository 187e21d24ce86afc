# ruff: noqa: RUF001 -- what people type is what this is about
from __future__ import annotations

import tempfile
import tracemalloc
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from langchain_sessions.store import SessionFilter, SQLiteSessionStore
from langchain_sessions.store._words import excerpt, phrases
from tests.support.spans import span, turn
from tests.support.stores import audit, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_sessions.store import Fragment, SearchHit

CONVERSATIONS = {
    "cpp": "I write C++ and C# code, 100% of it",
    "french": "Où est le café de l'été ?",
    "turkish": "İstanbul'da DIŞARI çıktım",
    "german": "Die Straße ist naß, foo-bar",
    "english": "what's up? They don't know state-of-the-art e-mail (v2.1) snake_case",
    "chinese": "我想去京都旅行，谢谢。",
    "japanese": "東京タワーに行きたい",
    "korean": "서울에 가고 싶어요",
    "thai": "สวัสดีครับ ผมชอบแมว",
    "hindi": "नमस्ते दुनिया हिन्दी",
    "arabic": "السلام عليكم ورحمة الله",
    "emoji": "great 👍🏽 thanks 🙂 ❤️",
    "money": "it costs €20 or $25 + tax",
    "code": 'print("hello world"); SELECT * FROM users WHERE id = 1; -- 50%',
    "path": "see /usr/local/bin/python and https://example.com/a?b=c#d",
}

TYPED = [
    ("C++", {"cpp"}),
    ("c++", {"cpp"}),
    ("C#", {"cpp", "path"}),
    ("C", {"cpp", "path"}),
    ("100%", {"cpp"}),
    ("CAFE", {"french"}),
    ("café", {"french"}),
    ("cafe\u0301", {"french"}),
    ("l'été", {"french"}),
    ("ete", {"french"}),
    ("istanbul", {"turkish"}),
    ("cıktim", set[str]()),
    ("çıktım", {"turkish"}),
    ("straße", {"german"}),
    ("foo-bar", {"german"}),
    ("bar foo", {"german"}),
    ('"bar foo"', set[str]()),
    ('"foo bar"', {"german"}),
    ("what's up", {"english"}),
    ("what's", {"english"}),
    ("don't", {"english"}),
    ("state-of-the-art", {"english"}),
    ("v2.1", {"english"}),
    ("(v2.1)", {"english"}),
    ("snake_case", {"english"}),
    ("kno*", {"english"}),
    ("kno", set[str]()),
    ("旅行", {"chinese"}),
    ("京都旅行", {"chinese"}),
    ("京 旅", {"chinese"}),
    ("旅京", set[str]()),
    ("谢谢。", {"chinese"}),
    ("タワー", {"japanese"}),
    ("ﾀﾜｰ", {"japanese"}),
    ("東京 行", {"japanese"}),
    ("서울", {"korean"}),
    ("แมว", {"thai"}),
    ("हिन्दी", {"hindi"}),
    ("عليكم", {"arabic"}),
    ("👍", {"emoji"}),
    ("👍🏽", {"emoji"}),
    ("🙂", {"emoji"}),
    ("❤", {"emoji"}),
    ("❤️", {"emoji"}),
    ("🙃", set[str]()),
    ("€20", {"money"}),
    ("$25", {"money"}),
    ("+ tax", {"money"}),
    ('"hello world"', {"code"}),
    ("“hello world”", {"code"}),
    ('"hello wor', set[str]()),
    ('"hello world', {"code"}),
    ('print("hello', {"code"}),
    ("hello AND world", set[str]()),
    ("hello OR nothing", set[str]()),
    ("NOT hello", set[str]()),
    ("NEAR(hello world)", set[str]()),
    ("input: hello", set[str]()),
    ("hello) OR (1=1", set[str]()),
    ("*", {"code"}),
    ("%", {"cpp", "code"}),
    ("_", {"english"}),
    ("--", {"code"}),
    (";", {"code"}),
    ("/usr/local", {"path"}),
    ("https://example.com/a?b=c#d", {"path"}),
    ("example.com", {"path"}),
    ("", set[str]()),
    ("   ", set[str]()),
    ('""', set[str]()),
    ('"', {"code"}),
    ("\x00", set[str]()),
    ("\ud800", set[str]()),
    ("\ue000", set[str]()),
    ("^hello", set[str]()),
]


@pytest.fixture(scope="module")
def conversations() -> Iterator[SQLiteSessionStore]:
    """A store with the conversations; half of the texts are answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        with closing(SQLiteSessionStore(path)) as store:
            for number, (name, text) in enumerate(CONVERSATIONS.items()):
                said, answered = (text, "") if number % 2 else ("", text)
                store.add(turn(number, name, said, answered))
            yield store
        audit(path)


@pytest.mark.parametrize(("typed", "sessions"), TYPED, ids=[ascii(typed) for typed, _ in TYPED])
def test_what_people_type_finds_what_they_mean(
    conversations: SQLiteSessionStore, typed: str, sessions: set[str]
) -> None:
    """Searching and filtering agree, and an excerpt shows it."""
    assert found(conversations, typed) == sessions
    if phrases(typed):
        listed = conversations.sessions(SessionFilter(text=typed))
        assert {it.id for it in listed} == sessions
    for hit in conversations.search(typed):
        check_excerpt(hit)
        assert any(fragment.is_match for fragment in hit.excerpt), hit.excerpt
        assert not hit.turn.tools


def check_excerpt(hit: SearchHit) -> None:
    """Fail unless the excerpt is a part of the text that it says it is from."""
    text = hit.turn.input if hit.role == "user" else hit.turn.output
    check_part(text, hit.excerpt)


def check_part(text: str, fragments: tuple[Fragment, ...]) -> None:
    """Fail unless the fragments, joined, are a part of the text, between ellipses where it goes on."""
    joined = "".join(it.text for it in fragments)
    assert all(it.text for it in fragments)
    ways = [
        joined,
        joined.removeprefix("…"),
        joined.removesuffix("…"),
        joined.removeprefix("…").removesuffix("…"),
    ]
    assert any(way in text for way in ways)
    assert len(joined) <= 242


def test_a_long_text_is_shown_around_the_first_match() -> None:
    """With what comes before it, and an ellipsis at each end; every match in there is marked."""
    text = "x " * 500 + "the Boat, a boat; boats" + " y" * 500
    fragments = excerpt(text, phrases("boat"))

    assert fragments is not None
    assert [it.text for it in fragments if it.is_match] == ["Boat", "boat"]
    assert fragments[0].text.startswith("…x x")
    assert fragments[-1].text.endswith(" y …")
    check_part(text, fragments)


@pytest.mark.parametrize(
    ("text", "typed", "marked"),
    [
        ("the cafe\u0301 there", "café", ["cafe\u0301"]),
        ("㈱東京", "株", ["㈱"]),
        ("ﬁsh", "fish", ["ﬁsh"]),
        ("Straße", "strasse", ["Straße"]),
        ("İstanbul", "istanbul", ["İstanbul"]),
        ("a C++, b", "c++", ["C++"]),
        ("foo - bar", "foo-bar", ["foo - bar"]),
        ("conversation", "conver*", ["conversation"]),
        ("旅行旅行", "旅行", ["旅行", "旅行"]),
    ],
)
def test_marks_cover_what_a_person_sees_as_the_match(text: str, typed: str, marked: list[str]) -> None:
    """Accents, ligatures and characters that stand for several are marked as a whole."""
    fragments = excerpt(text, phrases(typed))
    assert fragments is not None
    assert [it.text for it in fragments if it.is_match] == marked
    check_part(text, fragments)


def test_hits_are_paged_the_latest_first(tmp_path: Path) -> None:
    """Each once, while others add; restricted by the filter."""
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        store.add(
            [it for number in range(1, 31) for it in turn(number, f"s{number % 3}", "a boat", "one, two")]
        )
        seen: list[str] = []
        after: str | None = None
        while True:
            page = store.search("boat", after=after, limit=4)
            seen += [hit.turn.trace_id for hit in page]
            store.add(turn(100 + len(seen), "new", "boat"))
            after = page.next
            if after is None:
                break
        assert seen == [f"{number:032x}" for number in range(30, 0, -1)]
        some = store.search("two one", SessionFilter(user=None, text="boat", min_turns=2), limit=100)
        assert len(some) == 30
        assert len(store.search("boat one", SessionFilter(project="nowhere"))) == 0


anything = st.text(st.characters(), max_size=40)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(typed=anything, other=anything)
@example(typed="!" * 60_000, other="旅" * 60_000)
@example(typed='"' + "a " * 60_000, other="(" * 60_000)
@example(typed="a* " * 2_000, other="\ud800")
def test_no_text_is_too_much_for_a_search(conversations: SQLiteSessionStore, typed: str, other: str) -> None:
    """It finds something, or nothing; it never fails, neither as a search nor as a filter."""
    where = SessionFilter(text=other, project=other or None)
    for hit in [*conversations.search(typed), *conversations.search(typed, where)]:
        check_excerpt(hit)
    conversations.sessions(where)
    conversations.stats(where)


@pytest.fixture(scope="module")
def scratch() -> Iterator[SQLiteSessionStore]:
    """A store for one text at a time."""
    with tempfile.TemporaryDirectory() as folder, closing(SQLiteSessionStore(Path(folder) / "s.db")) as store:
        yield store


words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda word: not set('"“”„«»＂*') & set(word) and any(map(is_visible, word)) and len(word.split()) == 1
)
"""What a person sees as a word: signs without blanks, at least one of which can be seen."""


def is_visible(character: str) -> bool:
    """Whether it is a letter, a digit or a symbol, and not, say, an accent alone."""
    return unicodedata.category(character)[0] in "LNS"


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(before=anything, word=words, after=anything)
@example(before="", word="\u19b0\u1cf2", after="")
def test_a_word_of_a_text_is_found(scratch: SQLiteSessionStore, before: str, word: str, after: str) -> None:
    """In any script, as it is written, and as a phrase in quotes; it is marked."""
    text = f"{before} {word} {after}"
    scratch.add([span(1, session="a", said=text)])
    try:
        for typed in (word, f'"{word}"', f'{word} "{word}"'):
            assert found(scratch, typed) == {"a"}
            [hit] = scratch.search(typed)
            check_excerpt(hit)
            assert any(fragment.is_match for fragment in hit.excerpt)
    finally:
        scratch.delete("a")


def test_ten_megabytes_in_a_message_are_kept_and_searched(tmp_path: Path) -> None:
    """The first million characters can be found; memory and time stay within some of its size."""
    text = "needle " + "hay " * 2_500_000 + "end"
    with closing(SQLiteSessionStore(tmp_path / "sessions.db")) as store:
        tracemalloc.start()
        store.add(turn(1, "a", text, text))
        store.add([span(3, 1, kind="", session="a")])
        hit = store.search("needle")[0]
        summary = store.summary("a")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 25 * len(text)
        assert store.session("a").turns[0].input == text
        assert summary.first_input == text[:300]
        assert [it.text for it in hit.excerpt if it.is_match] == ["needle"]
        assert len(store.search("end")) == 0
        store.delete("a")
        assert len(store.search("needle")) == 0
    audit(tmp_path / "sessions.db")
