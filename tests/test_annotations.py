"""What somebody thinks of a session: kept in a file, shown in lists, in a transcript and on the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from langchain_sessions.store import AnnotatableSessionStore, Annotation, SQLiteSessionStore
from langchain_sessions.view.cli import cli
from tests.support.command_line import run
from tests.support.stores import bring_back
from tests.support.turns import turn
from tests.support.web import text_of, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELPFUL = Annotation(name="helpful", label="yes", score=0.5, note="it found the boat")

HOSTILE = "<script>alert(1)</script>\x1b[31m\n\x00\udcff"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteSessionStore]:
    """A store with two sessions of one id, and another one."""
    store = SQLiteSessionStore(path)
    for number, (session_id, project) in enumerate((("abc", "shop"), ("abc", "zoo"), ("other", "shop")), 1):
        store.add(turn(session_id, number, project=project))
    yield store
    store.close()


def kept(store: AnnotatableSessionStore) -> dict[tuple[str, str], list[tuple[object, ...]]]:
    """Read all annotations, without their times."""
    return {
        key: [(it.name, it.label, it.score, it.note, it.annotator) for it in some]
        for key, some in store.annotations(store.sessions()).items()
    }


def said(path: Path, *arguments: str, code: int = 0) -> str:
    """Run a command on the store."""
    ran = CliRunner().invoke(cli, [*arguments, "--store", str(path)], terminal_width=200)
    assert ran.exit_code == code, ran.output
    return ran.output


def test_a_judgement_replaces_the_one_of_its_name_and_notes_are_collected(store: SQLiteSessionStore) -> None:
    """Each project's session has its own, in the order in which they were written."""
    assert isinstance(store, AnnotatableSessionStore)
    assert kept(store) == {}
    before = store.revision()
    for annotation in (
        HELPFUL,
        Annotation(note="one"),
        Annotation(note="two"),
        Annotation(name="helpful", label="no", annotator="LLM"),
    ):
        store.annotate("abc", annotation, project="shop")
    store.annotate("other", Annotation(name="helpful", score=0))
    assert store.revision() != before
    assert kept(store) == {
        ("shop", "abc"): [
            ("note", None, None, "one", "HUMAN"),
            ("note", None, None, "two", "HUMAN"),
            ("helpful", "no", None, "", "LLM"),
        ],
        ("shop", "other"): [("helpful", None, 0.0, "", "HUMAN")],
    }


def test_what_was_thought_goes_with_the_session(store: SQLiteSessionStore) -> None:
    """And comes to no other one, though that may get its number; what is added to it changes nothing."""
    store.annotate("other", HELPFUL)
    store.add(turn("other", 9, project="shop"))
    assert list(kept(store)) == [("shop", "other")]
    store.delete("other")
    store.add(turn("new", 10, project="shop"))
    store.add(turn("other", 11, project="shop"))
    assert kept(store) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": " ", "label": "yes"},
        {"label": "yes"},
        {"name": "x", "score": float("nan")},
        {"name": "x", "score": 10**400},
        {"name": "x"},
    ],
)
def test_an_annotation_says_something(wrong: dict[str, object]) -> None:
    """It has a name, and a label, a finite score or a note."""
    with pytest.raises(ValueError, match=r"annotation needs|finite|needs another name"):
        Annotation(**wrong)  # pyright: ignore[reportArgumentType]


def test_any_score_and_any_text_is_kept(store: SQLiteSessionStore) -> None:
    """Integers that SQLite has not, and half a surrogate pair."""
    store.annotate("other", Annotation(name="large", score=10**30, label="\udcff"))
    assert kept(store)["shop", "other"] == [("large", "\\udcff", 1e30, "", "HUMAN")]


def test_a_file_of_the_first_version_gets_the_table(store: SQLiteSessionStore, path: Path) -> None:
    """Without losing anything."""
    bring_back(path, 1)
    upgraded = SQLiteSessionStore(path)
    upgraded.annotate("other", HELPFUL)
    assert len(upgraded.sessions()) == 3
    assert list(kept(upgraded)) == [("shop", "other")]
    upgraded.close()


def test_the_command_writes_and_the_others_show(store: SQLiteSessionStore, path: Path) -> None:
    """`annotate`, then `list` and `show`, for people and for programs."""
    assert "annotations" not in said(path, "list").splitlines()[0]
    assert "helpful yes, 0.5" in said(
        path,
        "annotate",
        "other",
        "--name",
        "helpful",
        "--label",
        "yes",
        "--score",
        "0.5",
        "--note",
        "why not",
    )
    said(path, "annotate", "abc", "--project", "zoo", "--score", "-1", "--annotator", "code")
    said(path, "annotate", "other", "--note", "to be remembered")
    listed = said(path, "list")
    assert "annotations" in listed
    assert "quality -1" in listed
    shown = said(path, "show", "other")
    assert "helpful yes, 0.5: why not" in shown
    assert "note: to be remembered" in shown
    items = {(it["project"], it["id"]): it for it in json.loads(said(path, "list", "--json"))["items"]}
    [judged] = items["zoo", "abc"]["annotations"]
    assert (judged["name"], judged["score"], judged["annotator"]) == ("quality", -1.0, "CODE")
    assert [it["name"] for it in json.loads(said(path, "show", "other", "--json"))["annotations"]] == [
        "helpful",
        "note",
    ]


def test_a_list_counts_notes(store: SQLiteSessionStore, path: Path) -> None:
    """One is a note, two are 2 notes, at the place of the first one; on the page they are read behind it."""
    store.annotate("other", HELPFUL)
    store.annotate("other", Annotation(note="one"))
    assert "helpful yes, 0.5 · note " in run("list", "--store", str(path)).output
    store.annotate("other", Annotation(name="later", label="no"))
    store.annotate("other", Annotation(note="two"))
    assert "helpful yes, 0.5 · 2 notes · later no" in run("list", "--store", str(path)).output
    with visiting(store) as client:
        listed, session = client.get("/"), client.get("/session", params={"id": "other"})
    assert '<span class="chip" title="one · two">2 notes</span>' in listed.text
    assert '<span class="chip" title="it found the boat">helpful yes, 0.5</span>' in listed.text
    assert "2 notes" not in session.text


def test_the_command_says_what_is_wrong(store: SQLiteSessionStore, path: Path) -> None:
    """Nothing to keep, no such session, several of the id."""
    assert "give --label, --score or --note" in said(path, "annotate", "abc", code=2)
    assert "did you mean other?" in said(path, "annotate", "othe", "--note", "x", code=1)
    assert "--project shop or --project zoo" in said(path, "annotate", "abc", "--note", "x", code=1)


def test_the_page_shows_them(store: SQLiteSessionStore) -> None:
    """In the list and beside the conversation, as text, whatever is in it."""
    store.annotate("other", HELPFUL)
    store.annotate("other", Annotation(note=HOSTILE))
    store.annotate("other", Annotation(name=HOSTILE, label=HOSTILE, note=HOSTILE))
    with visiting(store) as client:
        listed, session = client.get("/"), client.get("/session", params={"id": "other"})
        assert "helpful yes, 0.5" in text_of(listed)
        assert "helpful yes, 0.5: it found the boat" in text_of(session)
        for page in (listed, session):
            assert page.status_code == 200
            assert "<script>alert" not in page.text
            assert "\x1b" not in page.text
