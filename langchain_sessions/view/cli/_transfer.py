"""`export` and `import`: sessions as JSON Lines."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from langchain_sessions.store import SessionFilter, SessionNotFoundError, iter_sessions, iter_turns
from langchain_sessions.view._files import STANDARD, writing
from langchain_sessions.view._plain import counted, one_line
from langchain_sessions.view.cli._common import json_option, needing, opened, store_option, writable
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._filters import filter_options
from langchain_sessions.view.cli._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from langchain_sessions.store import SessionStore, SessionSummary, Turn


@click.command("export")
@click.argument("session_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_session_id)
@store_option
@filter_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(["otlp", "chat"]),
    default="otlp",
    show_default=True,
    help="otlp: every span, a line for each turn, for `import` and OpenTelemetry Collectors. chat: what was "
    "said, a line for each session, for pandas and evaluations; it cannot be imported again.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=STANDARD,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Where to write; .gz at the end of its name compresses it. By default the standard output.",
)
def export_command(
    place: str | None, where: SessionFilter, session_ids: tuple[str, ...], kind: str, output: str
) -> None:
    """Write sessions as JSON Lines: those that are named, or all that the options want.

    The file appears when it is complete. Spans that are in no session are not in it.
    """
    if session_ids and replace(where, project=None) != SessionFilter():
        raise click.UsageError("with ids, of the options that choose sessions only --project may be given")
    with needing("export"):
        import_module("langchain_sessions.store._jsonl")  # so that what is missing is said here, once
    is_shown = output == STANDARD and sys.stdout.isatty()
    with opened(place) as store, _exported(store, output) as write:
        sessions, total = _chosen(store, where, session_ids)
        count = turns = 0
        with progress_bar("exporting", "sessions", total=total, is_wanted=not is_shown) as progress:
            for summary in sessions:
                turns += _write(write, store, summary, kind)
                count += 1
                progress(count)
    if output != STANDARD:
        what = f"{counted(count, 'session')} ({counted(turns, 'turn')})"
        click.echo(f"Exported {what} to {one_line(output)}.", err=True)


@click.command("import")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@store_option
@click.option("--skip-errors", is_flag=True, help="Leave out lines that cannot be read, and go on.")
@json_option
def import_command(files: tuple[str, ...], place: str | None, skip_errors: bool, as_json: bool) -> None:
    """Add the spans of JSON Lines to a store, which is made if it is not there.

    Reads what `export` has written, and the files of an OpenTelemetry Collector (OTLP in JSON, one request
    in a line), also when they are compressed with gzip. "-" is the standard input. What is in the store
    already is left as it is, so doing it again does no harm.
    """
    with needing("import"):
        from langchain_sessions.view.cli._importing import Import
    with opened(place, create=True) as store:
        target = Import(writable(store), skip_errors=skip_errors)
        sizes = [0 if it == STANDARD else Path(it).stat().st_size for it in files]
        try:
            total = None if STANDARD in files else sum(sizes)
            with progress_bar("importing", total=lambda: total, in_bytes=True) as progress:
                for number, name in enumerate(files):
                    before = sum(sizes[:number])
                    target.read(name, lambda at, before=before: progress(before + at))
        finally:
            if as_json:
                click.echo(json.dumps(asdict(target.counts)))
    if not as_json:
        click.echo(target.counts.sentence())


def _chosen(
    store: SessionStore, where: SessionFilter, session_ids: Sequence[str]
) -> tuple[Iterator[SessionSummary], Callable[[], int]]:
    """The sessions to export, and what counts them."""
    if not session_ids:
        return iter_sessions(store, where), lambda: store.stats(where).sessions
    # All of them are looked for before anything is written.
    found = [store.summary(it, project=where.project) for it in dict.fromkeys(session_ids)]
    return iter(found), lambda: len(found)


def _write(write: Callable[[str], None], store: SessionStore, session: SessionSummary, kind: str) -> int:
    """Write a session; return how many turns it has."""
    from langchain_sessions.store._jsonl import chat_line, spans_line

    count = 0
    if kind == "chat":
        for piece in chat_line(session, _turns(store, session)):
            write(piece)
        write("\n")
        return session.turn_count
    for turn in _turns(store, session):
        try:
            spans = store.spans(session.id, turn.trace_id, project=session.project)
        except SessionNotFoundError:  # deleted meanwhile
            break
        if spans:
            write(f"{spans_line(spans)}\n")
            count += 1
    return count


def _turns(store: SessionStore, session: SessionSummary) -> Iterator[Turn]:
    """The turns of a session; none if it was deleted meanwhile."""
    with suppress(SessionNotFoundError):
        yield from iter_turns(store, session.id, project=session.project)


@contextmanager
def _exported(store: SessionStore, output: str) -> Generator[Callable[[str], None]]:
    """What writes to the file; to a terminal nothing that could steer it.

    Raises:
        click.ClickException: If the file cannot be written, or is the store itself.
    """
    path = getattr(store, "path", None)
    if path is not None and output != STANDARD and Path(path).resolve() == Path(output).resolve():
        raise click.UsageError("--output is the store itself; name another file")
    try:
        with writing(output) as stream:
            is_shown = output == STANDARD and sys.stdout.isatty()
            yield lambda text: _write_text(stream, _in_ascii(text) if is_shown else text)
    except OSError as error:
        if output == STANDARD:
            raise  # click ends quietly if nobody reads any more
        raise click.ClickException(f"cannot write {one_line(output)}: {error.strerror or error}") from error


def _write_text(stream: IO[bytes], text: str) -> None:
    stream.write(text.encode())


def _in_ascii(text: str) -> str:
    """The same JSON, in which all other characters are escaped."""
    return re.sub(r"[^\n -~]", lambda match: json.dumps(match[0])[1:-1], text)
