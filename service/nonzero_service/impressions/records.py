# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Impressions as records of 32-bit words: compiled, many at a time.

A record, little-endian, in words::

    0      the record's length, in words         6   probability that was answered, float32
    1      nonzeros                              7   importance weight, float32
    2, 3   hash of the id, 64 bits               8   bytes of the id; bit 16: values, bit 17: fields
    4, 5   the journal's clock, ms, 64 bits      9, 10   checksum over everything else, 64 bits
    11 ... indices; values, where not all are 1; fields, two a word; the id, four bytes a word

The checksum tells a record that was torn by a power cut, or a flipped bit. It is FNV-1a over words, four
sums side by side: each step of one has to wait for the step before it.
"""

from __future__ import annotations

import threading
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.compiled import inlined, kernel, types
from nonzero.ids import Ids

__all__ = ["HEAD", "Offered", "Records", "packed", "unpacked", "walk"]

HEAD: Final = 11
"""The words of a record before its indices."""

VALUES: Final = 1 << 16
FIELDS: Final = 1 << 17

OFFSET = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

_READ_ONLY = types.Array(types.uint32, 1, readonly=True)
_I64 = types.Array(types.int64, 1, readonly=True)
_U64 = types.Array(types.uint64, 1, readonly=True)
_U16 = types.Array(types.uint16, 1, readonly=True)
_U8 = types.Array(types.uint8, 1, readonly=True)
_NOTHING: Final = np.zeros(1, np.uint32)
_NO_FIELDS: Final = np.zeros(1, np.uint16)


class Offered(NamedTuple):
    """Predictions that are to be kept: rows of a batch."""

    batch: Batch
    ids: Ids
    """Of all rows of the batch."""
    probabilities: NDArray[np.float32]
    """float32[n], of all rows of the batch: what was answered."""
    rows: NDArray[np.int64]
    """int64[k]: those that have an id."""
    hashes: NDArray[np.uint64]
    """uint64[k]: of the ids of `rows`."""
    fresh: NDArray[np.uint8]
    """uint8[k]: 1 for those that are kept, 0 for those whose id is known."""
    time_ms: int
    """The journal's clock."""

    def part(self, start: int, stop: int) -> Offered:
        """Return some of them, which share their memory."""
        place = slice(start, stop)
        return self._replace(rows=self.rows[place], hashes=self.hashes[place], fresh=self.fresh[place])


class Records(NamedTuple):
    """Records as they are read back."""

    batch: Batch
    """Their features, weights and times; without labels."""
    probabilities: NDArray[np.float32]
    """float32[n]: what was answered."""
    ids: list[bytes]
    """Their ids, UTF-8."""
    whole: NDArray[np.bool_]
    """bool[n]: whether the checksum is right; where it is not, the row of the batch is empty."""


@inlined
def words_of(nnz, flags):
    """The length of a record, by what it says it holds: anyone can make its checksum right."""
    words = HEAD + nnz + (np.intp(flags & np.uint32(0xFFFF)) + 3) // 4
    if flags & np.uint32(VALUES):
        words += nnz
    if flags & np.uint32(FIELDS):
        words += (nnz + 1) // 2
    return words


@inlined
def mixed(h, words, j):
    """Take one word into a sum."""
    return (h ^ np.uint64(words[np.uintp(j)])) * PRIME


@inlined
def checksum(words, start, size):
    """Digest a record but for its words 9 and 10."""
    a = mixed(mixed(OFFSET, words, start), words, start + 4)
    b = mixed(mixed(OFFSET, words, start + 1), words, start + 5)
    c = mixed(mixed(OFFSET, words, start + 2), words, start + 6)
    d = mixed(mixed(OFFSET, words, start + 3), words, start + 7)
    a = mixed(a, words, start + 8)
    j, end = start + HEAD, start + size
    while j + 4 <= end:
        a, b = mixed(a, words, j), mixed(b, words, j + 1)
        c, d = mixed(c, words, j + 2), mixed(d, words, j + 3)
        j += 4
    while j < end:
        a = mixed(a, words, j)
        j += 1
    return (((a * PRIME ^ b) * PRIME ^ c) * PRIME ^ d) * PRIME


@inlined
def copied(source, start, stop, out, at):
    """Copy a part of one array into another."""
    for j in range(stop - start):
        out[np.uintp(at + j)] = source[np.uintp(start + j)]


