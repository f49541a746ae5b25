# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Records -> predictions: compiled; what is not whole is found out, and nothing is read beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero.formats.words import copied
from nonzero.native import inlined, kernel, types
from nonzero_service.impressions.records import FIELDS, HALF, HEAD, LOW, USUAL, VALUES, checksum, words_of
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
    text: NDArray[np.uint8]
    """uint8: the ids, UTF-8, one after another."""
    spans: NDArray[np.int64]
    """int64[n, 2]: where each id starts and ends in that; empty where the record is not whole."""

    @property
    def ids(self) -> list[bytes]:
        """Their ids, UTF-8; empty where the record is not whole."""
        text = self.text.tobytes()
        return [text[start:end] for start, end in self.spans.tolist()]

    def are_of(self, ids: Ids, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return bool[n]: whether the id of each is that of the row beside it."""
        alike = np.empty(rows.size, np.bool_)
        _compare(self.text, self.spans, np.frombuffer(ids.text, np.uint8), ids.ends, rows, alike)
        return alike

    def chosen(self, rows: NDArray[np.intp]) -> Records:
        """Return some records, in their order."""
        batch = ordered(self.batch, rows.astype(np.int64))
        return Records(batch, self.probabilities[rows], self.whole[rows], self.text, self.spans[rows])


class Part(NamedTuple):
    """Records that stand in one array."""

    words: NDArray[np.uint32]
    starts: NDArray[np.int64]
    """int64[n]: where each starts, in words."""
    sizes: NDArray[np.int64]
    """int64[n]: the words of each; it lies within the array."""
    usual: NDArray[np.uint16]
    """uint16[k]: the fields of those that say so."""


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
        types.uint8.readonly,
        types.Array(types.int64, 2, readonly=True),
        types.uint8.readonly,
        types.int64.readonly,
        types.intp.readonly,
        types.boolean[::1],
    )
)
def _compare(text, spans, names, ends, rows, alike):
    """Compare ids with those of some rows."""
    for k in range(rows.size):
        start, first, size = spans[k, 0], ends[rows[k]], spans[k, 1] - spans[k, 0]
        same = ends[rows[k] + 1] - first == size
        if same:
            for j in range(size):
                same &= text[start + j] == names[first + j]
        alike[k] = same


class _Columns(NamedTuple):
    """What records are read into; `indptr` and `spans` are of all of them, the others from the first on."""

    indptr: Any
    indices: Any
    values: Any
    """Of no size where no record has any."""
    fields: Any
    probabilities: Any
    weights: Any
    times: Any
    whole: Any
    text: Any
    """Of no size where the ids are not wanted."""
    spans: Any


_COLUMNS = types.NamedTuple(
    (
        types.int64[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.uint16[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.int64[::1],
        types.boolean[::1],
        types.uint8[::1],
        types.int64[:, ::1],
    ),
    _Columns,
)

ONE: Final = np.uint32(0x3F800000)
"""The bits of the float32 1."""


@inlined
def _fields(pairs, p, nnz, flags, usual, out, at):
    """Read the fields of a record, from word `p` on; return where they end."""
    if flags & np.uint32(FIELDS):
        copied(pairs, 2 * p, 2 * p + nnz, out, at)
        return p + (nnz + 1) // 2
    if flags & np.uint32(USUAL):
        copied(usual, 0, nnz, out, at)
    else:
        for j in range(nnz):
            out[at + j] = np.uint16(0)
    return p


@kernel(
    types.void(
        types.uint32.readonly,
        types.uint16.readonly,
        types.uint8.readonly,
        types.int64.readonly,
        types.int64.readonly,
        types.uint16.readonly,
        types.intp,
        _COLUMNS,
    )
)
def _unpack(words, pairs, octets, starts, sizes, usual, first, out):
    """Read records behind the `first` ones; `pairs` and `octets` are `words` as their halves and bytes."""
    at = np.intp(out.indptr[first])
    end = np.intp(out.spans[first - 1, 1]) if first > 0 else np.intp(0)
    for k in range(starts.size):
        start, size, row = np.intp(starts[k]), np.intp(sizes[k]), first + k
        nnz, flags = np.intp(words[start + 1]), words[start + 8]
        length = np.intp(flags & np.uint32(0xFFFF))
        h = checksum(words, start, size)
        right = words[start + 9] == np.uint32(h & LOW) and words[start + 10] == np.uint32(h >> HALF)
        right = right and words_of(nnz, flags) == size
        right = right and (flags & np.uint32(USUAL) == 0 or nnz == usual.size)
        if not right:
            nnz, length = np.intp(0), np.intp(0)
        p = start + HEAD
        copied(words, p, p + nnz, out.indices, at)
        p += nnz
        if out.values.size:
            if flags & np.uint32(VALUES):
                copied(words, p, p + nnz, out.values, at)
            else:
                for j in range(nnz):
                    out.values[at + j] = ONE
        if flags & np.uint32(VALUES):
            p += nnz
        p = _fields(pairs, p, nnz, flags, usual, out.fields, at)
        out.spans[row, 0] = end
        if out.text.size:
            end = copied(octets, 4 * p, 4 * p + length, out.text, end)
        out.spans[row, 1] = end
        out.probabilities[row] = words[start + 6]
        out.weights[row] = words[start + 7] if right else np.uint32(0)
        out.times[row] = np.int64(np.uint64(words[start + 4]) | (np.uint64(words[start + 5]) << HALF))
        out.whole[row] = right
        at += nnz
        out.indptr[row + 1] = at


def unpacked(parts: Sequence[Part], *, ids: bool = False) -> Records:
    """Read the records of several parts, one part after another.

    Parameters
    ----------
    parts
        Where they are.
    ids
        Whether their ids are wanted too; without, all are empty.
    """
    n = sum(part.starts.size for part in parts)
    room = sum(int(part.sizes.sum()) for part in parts)
    most = max(room - HEAD * n, 0)  # what is behind their heads
    valued = any((part.words[part.starts + 8] & np.uint32(VALUES)).any() for part in parts)
    out = _Columns(
        np.empty(n + 1, np.int64),
        np.empty(most, np.uint32),
        np.empty(most if valued else 0, np.uint32),
        np.empty(most, np.uint16),
        np.empty(n, np.uint32),
        np.empty(n, np.uint32),
        np.empty(n, np.int64),
        np.empty(n, np.bool_),
        np.empty(4 * most if ids else 0, np.uint8),
        np.empty((n, 2), np.int64),
    )
    out.indptr[0] = first = 0
    for words, starts, sizes, usual in parts:
        _unpack(words, words.view(np.uint16), words.view(np.uint8), starts, sizes, usual, first, out)
        first += starts.size
    nnz = int(out.indptr[-1])
    values = out.values[:nnz].view(np.float32)
    batch = Batch.trusted(
        out.indptr,
        out.indices[:nnz],
        None if not values.size or (values == 1).all() else values,
        np.full(n, np.nan, np.float32),
        out.weights.view(np.float32),
        out.fields[:nnz],
        None,
        out.times,
    )
    return Records(batch, out.probabilities.view(np.float32), out.whole, out.text, out.spans)


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
