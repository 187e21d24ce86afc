"""Adding spans: one transaction for each batch, in which turns and sessions follow the spans.

For every trace that gets a new span, its turns are worked out anew from all of its spans; for every session
that one of these turns is in, or was in, the sums are taken anew from its turns. So what is stored is the
same in whatever order and however often spans arrive.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from langchain_sessions.store import _genai
from langchain_sessions.store._facts import Facts, facts_of, project_of
from langchain_sessions.store._members import parts
from langchain_sessions.store._model import TEASER
from langchain_sessions.store._sqlite import _rows
from langchain_sessions.store._tags import tags_of
from langchain_sessions.store._turn import texts
from langchain_sessions.store._words import indexed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterable, Mapping, Sequence

    from langchain_sessions.store._members import Part
    from langchain_sessions.store._span import Attributes, Span

_ADD_SPAN: Final = f"INSERT INTO spans VALUES ({', '.join('?' * 25)})"

_ADD_TRACE: Final = "INSERT INTO traces (id, trace_id) VALUES (?, ?)"

_ADD_TURN: Final = f"INSERT INTO turns VALUES ({', '.join('?' * 18)})"

_ADD_TAG: Final = "INSERT INTO tags (tag, session_key, turn_id) VALUES (?, ?, ?)"

_CHANGE_TURN: Final = """
UPDATE turns SET session_key = ?, trace_key = ?, trace_id = ?, user_id = ?, started_ns = ?, duration_ns = ?,
    span_count = ?, failed = ?, is_complete = ?, prompt_tokens = ?, completion_tokens = ?, cost = ?,
    revision = ?, error = ?, tools = ?, input = ?, output = ?
WHERE id = ?
"""

_OLD_TURNS: Final = """
SELECT t.id, t.trace_key, s.session_id, s.project, t.session_key, t.input, t.output
FROM turns AS t JOIN sessions AS s ON s.id = t.session_key WHERE t.trace_key IN ({})
"""

_KNOWN: Final = f"""
SELECT s.trace_key, {_rows.FACTS} FROM spans AS s JOIN origins AS o ON o.id = s.origin_id
WHERE s.trace_key IN ({{}})
"""

SUM_UP: Final = f"""
INSERT INTO sessions
WITH sums AS (
    SELECT count(*) AS turns, sum(span_count) AS spans, sum(failed) AS errors, sum(prompt_tokens) AS prompt,
        sum(completion_tokens) AS completion, sum(cost) AS cost, min(started_ns) AS started,
        max(started_ns + duration_ns) AS ended
    FROM turns INDEXED BY turns_by_start WHERE session_key = :key
)
SELECT :key, :project, :session_id,
    (SELECT user_id FROM turns WHERE session_key = :key AND user_id IS NOT NULL
        ORDER BY started_ns, trace_id LIMIT 1),
    (SELECT substr(input, 1, {TEASER}) FROM turns WHERE session_key = :key
        ORDER BY started_ns, trace_id LIMIT 1),
    (SELECT substr(output, 1, {TEASER}) FROM turns WHERE session_key = :key
        ORDER BY started_ns DESC, trace_id DESC LIMIT 1),
    turns, spans, errors, prompt, completion, cost, started, ended,
    (SELECT duration_ns FROM turns WHERE session_key = :key
        ORDER BY duration_ns LIMIT 1 OFFSET (SELECT (turns + 1) / 2 - 1 FROM sums))
FROM sums WHERE turns > 0
ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, first_input = excluded.first_input,
    last_output = excluded.last_output, turn_count = excluded.turn_count, span_count = excluded.span_count,
    error_count = excluded.error_count, prompt_tokens = excluded.prompt_tokens,
    completion_tokens = excluded.completion_tokens, cost = excluded.cost, started_ns = excluded.started_ns,
    last_activity_ns = excluded.last_activity_ns, p50_turn_ns = excluded.p50_turn_ns
