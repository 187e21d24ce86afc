"""`annotate`: say what one thinks of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import click

from langchain_sessions.store import AnnotatableSessionStore, Annotation
from langchain_sessions.store._annotation import NOTE
from langchain_sessions.view._annotated import in_full
from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import opened, store_option
from langchain_sessions.view.cli._completion import complete_session_id
from langchain_sessions.view.cli._showing import found

if TYPE_CHECKING:
    from langchain_sessions.store._annotation import Annotator

_JUDGEMENT: Final = "quality"
"""What a label or a score without a name is about."""


@click.command("annotate")
@click.argument("session_id", metavar="ID", shell_complete=complete_session_id)
@store_option
@click.option("--project", metavar="NAME", help="Its project, when several have a session of this id.")
@click.option(
    "--name",
    metavar="NAME",
    help=f"What it is about, such as helpful. By default {_JUDGEMENT!r} for a label or a score, and 'note'.",
)
@click.option("--label", metavar="TEXT", help="The judgement in a word.")
@click.option("--score", type=float, metavar="NUMBER", help="The judgement as a number.")
@click.option("--note", default="", metavar="TEXT", help="Why, or whatever is to be remembered.")
@click.option(
    "--annotator",
    type=click.Choice(["human", "llm", "code"]),
    default="human",
    show_default=True,
    help="Who thinks so.",
)
def annotate_command(
    session_id: str,
    place: str | None,
    project: str | None,
    name: str | None,
    label: str | None,
    score: float | None,
    note: str,
    annotator: str,
) -> None:
    """Annotate a session with what you think of it: a label, a score, a note.

    `list`, `show` and the web page show it. A judgement takes the place of the one of its name; notes are
    collected. In Phoenix, it is one of Phoenix's session annotations.
    """
    try:
        annotation = Annotation(
            name=name or (NOTE if label is None and score is None else _JUDGEMENT),
            label=label,
            score=score,
            note=note,
            annotator=cast("Annotator", annotator.upper()),
        )
    except ValueError as error:
        msg = f"{error}: give --label, --score or --note, and --name for what it is about"
        raise click.UsageError(msg) from error
    with opened(place) as store:
        if not isinstance(store, AnnotatableSessionStore):
            raise click.ClickException("this store keeps no annotations")
        session = found(store, session_id, project)
        store.annotate(session.id, annotation, project=session.project)
    click.echo(f"Session {one_line(session.id)} now has {in_full(annotation)}")
