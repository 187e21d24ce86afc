"""How far a command has come."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from langchain_sessions.view.cli._common import console

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextmanager
def progress_bar(
    what: str,
    noun: str = "",
    *,
    total: Callable[[], int | None] = lambda: None,
    in_bytes: bool = False,
    is_wanted: bool = True,
) -> Generator[Callable[..., None]]:
    """Show a bar on standard error while the block runs, if that is a terminal.

    Args:
        what: What is being done.
        noun: What is counted.
        total: Of how much; asked only if the bar is shown.
        in_bytes: Whether that are bytes.
        is_wanted: Whether to show it at all.

    Yields:
        What is called with how much is done and, if that becomes known only then, of how much.
    """
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    err = console(stderr=True)
    is_shown = is_wanted and err.is_terminal
    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn(what), BarColumn(), count, TextColumn(noun))
    bar = Progress(*columns, console=err, transient=True, disable=not is_shown)
    task = bar.add_task("", total=total() if is_shown else None)

    def progress(done: int, of: int | None = None) -> None:
        bar.update(task, completed=done, total=of)

    with bar if is_shown else nullcontext():  # rich 14.0 prints an empty line for one that is not shown
        yield progress
