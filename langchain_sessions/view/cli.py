"""The command line: `langchain-sessions`, also `python -m langchain_sessions`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final

from langchain_sessions.view import sessions_table, transcript
from langchain_sessions.view._plain import clean

try:
    import click
except ModuleNotFoundError as error:
    message = "the command line needs click: pip install 'langchain-sessions[view]'"
    raise ImportError(message, name="click") from error

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_sessions.store import Session

_INTRODUCTION: Final = """\
Three conversations, one SessionCallbackHandler, three ways to give the id:

  demo-chain    a prompt | model | parser chain: metadata={"session_id": ...}
  demo-history  RunnableWithMessageHistory: configurable={"session_id": ...}
  demo-agent    an agent with a checkpointer: configurable={"thread_id": ...}
"""


def _version() -> str:
    try:
        return version("langchain-sessions")
    except PackageNotFoundError:
        return "(not installed: running from its source)"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="langchain-sessions")
def cli() -> None:
    """Read the conversations of LangChain applications as conversations."""


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


@cli.command()
@click.option(
    "--model",
    metavar="PROVIDER:NAME",
    callback=_provider_and_name,
    help="Talk to this chat model instead, for example openai:gpt-4o-mini. Needs the provider's LangChain "
    "package and, usually, a key in the environment.",
)
def demo(model: str | None) -> None:
    """Hold three short conversations and show them as sessions.

    Works offline: a small rule-based chat model answers from what is said to it. Prints a table of the
    sessions and a readable transcript of each: who said what, tools used, tokens, time.
    """
    try:
        from langchain_sessions.demo import DemoError, run_demo
    except ImportError as error:
        if error.name not in {"langchain", "langgraph"}:
            raise
        raise click.ClickException(str(error)) from error
    if model:
        click.echo(f"Talking to {clean(model)} ...", err=True)
    try:
        sessions = run_demo(model)
    except DemoError as error:
        raise click.ClickException(clean(str(error))) from error
    _show(sessions)


def _show(sessions: Sequence[Session]) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        # An ASCII or legacy code page must not turn an arrow or an emoji into a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False)
    console.print(_INTRODUCTION, markup=False)
    console.print(sessions_table(sessions))
    for session in sessions:
        console.print(transcript(session))
        console.print()
