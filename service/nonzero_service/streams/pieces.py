"""Pieces: the messages that are parsed and learned from at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from nonzero_service.kafka.records import Chunk

END: Final = ord(b"\n")

CACHED: Final = 1 << 16
"""So many bytes, compared, are still in a core's cache when they are counted."""


class Lines(NamedTuple):
    """The messages of a chunk as lines."""

    chunk: Chunk
    data: bytes
    """All their lines, each with its end."""
    number: int
    """How many there are."""


def values_of(chunk: Chunk) -> list[bytes]:
    """Return what the messages of a chunk hold, but for tombstones, which hold no example."""
    return [value for value in chunk.values if value is not None]


def tombstones_in(chunk: Chunk) -> int:
    """Return how many messages of a chunk have no value."""
    return chunk.values.count(None)


def lines_of(chunk: Chunk) -> Lines:
    """Return the messages of a chunk as lines.

    A message holds one or more lines, and its last one may lack its end. One of no bytes is an empty line.
    """
    values: Sequence[bytes] = chunk.values  # type: ignore[assignment]
    try:
        data = b"\n".join([*values, b""]) if values else b""
    except TypeError:  # tombstones are rare: to look for them first would cost each message
        values = values_of(chunk)
        data = b"\n".join([*values, b""]) if values else b""
    number = line_ends_in(data)
    if number != len(values) and any(value.endswith(b"\n") for value in values):
        data = b"\n".join([*(value.removesuffix(b"\n") for value in values), b""])
        number = line_ends_in(data)
    return Lines(chunk, data, number)


def line_ends_in(data: bytes) -> int:
    """Return how many lines end in some bytes: twice as fast as :meth:`bytes.count`, which counts slowly."""
    found = np.frombuffer(data, np.uint8)
    return sum(
        int(np.count_nonzero(found[place : place + CACHED] == END)) for place in range(0, len(data), CACHED)
    )


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Cut a chunk of several messages in two."""
    return parted(chunk, len(chunk.values) // 2)


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
    """Yield chunks in pieces of about `most` bytes at most; a message that is longer is one of its own."""
    piece: list[Lines] = []
    size = 0
    waiting = list(chunks)[::-1]
    while waiting:
        lines = lines_of(waiting.pop())
        if len(lines.data) > most and len(lines.chunk.values) > 1:
            waiting += reversed(halves(lines.chunk))
            continue
        if piece and size + len(lines.data) > most:
            yield piece
            piece, size = [], 0
        piece.append(lines)
        size += len(lines.data)
    if piece:
        yield piece
