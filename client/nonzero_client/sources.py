"""What a stream is given as -> its lines, or its items: bytes, files and iterables, in any format."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from nonzero_client.errors import InputError

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"

MEDIA_TYPES: Final = {
    "ndjson": NDJSON,
    "vw": "text/x-vw",
    "libsvm": "text/x-libsvm",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "parquet": ARROW,
    "arrow": ARROW,
}
"""Content-Type by format: as what is sent."""

COLUMNAR: Final = ("parquet", "arrow")
"""Formats of files whose columns lie one after another: they are read here, by pyarrow."""

TABLES: Final = ("csv", "tsv")
"""Formats of text that begins with a header."""

ENDINGS: Final = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".vw": "vw",
    ".libsvm": "libsvm",
    ".svmlight": "libsvm",
    ".svm": "libsvm",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
"""Format by the ending of a file's name, before ``.gz``."""

CHUNK: Final = 1 << 18
"""So many bytes of a file are read at once."""

LINE_BYTES: Final = 64 << 20
"""No line of a stream is longer: what has no line ends is in another format than it was said to be."""

Example = Mapping[str, Any]


class ArrowStream(Protocol):
    """A table, as the Arrow C stream interface has it: of pandas, polars, pyarrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule of the stream."""


Examples = Example | Iterable[Example] | ArrowStream
"""One example, several, or a table."""

Source = Iterable[Any] | AsyncIterable[Any] | ArrowStream | str | os.PathLike[str] | BinaryIO
"""Examples, a table, or bytes, with a format: a path, a binary file, bytes, an iterable of pieces of them."""

T = TypeVar("T")


class Aside(Protocol):
    """Runs what may wait for a disk: beside an event loop, where there is one."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Run it; return what it returned."""


class Lines:
    """Cuts pieces of bytes into lines."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._bytes = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece; return the lines that it ends, each with its end."""
        *ended, rest = piece.split(b"\n")
        if ended:
            ended[0] = b"".join((*self._held, ended[0]))
            self._held, self._bytes = [], 0
        if rest:
            self._held.append(rest)
            self._bytes += len(rest)
            if self._bytes > LINE_BYTES:
                raise InputError(
                    f"a line has more than {LINE_BYTES} bytes; is this the format it is said to be?"
                )
        return [line + b"\n" for line in ended]

    def end(self) -> list[bytes]:
        """Return the last line, where it has no end."""
        return [b"".join(self._held)] if self._held else []


def format_of(source: Source, given: str | None) -> str | None:
    """Return the format of bytes; None where examples, or a table, are Python's.

    Parameters
    ----------
    source
        What was given.
    given
        The format that was named.

    Raises
    ------
    InputError
        Where it is not known, or cannot be told from the name of a file.
    """
    named = given or _format_of(source)
    if named is not None and named not in MEDIA_TYPES:
        raise InputError(f"the format is {named!r}; it is one of {', '.join(MEDIA_TYPES)}")
    if named in COLUMNAR and not isinstance(source, str | os.PathLike):
        raise InputError(f"{named} is read from a file; give its path, or the table that pyarrow makes of it")
    return named


def _format_of(source: Source) -> str | None:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix == ".zst":
            raise InputError(
                f"{path} is compressed by zstd, which is not read here; give what `zstd -dc` writes"
            )
        endings = [ending for ending in path.suffixes if ending != ".gz"]
        found = ENDINGS.get(endings[-1] if endings else "")
        if found is None:
            raise InputError(
                f"the format of {path} cannot be told from its name; say format={' or '.join(MEDIA_TYPES)}"
            )
        return found
    if hasattr(source, "read") or isinstance(source, bytes | bytearray | memoryview):
        texts = [name for name in MEDIA_TYPES if name not in COLUMNAR]
        raise InputError(f"bytes need a format; say format={' or '.join(texts)}")
    return None


async def lines_of(source: Source, aside: Aside) -> AsyncIterator[bytes]:
    """Yield the lines of bytes of any kind, each with its end; the last may lack it."""
    lines = Lines()
    async for piece in _pieces(source, aside):
        for line in lines.feed(piece):
            yield line
    for line in lines.end():
        yield line


async def items_of(source: Source) -> AsyncIterator[Any]:
    """Yield the items of what is neither bytes nor a file; a mapping is one."""
    if isinstance(source, Mapping):
        yield source
    elif isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    elif isinstance(source, Iterable):
        for item in source:
            yield item
    else:
        raise InputError(f"{type(source).__name__} is no iterable of examples")


async def _pieces(source: Source, aside: Aside) -> AsyncIterator[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        for first in range(0, len(source), CHUNK):
            yield bytes(source[first : first + CHUNK])
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            file = await aside(lambda: _opened(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        with closing(file):
            try:
                async for piece in _pieces(file, aside):
                    yield piece
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InputError(f"{path} is damaged, or not whole: {error}; compress it again") from error
    elif hasattr(source, "read"):
        while piece := await aside(lambda: source.read(CHUNK)):
            yield _checked(piece)
    else:
        async for piece in items_of(source):
            yield _checked(piece)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _checked(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    raise InputError(
        f"a piece of the stream is {piece!r:.40}, of type {type(piece).__name__}; with a format it is bytes, "
        "and a file is opened as binary"
    )
