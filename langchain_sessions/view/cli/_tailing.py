"""`tail`: turns as they happen."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from langchain_sessions.store import (
    SessionFilter,
    SessionNotFoundError,
    StoreMissingError,
    iter_sessions,
    open_store,
)
from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import (
    console,
    explained,
    json_option,
    opened,
    print_json,
    store_option,
)
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._types import number_from
from langchain_sessions.view.terminal import turn_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_sessions.store import SessionStore, Turn

_PAUSE: Final = 0.5
"""Seconds between two looks. Applications send their spans every few seconds."""

_PAGE: Final = 100

_REMEMBERED: Final = 10_000
"""Turns that are known to have been shown. One that changes after so many others is shown as a new one."""

_ALL: Final = sys.maxsize


@click.command("tail")
@store_option
@click.option("--session", metavar="ID", shell_complete=complete_session_id, help="Only this session.")
@click.option("--project", metavar="NAME", help="Only sessions of this project.")
@click.option(
    "-n",
    "--last",
    type=number_from(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Begin with so many of the turns that are there.",
)
@click.option("--since-start", is_flag=True, help="Begin with all turns that are there.")
@json_option
def tail_command(
    place: str | None,
    session: str | None,
    project: str | None,
    last: int,
    since_start: bool,
    as_json: bool,
) -> None:
    """Print turns as they happen, until Ctrl-C.

    A turn whose spans are still arriving is printed again (↻) when it has changed. If the store is not there
    yet, waits for it.

    With --json: one object a line, with the fields of Turn. A turn is known by its project, session_id and
    trace_id; the last line about it counts.
    """
    with explained():
        has_waited = _wait_for(place)
    if has_waited:
        since_start = True  # whatever is in it has come since we began
    with opened(place) as store:
        watch = _Watch(store, session, project)
        out = console()
        for turn, is_new in watch.turns(_ALL if since_start else last):
            if as_json:
                print_json(turn, on_one_line=True)
            else:
                # What a pipe gets is whole, however long.
                out.print(turn_line(turn, is_new=is_new), soft_wrap=not out.is_terminal)


def _wait_for(place: str | None) -> bool:
    """Wait until there is a store, and say so; return whether that was necessary."""
    has_waited = False
    while True:
        try:
            open_store(place, create=False).close()
        except StoreMissingError as error:
            if not has_waited:
                click.echo(f"waiting for {one_line(str(error.path))} ...", err=True)
            has_waited = True
            time.sleep(_PAUSE)
        else:
            return has_waited


class _Watch:
    """Reads the turns of a store, those that were there and those that come, each change once.

    Args:
        store: Where.
        session: Only of this session.
        project: Only of this project.
    """

    def __init__(self, store: SessionStore, session: str | None, project: str | None) -> None:
        self._store = store
        self._session = session
        self._project = project
        self._shown: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def turns(self, last: int) -> Iterator[tuple[Turn, bool]]:
        """Yield turns, and whether they are new, for ever.

        Args:
            last: How many of those that are there come first.
        """
        place = self._store.changes().next  # before the others are read: nothing must fall between
        yield from self._unseen(self._latest(last))
        while True:
            page = self._store.changes(place, limit=_PAGE)
            place = page.next
            yield from self._unseen(page)
            if len(page) < _PAGE:
                time.sleep(_PAUSE)

    def _unseen(self, turns: Iterable[Turn]) -> Iterator[tuple[Turn, bool]]:
        for turn in turns:
            key = (turn.project, turn.session_id, turn.trace_id)
            content = hash(turn)
            if not self._is_wanted(turn) or self._shown.get(key) == content:
                continue
            is_new = key not in self._shown
            self._shown[key] = content
            self._shown.move_to_end(key)
            if len(self._shown) > _REMEMBERED:
                self._shown.popitem(last=False)
            yield turn, is_new

    def _latest(self, number: int) -> list[Turn]:
        """The turns that ended last, in the order in which they did."""
        found: list[Turn] = []
        where = SessionFilter(project=self._project)
        for session in iter_sessions(self._store, where) if number else ():
            if self._session not in {None, session.id}:
                continue
            if len(found) >= number:
                found = _by_end(found)[-number:]
                if session.last_activity_ns < found[0].ended_ns:
                    break  # sessions come by last activity: this one and those that follow have nothing later
            with suppress(SessionNotFoundError):  # it was deleted this moment
                found += self._store.turns(session.id, project=session.project, limit=number, last=True)
        return _by_end(found)[-number:]

    def _is_wanted(self, turn: Turn) -> bool:
        return self._session in {None, turn.session_id} and self._project in {None, turn.project}


def _by_end(turns: Iterable[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: turn.ended_ns)
