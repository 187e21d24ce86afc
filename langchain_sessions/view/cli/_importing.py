"""From files of JSON Lines into a store."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import click

from langchain_sessions.store._jsonl import ChatLineError, DecodeError, bounded_lines, spans_from_line
from langchain_sessions.view._files import STANDARD, reading
from langchain_sessions.view._plain import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_sessions.store import Span, WritableSessionStore

_SPANS_A_BATCH: Final = 512

_BYTES_A_BATCH: Final = 16 * 2**20
"""Spans may be large; so a batch ends after so many bytes, too."""

_SHOWN: Final = 10
"""Warnings of one kind that are shown; what follows is counted only."""


@dataclass
class Counts:
    """What was read.

    Attributes:
        new: Spans that were added.
        known: Spans that were there already.
        rejected: Spans whose ids are none.
        lines: Lines that were read.
        other_lines: Those of them that have logs, metrics or profiles.
        bad_lines: Those that could not be read.
    """

    new: int = 0
    known: int = 0
    rejected: int = 0
    lines: int = 0
    other_lines: int = 0
    bad_lines: int = 0

    def sentence(self) -> str:
        """Say it to a person."""
        parts = [f"{self.known:,} known"]
        parts += [f"{self.rejected:,} rejected, whose ids are none"] if self.rejected else []
        lines = [counted(self.lines, "line")]
        lines += [f"{self.other_lines:,} without spans"] if self.other_lines else []
        lines += [f"{self.bad_lines:,} not readable"] if self.bad_lines else []
        return f"Imported {counted(self.new, 'new span')} ({', '.join(parts)}) from {', '.join(lines)}."


class Import:
    """Reads files into a store, many spans at a time.

    Args:
        store: The store.
        skip_errors: Whether to go on after a line that cannot be read.

    Attributes:
        counts: What was read so far.
    """

    def __init__(self, store: WritableSessionStore, *, skip_errors: bool) -> None:
        self.counts: Final = Counts()
        self._store: Final = store
        self._skip_errors: Final = skip_errors
        self._batch: list[Span] = []
        self._bytes = 0

    def read(self, name: str, progress: Callable[[int], None]) -> None:
        """Read one file to its end.

        Args:
            name: Its path, or `-`.
            progress: Called with the number of its bytes that were read.

        Raises:
            click.ClickException: If it cannot be read. What came before is kept.
        """
        shown = "standard input" if name == STANDARD else one_line(name)
        number = 0
        try:
            with reading(name) as (stream, position):
                for number, line in enumerate(bounded_lines(stream), 1):
                    if not line.isspace():
                        self._line(line, f"{shown}, line {number}")
                    if self._is_full():
                        self._flush()
                        progress(position())
        except (OSError, EOFError, zlib.error) as error:
            self._stop(f"{shown}, after line {number}: {error}")
        self._flush()

    def _line(self, line: bytes, where: str) -> None:
        self.counts.lines += 1
        rejected: list[str] = []
        try:
            spans = spans_from_line(line, rejected)
        except DecodeError as error:
            self.counts.bad_lines += 1
            text = f"{where}: {one_line(str(error))}"
            if not self._skip_errors or isinstance(error, ChatLineError):
                self._stop(text)
            self._warn(text, self.counts.bad_lines)
            return
        if spans is None:
            self.counts.other_lines += 1
            return
        if rejected:
            self.counts.rejected += len(rejected)
            self._warn(
                f"{where}: {counted(len(rejected), 'span')} rejected: {rejected[0]}", self.counts.rejected
            )
        self._batch += spans
        self._bytes += len(line)

    def _warn(self, text: str, number: int) -> None:
        if number <= _SHOWN:
            click.echo(f"Warning: {text}", err=True)

    def _is_full(self) -> bool:
        return len(self._batch) >= _SPANS_A_BATCH or self._bytes >= _BYTES_A_BATCH

    def _flush(self) -> None:
        new = self._store.add(self._batch)
        self.counts.new += new
        self.counts.known += len(self._batch) - new
        self._batch, self._bytes = [], 0

    def _stop(self, text: str) -> NoReturn:
        self._flush()
        kept = f"What came before it is in the store ({counted(self.counts.new, 'new span')})."
        is_any = self.counts.new or self.counts.known
        raise click.ClickException(f"{text}. {kept if is_any else 'Nothing was imported.'}")
