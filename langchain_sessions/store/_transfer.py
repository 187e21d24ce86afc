"""Sessions taken along: out of a store into JSON Lines, and into a store from them."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_sessions.store._answers import Exported, SessionFilter
from langchain_sessions.store._files import writing
from langchain_sessions.store._protocol import SessionNotFoundError, StoreError, TransferError
from langchain_sessions.store._walk import iter_sessions, iter_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from langchain_sessions.store._answers import Imported
    from langchain_sessions.store._files import BinaryWriter, Source, Target
    from langchain_sessions.store._model import SessionSummary, Turn
    from langchain_sessions.store._protocol import SessionStore, WritableSessionStore

Format: TypeAlias = Literal["otlp", "chat"]
"""What an export has: every span, or what was said."""


def export_sessions(
    store: SessionStore,
    target: Target,
    where: SessionFilter | None = None,
    *,
    session_ids: Iterable[str] | None = None,
    format: Format = "otlp",  # noqa: A002 -- the option of the command has this name, too
    progress: Callable[[int], object] | None = None,
) -> Exported:
    """Write sessions as JSON Lines, as `langchain-sessions export` does.

    A file appears, or takes the place of what is there, when it is complete. Spans that are in no session are
    not in it. A session that is deleted meanwhile is left out, or ends where it was reached.

    Args:
        store: Any session store.
        target: A path, which is compressed if it ends in `.gz`, or a stream that is open in binary mode.
        where: Which sessions; all of them by default.
        session_ids: Those of these ids, instead; all of them are looked for before anything is written. Of
            `where`, only the project may be given then.
        format: "otlp" writes every span, a line for each turn, which `import_sessions` and OpenTelemetry
            Collectors read. "chat" writes what was said, a line for each session, for data frames and
            evaluations; it cannot be imported again.
        progress: Called with how many sessions are done.

    Raises:
        TransferError: If the file cannot be written, or is the store itself.
        SessionNotFoundError: If there is no session of one of the ids.
        AmbiguousSessionError: If several projects have one, and none is named.
        StoreError: If the store cannot be read, or a package is missing.
        ValueError: If the format is another one, or `where` says more than it may.
        TypeError: If `session_ids` is a text, or the stream is one of text.
    """
    where = where or SessionFilter()
    if format not in {"otlp", "chat"}:
        msg = f"format must be 'otlp' or 'chat', not {format!r}"
        raise ValueError(msg)
    if session_ids is not None:
        _check(session_ids, where)
    _refuse_itself(store, target)
    write_session = _chat_writer() if format == "chat" else _otlp_writer()
    sessions = turns = 0
    with _explained(target), writing(target) as stream:
        for number, summary in enumerate(_chosen(store, where, session_ids), 1):
            written = write_session(stream, store, summary)
            sessions, turns = sessions + (written > 0), turns + written
            if progress is not None:
                progress(number)
    return Exported(sessions, turns)


def import_sessions(
    store: WritableSessionStore,
    *sources: Source,
    skip_errors: bool = False,
    warn: Callable[[str], object] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Imported:
    """Add the spans of JSON Lines to a store, as `langchain-sessions import` does.

    Reads what `export_sessions` has written, and the files of an OpenTelemetry Collector (OTLP in JSON, one
    request in a line), also when they are compressed with gzip. What is in the store already is left as it
    is, so doing it again does no harm.

    Args:
        store: A store that can be written to.
        *sources: Paths, or streams that are open in binary mode.
        skip_errors: Leave out lines that cannot be read, and go on.
        warn: Called with the first ten of them, and of the spans that are refused, each in a sentence.
        progress: Called with how many bytes of the files were read; those of streams do not count.

    Raises:
        TransferError: If a file or a line of it cannot be read, or not be stored. What came before is kept;
            `imported` says how much it is.
        StoreError: If a package is missing.
        TypeError: If a stream is one of text.
    """
    with _packages():
        from langchain_sessions.store._importing import Import
    reader = Import(store, skip_errors=skip_errors, warn=warn, progress=progress)
    for source in sources:
        reader.read(source)
    return reader.counts


def _check(session_ids: Iterable[str], where: SessionFilter) -> None:
    if isinstance(session_ids, str):
        msg = f"session_ids are several: write [{session_ids!r}]"
        raise TypeError(msg)
    if replace(where, project=None) != SessionFilter():
        msg = "with session_ids, of where only its project may be given"
        raise ValueError(msg)


def _refuse_itself(store: SessionStore, target: Target) -> None:
    path = getattr(store, "path", None)
    if path is None or not isinstance(target, str | os.PathLike):
        return
    # SQLite has two files beside its own, in which there may be what is not yet in that.
    if str(Path(target).resolve()) in {f"{Path(path).resolve()}{it}" for it in ("", "-wal", "-shm")}:
        msg = f"{os.fspath(target)} is the store itself; name another file to export to"
        raise TransferError(msg)


def _chosen(
    store: SessionStore, where: SessionFilter, session_ids: Iterable[str] | None
) -> Iterable[SessionSummary]:
    if session_ids is None:
        return iter_sessions(store, where)
    return [store.summary(it, project=where.project) for it in dict.fromkeys(session_ids)]


@contextmanager
def _explained(target: Target) -> Generator[None]:
    """Say which file cannot be written; what goes wrong with a stream is its owner's business.

    Raises:
        TransferError: In the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        if not isinstance(target, str | os.PathLike):
            raise
        msg = f"cannot write {os.fspath(target)}: {error.strerror or error}"
        raise TransferError(msg) from error


@contextmanager
def _packages() -> Generator[None]:
    """Say what has to be installed.

    Raises:
        StoreError: In the place of an ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise StoreError(str(error)) from error


def _otlp_writer() -> Callable[[BinaryWriter, SessionStore, SessionSummary], int]:
    with _packages():
        from langchain_sessions.store._jsonl import spans_line

    def write(stream: BinaryWriter, store: SessionStore, session: SessionSummary) -> int:
        count = 0
        for turn in _turns(store, session):
            try:
                spans = store.spans(session.id, turn.trace_id, project=session.project)
            except SessionNotFoundError:  # deleted meanwhile
                break
            if spans:
                stream.write(f"{spans_line(spans)}\n".encode())
                count += 1
        return count

    return write


def _chat_writer() -> Callable[[BinaryWriter, SessionStore, SessionSummary], int]:
    with _packages():
        from langchain_sessions.store._jsonl import chat_line

    def write(stream: BinaryWriter, store: SessionStore, session: SessionSummary) -> int:
        count = 0

        def counted(turns: Iterable[Turn]) -> Iterator[Turn]:
            nonlocal count
            for count, turn in enumerate(turns, 1):  # noqa: B007 -- it is what was counted
                yield turn

        turns = _turns(store, session)
        begin = list(islice(turns, 1))
        if not begin:  # deleted meanwhile
            return 0
        for piece in chat_line(session, counted(chain(begin, turns))):
            stream.write(piece.encode())
        stream.write(b"\n")
        return count

    return write


def _turns(store: SessionStore, session: SessionSummary) -> Iterator[Turn]:
    """The turns of a session; none if it was deleted meanwhile."""
    with suppress(SessionNotFoundError):
        yield from iter_turns(store, session.id, project=session.project)
