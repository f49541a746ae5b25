# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Predictions -> records: compiled, those of a batch at a time, and written at once."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero.formats.words import copied
from nonzero.native import kernel, types
from nonzero_service.impressions.records import FIELDS, HALF, HEAD, LOW, USUAL, VALUES, checksum

_NOTHING: Final = np.zeros(1, np.uint32)
_NO_FIELDS: Final = np.zeros(1, np.uint16)


class PredictedRows(NamedTuple):
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

    def part(self, start: int, stop: int) -> PredictedRows:
        """Return some of them, which share their memory."""
        place = slice(start, stop)
        return self._replace(rows=self.rows[place], hashes=self.hashes[place], fresh=self.fresh[place])


@kernel(
    types.intp(
        types.int64.readonly,
        types.uint8.readonly,
        types.int64.readonly,
        types.uint32.readonly,
        types.uint32.readonly,
        types.uint16.readonly,
        types.uint16.readonly,
        types.uint32,
        types.uint64.readonly,
        types.int64,
        types.uint32.readonly,
        types.uint32.readonly,
        types.uint8.readonly,
        types.int64.readonly,
        types.uint32[::1],
        types.uint16[::1],
        types.uint8[::1],
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
    usual,
    given,
    hashes,
    time,
    probabilities,
    weights,
    names,
    ends,
    out,
    pairs,
    octets,
    stops,
):
    """Write the records of the rows that are `fresh` one after another; return the words written.

    `pairs` and `octets` are `out` as halves of words and as bytes. `stops` gets where each record ends.
    """
    at, n = np.intp(0), np.intp(0)
    for k in range(rows.size):
        if fresh[k] == 0:
            continue
        r = rows[k]
        first, last = indptr[r], indptr[r + 1]
        nnz, size = last - first, ends[r + 1] - ends[r]
        flags = given
        if flags & np.uint32(FIELDS) and nnz == usual.size:
            differ = False
            for j in range(nnz):
                differ |= fields[np.uintp(first + j)] != usual[np.uintp(j)]
            if not differ:
                flags = flags & ~np.uint32(FIELDS) | np.uint32(USUAL)
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
        stops[n] = at
        n += 1
    return at


def size_of_records(predictions: PredictedRows) -> int:
    """Return the bytes that the records take at most, where all rows of the batch have ids."""
    batch, ids = predictions.batch, predictions.ids
    words = 1 + (batch.values is not None) + (batch.fields is not None)
    return 4 * (predictions.rows.size * (HEAD + 2) + words * batch.nnz + len(ids.text) // 4)


def fields_of_first(predictions: PredictedRows) -> NDArray[np.uint16]:
    """Return uint16[n]: the fields of the first row; none where rows have none."""
    batch = predictions.batch
    if batch.fields is None or not predictions.rows.size:
        return _NO_FIELDS[:0]
    row = int(predictions.rows[0])
    return batch.fields[batch.indptr[row] : batch.indptr[row + 1]]


def packed(
    predictions: PredictedRows, stops: NDArray[np.int64], usual: NDArray[np.uint16]
) -> NDArray[np.uint32]:
    """Return the records of what is fresh, one after another, as words.

    Parameters
    ----------
    predictions
        What is to be kept.
    stops
        int64[k]: gets where each record ends, in words.
    usual
        uint16[n]: fields that are not written where they are a row's.
    """
    batch, ids = predictions.batch, predictions.ids
    flags = (0 if batch.values is None else VALUES) | (0 if batch.fields is None else FIELDS)
    out = np.empty(size_of_records(predictions) // 4, np.uint32)
    size = _pack(
        predictions.rows,
        predictions.fresh,
        batch.indptr,
        batch.indices,
        _NOTHING if batch.values is None else batch.values.view(np.uint32),
        _NO_FIELDS if batch.fields is None else batch.fields,
        usual,
        np.uint32(flags),
        predictions.hashes,
        predictions.time_ms,
        predictions.probabilities.view(np.uint32),
        np.ascontiguousarray(batch.weights).view(np.uint32),
        np.frombuffer(ids.text, np.uint8),
        ids.ends,
        out,
        out.view(np.uint16),
        out.view(np.uint8),
        stops,
    )
    return out[:size]
