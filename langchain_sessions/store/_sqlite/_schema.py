"""The tables of a session store in SQLite, as ordered migrations.

Each migration and its number share one transaction, so a file is at one version or at the next. Nothing that
was released is ever changed here: what follows is appended.

A trace's spans, kept as they came, are the truth. A turn is the part of a trace that belongs to one session;
a session's line in the list is the sum of its turns. Both are written again, from what they are made of, in
the transaction that adds a span to them.
"""

from __future__ import annotations

from typing import Final

from langchain_sessions.store._words import TOKENIZER

APPLICATION_ID: Final = 0x4C435345
"""SQLite's mark of whose file it is: "LCSE"."""

MIGRATIONS: Final = (
    f"""
CREATE TABLE state (revision INTEGER NOT NULL);
INSERT INTO state VALUES (0);

CREATE TABLE origins (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    resource TEXT NOT NULL,
    scope TEXT NOT NULL,
    scope_version TEXT NOT NULL,
    UNIQUE (resource, scope, scope_version)
);

-- Ids of traces are random. Numbered once, they cost one write at a random place for each trace, instead of
-- one for each span, in an index that stays small.
CREATE TABLE traces (
    id INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    is_divided INTEGER NOT NULL DEFAULT 0 -- a session was deleted that had a part of it, and others have one
);

-- What decides where a span belongs comes first, what may be large last: SQLite reads rows from the left.
CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    trace_key INTEGER NOT NULL REFERENCES traces,
    span_id BLOB NOT NULL,
    parent_id BLOB,
    parent_is_remote INTEGER,
    origin_id INTEGER NOT NULL REFERENCES origins,
    session_id TEXT,
    user_id TEXT,
    kind TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    error TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost REAL,
    name TEXT NOT NULL,
    otel_kind TEXT NOT NULL,
    status TEXT NOT NULL,
    status_message TEXT NOT NULL,
    trace_state TEXT NOT NULL,
    attributes TEXT NOT NULL,
    events TEXT NOT NULL,
    links TEXT NOT NULL
);
CREATE UNIQUE INDEX spans_by_identity ON spans (trace_key, span_id);
CREATE INDEX spans_without_session ON spans (start_ns) WHERE session_id IS NULL;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    session_key INTEGER NOT NULL REFERENCES sessions,
    trace_key INTEGER NOT NULL REFERENCES traces,
    trace_id BLOB NOT NULL,
    user_id TEXT,
    started_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    span_count INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    is_complete INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost REAL,
    revision INTEGER NOT NULL,
    error TEXT,
    tools TEXT NOT NULL, -- the ids of spans, separated by commas
    input TEXT NOT NULL,
    output TEXT NOT NULL
);
CREATE UNIQUE INDEX turns_by_identity ON turns (trace_key, session_key);
CREATE INDEX turns_by_revision ON turns (revision);
-- These two hold all that is summed up, so that the texts beside it are not read.
CREATE INDEX turns_by_start ON turns (
    session_key, started_ns, trace_id, duration_ns, span_count, failed, prompt_tokens, completion_tokens,
    cost, user_id
);
CREATE INDEX turns_by_day ON turns (
    started_ns, session_key, duration_ns, span_count, failed, prompt_tokens, completion_tokens, cost,
    user_id
);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT,
    first_input TEXT NOT NULL,
    last_output TEXT NOT NULL,
    turn_count INTEGER NOT NULL,
    span_count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost REAL,
    started_ns INTEGER NOT NULL,
    last_activity_ns INTEGER NOT NULL,
    p50_turn_ns INTEGER NOT NULL
);
CREATE UNIQUE INDEX sessions_by_identity ON sessions (session_id, project);
CREATE INDEX sessions_by_activity ON sessions (last_activity_ns);
-- All other orders in one index, which is read as a whole: one for each would double what a batch writes.
-- Columns only: before 3.41, SQLite reads the table for the value of an expression that is in an index.
CREATE INDEX sessions_by_sums ON sessions (
    turn_count, prompt_tokens, completion_tokens, p50_turn_ns, error_count
);

-- Without the texts, which the turns have, and without the sizes that only a ranking by relevance needs.
CREATE VIRTUAL TABLE words USING fts5 (
    input, output, content = '', columnsize = 0, tokenize = '{TOKENIZER}'
);
""",
    """
CREATE TABLE annotations (
    id INTEGER PRIMARY KEY,
    session_key INTEGER NOT NULL REFERENCES sessions,
    name TEXT NOT NULL,
    label TEXT,
    score REAL,
    note TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time_ns INTEGER NOT NULL
);
CREATE INDEX annotations_by_session ON annotations (session_key, name);

-- Whoever deletes a session: the next one may get its number, and must not get what was thought of it.
CREATE TRIGGER forget_annotations AFTER DELETE ON sessions BEGIN
    DELETE FROM annotations WHERE session_key = old.id;
END;
""",
    # At the end of a row, behind what may be large: NULL, 0 and 1 are in its head, and are read from there.
    """
ALTER TABLE spans ADD COLUMN conversation_id TEXT;
ALTER TABLE spans ADD COLUMN is_genai INTEGER NOT NULL DEFAULT 0;
""",
    # Turns that are there get their tags when a span of them arrives: to read all spans for it would lock a
    # large file for as long as that takes, while applications start.
    """
CREATE TABLE tags (
    tag TEXT NOT NULL,
    session_key INTEGER NOT NULL REFERENCES sessions,
    turn_id INTEGER NOT NULL REFERENCES turns,
    PRIMARY KEY (tag, session_key, turn_id)
) WITHOUT ROWID;
CREATE INDEX tags_by_turn ON tags (turn_id);

-- Whoever deletes a turn: the next one may get its number.
CREATE TRIGGER forget_tags AFTER DELETE ON turns BEGIN
    DELETE FROM tags WHERE turn_id = old.id;
END;
""",
)
"""Migration number n brings a file from version n to version n + 1 (SQLite's `user_version`)."""
