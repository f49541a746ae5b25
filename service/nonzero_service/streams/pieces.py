"""Pieces: the messages that are parsed and learned from at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import numpy as np

from nonzero_service.kafka.records import Chunk
from nonzero_service.kafka.values import END

CACHED: Final = 1 << 16
"""So many bytes, compared, are still in a core's cache when they are counted."""


class Lines:
    """The messages of a chunk as lines.

    Parameters
    ----------
    chunk
        The messages.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.size = chunk.values.nbytes
        """How many bytes the lines have."""

    @cached_property
    def number(self) -> int:
        """How many lines they are."""
        return line_ends_in(self.data)

    @property
    def data(self) -> memoryview:
        """All lines, each with its end."""
        return self.chunk.values.lines

    def beginning(self, most: int) -> bytes:
        """Return the beginning of their lines."""
        return bytes(self.data[:most])

    def first(self) -> bytes:
        """Return what the first message holds that is no tombstone; nothing where there is none."""
        return next((value for value in self.chunk.values if value is not None), b"")


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Cut a chunk of several messages in two."""
    return parted(chunk, len(chunk.values) // 2)


def line_ends_in(data: memoryview) -> int:
    """Return how many lines end in some bytes: twice as fast as :meth:`bytes.count`, which counts slowly."""
    found = np.frombuffer(data, np.uint8)
    return sum(
        int(np.count_nonzero(found[place : place + CACHED] == END)) for place in range(0, len(data), CACHED)
    )


def parted(chunk: Chunk, place: int) -> tuple[Chunk, Chunk]:
    """Cut a chunk before one of its messages, which is not the first."""
    border = int(chunk.offsets[place])
    return (
        chunk._replace(
            next=border,
            offsets=chunk.offsets[:place],
            times=chunk.times[:place],
            values=chunk.values[:place],
        ),
        chunk._replace(
            first=border,
            offsets=chunk.offsets[place:],
            times=chunk.times[place:],
            values=chunk.values[place:],
        ),
    )


def cut(chunks: Iterable[Chunk], most: int) -> Iterator[list[Lines]]:
    """Yield chunks in pieces of about `most` bytes at most; a message that is longer is one of its own.

    No message is copied for it.
    """
    piece: list[Lines] = []
    size = 0
    waiting = list(chunks)[::-1]
    while waiting:
        lines = Lines(waiting.pop())
        if lines.size > most and len(lines.chunk.values) > 1:
            waiting += reversed(halves(lines.chunk))
            continue
        if piece and size + lines.size > most:
            yield piece
            piece, size = [], 0
        piece.append(lines)
        size += lines.size
    if piece:
        yield piece
