"""`completion`: what a shell needs to complete commands, options and session ids."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from langchain_sessions.view._plain import one_line
from langchain_sessions.view.cli._common import opened

_PROGRAM: Final = "langchain-sessions"

_VARIABLE: Final = "_LANGCHAIN_SESSIONS_COMPLETE"
"""By which the shell's function asks the program; click derives it from the program's name."""

_KNOWN: Final = 1_000
"""The latest sessions, among which those are looked for whose ids begin so."""


def complete_session_id(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Session ids that begin so, the latest first; none if anything is wrong: a key was hit, no more."""
    try:
        with opened(ctx.params.get("place")) as store:
            sessions = store.sessions(limit=_KNOWN)
    except click.ClickException:
        return []
    # What has other than printable characters in it would end a line of what the shell reads.
    known = {it.id: one_line(it.first_input)[:60] for it in sessions if it.id == one_line(it.id)}
    return [CompletionItem(id_, help=said) for id_, said in known.items() if id_.startswith(incomplete)]


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
