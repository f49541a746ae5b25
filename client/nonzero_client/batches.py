"""The lines of a stream, or examples -> batches, each small enough to be held, sent, and sent again.

Where a batch ends follows from the lines alone: the same stream is cut alike each time, however its bytes
come. So a stream that is sent again with its key is recognised batch by batch.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nonzero_client.errors import InputError
from nonzero_client.problems import LineFault
from nonzero_client.rows import is_frame
from nonzero_client.sources import NDJSON, Aside, Examples, Source, items_of, lines_of
from nonzero_client.values import example_line

BATCH_LINES: Final = 2000
"""So many lines are a batch, unless the call says otherwise.

Half as many examples take the client 5 % more time, ten times as many 15 % less.
"""

BATCH_BYTES: Final = 4 << 20
"""A batch ends where it has so many bytes, however few lines."""

ALL: Final = 1 << 62
"""More lines, and more bytes, than there are."""


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


async def example_batches(source: Source, size: int) -> AsyncIterator[Batch]:
    """Cut examples into batches; one that cannot be sent is a fault among them."""
    batcher = Batcher(size)
    async for example in items_of(source):
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
