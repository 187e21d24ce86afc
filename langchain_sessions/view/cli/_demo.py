"""`demo`: three conversations, held, kept and shown."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import console, opened, place_of, store_option, writable
from langchain_sessions.view.terminal import sessions_table, transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.store import Session, WritableSessionStore

_INTRODUCTION: Final = """\
Three conversations, one SessionCallbackHandler, three ways to give the id:

  demo-chain    a prompt | model | parser chain: metadata={"session_id": ...}
  demo-history  RunnableWithMessageHistory: configurable={"session_id": ...}
  demo-agent    an agent with a checkpointer: configurable={"thread_id": ...}
"""

_PROGRAM: Final = "langchain-sessions"


def _provider_and_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Let PROVIDER:NAME pass.

    Raises:
        click.BadParameter: If one of the two is missing.
    """
    if value is None:
        return None
    provider, _, name = value.partition(":")
    if not provider or not name:
        raise click.BadParameter(f"{value!r} is not PROVIDER:NAME, such as openai:gpt-4o-mini")
    return value


@click.command("demo")
@store_option
@click.option(
    "--model",
    metavar="PROVIDER:NAME",
    callback=_provider_and_name,
    help="Talk to this chat model instead, for example openai:gpt-4o-mini. Needs the provider's LangChain "
    "package and, usually, a key in the environment.",
)
def demo_command(place: str | None, model: str | None) -> None:
    """Hold three short conversations, keep them and show them.

    Works offline: a small rule-based chat model answers from what is said to it. Prints a table of the
    sessions and a readable transcript of each, and how to look at them again.
    """
    _require_extra()
    with opened(place, create=True) as store:
        sessions = _hold(model, writable(store))
        kept_in = place_of(store)
    _show(sessions)
    console().print(_next_steps(sessions, place, kept_in), soft_wrap=True)


def _require_extra() -> None:
    """Look for what the demonstration needs, before a file is made for it.

    Raises:
        click.ClickException: If something is not installed.
    """
    try:
        import_module("langchain_sessions.demo")
    except ImportError as error:
        if error.name not in {"langchain", "langgraph"}:
            raise
        raise click.ClickException(str(error)) from error


def _hold(model: str | None, store: WritableSessionStore) -> list[Session]:
    """Hold the conversations.

    Raises:
        click.ClickException: If the model does not answer.
    """
    from langchain_sessions.demo import DemoError, run_demo

    if model:
        click.echo(f"Talking to {one_line(model)} ...", err=True)
    try:
        return run_demo(model, store=store)
    except DemoError as error:
        raise click.ClickException(one_line(str(error))) from error


def _show(sessions: Sequence[Session]) -> None:
    out = console()
    out.print(_INTRODUCTION, markup=False)
    out.print(sessions_table(sessions))
    for session in sessions:
        out.print(transcript(session))
        out.print()


def _next_steps(sessions: Sequence[Session], place: str | None, kept_in: str) -> Text:
    """The commands that show what was kept, as they have to be typed here."""
    where = f" --store {shlex.quote(place)}" if place else ""
    commands = {
        "list": "the sessions in the store",
        f"show {shlex.quote(sessions[-1].id)} --spans": "one of them, with its spans",
        "search boat": "what was said about boats",
        "ui": "all of it in the browser",
    }
    lines = [f"{_program()} {command}{where}" for command in commands]
    width = max(map(len, lines))
    text = "".join(f"\n  {line:{width}}  {what}" for line, what in zip(lines, commands.values(), strict=True))
    return Text(f"Kept in {kept_in}. Look again with:{text}")


def _program() -> str:
    """How this program is called: by its name, unless it is in an environment that is not active."""
    script = Path(sys.executable).with_name(_PROGRAM)
    if shutil.which(_PROGRAM) or not script.exists():
        return _PROGRAM
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
