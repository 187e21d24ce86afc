"""`show`: one session as the chat that it was."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from langchain_sessions.store import AmbiguousSessionError, SessionNotFoundError, StoreError, open_store
from langchain_sessions.view._annotated import annotated, annotations_of, in_full
from langchain_sessions.view._json import to_plain
from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import (
    console,
    json_option,
    missing_file,
    opened,
    print_json,
    store_option,
)
from langchain_sessions.view.cli._types import number_from
from langchain_sessions.view.terminal import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

    from langchain_sessions.store import Page, SessionStore, SessionSummary, Span, Turn

_KNOWN: Final = 1_000
"""The latest sessions, among which one is looked for that has a similar id, or the beginning of one."""

_SUGGESTIONS: Final = 3

_PAGE: Final = 100
"""Turns that are read at a time, so that the first ones are shown at once, however long the session."""


def complete_id(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Session ids that begin so, the latest first; none if anything is wrong: a key was hit, no more."""
    from click.shell_completion import CompletionItem

    place = ctx.params.get("place")
    try:
        if missing_file(place):
            return []
        store = open_store(place, create=False)
        try:
            sessions = store.sessions(limit=_KNOWN)
        finally:
            store.close()
    except StoreError:
        return []
    # What has other than printable characters in it would end a line of what the shell reads.
    known = {it.id: one_line(it.first_input)[:60] for it in sessions if it.id == one_line(it.id)}
    return [CompletionItem(id_, help=said) for id_, said in known.items() if id_.startswith(incomplete)]


@click.command("show")
@click.argument("session_id", metavar="ID", shell_complete=complete_id)
@store_option
@click.option("--project", metavar="NAME", help="Its project, when several have a session of this id.")
@click.option("--spans", "with_spans", is_flag=True, help="Print the spans of each turn, too.")
@click.option("--from", "first", metavar="TRACE", help="Begin with the turn of this trace.")
@click.option("--limit", type=number_from(1), metavar="N", help="The most turns to show. By default all.")
@json_option
def show_command(
    session_id: str,
    place: str | None,
    project: str | None,
    with_spans: bool,
    first: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show a session as a chat.

    Who said what, the tools used, tokens and time of each turn; times are UTC.

    With --json: the fields of SessionSummary, `annotations`, `turns`, and `next`, which is what --from takes
    to go on after --limit, or null. With --spans, each turn has `spans`.
    """
    with opened(place) as store:
        session = found(store, session_id, project)
        turns = _turns(store, session, first)
        show = _show_json if as_json else _show_chat
        show(store, session, islice(turns, limit), turns, with_spans)


def _show_chat(
    store: SessionStore,
    session: SessionSummary,
    shown: Iterator[Turn],
    rest: Iterator[Turn],
    with_spans: bool,
) -> None:
    out = console()
    chat = Transcript(session)
    for line in chat.heading():
        out.print(line)
    for annotation in annotations_of(annotated(store, [session]), session):
        out.print(Text(in_full(annotation), style="cyan", overflow="fold"))
    for turn in shown:
        for line in chat.turn(turn, _spans(store, turn) if with_spans else None):
            out.print(line)
    if (following := next(rest, None)) is not None:
        more = f"\nThere are more: the same again with --from {one_line(following.trace_id)}"
        out.print(Text(more, style="dim"), soft_wrap=True)


def _show_json(
    store: SessionStore,
    session: SessionSummary,
    shown: Iterator[Turn],
    rest: Iterator[Turn],
    with_spans: bool,
) -> None:
    turns: list[object] = []
    for turn in shown:
        plain = to_plain(turn)
        if with_spans and isinstance(plain, dict):
            plain["spans"] = to_plain(_spans(store, turn))
        turns.append(plain)
    following = next(rest, None)
    print_json(
        {
            **_object(session),
            "annotations": annotations_of(annotated(store, [session]), session),
            "turns": turns,
            "next": None if following is None else following.trace_id,
        }
    )


def _object(session: SessionSummary) -> dict[str, object]:
    plain = to_plain(session)
    return {**plain} if isinstance(plain, dict) else {}


def _turns(store: SessionStore, session: SessionSummary, first: str | None) -> Iterator[Turn]:
    """The turns; they are read a page at a time.

    Raises:
        click.ClickException: If the turn to begin with is not there.
    """
    page = store.turns(session.id, project=session.project, limit=_PAGE, starting_with=first)
    if first is not None and not page.items:
        raise click.ClickException(f"session {session.id!r} has no turn of trace {one_line(first)}")
    return _pages(store, session, page)


def _pages(store: SessionStore, session: SessionSummary, page: Page[Turn]) -> Iterator[Turn]:
    yield from page
    while page.next is not None:
        page = store.turns(session.id, project=session.project, limit=_PAGE, after=page.next)
        yield from page


def _spans(store: SessionStore, turn: Turn) -> list[Span]:
    return store.spans(turn.session_id, turn.trace_id, project=turn.project)


def found(store: SessionStore, session_id: str, project: str | None) -> SessionSummary:
    """The session.

    Raises:
        click.ClickException: If it is not there, or in several projects. Says what else might be meant.
    """
    try:
        return store.summary(session_id, project=project)
    except AmbiguousSessionError as error:
        named = " or ".join(f"--project {name}" for name in error.projects)
        raise click.ClickException(one_line(f"several projects have {session_id!r}: add {named}")) from error
    except SessionNotFoundError as error:
        meant = _others(store, session_id, project)
        raise click.ClickException(one_line(f"{error}{meant}")) from error


def _others(store: SessionStore, session_id: str, project: str | None) -> str:
    if project is not None:
        try:
            return f"; there is one in project {store.summary(session_id).project!r}"
        except AmbiguousSessionError as error:
            return f"; there are some in {', '.join(error.projects)}"
        except SessionNotFoundError:
            pass
    known = list(dict.fromkeys(session.id for session in store.sessions(limit=_KNOWN)))
    typed = session_id.casefold()
    near = [id_ for id_ in known if typed and id_.casefold().startswith(typed)]
    near += get_close_matches(session_id, known, n=_SUGGESTIONS)
    near += [id_ for id_ in known if typed and typed in id_.casefold()]
    meant = list(dict.fromkeys(near))[:_SUGGESTIONS]
    if meant:
        return f"; did you mean {' or '.join(meant)}?"
    return "; `langchain-sessions list` shows those that are there" if known else "; the store is empty"
