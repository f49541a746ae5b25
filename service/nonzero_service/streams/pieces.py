"""Pieces: the messages that are parsed and learned from at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nonzero_service.kafka.records import Chunk


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
    if b"\n\n" in data:  # there are messages that end their last line themselves
        data = b"\n".join([*(value.removesuffix(b"\n") for value in values), b""])
    return Lines(chunk, data, data.count(b"\n"))


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Cut a chunk of several messages in two."""
    middle = len(chunk.values) // 2
    border = int(chunk.offsets[middle])
    return (
        chunk._replace(
            next=border,
            offsets=chunk.offsets[:middle],
            times=chunk.times[:middle],
            values=chunk.values[:middle],
        ),
        chunk._replace(
            first=border,
            offsets=chunk.offsets[middle:],
            times=chunk.times[middle:],
            values=chunk.values[middle:],
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
