"""Files and streams to write to and to read from, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class BinaryWriter(Protocol):
    """What bytes can be written to: a file that is open in binary mode, for instance."""

    def write(self, data: bytes, /) -> object:
        """Write them all."""
        ...


Target: TypeAlias = "str | os.PathLike[str] | BinaryWriter"
"""A file's path, or a stream to write to."""

Source: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
"""A file's path, or a stream to read from."""

_GZIP: Final = b"\x1f\x8b"


def name_of(source: Source) -> str:
    """Return how a source is called in messages."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if source is sys.stdin.buffer:
        return "standard input"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the stream"


@contextmanager
def reading(source: Source) -> Generator[tuple[IO[bytes], Callable[[], int]]]:
    """Open a file, or use a stream; decompressed if it is compressed.

    Args:
        source: What to read.

    Yields:
        The content, and what tells how many bytes of the file were read; of a stream it does not.

    Raises:
        TypeError: If it is a stream of text.
    """
    is_file = isinstance(source, str | os.PathLike)
    if isinstance(source, io.TextIOBase):
        msg = "a stream of text has no bytes to read: open the file in binary mode, 'rb'"
        raise TypeError(msg)
    raw = io.FileIO(os.fspath(source)) if is_file else cast("io.RawIOBase", source)

    def position() -> int:
        return raw.tell() if is_file else 0

    buffered = io.BufferedReader(raw)
    try:
        if buffered.peek(2)[:2] == _GZIP:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=buffered)), position
        else:
            yield buffered, position
    finally:
        buffered.detach()
        if is_file:
            raw.close()


@contextmanager
def writing(target: Target) -> Generator[BinaryWriter]:
    """Use a stream, or open a file that appears, or replaces what is there, only when it is complete.

    Args:
        target: Where to. The name of a file that ends in `.gz` makes it compressed.

    Yields:
        Where to write the content.

    Raises:
        TypeError: If it is a stream of text.
    """
    if isinstance(target, io.TextIOBase):
        msg = "a stream of text takes no bytes: open the file in binary mode, 'wb'"
        raise TypeError(msg)
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target)
    if path.exists() and not path.is_file():  # a pipe, a device
        with path.open("wb") as stream, _compressed(stream, path.name) as content:
            yield content
    else:
        with _replacing(path.resolve()) as stream, _compressed(stream, path.name) as content:
            yield content


@contextmanager
def _compressed(stream: IO[bytes], name: str) -> Generator[BinaryWriter]:
    if not name.endswith(".gz"):
        yield stream
        return
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as content:  # the same content makes the same file
        yield content


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
