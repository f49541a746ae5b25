# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Records -> predictions: compiled; what is not whole is found out, and nothing is read beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.native import kernel, types
from nonzero_service.impressions.records import FIELDS, HALF, HEAD, LOW, VALUES, checksum, words_of
from nonzero_service.impressions.selecting import ordered


@dataclass(frozen=True, eq=False)
class Records:
    """Records as they are read back."""

    batch: Batch
    """Their features, weights and times; without labels."""
    probabilities: NDArray[np.float32]
    """float32[n]: what was answered."""
    whole: NDArray[np.bool_]
    """bool[n]: whether the checksum is right; where it is not, the row of the batch is empty."""
    words: NDArray[np.uint32]
    """uint32: what they were read from."""
    spans: NDArray[np.uint32]
    """uint32[n, 2]: of each id its length in bytes, and the word where it starts."""

    @cached_property
    def ids(self) -> list[bytes]:
        """Their ids, UTF-8; empty where the record is not whole."""
        octets: NDArray[Any] = self.words.view(np.uint8)
        return [
            octets[4 * place : 4 * place + length].tobytes() if good else b""
            for (length, place), good in zip(self.spans.tolist(), self.whole.tolist(), strict=True)
        ]

    def chosen(self, rows: NDArray[np.intp]) -> Records:
        """Return some records, in their order."""
        batch = ordered(self.batch, rows.astype(np.int64))
        return Records(batch, self.probabilities[rows], self.whole[rows], self.words, self.spans[rows])


class WalkedRecords(NamedTuple):
    """What is to be known of records without reading them whole."""

    hashes: NDArray[np.uint64]
    """uint64[n]: of their ids."""
    times: NDArray[np.int64]
    """int64[n]: when they were predicted."""
    stops: NDArray[np.int64]
    """int64[n]: where each ends, in words."""


@kernel(
    types.void(
        types.uint32.readonly,
        types.int64.readonly,
        types.int64.readonly,
        types.int64[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.uint16[::1],
        types.uint32[:, ::1],
    )
)
def _unpack(words, starts, sizes, indptr, indices, values, fields, heads):
    """Read records: their nonzeros one after another, and of each the words that say the rest.

    `heads` gets the probability, the weight, the time's two words, the length of the id and where it starts.
    """
    at = np.int64(0)
    for k in range(starts.size):
        start = np.intp(starts[k])
        size, nnz = np.intp(sizes[k]), np.intp(words[start + 1])
        flags = words[start + 8]
        h = checksum(words, start, size)
        right = words[start + 9] == np.uint32(h & LOW) and words[start + 10] == np.uint32(h >> HALF)
        heads[k, 6] = np.uint32(right and words_of(nnz, flags) == size)
        if heads[k, 6] == 0:
            nnz = np.intp(0)
        p = start + HEAD
        for j in range(nnz):
            indices[at + j] = words[p + j]
        p += nnz
        for j in range(nnz):
            values[at + j] = words[p + j] if flags & np.uint32(VALUES) else np.uint32(0x3F800000)
        if flags & np.uint32(VALUES):
            p += nnz
        for j in range(nnz):
            if flags & np.uint32(FIELDS):
                fields[at + j] = np.uint16((words[p + j // 2] >> np.uint32(16 * (j % 2))) & np.uint32(0xFFFF))
            else:
                fields[at + j] = np.uint16(0)
        if flags & np.uint32(FIELDS):
            p += (nnz + 1) // 2
        heads[k, 0] = words[start + 6]
        heads[k, 1] = words[start + 7]
        heads[k, 2] = words[start + 4]
        heads[k, 3] = words[start + 5]
        heads[k, 4] = flags & np.uint32(0xFFFF)
        heads[k, 5] = np.uint32(p)
        at += nnz
        indptr[k + 1] = at


def unpacked(words: NDArray[np.uint32], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Records:
    """Read the records that start at some places and have some sizes, in words; each lies within `words`."""
    n = starts.size
    room = int(words.size)
    indptr = np.zeros(n + 1, np.int64)
    indices, values = np.empty(room, np.uint32), np.empty(room, np.uint32)
    fields, heads = np.empty(room, np.uint16), np.empty((n, 7), np.uint32)
    _unpack(words, starts, sizes, indptr, indices, values, fields, heads)
    nnz = int(indptr[-1])
    numbers: NDArray[np.float32] = values[:nnz].view(np.float32)
    times = heads[:, 2].astype(np.int64) | (heads[:, 3].astype(np.int64) << 32)
    whole = heads[:, 6] == 1
    batch = Batch.trusted(
        indptr,
        indices[:nnz].copy(),
        None if not nnz or (numbers == 1).all() else numbers.copy(),
        np.full(n, np.nan, np.float32),
        np.where(whole, np.ascontiguousarray(heads[:, 1]).view(np.float32), np.float32(0)),
        fields[:nnz].copy(),
        None,
        times,
    )
    probabilities = np.ascontiguousarray(heads[:, 0]).view(np.float32)
    return Records(batch, probabilities, whole, words, heads[:, 4:6])


@kernel(types.intp(types.uint32.readonly, types.uint64[::1], types.int64[::1], types.int64[::1]))
def walk(words, hashes, times, ends):
    """Find the records of a file: their hashes, times and where each ends; return how many are whole."""
    at = np.intp(0)
    for n in range(hashes.size):
        if at + HEAD > words.size:
            return n
        size = np.intp(words[at])
        if size < HEAD or at + size > words.size or np.intp(words[at + 1]) > size - HEAD:
            return n
        hashes[n] = np.uint64(words[at + 2]) | (np.uint64(words[at + 3]) << HALF)
        times[n] = np.int64(np.uint64(words[at + 4]) | (np.uint64(words[at + 5]) << HALF))
        at += size
        ends[n] = at
    return hashes.size


def walked(words: NDArray[np.uint32], most: int) -> WalkedRecords:
    """Find the first records among words, up to `most` and up to one that was cut short."""
    n = min(most, words.size // HEAD)
    hashes, times, stops = np.empty(n, np.uint64), np.empty(n, np.int64), np.empty(n, np.int64)
    found = int(walk(words, hashes, times, stops)) if n else 0
    return WalkedRecords(hashes[:found], times[:found], stops[:found])


def probabilities_of(words: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return float32[n]: what was answered, of the records that start at some words."""
    return words[starts + 6].view(np.float32)


def times_of(words: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64[n]: when they were predicted, of the records that start at some words."""
    low, high = words[starts + 4].astype(np.int64), words[starts + 5].astype(np.int64)
    times: NDArray[np.int64] = low | high << 32
    return times