@kernel(
    types.intp(
        _I64,
        _U8,
        _I64,
        _READ_ONLY,
        _READ_ONLY,
        _U16,
        types.uint32,
        _U64,
        types.int64,
        _READ_ONLY,
        _READ_ONLY,
        _U8,
        _I64,
        types.uint32[::1],
        types.uint16[::1],
        types.uint8[::1],
        types.intp,
        types.int64[::1],
    )
)
def _pack(
    rows,
    fresh,
    indptr,
    indices,
    values,
    fields,
    flags,
    hashes,
    time,
    probabilities,
    weights,
    names,
    ends,
    out,
    pairs,
    octets,
    before,
    stops,
):
    """Write the records of the rows that are `fresh` one after another; return the words written.

    `pairs` and `octets` are `out` as halves of words and as bytes. `stops` gets where each record ends, of
    which those before these are `before` words long.
    """
    at, n = np.intp(0), np.intp(0)
    for k in range(rows.size):
        if fresh[k] == 0:
            continue
        r = rows[k]
        first, last = indptr[r], indptr[r + 1]
        nnz, size = last - first, ends[r + 1] - ends[r]
        p = at + HEAD
        copied(indices, first, last, out, p)
        p += nnz
        if flags & np.uint32(VALUES):
            copied(values, first, last, out, p)
            p += nnz
        if flags & np.uint32(FIELDS) and nnz:
            out[np.uintp(p + (nnz - 1) // 2)] = 0
            copied(fields, first, last, pairs, 2 * p)
            p += (nnz + 1) // 2
        out[np.uintp(p + (size - 1) // 4)] = 0
        copied(names, ends[r], ends[r + 1], octets, 4 * p)
        p += (size + 3) // 4
        out[at] = np.uint32(p - at)
        out[at + 1] = np.uint32(nnz)
        out[at + 2] = np.uint32(hashes[k] & LOW)
        out[at + 3] = np.uint32(hashes[k] >> HALF)
        out[at + 4] = np.uint32(np.uint64(time) & LOW)
        out[at + 5] = np.uint32(np.uint64(time) >> HALF)
        out[at + 6] = probabilities[r]
        out[at + 7] = weights[r]
        out[at + 8] = np.uint32(size) | flags
        h = checksum(out, at, p - at)
        out[at + 9] = np.uint32(h & LOW)
        out[at + 10] = np.uint32(h >> HALF)
        at = p
        stops[n] = before + at
        n += 1
    return at


_scratch: Final = threading.local()
LARGEST_SCRATCH: Final = 1 << 22


def _room(size: int) -> NDArray[np.uint32]:
    """Return uint32 words, the thread's own where they are enough: new memory costs more to fill."""
    words: NDArray[np.uint32] = getattr(_scratch, "words", _NOTHING)
    if words.size < size:
        words = np.empty(2 * size, np.uint32)
        if size <= LARGEST_SCRATCH:
            _scratch.words = words
    return words


def packed(offered: Offered, before: int, stops: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the records of what is fresh, one after another, as words: this thread's until it packs again.

    Parameters
    ----------
    offered
        What is to be kept.
    before
        How many words there are before these.
    stops
        int64[k]: gets where each record ends, counted from the first word of all.
    """
    batch, ids = offered.batch, offered.ids
    flags = (0 if batch.values is None else VALUES) | (0 if batch.fields is None else FIELDS)
    words = 1 + (batch.values is not None) + (batch.fields is not None)
    out = _room(offered.rows.size * (HEAD + 2) + words * batch.nnz + len(ids.text) // 4)
    size = _pack(
        offered.rows,
        offered.fresh,
        batch.indptr,
        batch.indices,
        _NOTHING if batch.values is None else batch.values.view(np.uint32),
        _NO_FIELDS if batch.fields is None else batch.fields,
        np.uint32(flags),
        offered.hashes,
        offered.time_ms,
        offered.probabilities.view(np.uint32),
        np.ascontiguousarray(batch.weights).view(np.uint32),
        np.frombuffer(ids.text, np.uint8),
        ids.ends,
        out,
        out.view(np.uint16),
        out.view(np.uint8),
        before,
        stops,
    )
    return out[:size]


@kernel(
    types.void(
        _READ_ONLY,
        _I64,
        _I64,
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
    plain: NDArray[Any] = words.view(np.uint8)
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
    ids = [
        plain[4 * place : 4 * place + length].tobytes() if good else b""
        for length, place, good in zip(
            heads[:, 4].tolist(), heads[:, 5].tolist(), whole.tolist(), strict=True
        )
    ]
    return Records(batch, np.ascontiguousarray(heads[:, 0]).view(np.float32), ids, whole)


@kernel(types.intp(_READ_ONLY, types.uint64[::1], types.int64[::1], types.int64[::1]))
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
