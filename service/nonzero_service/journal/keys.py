"""What the journal knows of idempotency keys: records beside the rows, and an index of them in memory.

Records are appended in the transaction of the row that they came with, in the order of the journal, never
changed in place. A B-tree over the keys themselves would touch a random page of 64 KB with every key;
appended records share one page, and an index in memory, made anew at each start, finds them.

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

MAX_KEY: Final = 255
"""The longest idempotency key, in characters."""

_SEGMENT: Final = 2**15
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
        The whole answer where `complete`; of a stream that broke off `lines`, a digest of the numbers of the
        lines that were accepted. Anything that JSON can say.
    """

    key: str
    digest: bytes
    offset: int
    first_sequence: int
    rows: int
    complete: bool
    answer: dict[str, Any]


encode_records: Final = msgspec.json.Encoder().encode
"""Records -> JSON, readable with any SQLite shell."""

decode_records: Final = msgspec.json.Decoder(list[KeyRecord]).decode
"""The records that were encoded so."""


def keys_digest_of(before: bytes, position: int, time_ms: int, records: bytes) -> bytes:
    """Return the digest of records that follow the digest `before`, 16 bytes."""
    return xxhash.xxh3_128_digest(before + _NUMBERS.pack(position, time_ms) + records)


def _hash(key: str) -> int:
    return xxhash.xxh3_64_intdigest(key.encode())


class KeyIndex:
    """Where the records of each key stand: key -> positions, newest first.

    The newest keys are in a dict, which has a bound. Older ones take 16 bytes each: they are sorted arrays of
    64-bit hashes and of positions, a segment at a time. A hash that two keys share leads to a record of the
    other key, which the caller sees and passes over.

    One thread adds and forgets; any may ask for positions meanwhile.

    Parameters
    ----------
    segment
        How many keys the dict holds before it becomes a segment.
    """

    def __init__(self, segment: int = _SEGMENT) -> None:
        self._segment = segment
        self._newest: dict[str, int] = {}
        self._sealed: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        self.set_back = (0, 0)
        """A position and a time in ms: records up to there are no later, for the clock was set back since."""

    def add(self, key: str, position: int) -> None:
        """Remember that the newest record of `key` stands at `position`, which is the highest so far."""
        if len(self._newest) == self._segment:
            self._seal()
        self._newest[key] = position

    def positions(self, key: str) -> Iterator[int]:
        """Yield the positions where a record of `key` may stand, newest first."""
        newest = self._newest.get(key)
        if newest is not None:
            yield newest
        if not self._sealed:
            return
        wanted = np.uint64(_hash(key))
        for hashes, positions in reversed(self._sealed):
            start = int(hashes.searchsorted(wanted))
            if start < hashes.size and hashes[start] == wanted:
                stop = int(hashes.searchsorted(wanted, "right"))
                yield from positions[start:stop][::-1].tolist()

    def forget(self, position: int) -> None:
        """Forget what stands at `position` or before it, a segment at a time: the rest may stay a while."""
        self._sealed = [(hashes, places) for hashes, places in self._sealed if int(places.max()) > position]

    def time_of(self, position: int, time_ms: int) -> int:
        """Return the time of a record that was stamped with `time_ms`, by the clock as it was set since."""
        until, latest = self.set_back
        return min(time_ms, latest) if position <= until else time_ms

    def __len__(self) -> int:
        return len(self._newest) + sum(hashes.size for hashes, _ in self._sealed)

    def _seal(self) -> None:
        full = self._newest
        hashes = np.fromiter(map(_hash, full), np.uint64, len(full))
        positions = np.fromiter(full.values(), np.int64, len(full))
        order = np.lexsort((positions, hashes))
        # In this order, and not in the same arrays: who asks meanwhile finds them here or there.
        self._sealed = [*self._sealed, (hashes[order], positions[order])]
        self._newest = {}
