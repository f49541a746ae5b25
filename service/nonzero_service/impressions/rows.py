"""The body of an ``impression`` row: what was predicted with ids, and whether it is learned from at once.

Version 2, little-endian::

    count uint32; teaching uint8; a zero; how many usual fields uint16; the first number int64; rate float64
    the usual fields uint16, padded to 4 bytes
    the records of :mod:`nonzero_service.impressions.records`, one after another

Version 1 has no usual fields: two more zeros stand in the place of their number.

The impressions of a row have numbers without a hole. Which of them are learned from follows from their
numbers, the hashes of their ids, and the rate.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rules import keeps, rates_of, weight_of_negatives
from nonzero_service.impressions.selecting import labelled
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.unpacking import Part, unpacked, walked
from nonzero_service.journal.errors import BodyError

VERSION: Final = 2

HEADER: Final = struct.Struct("<IBBHqd")

NO_FIELDS: Final = np.empty(0, np.uint16)


class Teaching(IntEnum):
    """When the negatives of a row are learned from."""

    LATER = 0
    """By rows of their own."""
    NOW = 1
    """By this one."""
    HELD = 2
    """When learning is resumed, if they are not discarded."""


class ImpressionRow(NamedTuple):
    """Impressions with numbers without a hole."""

    first: int
    """The number of the first."""
    rate: float
    """The share of negatives that is learned from."""
    teaching: Teaching
    words: NDArray[np.uint32]
    """uint32: their records."""
    stops: NDArray[np.int64]
    """int64[n]: where each record ends, in words."""
    hashes: NDArray[np.uint64]
    """uint64[n]: of their ids."""
    usual: NDArray[np.uint16] = NO_FIELDS
    """uint16[k]: the fields of most of them."""

    @property
    def offset(self) -> int:
        """Where the records begin in the body, in bytes."""
        return offset_behind(self.usual)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """int64[n]: their numbers."""
        return np.arange(self.first, self.first + self.stops.size)

    @property
    def taught(self) -> NDArray[np.intp]:
        """intp[k]: which of them are learned from as negatives, by this row or by a resumption."""
        if self.teaching == Teaching.LATER:
            return np.empty(0, np.intp)
        return np.flatnonzero(keeps(self.numbers, self.hashes, self.rate))

    @property
    def states(self) -> NDArray[np.uint8]:
        """uint8[n]: what becomes of them by this row."""
        later = self.teaching == Teaching.LATER
        untaught = ImpressionState.PENDING if later else ImpressionState.UNTAUGHT
        states = np.full(self.stops.size, untaught, np.uint8)
        states[self.taught] = ImpressionState.LEARNED
        return states

    @property
    def starts(self) -> NDArray[np.int64]:
        """int64[n]: where each record starts, in words."""
        return np.concatenate([np.zeros(1, np.int64), self.stops])[:-1]

    def part(self, start: int, stop: int, teaching: Teaching) -> ImpressionRow:
        """Return some of them as a row of their own."""
        before = int(self.stops[start - 1]) if start else 0
        end = int(self.stops[stop - 1]) if stop else 0
        return ImpressionRow(
            self.first + start,
            self.rate,
            teaching,
            self.words[before:end],
            self.stops[start:stop] - before,
            self.hashes[start:stop],
            self.usual,
        )

    def negatives(self) -> tuple[Batch, References]:
        """Return the examples that are learned from, and which impressions they are."""
        chosen, starts = self.taught, self.starts
        sizes = self.stops[chosen] - starts[chosen]
        records = unpacked([Part(self.words, starts[chosen], sizes, self.usual)])
        numbers = self.first + chosen
        weights = weight_of_negatives(records.batch.weights, rates_of(numbers, self.rate))
        batch = labelled(records.batch, np.zeros(chosen.size, np.float32), weights)
        states = np.full(chosen.size, ImpressionState.LEARNED, np.uint8)
        return batch, References(numbers, self.hashes[chosen], states)


def offset_behind(usual: NDArray[np.uint16]) -> int:
    """Return where the records begin in the body behind some usual fields, in bytes."""
    return HEADER.size + 4 * ((usual.size + 1) // 2)


def encode_row(row: ImpressionRow) -> bytes:
    """Return a body of version 2."""
    return encode_rows([row])[0]


def encode_rows(rows: Sequence[ImpressionRow]) -> tuple[bytes, ImpressionRow]:
    """Encode rows as one: the numbers of each follow those of the one before, and all teach alike.

    Their usual fields are the same.

    Returns
    -------
    bytes, ImpressionRow
        A body of version 2; and what it says, of which the records are a view of it: they may be many.
    """
    one, sizes = rows[0], [row.stops.size for row in rows]
    offsets = np.cumsum([0, *(row.words.size for row in rows)])
    header = HEADER.pack(sum(sizes), one.teaching, 0, one.usual.size, one.first, one.rate)
    padding = bytes(one.offset - HEADER.size - one.usual.nbytes)
    words = [np.ascontiguousarray(row.words).data for row in rows]
    body = b"".join([header, one.usual.tobytes(), padding, *words])
    return body, one._replace(
        words=np.frombuffer(body, np.uint32, -1, one.offset),
        stops=np.concatenate([row.stops + offset for row, offset in zip(rows, offsets, strict=False)]),
        hashes=np.concatenate([row.hashes for row in rows]),
    )


def decode_row(body: bytes) -> ImpressionRow:
    """Return what :func:`encode_row` encoded; a body of version 1 too.

    Raises
    ------
    BodyError
        Where the body is cut short, or its records are not as many as it says.
    """
    if len(body) < HEADER.size or (len(body) - HEADER.size) % 4:
        raise BodyError(f"an impression body has {HEADER.size} bytes and whole words, not {len(body)} bytes")
    count, teaching, zero, fields, first, rate = HEADER.unpack_from(body)
    if teaching not in list(Teaching) or zero or first < 0 or not 0 < rate <= 1:
        raise BodyError(
            f"an impression body says {body[: HEADER.size].hex()}, which version {VERSION} does not know"
        )
    if 4 * ((fields + 1) // 2) > len(body) - HEADER.size:
        raise BodyError(f"an impression body of {len(body)} bytes has no room for {fields} usual fields")
    usual = np.frombuffer(body, "<u2", fields, HEADER.size).astype(np.uint16)
    words = np.frombuffer(body, np.uint32, -1, offset_behind(usual))
    found = walked(words, count)
    if found.stops.size != count or (count and int(found.stops[-1]) != words.size):
        raise BodyError(f"an impression body has {found.stops.size} whole records, and says {count}")
    return ImpressionRow(first, rate, Teaching(teaching), words, found.stops, found.hashes, usual)
