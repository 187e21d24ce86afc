"""What is wanted, as conditions of a WHERE clause. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_sessions.store import _words
from langchain_sessions.store._measures import nanoseconds
from langchain_sessions.store._sqlite._rows import LARGEST
from langchain_sessions.store._texts import escaped

if TYPE_CHECKING:
    from datetime import datetime

    from langchain_sessions.store._answers import SessionFilter

_MOST_ROWS: Final = 1_000_000_000


class Conditions:
    """Conditions of a WHERE clause and their values."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.values: list[object] = []

    def add(self, text: str, *values: object) -> None:
        self._texts.append(text)
        self.values += values

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def clause(self) -> str:
        return " AND ".join(self._texts) or "true"


def session_conditions(where: SessionFilter) -> Conditions:
    conditions = Conditions()
    if where.project is not None:
        conditions.add("project = ?", escaped(where.project))
    if where.user is not None:
        conditions.add(
            "id IN (SELECT session_key FROM turns INDEXED BY turns_by_start WHERE user_id = ?)",
            escaped(where.user),
        )
    if where.tag is not None:
        conditions.add("id IN (SELECT session_key FROM tags WHERE tag = ?)", escaped(where.tag))
    if where.since is not None:
        conditions.add("last_activity_ns >= ?", stored_time(where.since))
    if where.until is not None:
        conditions.add("started_ns < ?", stored_time(where.until))
    if where.has_errors:
        conditions.add("error_count > 0")
    if where.min_turns > 1:
        conditions.add("turn_count >= ?", min(where.min_turns, LARGEST))
    if where.text is not None:
        _add_text(conditions, where.text)
    return conditions


def _add_text(conditions: Conditions, text: str) -> None:
    wanted, literal = _words.wanted_in(text)
    if wanted:
        conditions.add(
            "id IN (SELECT session_key FROM turns WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?))",
            _words.match_expression(wanted),
        )
        return
    if not literal:
        return
    pattern = _words.like_pattern(literal)
    conditions.add(
        "id IN (SELECT session_key FROM turns WHERE input LIKE ? ESCAPE '\\' OR output LIKE ? ESCAPE '\\')",
        pattern,
        pattern,
    )


def stored_time(time: datetime) -> int:
    return max(-LARGEST, min(nanoseconds(time), LARGEST))  # `datetime.max` is a good way to say "whenever"


def most(limit: int) -> int:
    """How many rows to ask for; SQLite takes a negative limit for none at all."""
    return max(0, min(limit, _MOST_ROWS))
