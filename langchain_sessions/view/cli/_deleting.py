"""`delete`: forget one session."""

from __future__ import annotations

import click

from langchain_sessions.view._plain import counted, one_line
from langchain_sessions.view.cli._common import ask, opened, store_option, writable
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._showing import found


@click.command("delete")
@click.argument("session_id", metavar="ID", shell_complete=complete_session_id)
@store_option
@click.option("--project", metavar="NAME", help="Its project, when several have a session of this id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(session_id: str, place: str | None, project: str | None, yes: bool) -> None:
    """Delete a session with all its turns, spans and annotations.

    What is still said in it afterwards makes it anew.
    """
    with opened(place) as store:
        chosen = writable(store)
        session = found(store, session_id, project)
        name = f"session {one_line(session.id)} of project {one_line(session.project)}"
        turns, spans = counted(session.turn_count, "turn"), counted(session.span_count, "span")
        if not yes:
            ask(f"Delete {name} ({turns})?")
        chosen.delete(session.id, project=session.project)
    click.echo(f"Deleted {name} ({turns}, {spans}).")
