"""`prune`: delete what is old, or too much."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from langchain_sessions.view._plain import ago, counted, moment, size
from langchain_sessions.view.cli._common import ask, opened, store_option, writable
from langchain_sessions.view.cli._progress import progress_bar
from langchain_sessions.view.cli._types import duration_of, size_of

if TYPE_CHECKING:
    from datetime import timedelta

    from langchain_sessions.store import Pruned


@click.command("prune")
@store_option
@click.option(
    "--older-than",
    type=duration_of,
    metavar="DURATION",
    help="Sessions without activity for so long: 12h, 30d.",
)
@click.option(
    "--max-size",
    type=size_of,
    metavar="SIZE",
    help="As many sessions as it takes for the file to have at most this size: 500MB, 2GiB.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Delete nothing, and say what would be deleted.")
def prune_command(
    place: str | None,
    older_than: timedelta | None,
    max_size: int | None,
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete the sessions that were active least recently.

    Needs --older-than, --max-size or both. Applications may go on writing meanwhile.

    What --dry-run says is exact with --older-than. With --max-size it is an estimate, as if all spans were of
    one size: how much of the file a session takes is known when it is gone.
    """
    if older_than is None and max_size is None:
        raise click.UsageError("say what to delete: --older-than 30d, or --max-size 500MB")
    with opened(place) as store:
        chosen = writable(store)
        if dry_run:
            pruned = chosen.prune(older_than=older_than, max_bytes=max_size, dry_run=True)
            click.echo(_forecast(pruned))
            return
        if not yes:
            ask(_question(older_than, max_size))
        with progress_bar("deleting", "sessions") as progress:
            pruned = chosen.prune(older_than=older_than, max_bytes=max_size, progress=progress)
    deleted = f"Deleted {counted(pruned.sessions, 'session')} ({counted(pruned.spans, 'span')})"
    click.echo(f"{deleted}; the store is {size(pruned.bytes)} smaller.")


def _forecast(pruned: Pruned) -> str:
    if not pruned.spans:
        return "Nothing would be deleted."
    about, how = ("about ", ", as if all spans were of one size") if pruned.is_estimate else ("", "")
    turns, spans = counted(pruned.turns, "turn"), counted(pruned.spans, "span")
    text = f"Would delete {about}{counted(pruned.sessions, 'session')} ({turns}, {spans}){how}"
    if pruned.newest_ns is not None:
        age = ago(pruned.newest_ns, time.time_ns())
        text += f"; the newest of them was active last {moment(pruned.newest_ns)}"
        text += f" ({age})" if age.endswith("ago") else ""
    return f"{text}. Nothing was deleted."


def _question(older_than: timedelta | None, max_size: int | None) -> str:
    what: list[str] = []
    if older_than is not None:
        since = time.time_ns() - int(older_than.total_seconds() * 10**9)
        what.append(f"the sessions without activity since {moment(since)}")
    if max_size is not None:
        what.append(f"the oldest ones until {size(max_size)} are left")
    return f"Delete {' and '.join(what)}?"
