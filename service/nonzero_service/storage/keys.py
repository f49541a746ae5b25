"""What the journal knows of idempotency keys: records beside the rows, and an index of them in memory.

Records are appended in the transaction of the row that they came with, in the order of the journal, never
changed in place. A B-tree over the keys themselves would touch a random page of 64 KB with every key;
appended records share one page, and an index of 16 bytes a key, made anew at each start, finds them.

The records are chained as the rows are, and every row's digest covers the newest digest of this chain. A lost
or changed key would let a request be learned from twice in silence, so the chain is walked at every start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["KeyIndex", "KeyRecord", "chained_keys", "packed_records", "unpacked_records"]

MAX_KEY: Final = 255
"""The longest idempotency key, in characters."""

_SEGMENT: Final = 2**16
_NUMBERS: Final = struct.Struct("<2q")


class KeyRecord(msgspec.Struct, frozen=True, array_like=True):
    """How far the request with an idempotency key has come.

    Parameters
    ----------
    key
        The request's ``Idempotency-Key``.
    digest
        A digest of the request's bytes up to `offset`, by which a repeat is recognised.
    offset
        The bytes of the request's body that have been read and journalled, or rejected, so far.
    first_sequence
        The sequence of the request's first example.
    rows
        The examples of the request that have been journalled so far.
    complete
        Whether the request was journalled to its end.
    answer
        The answer as far as it is known (its counts and errors, for a stream that broke off); the whole one
        where `complete`. Anything that JSON can say.
    """

    key: str
    digest: bytes
    offset: int
    first_sequence: int
    rows: int
    complete: bool
    answer: dict[str, Any]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[KeyRecord])


def packed_records(records: tuple[KeyRecord, ...]) -> bytes:
    """Return records as JSON, readable with any SQLite shell."""
    return _encoder.encode(records)


def unpacked_records(data: bytes) -> list[KeyRecord]:
    """Return the records that :func:`packed_records` packed."""
    return _decoder.decode(data)


def chained_keys(before: bytes, position: int, time_ms: int, records: bytes) -> bytes:
    """Return the digest of records that follow the digest `before`, 16 bytes."""
    return xxhash.xxh3_128_digest(before + _NUMBERS.pack(position, time_ms) + records)


def _hash(key: str) -> int:
    return xxhash.xxh3_64_intdigest(key.encode())


class KeyIndex:
    """Where the records of each key stand: key -> positions, newest first.

    The newest keys are kept as they are; older ones as sorted arrays of their 64-bit hashes and their
    positions, 16 bytes a key. A hash that two keys share leads to a record of another key, which the caller
    sees and passes over.
    """

    def __init__(self, segment: int = _SEGMENT) -> None:
        self._segment = segment
        self._recent: dict[str, int] = {}
        self._sealed: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []

    def add(self, key: str, position: int) -> None:
        """Remember that the newest record of `key` stands at `position`."""
        self._recent[key] = position
        if len(self._recent) >= self._segment:
            self._seal()

    def positions(self, key: str) -> Iterator[int]:
        """Yield the positions where a record of `key` may stand, newest first."""
        newest = self._recent.get(key)
        if newest is not None:
            yield newest
        if not self._sealed:
            return
        wanted = np.uint64(_hash(key))
        for hashes, positions in reversed(self._sealed):
            start = int(np.searchsorted(hashes, wanted, "left"))
            stop = int(np.searchsorted(hashes, wanted, "right"))
            yield from positions[start:stop][::-1].tolist()

    def forget(self, position: int) -> None:
        """Forget what stands at `position` or before it, a segment at a time: the rest may stay a while."""
        self._sealed = [(hashes, places) for hashes, places in self._sealed if int(places.max()) > position]
        if not self._sealed:
            self._recent = {key: place for key, place in self._recent.items() if place > position}

    def __len__(self) -> int:
        return len(self._recent) + sum(hashes.size for hashes, _ in self._sealed)

    def _seal(self) -> None:
        hashes = np.fromiter(map(_hash, self._recent), np.uint64, len(self._recent))
        positions = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        order = np.lexsort((positions, hashes))
        self._sealed = [*self._sealed, (hashes[order], positions[order])]
        self._recent = {}
