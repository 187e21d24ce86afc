"""`completion`: what a shell needs to complete commands, options and session ids."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

_PROGRAM: Final = "langchain-sessions"

_VARIABLE: Final = "_LANGCHAIN_SESSIONS_COMPLETE"
"""By which the shell's function asks the program; click derives it from the program's name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    r"""Print what makes a shell complete commands, options and session ids.

    \b
    bash  eval "$(langchain-sessions completion bash)"  in ~/.bashrc
    zsh   eval "$(langchain-sessions completion zsh)"   in ~/.zshrc
    fish  langchain-sessions completion fish > ~/.config/fish/completions/langchain-sessions.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(completion(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
