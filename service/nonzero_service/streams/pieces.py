"""Pieces: the messages that are parsed and learned from at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from nonzero_service.kafka.records import Chunk

END: Final = ord("\n")

CACHED: Final = 1 << 16
"""So many bytes, compared, are still in a core's cache when they are counted."""


class Lines:
    """The messages of a chunk as lines, which are put together where they are asked for: rarely on the loop.

    A message holds one or more lines, and its last one may lack its end. One of no bytes is an empty line.

    Parameters
    ----------
    chunk
        The messages.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.values: Sequence[bytes] = chunk.values  # type: ignore[assignment]
        """What the messages hold, but for tombstones."""
        self.size = len(chunk.values)
        """How many bytes the lines have, but for ends that messages have already."""
        try:
            self.size += sum(map(len, self.values))
        except TypeError:  # tombstones are rare: to look for them first would cost each message
            self.values = values_of(chunk)
            self.size = len(self.values) + sum(map(len, self.values))

    @cached_property
    def number(self) -> int:
        """How many lines they are."""
        return line_ends_in(self.data)

    @property
    def data(self) -> bytes:
        """All lines, each with its end."""
        return joined(ended(self.values))

    def beginning(self, most: int) -> bytes:
        """Return the beginning of their lines, at least one message."""
        number = 1 + most * len(self.values) // max(self.size, 1)
        return joined(self.values[:number])[:most]


def values_of(chunk: Chunk) -> list[bytes]:
    """Return what the messages of a chunk hold, but for tombstones, which hold no example."""
    return [value for value in chunk.values if value is not None]


def joined(values: Sequence[bytes]) -> bytes:
    """Return messages as lines; the last one of each lacks its end."""
    return b"\n".join([*values, b""]) if values else b""


def ended(values: Sequence[bytes]) -> list[bytes]:
    """Return messages without the end of their last line, where they have it."""
    return [value.removesuffix(b"\n") for value in values]


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Cut a chunk of several messages in two."""
    return parted(chunk, len(chunk.values) // 2)


def line_ends_in(data: bytes) -> int:
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

    No message is copied for it: that is done where a piece is parsed.
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
