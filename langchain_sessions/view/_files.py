"""Files as commands read and write them: plain or compressed with gzip, or the standard streams."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

STANDARD: Final = "-"
"""The name of the standard streams."""

_GZIP: Final = b"\x1f\x8b"


@contextmanager
def reading(name: str) -> Generator[tuple[IO[bytes], Callable[[], int]]]:
    """Open a file, decompressed if it is compressed.

    Args:
        name: Its path, or `-`.

    Yields:
        The content, and what tells how many bytes of the file were read; of the standard input it does not.
    """
    raw = cast("io.RawIOBase", sys.stdin.buffer) if name == STANDARD else io.FileIO(name)

    def position() -> int:
        return 0 if name == STANDARD else raw.tell()

    buffered = io.BufferedReader(raw)
    try:
        if buffered.peek(2)[:2] == _GZIP:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=buffered)), position
        else:
            yield buffered, position
    finally:
        buffered.detach()
        if name != STANDARD:
            raw.close()


@contextmanager
def writing(name: str) -> Generator[IO[bytes]]:
    """Open a file that appears under its name, or replaces what is there, only when it is complete.

    Args:
        name: Its path, or `-`. A name that ends in `.gz` makes it compressed.

    Yields:
        Where to write the content.
    """
    path = Path(name)
    if name == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a pipe, a device
        with path.open("wb") as stream, _compressed(stream, name) as content:
            yield content
    else:
        with _replacing(path.resolve()) as stream, _compressed(stream, name) as content:
            yield content


@contextmanager
def _compressed(stream: IO[bytes], name: str) -> Generator[IO[bytes]]:
    if not name.endswith(".gz"):
        yield stream
        return
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as content:  # the same content makes the same file
        yield cast("IO[bytes]", content)


@contextmanager
def _replacing(path: Path) -> Generator[IO[bytes]]:
    """A new file, for its owner's eyes only, that takes the name at the end, if nothing has failed."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            Path(stream.name).replace(path)
        except BaseException:
            stream.close()
            Path(stream.name).unlink(missing_ok=True)
            raise
