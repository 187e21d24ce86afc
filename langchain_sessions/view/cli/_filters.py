"""The options that say which sessions are wanted."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from langchain_sessions.store import SessionFilter
from langchain_sessions.view.cli._types import moment_of, number_from

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTIONS: Final = (
    click.option("--project", metavar="NAME", help="Of this project."),
    click.option("--user", metavar="ID", help="Of this user."),
    click.option("--tag", metavar="NAME", help="With a turn whose outermost run has this tag."),
    click.option(
        "--since",
        type=moment_of,
        metavar="TIME",
        help="Active at or after it: 2026-11-01, 2026-11-01T08:30, or how long ago: 2h, 7d. In UTC, unless "
        "the time has an offset.",
    ),
    click.option("--until", type=moment_of, metavar="TIME", help="Begun before it."),
    click.option("--errors", is_flag=True, help="With at least one failed turn."),
    click.option(
        "--min-turns",
        type=number_from(1),
        default=1,
        metavar="N",
        help="With at least so many turns.",
    ),
)

text_option: Final = click.option(
    "--text", metavar="WORDS", help="With a turn in which these words are found, as `search` finds them."
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, and what they say as its argument `where`."""

    @wraps(command)
    def with_filter(
        *args: Any,
        project: str | None,
        user: str | None,
        tag: str | None,
        since: Any,
        until: Any,
        errors: bool,
        min_turns: int,
        text: str | None = None,
        **others: Any,
    ) -> None:
        where = SessionFilter(
            project=project,
            user=user,
            tag=tag,
            since=since,
            until=until,
            has_errors=errors,
            min_turns=min_turns,
            text=text,
        )
        command(*args, where=where, **others)

    for option in reversed(_OPTIONS):
        with_filter = option(with_filter)
    return with_filter
