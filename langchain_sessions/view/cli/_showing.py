"""`show`: one session as the chat that it was."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from langchain_sessions.store import (
    AmbiguousSessionError,
    SessionFilter,
    SessionNotFoundError,
    iter_sessions,
    iter_turns,
)
from langchain_sessions.view._annotated import annotated, annotations_of, in_full
from langchain_sessions.view._json import as_object, to_plain
from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import (
    console,
    json_option,
    no_sessions,
    opened,
    print_json,
    store_option,
)
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._types import number_from
from langchain_sessions.view.terminal import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from langchain_sessions.store import Annotation, SessionStore, SessionSummary, Span, Turn

    _Shown: TypeAlias = tuple[Turn, list[Span] | None]
    """A turn and, if they are to be shown, its spans."""

_KNOWN: Final = 1_000
"""The latest sessions, among which one is looked for that has a similar id."""

_SUGGESTIONS: Final = 3


@click.command("show")
@click.argument("session_id", metavar="[ID]", required=False, shell_complete=complete_session_id)
@store_option
@click.option("--project", metavar="NAME", help="Its project, when several have a session of this id.")
@click.option("--spans", "with_spans", is_flag=True, help="Print the spans of each turn, too.")
@click.option("--from", "first", metavar="TRACE", help="Begin with the turn of this trace.")
@click.option("--last", type=number_from(1), metavar="N", help="Only the last N turns.")
@click.option("--limit", type=number_from(1), metavar="N", help="The most turns to show. By default all.")
@json_option
def show_command(
    session_id: str | None,
    place: str | None,
    project: str | None,
    with_spans: bool,
    first: str | None,
    last: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show a session as a chat: without an ID, the one that was active last.

    Who said what, the tools used, tokens and time of each turn; times are UTC.

    With --json: the fields of SessionSummary, `annotations`, `turns`, and `next`, which is what --from takes
    to go on after --limit, or null. With --spans, each turn has `spans`.
    """
    if first is not None and last is not None:
        raise click.UsageError("give --from or --last, not both")
    if first is not None and session_id is None:
        raise click.UsageError("--from names a turn of a session: give its ID, too")
    with opened(place) as store:
        session = _latest(store, project) if session_id is None else found(store, session_id, project)
        turns = _turns(store, session, first, last)
        shown = ((it, _spans(store, it) if with_spans else None) for it in islice(turns, limit))
        annotations = annotations_of(annotated(store, [session]), session)
        if as_json:
            _show_json(session, annotations, shown, turns)
        else:
            named = f"{shlex.quote(session.id)} " if session_id is None else ""
            _show_chat(session, annotations, shown, turns, named)


def _show_chat(
    session: SessionSummary,
    annotations: Sequence[Annotation],
    shown: Iterator[_Shown],
    rest: Iterator[Turn],
    named: str,
) -> None:
    out = console()
    chat = Transcript(session)
    for line in chat.heading():
        out.print(line)
    for annotation in annotations:
        out.print(Text(in_full(annotation), style="cyan", overflow="fold"))
    for turn, spans in shown:
        for line in chat.turn(turn, spans):
            out.print(line)
    if (following := next(rest, None)) is not None:
        more = f"\nThere are more: the same again with {one_line(named + '--from ' + following.trace_id)}"
        out.print(Text(more, style="dim"), soft_wrap=True)


def _show_json(
    session: SessionSummary,
    annotations: Sequence[Annotation],
    shown: Iterator[_Shown],
    rest: Iterator[Turn],
) -> None:
    turns: list[object] = []
    for turn, spans in shown:
        turns.append(as_object(turn) if spans is None else {**as_object(turn), "spans": to_plain(spans)})
    following = next(rest, None)
    print_json(
        {
            **as_object(session),
            "annotations": to_plain(annotations),
            "turns": turns,
            "next": None if following is None else following.trace_id,
        }
    )


def _turns(
    store: SessionStore, session: SessionSummary, first: str | None, last: int | None
) -> Iterator[Turn]:
    """The turns, from one on or the last ones.

    Raises:
        click.ClickException: If the turn to begin with is not there.
    """
    if last is not None:
        return iter(store.turns(session.id, project=session.project, limit=last, last=True))
    turns = iter_turns(store, session.id, project=session.project, starting_with=first)
    begin = list(islice(turns, 1))
    if first is not None and not begin:
        raise click.ClickException(f"session {session.id!r} has no turn of trace {one_line(first)}")
    return chain(begin, turns)


def _spans(store: SessionStore, turn: Turn) -> list[Span]:
    return store.spans(turn.session_id, turn.trace_id, project=turn.project)


def _latest(store: SessionStore, project: str | None) -> SessionSummary:
    """The session that was active last.

    Raises:
        click.ClickException: If there is none.
    """
    session = next(iter_sessions(store, SessionFilter(project=project)), None)
    if session is not None:
        return session
    stats = store.stats()
    if not stats.projects:
        raise click.ClickException(no_sessions(stats))
    others = ", ".join(name for name, _ in stats.projects)
    raise click.ClickException(
        one_line(f"there is no session in project {project!r}; there are some in {others}")
    )


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
    return (
        "; `langchain-sessions list` shows those that are there" if known else "; the store has no sessions"
    )
