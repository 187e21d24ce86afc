"""`list`, `search` and `stats`: many sessions at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast, get_args

import click
from rich.text import Text

from langchain_sessions.store import SessionFilter
from langchain_sessions.store._answers import Sort
from langchain_sessions.view._annotated import annotated, annotations_of
from langchain_sessions.view._json import as_object
from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import (
    console,
    json_option,
    no_sessions,
    opened,
    print_json,
    store_option,
)
from langchain_sessions.view.cli._filters import filter_options, text_option
from langchain_sessions.view.cli._types import number_from
from langchain_sessions.view.terminal import search_hit, sessions_table, stats_report

if TYPE_CHECKING:
    from collections.abc import Generator

_EVERYTHING: Final = SessionFilter()


_after_option: Final = click.option(
    "--after", metavar="PLACE", help="Go on after it; the end of the page before tells it."
)


@click.command("list")
@store_option
@filter_options
@text_option
@click.option(
    "--sort",
    type=click.Choice(get_args(Sort)),
    default="last_activity",
    show_default=True,
    help="The largest first. Latency is that of the median turn.",
)
@click.option(
    "--limit", type=number_from(1), default=50, show_default=True, metavar="N", help="The most to list."
)
@_after_option
@json_option
def list_command(
    place: str | None, where: SessionFilter, sort: str, limit: int, after: str | None, as_json: bool
) -> None:
    """List sessions.

    With --json: an object of `items` and `next`, which is what --after takes. The items have the fields of
    SessionSummary, and `annotations`; times are ISO 8601 in UTC (`started`) and nanoseconds since the epoch
    (`started_ns`).
    """
    with opened(place) as store, _place_in_list():
        page = store.sessions(where, sort=cast("Sort", sort), limit=limit, after=after)
        is_all = where == _EVERYTHING and after is None
        nothing = no_sessions(store.stats()) if is_all and not page.items else "No such sessions."
        annotations = annotated(store, page)
    if as_json:
        items = [{**as_object(it), "annotations": annotations_of(annotations, it)} for it in page]
        print_json({"items": items, "next": page.next, "previous": page.previous})
        return
    out = console()
    out.print(sessions_table(page, annotations=annotations) if page.items else nothing)
    _tell_next(page.next)


@click.command("search")
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@store_option
@filter_options
@click.option(
    "--limit", type=number_from(1), default=20, show_default=True, metavar="N", help="The most to show."
)
@_after_option
@json_option
def search_command(
    words: tuple[str, ...],
    place: str | None,
    where: SessionFilter,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """Find turns by what was said in them, the latest first.

    All words have to be found in one turn, whatever their case and accents. '"A phrase"' in quotes is found
    as it stands, 'conver*' finds words that begin so. The options restrict in which sessions.

    With --json: an object of `items` and `next`. An item has the `turn`, the `role` whose words were found
    and the `excerpt`: pieces of text, those with `is_match` being what was found.
    """
    with opened(place) as store, _place_in_list():
        page = store.search(" ".join(words), where, limit=limit, after=after)
    if as_json:
        print_json(page)
        return
    out = console()
    for hit in page:
        out.print(search_hit(hit))
    if not page.items:
        out.print("Nothing found.")
    _tell_next(page.next)


@click.command("stats")
@store_option
@filter_options
@text_option
@json_option
def stats_command(place: str | None, where: SessionFilter, as_json: bool) -> None:
    """Sum sessions up, in all and by day.

    With --since or --until, only turns that began in that time count.

    With --json: the fields of SessionStats. Durations are in nanoseconds.
    """
    with opened(place) as store:
        stats = store.stats(where)
    if as_json:
        print_json(stats)
    else:
        console().print(stats_report(stats))


@contextmanager
def _place_in_list() -> Generator[None]:
    """Explain a place that is none.

    Raises:
        click.BadParameter: In the place of the ValueError that stores raise.
    """
    try:
        yield
    except ValueError as error:
        hint = "take it from the end of the page before, and use the same command and --sort"
        raise click.BadParameter(f"{one_line(str(error))}; {hint}", param_hint="'--after'") from error


def _tell_next(following: str | None) -> None:
    if following is not None:
        more = Text(f"There are more: the same again with --after {one_line(following)}", style="dim")
        console().print(more, soft_wrap=True)
