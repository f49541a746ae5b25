"""What a stream is given as -> batches of lines, each small enough to be held, sent, and sent again.

Where a batch ends follows from the lines alone: the same stream is cut alike each time, however its bytes
come. So a stream that is sent again with its key is recognised batch by batch.
"""

from __future__ import annotations

import gzip
import itertools
import os
import zlib
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from nonzero_client.errors import InputError
from nonzero_client.problems import LineFault
from nonzero_client.rows import is_frame
from nonzero_client.values import example_line

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

BATCH_LINES: Final = 2000
"""So many lines are a batch, unless the call says otherwise.

Half as many examples take the client 5 % more time, ten times as many 15 % less.
"""

BATCH_BYTES: Final = 4 << 20
"""A batch ends where it has so many bytes, however few lines."""

CHUNK: Final = 1 << 18
"""So many bytes of a file are read at once."""

ALL: Final = 1 << 62
"""More lines, and more bytes, than there are."""

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


@dataclass(slots=True)
class Batch:
    """Lines, or rows of a table, that are sent as one.

    Parameters
    ----------
    numbers
        The number of each in all that was given, from 1.
    lines
        The lines, each with its end. A record of a table of text may hold several.
    faults
        Examples between them that are none, and are not sent.
    media_type
        The Content-Type.
    query
        What the request says of a table's columns.
    head
        What goes before the lines: the header of a table of text.
    arrow
        Rows as a stream of Arrow, in the place of lines.
    as_lines
        Makes the same rows lines, for a service that cannot take them as Arrow, or refuses some of them.
    """

    numbers: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    faults: list[LineFault] = field(default_factory=list)
    media_type: str = NDJSON
    query: dict[str, str] = field(default_factory=dict)
    head: bytes = b""
    arrow: bytes = b""
    as_lines: Callable[[], Batch] | None = None

    def __len__(self) -> int:
        return len(self.numbers) + len(self.faults)

    @property
    def body(self) -> bytes:
        """What is sent."""
        return self.arrow or b"".join((self.head, *self.lines))

    @property
    def by_line(self) -> dict[int, int]:
        """The number of each line, or row, by its place in the body from 1."""
        if self.arrow:
            return dict(enumerate(self.numbers, 1))
        ends = itertools.accumulate((line.count(b"\n") or 1 for line in self.lines), initial=0)
        behind = 1 + self.head.count(b"\n")
        return {behind + place: number for place, number in zip(ends, self.numbers, strict=False)}


class Batcher:
    """Cuts lines into batches.

    Parameters
    ----------
    size
        So many lines are a batch.
    most
        It ends where it has so many bytes.
    first
        The number of the first line.
    new
        Makes a batch to be filled.
    """

    def __init__(
        self, size: int, most: int = BATCH_BYTES, first: int = 1, new: Callable[[], Batch] = Batch
    ) -> None:
        self._size = size
        self._most = most
        self._new = new
        self._batch = new()
        self._bytes = 0
        self._count = first - 1

    def add(self, line: bytes, span: int = 1) -> Batch | None:
        """Take a line with its end, or a record of so many lines; return the batch that it ends."""
        self._batch.numbers.append(self._count + 1)
        self._count += span
        self._batch.lines.append(line)
        self._bytes += len(line)
        return self._ended()

    def refuse(self, reason: str) -> Batch | None:
        """Take an example that is none; return the batch that it ends."""
        self._count += 1
        self._batch.faults.append(LineFault(self._count, reason))
        return self._ended()

    def rest(self) -> Batch | None:
        """Return what is left at the end."""
        return self._take() if len(self._batch) else None

    def _ended(self) -> Batch | None:
        full = len(self._batch) >= self._size or self._bytes >= self._most
        return self._take() if full else None

    def _take(self) -> Batch:
        batch, self._batch, self._bytes = self._batch, self._new(), 0
        return batch


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


async def example_batches(source: Source, size: int) -> AsyncIterator[Batch]:
    """Cut examples into batches; one that cannot be sent is a fault among them."""
    batcher = Batcher(size)
    async for example in _items(source):
        try:
            line = example_line(example) + b"\n"
        except InputError as error:
            batch = batcher.refuse(str(error))
        else:
            batch = batcher.add(line)
        if batch is not None:
            yield batch
    if (batch := batcher.rest()) is not None:
        yield batch


async def line_batches(
    source: Source, size: int, aside: Aside, media_type: str = NDJSON
) -> AsyncIterator[Batch]:
    """Cut bytes into batches of lines."""
    batcher = Batcher(size, new=lambda: Batch(media_type=media_type))
    async for line in lines_of(source, aside):
        if (batch := batcher.add(line)) is not None:
            yield batch
    if (batch := batcher.rest()) is not None:
        yield batch


async def lines_of(source: Source, aside: Aside) -> AsyncIterator[bytes]:
    """Yield the lines of bytes of any kind, each with its end; the last may lack it."""
    lines = Lines()
    async for piece in _pieces(source, aside):
        for line in lines.feed(piece):
            yield line
    for line in lines.end():
        yield line


async def _items(source: Source) -> AsyncIterator[Any]:
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
        async for piece in _items(source):
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


def all_examples(examples: Examples) -> Iterator[bytes]:
    """Write all examples of one request.

    Raises
    ------
    InputError
        Where some are none; ``errors`` names them.
    """
    if is_frame(examples):
        raise InputError(f"a {type(examples).__name__} is no labels; give mappings with an id and a label")
    given: Iterable[Any] = [examples] if isinstance(examples, Mapping) else examples  # type: ignore[assignment]
    batcher = Batcher(ALL, ALL)
    for example in given:
        try:
            batcher.add(example_line(example))
        except InputError as error:
            batcher.refuse(str(error))
    batch = batcher.rest() or Batch()
    if batch.faults:
        raise input_error(batch.faults)
    return iter(batch.lines)


def input_error(faults: list[LineFault]) -> InputError:
    """Return the exception of examples that cannot be sent."""
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    error = InputError(f"example {faults[0].line}: {faults[0].reason}{more}")
    error.errors = tuple(faults)
    return error
