"""`export` and `import`: sessions as JSON Lines."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from langchain_sessions.store import SessionFilter, TransferError, export_sessions, import_sessions
from langchain_sessions.view._plain import counted, one_line
from langchain_sessions.view.cli._common import json_option, needing, opened, store_option, writable
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._filters import filter_options
from langchain_sessions.view.cli._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.store import Imported, WritableSessionStore
    from langchain_sessions.store._files import BinaryWriter
    from langchain_sessions.store._transfer import Format

STANDARD: Final = "-"
"""The name of the standard streams."""


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
    with opened(place) as store:
        with progress_bar(
            "exporting",
            "sessions",
            total=lambda: len(set(session_ids)) or store.stats(where).sessions,
            is_wanted=not is_shown,
        ) as progress:
            exported = export_sessions(
                store,
                _standard_output() if output == STANDARD else output,
                where,
                session_ids=session_ids or None,
                format=cast("Format", kind),
                progress=progress,
            )
        sys.stdout.flush()
    if output != STANDARD:
        what = f"{counted(exported.sessions, 'session')} ({counted(exported.turns, 'turn')})"
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
        import_module("langchain_sessions.store._jsonl")
    with opened(place, create=True) as store:
        try:
            imported = _imported(writable(store), files, skip_errors=skip_errors)
        except TransferError as error:
            if as_json and error.imported is not None:
                click.echo(json.dumps(asdict(error.imported)))
            raise
    click.echo(json.dumps(asdict(imported)) if as_json else _sentence(imported))


def _imported(store: WritableSessionStore, files: Sequence[str], *, skip_errors: bool) -> Imported:
    total = None if STANDARD in files else sum(Path(it).stat().st_size for it in files)
    with progress_bar("importing", total=lambda: total, in_bytes=True) as progress:
        return import_sessions(
            store,
            *(sys.stdin.buffer if it == STANDARD else it for it in files),
            skip_errors=skip_errors,
            warn=lambda text: click.echo(f"Warning: {one_line(text)}", err=True),
            progress=progress,
        )


def _sentence(imported: Imported) -> str:
    parts = [f"{imported.known:,} known"]
    parts += [f"{imported.rejected:,} rejected, whose ids are none"] if imported.rejected else []
    lines = [counted(imported.lines, "line")]
    lines += [f"{imported.other_lines:,} without spans"] if imported.other_lines else []
    lines += [f"{imported.bad_lines:,} not readable"] if imported.bad_lines else []
    return f"Imported {counted(imported.new, 'new span')} ({', '.join(parts)}) from {', '.join(lines)}."


def _standard_output() -> BinaryWriter:
    """The standard output; to a terminal nothing is written that could steer it."""
    return _InAscii(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer


class _InAscii:
    """Writes JSON in which all characters but those of ASCII are escaped."""

    def __init__(self, stream: BinaryWriter) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> None:
        text = re.sub(r"[^\n -~]", lambda match: json.dumps(match[0])[1:-1], data.decode())
        self._stream.write(text.encode())
