"""The command line: `langchain-sessions`, also `python -m langchain_sessions`.

A command's module is imported when the command is asked for: showing a list must not wait for a web server to
be imported, nor need it to be installed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from langchain_sessions.view._extra import missing

try:
    import click

    import_module("rich")  # so that what is missing is said here, once
except ModuleNotFoundError as error:
    raise missing("the command line", error) from error

_MODULES: Final = {
    "list": "_listing",
    "show": "_showing",
    "search": "_listing",
    "stats": "_listing",
    "annotate": "_annotating",
    "tail": "_tailing",
    "ui": "_ui",
    "export": "_transfer",
    "import": "_transfer",
    "collect": "_collect",
    "delete": "_deleting",
    "prune": "_pruning",
    "demo": "_demo",
    "completion": "_completion",
}
"""Where each command is, in the order in which help shows them. A command `x` is `x_command` there."""

_INTERRUPTED: Final = 130
"""The exit code of what ended by the signal SIGINT, which has the number 2: 128 + 2."""


class _OnDemand(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"{__name__}.{_MODULES[cmd_name]}")
        return getattr(module, f"{cmd_name}_command")

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; when it is interrupted, end as the shell's own programs do, without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal has written ^C
            ctx.exit(_INTERRUPTED)


def _version() -> str:
    try:
        return version("langchain-sessions")
    except PackageNotFoundError:
        return "(not installed: running from its source)"


@click.group(cls=_OnDemand, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="langchain-sessions")
def cli() -> None:
    """Read the conversations of LangChain applications as conversations."""