"""

_FORGET_EMPTY: Final = """
DELETE FROM sessions WHERE id = ? AND NOT EXISTS (SELECT 1 FROM turns WHERE session_key = sessions.id)
"""


OriginKey: TypeAlias = tuple[str, str, str]
"""A resource, and the name and version of an instrumentation."""

Origin: TypeAlias = tuple[int, str]
"""Its number, and its project."""


class Prepared(NamedTuple):
    """A span, and what of it takes time to write."""

    span: Span
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    attributes: str
    events: str
    links: str


class _Trace(NamedTuple):
    """A trace: its number, its id, the facts of its spans by their ids, and whether a part was deleted."""

    key: int
    trace_id: bytes
    members: dict[bytes, Facts]
    is_divided: bool


class _OldTurn(NamedTuple):
    id: int
    trace_key: int
    session_id: str
    project: str
    session_key: int
    input: str
    output: str


def prepare(spans: Iterable[Span]) -> list[Prepared]:
    """Do what can be done before the store is locked.

    Raises:
        ValueError: If an id of a span is not made of 32 or 16 hexadecimal digits.
    """
    return [_prepared(it) for it in spans]


def _prepared(span: Span) -> Prepared:
    trace_id, span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    if (len(trace_id), len(span_id)) != (16, 8):
        msg = f"{span.trace_id[:40]!r} and {span.span_id[:40]!r} are no ids of a trace and a span"
        raise ValueError(msg)
    parent_id = None if span.parent_id is None else bytes.fromhex(span.parent_id)
    ids = (span_id.hex(), None if parent_id is None else parent_id.hex())
    if (span.span_id, span.parent_id) != ids:  # in upper case, say
        span = replace(span, span_id=ids[0], parent_id=ids[1])
    return Prepared(span, trace_id, span_id, parent_id, *_rows.span_values(span))


class Batch:
    """One batch, added in the transaction of the connection.

    Args:
        connection: In a transaction.
        origins: What made the spans.
    """

    def __init__(self, connection: sqlite3.Connection, origins: Origins) -> None:
        self._db: Final = connection
        self._origins: Final = origins
        self._fresh: Final[dict[int, Prepared]] = {}
        self._keys: Final[dict[tuple[str, str], int]] = {}
        self._touched: Final[dict[int, tuple[str, str]]] = {}

    def add(self, spans: Sequence[Prepared]) -> int:
        """Add what is not there yet; return how many that were."""
        known, new = self._find_traces(list({it.trace_id: None for it in spans}))
        traces = {it.trace_id: it for it in (*known, *new)}
        by_key = {it.key: it for it in known}
        for row in _rows.select(self._db, _KNOWN, list(by_key)):
            by_key[row[0]].members[row[2]] = _rows.facts(row[1:])
        changed = self._add_spans(spans, traces)
        if changed:
            self._db.executemany(_ADD_TRACE, [(it.key, it.trace_id) for it in new])
            self._add_turns(changed, by_key)
        return len(self._fresh)

    def _find_traces(self, ids: Sequence[bytes]) -> tuple[list[_Trace], list[_Trace]]:
        """Return the traces that are there, and those that are not, with the numbers that they will have."""
        rows = _rows.select(
            self._db, "SELECT id, trace_id, is_divided FROM traces WHERE trace_id IN ({})", ids
        )
        known = [_Trace(key, trace_id, {}, bool(is_divided)) for key, trace_id, is_divided in rows]
        there = {it.trace_id for it in known}
        new = (it for it in ids if it not in there)
        return known, [_Trace(key, it, {}, False) for key, it in enumerate(new, self._next("traces"))]

    def _add_spans(self, spans: Sequence[Prepared], traces: Mapping[bytes, _Trace]) -> list[_Trace]:
        """Insert the new spans, and add their facts to their traces; return the traces that got one."""
        key = self._next("spans")
        rows: list[tuple[object, ...]] = []
        changed: dict[int, _Trace] = {}
        for it in spans:
            trace = traces[it.trace_id]
            if it.span_id in trace.members:
                continue
            origin_id, project = self._origins.of(self._db, it.span)
            trace.members[it.span_id] = facts = facts_of(it.span, key, project)
            rows.append(_span_row(it, trace.key, facts, origin_id))
            self._fresh[key] = it
            changed[trace.key] = trace
            key += 1
        self._db.executemany(_ADD_SPAN, rows)
        return list(changed.values())

    def _add_turns(self, traces: Sequence[_Trace], known: Container[int]) -> None:
        """Bring the turns of these traces, and the sums of their sessions, up to date."""
        rows = _rows.select(self._db, _OLD_TURNS, [it.key for it in traces if it.key in known])
        turns = map(_OldTurn._make, rows)
        old = {(turn.trace_key, turn.session_id, turn.project): turn for turn in turns}
        revision = next_revision(self._db)
        next_id = self._next("turns")
        added: list[tuple[object, ...]] = []
        words: list[tuple[object, ...]] = []
        tags: list[tuple[object, ...]] = []
        for trace in traces:
            for part in parts(trace.members.values(), is_divided=trace.is_divided):
                row = self._turn_row(trace, part, revision)
                before = old.pop((trace.key, part.session_id, part.project), None)
                turn_id = next_id if before is None else before.id
                tags += [(tag, row[0], turn_id) for tag in tags_of(part, self._tagged)]
                if before is not None:
                    self._change(before, row)
                    continue
                added.append((next_id, *row))
                words.append((next_id, indexed(row[-2]), indexed(row[-1])))
                next_id += 1
        self._db.executemany(_ADD_TURN, added)
        self._db.executemany("INSERT INTO words (rowid, input, output) VALUES (?, ?, ?)", words)
        self._db.executemany(_ADD_TAG, tags)
        for turn in old.values():  # a late span has shown that it is another project's
            self._forget(turn)
        self._sum_up()

    def _turn_row(self, trace: _Trace, part: Part, revision: int) -> tuple[Any, ...]:
        found = texts(part, self._attributes_of)
        error = part.error
        return (
            self._key_of(part.session_id, part.project),
            trace.key,
            trace.trace_id,
            part.user,
            part.started_ns,
            part.duration_ns,
            len(part.members),
            error is not None,
            part.is_complete,
            part.prompt_tokens,
            part.completion_tokens,
            part.cost,
            revision,
            error,
            ",".join(str(it.key) for it in part.tools),
            found.input,
            found.output,
        )

    def _change(self, before: _OldTurn, row: tuple[Any, ...]) -> None:
        self._db.execute(_CHANGE_TURN, (*row, before.id))
        self._db.execute("DELETE FROM tags WHERE turn_id = ?", (before.id,))
        if (before.input, before.output) != row[-2:]:
            forget_words(self._db, before.id, before.input, before.output)
            values = (before.id, indexed(row[-2]), indexed(row[-1]))
            self._db.execute("INSERT INTO words (rowid, input, output) VALUES (?, ?, ?)", values)

    def _forget(self, turn: _OldTurn) -> None:
        self._db.execute("DELETE FROM turns WHERE id = ?", (turn.id,))
        forget_words(self._db, turn.id, turn.input, turn.output)
        self._touched[turn.session_key] = (turn.project, turn.session_id)

    def _sum_up(self) -> None:
        values = [
            {"key": key, "project": project, "session_id": session_id}
            for key, (project, session_id) in self._touched.items()
        ]
        self._db.executemany(SUM_UP, values)
        self._db.executemany(_FORGET_EMPTY, [(key,) for key in self._touched])

    def _key_of(self, session_id: str, project: str) -> int:
        """The number of a session; a new one for a session that is not there yet."""
        key = self._keys.get((session_id, project))
        if key is None:
            row = self._db.execute(
                "SELECT id FROM sessions WHERE session_id = ? AND project = ?", (session_id, project)
            ).fetchone()
            key = row[0] if row else max(self._next("sessions"), 1 + max(self._touched, default=0))
            self._keys[session_id, project] = key
            self._touched[key] = (project, session_id)
        return key

    def _attributes_of(self, facts: Facts) -> Attributes:
        fresh = self._fresh.get(facts.key)
        if fresh is not None:  # as they will be read, so that a text is the same whenever it is worked out
            attributes, events = fresh.attributes, fresh.events
        else:
            found = "SELECT attributes, events FROM spans WHERE id = ?"
            [(attributes, events)] = self._db.execute(found, (facts.key,))
        values: Attributes = json.loads(attributes)
        if _genai.PREFIX not in events:
            return values
        return _genai.with_messages(values, ((name, some) for name, _, some in json.loads(events)))

    def _tagged(self, facts: Facts) -> Attributes:
        """The attributes of a span, for its tags: of one that has just come they need not be read."""
        fresh = self._fresh.get(facts.key)
        return self._attributes_of(facts) if fresh is None else fresh.span.attributes

    def _next(self, table: str) -> int:
        """The first number that no row of the table has; nobody else can take it in this transaction."""
        [(number,)] = self._db.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")
        return number


class Origins:
    """What made the spans: processes and instrumentations, few of them, each stored once.

    For one batch: what is found in it may be undone. Once it is committed, `found` holds good for others.

    Args:
        known: What earlier batches have found.
    """

    def __init__(self, known: Mapping[OriginKey, Origin]) -> None:
        self.found: Final[dict[OriginKey, Origin]] = {}
        self._known: Final = known
        self._resources: Final[dict[int, str]] = {}

    def of(self, connection: sqlite3.Connection, span: Span) -> Origin:
        """Return the number of the span's origin, and its project."""
        # By object, which is quick: the spans of the batch keep their resources alive.
        resource = self._resources.get(id(span.resource))
        if resource is None:
            resource = self._resources[id(span.resource)] = _rows.to_json(dict(sorted(span.resource.items())))
        key = (resource, span.scope, span.scope_version)
        origin = self._known.get(key) or self.found.get(key)
        if origin is None:
            origin = self.found[key] = self._find(connection, key, project_of(span.resource))
        return origin

    def _find(self, connection: sqlite3.Connection, key: OriginKey, project: str) -> Origin:
        connection.execute(
            "INSERT OR IGNORE INTO origins (project, resource, scope, scope_version) VALUES (?, ?, ?, ?)",
            (project, *key),
        )
        [row] = connection.execute(
            "SELECT id, project FROM origins WHERE resource = ? AND scope = ? AND scope_version = ?", key
        )
        return row


def next_revision(connection: sqlite3.Connection) -> int:
    """Count one more change of the store."""
    connection.execute("UPDATE state SET revision = revision + 1")
    [(revision,)] = connection.execute("SELECT revision FROM state")
    return revision


def forget_words(connection: sqlite3.Connection, turn_id: int, said: str, answered: str) -> None:
    """Take a turn's texts out of the index, which has to be told what they were."""
    values = (turn_id, indexed(said), indexed(answered))
    connection.execute("INSERT INTO words (words, rowid, input, output) VALUES ('delete', ?, ?, ?)", values)


def _span_row(it: Prepared, trace_key: int, facts: Facts, origin_id: int) -> tuple[object, ...]:
    span = it.span
    return (
        facts.key,
        trace_key,
        it.span_id,
        it.parent_id,
        span.parent_is_remote,
        origin_id,
        facts.session_id,
        facts.user,
        facts.kind,
        span.start_ns,
        span.end_ns,
        facts.error,
        facts.prompt_tokens,
        facts.completion_tokens,
        facts.cost,
        span.name,
        span.kind,
        span.status,
        span.status_message,
        span.trace_state,
        it.attributes,
        it.events,
        it.links,
        facts.conversation_id,
        facts.is_genai,
    )
