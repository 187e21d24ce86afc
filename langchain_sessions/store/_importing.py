"""From JSON Lines into a store."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NoReturn

from langchain_sessions.store._answers import Imported
from langchain_sessions.store._files import name_of, reading
from langchain_sessions.store._jsonl import ChatLineError, DecodeError, bounded_lines, spans_from_line
from langchain_sessions.store._protocol import StoreError, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_sessions.store._files import Source
    from langchain_sessions.store._protocol import WritableSessionStore
    from langchain_sessions.store._span import Span

_SPANS_A_BATCH: Final = 512

_BYTES_A_BATCH: Final = 16 * 2**20
"""Spans may be large; so a batch ends after so many bytes, too."""

_SAID: Final = 10
"""Warnings of one kind; what follows is counted only."""


class Import:
    """Reads files into a store, many spans at a time.

    Args:
        store: The store.
        skip_errors: Whether to go on after a line that cannot be read.
        warn: Told what was left out.
        progress: Told how many bytes of the files were read.

    Attributes:
        counts: What was read so far.
    """

    def __init__(
        self,
        store: WritableSessionStore,
        *,
        skip_errors: bool,
        warn: Callable[[str], object] | None,
        progress: Callable[[int], object] | None,
    ) -> None:
        self.counts: Final = Imported()
        self._store: Final = store
        self._skip_errors: Final = skip_errors
        self._warn: Final = warn
        self._progress: Final = progress
        self._bytes_before = 0
        self._batch: list[Span] = []
        self._batch_bytes = 0

    def read(self, source: Source) -> None:
        """Read one file to its end.

        Raises:
            TransferError: If it cannot be read, or not be stored. What came before is kept.
        """
        name = name_of(source)
        number = bytes_read = 0
        try:
            with reading(source) as (stream, position):
                for number, line in enumerate(bounded_lines(stream), 1):
                    if not line.isspace():
                        self._line(line, f"{name}, line {number}")
                    if self._is_full():
                        self._flush()
                        self._report(self._bytes_before + position())
                bytes_read = position()
            self._flush()
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and error.filename is not None:
                self._stop(f"cannot read {name}: {error.strerror}", error)
            self._stop(f"{name}, after line {number}: {error}", error)
        except StoreError as error:
            if isinstance(error, TransferError):
                raise
            self._batch = []  # it is what could not be stored
            self._stop(f"{name}, line {number}: {error}", error)
        self._bytes_before += bytes_read
        self._report(self._bytes_before)

    def _line(self, line: bytes, where: str) -> None:
        self.counts.lines += 1
        rejected: list[str] = []
        try:
            spans = spans_from_line(line, rejected)
        except DecodeError as error:
            self.counts.bad_lines += 1
            if not self._skip_errors or isinstance(error, ChatLineError):
                self._stop(f"{where}: {error}", error)
            self._say(f"{where}: {error}", self.counts.bad_lines)
            return
        if spans is None:
            self.counts.other_lines += 1
            return
        if rejected:
            self.counts.rejected += len(rejected)
            what = f"{len(rejected)} span{'' if len(rejected) == 1 else 's'}"
            self._say(f"{where}: {what} rejected: {rejected[0]}", self.counts.rejected)
        self._batch += spans
        self._batch_bytes += len(line)

    def _say(self, text: str, number: int) -> None:
        if self._warn is not None and number <= _SAID:
            self._warn(text)

    def _report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done)

    def _is_full(self) -> bool:
        return len(self._batch) >= _SPANS_A_BATCH or self._batch_bytes >= _BYTES_A_BATCH

    def _flush(self) -> None:
        new = self._store.add(self._batch)
        self.counts.new += new
        self.counts.known += len(self._batch) - new
        self._batch, self._batch_bytes = [], 0

    def _stop(self, text: str, cause: Exception) -> NoReturn:
        """Keep what came before, and end.

        Raises:
            TransferError: Always.
        """
        try:
            self._flush()
        except StoreError as error:
            text, cause = f"{text}; and then: {error}", error
        new = self.counts.new
        kept = f"What came before it is in the store ({new:,} new span{'' if new == 1 else 's'})."
        is_any = new or self.counts.known
        msg = f"{text.rstrip('.')}. {kept if is_any else 'Nothing was imported.'}"
        raise TransferError(msg, self.counts) from cause
