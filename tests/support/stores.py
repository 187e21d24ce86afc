"""All that is in a SQLite store, and whether its tables agree with each other."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_sessions.store import Session, SQLiteSessionStore, iter_sessions
from langchain_sessions.store._words import TOKENIZER, indexed
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from langchain_sessions.store import Page, SessionFilter, Span

Item = TypeVar("Item")


@contextmanager
def raw(path: Path) -> Generator[sqlite3.Connection]:
    """A connection to the file itself, past the store."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as connection:
        yield connection


_UNDO = {
    1: "DROP TRIGGER forget_annotations; DROP TABLE annotations;",
    2: "ALTER TABLE spans DROP COLUMN conversation_id; ALTER TABLE spans DROP COLUMN is_genai;",
    3: "DROP TRIGGER forget_tags; DROP TABLE tags;",
}
"""What takes away that which the migration from that version on has made."""


def bring_back(path: Path, version: int) -> None:
    """Make a file one of an earlier version."""
    with raw(path) as db:
        for number in sorted(_UNDO, reverse=True):
            if number >= version:
                db.executescript(f"{_UNDO[number]} PRAGMA user_version = {number};")


def walk(page_after: Callable[[str | None], Page[Item]]) -> Iterator[Item]:
    """Yield what is on all pages."""
    after: str | None = None
    while True:
        page = page_after(after)
        yield from page
        assert page.next is None or page.next != after, "a page leads to itself"
        after = page.next
        if after is None:
            return


def all_sessions(store: SQLiteSessionStore) -> dict[tuple[str, str], Session]:
    """Read every session, by its project and id."""
    return {(it.project, it.id): store.session(it.id, project=it.project) for it in iter_sessions(store)}


def all_spans(store: SQLiteSessionStore) -> dict[tuple[str, str, str], list[Span]]:
    """Read the spans of every turn, by project, session and trace."""
    return {
        (*key, turn.trace_id): store.spans(key[1], turn.trace_id, project=key[0])
        for key, session in all_sessions(store).items()
        for turn in session.turns
    }


def found(store: SQLiteSessionStore, text: str, where: SessionFilter | None = None) -> set[str]:
    """Return the ids of the sessions in which a search finds the text; the filter has to agree."""
    hits = list(walk(lambda after: store.search(text, where, limit=3, after=after)))
    return {hit.turn.session_id for hit in hits}


def audit(path: Path) -> None:
    """Fail unless the file is sound, each sum is that of its parts, and the index has the words, no more."""
    store = SQLiteSessionStore(path, create=False)
    try:
        for summary in iter_sessions(store):
            session = store.session(summary.id, project=summary.project)
            recount = Session.of(session.turns)
            assert session == recount
            for name in summary.__dataclass_fields__:
                assert getattr(summary, name) == getattr(recount, name), name
            for turn in session.turns:
                spans = store.spans(session.id, turn.trace_id, project=session.project)
                assert len(spans) == turn.span_count
    finally:
        store.close()
    with raw(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert _words(db, "main", "words") == _words_of_turns(db)
        lonely = "SELECT count(*) FROM traces WHERE id NOT IN (SELECT trace_key FROM spans)"
        assert db.execute(lonely).fetchone() == (0,)


def _words(db: sqlite3.Connection, schema: str, table: str) -> list[Any]:
    db.execute(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab ('{schema}', {table}, instance)")
    rows = db.execute("SELECT doc, col, offset, term FROM vocabulary").fetchall()
    db.execute("DROP TABLE vocabulary")
    return sorted(rows)


def _words_of_turns(db: sqlite3.Connection) -> list[Any]:
    """What an index has that is made anew."""
    db.execute(f"CREATE VIRTUAL TABLE temp.anew USING fts5 (input, output, tokenize = '{TOKENIZER}')")
    turns = db.execute("SELECT id, input, output FROM turns").fetchall()
    db.executemany(
        "INSERT INTO anew (rowid, input, output) VALUES (?, ?, ?)",
        [(key, indexed(said), indexed(answered)) for key, said, answered in turns],
    )
    return _words(db, "temp", "anew")
