# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Batch <-> bytes: the compact coding of a journal's rows and of rows files.

Version 1, little-endian::

    header    rows uint64, nonzeros uint64, then eight uint8: the forms of times, values, weights, lengths,
              fields, labels, and two zeros
    times     0: none              1: int64[rows]
    indices                        uint32[nonzeros]
    values    0: all are 1         1: float32[nonzeros]
    weights   0: all are 1         1: float32[rows]
    lengths   0: all rows alike, one uint32     1, 2, 4: as many bytes a row
    fields    0: none
              1: uint16[nonzeros]
              2: every row has those of the first: uint16[length]
              3: runs: uint64 count, uint16[count] fields, uint32[count] lengths
              4: at most 256 different ones: uint16 count, uint16[count] fields, uint8[nonzeros] which of them
    labels    0: one bit a row, in numpy's big bit order     1: uint8[rows], 2 where there is none

Of the forms of a column the smallest that is found in one pass is taken. The examples' ids are left out:
nothing learns from them. A body is decoded to the bits that were encoded, except that values or weights that
are all 1 come back as the absence (values) or the ones (weights) that they are.

A damaged body never crashes: everything that a batch promises is checked again, which is what bytes of
another origin, or of a release with a defect, need; against a flipped bit a digest beside it guards better.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.batches.limits import MAX_INDEX, MAX_VALUE, MAX_WEIGHT
from nonzero.errors import BatchError
from nonzero.native import kernel, types

VERSION: Final = 1
"""The version of the bodies that :func:`encode_batch` makes."""

_HEADER: Final = struct.Struct("<2Q8B")
_LARGE: Final = 1 << 16
"""A column of so many bytes is a piece of its own."""

_LENGTHS: Final[dict[int, type[np.unsignedinteger[Any]]]] = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def encode_batch(batch: Batch) -> bytes:
    """Return a batch as a body of version 1, without its ids.

    Parameters
    ----------
    batch
        Of any size; rows of at most ``2**32 - 1`` nonzeros.
    """
    return b"".join(section.data for section in _encode(batch))


def encode_in_pieces(batch: Batch) -> list[bytes | NDArray[np.uint8]]:
    """Return the body of a batch in pieces, of which large ones are the batch's own arrays: not copied.

    Parameters
    ----------
    batch
        As for :func:`encode_batch`; it must not change while the pieces are used.
    """
    pieces: list[bytes | NDArray[np.uint8]] = []
    for is_large, sections in groupby(_encode(batch), lambda section: section.nbytes >= _LARGE):
        if is_large:
            pieces += [section.view(np.uint8) for section in sections]
        else:
            pieces.append(b"".join(section.data for section in sections))
    return pieces


def _encode(batch: Batch) -> Iterator[NDArray[Any]]:
    lengths_form, lengths = _encode_lengths(np.diff(batch.indptr))
    fields_form, fields = _encode_fields(batch.fields, lengths_form, len(batch))
    labels_form, labels = _encode_labels(batch.labels)
    values = None if batch.values is None or (batch.values == 1).all() else batch.values
    weights = None if (batch.weights == 1).all() else batch.weights
    forms = (
        batch.times is not None,
        values is not None,
        weights is not None,
        lengths_form,
        fields_form,
        labels_form,
        0,
        0,
    )
    sections = (batch.times, batch.indices, values, weights, lengths, *fields, labels)
    yield np.frombuffer(_HEADER.pack(len(batch), batch.nnz, *forms), np.uint8)
    yield from (np.ascontiguousarray(section) for section in sections if section is not None)


def decode_batch(body: bytes | memoryview) -> Batch:
    """Return the batch of a body of version 1; its indices are the body's own where they lie well.

    Raises
    ------
    BatchError
        Where the body is cut short, has bytes to spare, or breaks a rule of :class:`~nonzero.Batch`.
    """
    return decode_pieces((body,))


def decode_pieces(pieces: Sequence[bytes | memoryview]) -> Batch:
    """Return the batch of a body in pieces: each column lies within one of them.

    Raises
    ------
    BatchError
        As for :func:`decode_batch`.
    """
    body, sections = pieces[0], _Sections(pieces)
    if len(body) < _HEADER.size:
        raise BatchError(f"a batch's body has at least {_HEADER.size} bytes, this one has {len(body)}")
    n, nnz, times_form, values_form, weights_form, lengths_form, fields_form, labels_form, *zeros = (
        _HEADER.unpack_from(body)
    )
    if max(times_form, values_form, weights_form, labels_form) > 1 or fields_form > 4 or any(zeros):
        raise BatchError(
            f"a batch's body names forms that version {VERSION} does not have: {bytes(body[16:24]).hex()}"
        )
    # Each row and each nonzero has at least a bit of its own, so that no size is believed that the bytes
    # cannot fill.
    if n > 8 * sections.nbytes or nnz > sections.nbytes:
        raise BatchError(f"a body of {sections.nbytes} bytes cannot hold {n} rows and {nnz} nonzeros")
    times = sections.take(np.int64, n).copy() if times_form else None
    indices = np.require(sections.take(np.uint32, nnz), np.uint32, "A")
    values = sections.take(np.float32, nnz).copy() if values_form else None
    weights = sections.take(np.float32, n).copy() if weights_form else np.ones(n, np.float32)
    indptr = _decode_lengths(sections, lengths_form, n, nnz)
    fields, names = _decode_fields(sections, fields_form, n, nnz)
    labels = _decode_labels(sections, labels_form, n)
    sections.end()
    largest = int(indices.max()) if nnz else -1
    if largest > MAX_INDEX:
        raise BatchError(f"a batch's body has an index of {largest}, beyond {MAX_INDEX}")
    _check_range("importance weight", weights, 0, MAX_WEIGHT)
    if values is not None:
        _check_range("value", values, -MAX_VALUE, MAX_VALUE)
    # Where no index was given directly, that is seen of the few different fields; else it is left open.
    slot = largest if fields is None else -1 if names is not None and names.all() else None
    return Batch.trusted(indptr, indices, values, labels, weights, fields, None, times, slot)


class _Sections:
    """The columns of a body, taken one after another."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._body, *self._later = pieces
        self._offset = _HEADER.size
        self.nbytes = sum(map(len, pieces))
        """How many bytes the body has, with its header."""

    def take(self, dtype: type[np.generic], count: int) -> NDArray[Any]:
        """Return the next `count` numbers, as a view of the body."""
        size = count * np.dtype(dtype).itemsize
        while size and self._later and self._offset == len(self._body):
            self._body, self._offset = self._later.pop(0), 0
        if self._offset + size > len(self._body):
            raise BatchError(f"a batch's body of {self.nbytes} bytes ends inside one of its columns")
        array = np.frombuffer(self._body, np.dtype(dtype).newbyteorder("<"), count, self._offset)
        self._offset += size
        return array

    def end(self) -> None:
        """Refuse what is left over."""
        left = len(self._body) - self._offset + sum(map(len, self._later))
        if left:
            raise BatchError(f"a batch's body has {left} bytes after its last column")


def _encode_lengths(lengths: NDArray[np.int64]) -> tuple[int, NDArray[Any]]:
    longest = int(lengths.max()) if lengths.size else 0
    if not lengths.size or int(lengths.min()) == longest:
        return 0, np.array([longest], np.uint32)
    width = 1 if longest < 2**8 else 2 if longest < 2**16 else 4
    return width, lengths.astype(_LENGTHS[width])


def _decode_lengths(sections: _Sections, form: int, n: int, nnz: int) -> NDArray[np.int64]:
    if form == 0:
        length = int(sections.take(np.uint32, 1)[0])
        if n * length != nnz:
            raise BatchError(f"a batch's body says {nnz} nonzeros, and {n} rows of {length}")
        return np.arange(n + 1, dtype=np.int64) * length
    if form not in _LENGTHS:
        raise BatchError(
            f"a batch's body has row lengths in the form {form}, which version {VERSION} does not have"
        )
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(sections.take(_LENGTHS[form], n), dtype=np.int64, out=indptr[1:])
    if indptr[-1] != nnz:
        raise BatchError(f"a batch's body says {nnz} nonzeros, and rows of {indptr[-1]} in all")
    return indptr


def _encode_fields(
    fields: NDArray[np.uint16] | None, lengths_form: int, n: int
) -> tuple[int, tuple[NDArray[Any], ...]]:
    if fields is None:
        return 0, ()
    if not fields.size:
        return 1, (fields,)
    if lengths_form == 0:
        length = fields.size // n
        if (fields[length:] == fields[:-length]).all():  # each row those of the row before, in one pass
            return 2, (fields[:length],)
    starts = np.concatenate(([0], np.flatnonzero(fields[1:] != fields[:-1]) + 1))
    if 6 * starts.size < fields.size and fields.size < 2**32:
        lengths = np.diff(starts, append=fields.size).astype(np.uint32)
        return 3, (np.array([starts.size], np.uint64), fields[starts], lengths)
    names, which = np.empty(256, np.uint16), np.empty(fields.size, np.uint8)
    count = _number_fields(fields, np.zeros(2**16, np.uint16), names, which)
    if count > names.size:
        return 1, (fields,)
    return 4, (np.array([count], np.uint16), names[:count], which)


@kernel(types.intp(types.uint16.readonly, types.uint16[::1], types.uint16[::1], types.uint8[::1]))
def _number_fields(fields, numbers, names, which):
    """Count fields, numbering them as they come; one more than `names` holds means too many.

    numpy takes two passes and a conversion of every field to int64: seven times as long, as long as parsing.
    """
    count = 0
    for j in range(fields.size):
        field = fields[j]
        if numbers[field] == 0:
            if count == names.size:
                return count + 1
            names[count] = field
            count += 1
            numbers[field] = count
        which[j] = numbers[field] - 1
    return count


def _decode_fields(
    sections: _Sections, form: int, n: int, nnz: int
) -> tuple[NDArray[np.uint16] | None, NDArray[np.uint16] | None]:
    """Return the fields; and a few that are all that are among them, where the form has such."""
    if form == 0:
        return None, None
    if form == 1:
        return sections.take(np.uint16, nnz).astype(np.uint16), None
    if form == 2:
        if not n or nnz % n:
            raise BatchError(f"a batch's body gives one pattern of fields for {n} rows with {nnz} nonzeros")
        names = sections.take(np.uint16, nnz // n).astype(np.uint16)
        return np.tile(names, n), names
    if form == 3:
        count = int(sections.take(np.uint64, 1)[0])
        names, lengths = sections.take(np.uint16, count), sections.take(np.uint32, count)
        if int(lengths.sum(dtype=np.uint64)) != nnz:
            raise BatchError(f"a batch's body has runs of fields that do not add up to its {nnz} nonzeros")
        return np.repeat(names, lengths).astype(np.uint16, copy=False), names
    names = sections.take(np.uint16, int(sections.take(np.uint16, 1)[0]))
    which = sections.take(np.uint8, nnz)
    if nnz and int(which.max()) >= names.size:
        raise BatchError(f"a batch's body refers to field {int(which.max())} of {names.size}")
    return names.astype(np.uint16)[which], names


def _encode_labels(labels: NDArray[np.float32]) -> tuple[int, NDArray[np.uint8]]:
    missing = np.isnan(labels)
    if not missing.any():
        return 0, np.packbits(labels == 1)
    return 1, np.where(missing, np.uint8(2), labels == 1).astype(np.uint8)


def _decode_labels(sections: _Sections, form: int, n: int) -> NDArray[np.float32]:
    if form == 0:
        packed = sections.take(np.uint8, -(-n // 8))
        return np.unpackbits(packed, count=n).astype(np.float32)
    codes = sections.take(np.uint8, n)
    if n and int(codes.max()) > 2:
        raise BatchError(f"a batch's body has the label {int(codes.max())}; 0, 1 and 2 (none) are known")
    labels = codes.astype(np.float32)
    labels[codes == 2] = np.nan
    return labels


def _check_range(name: str, array: NDArray[Any], lowest: float, highest: float) -> None:
    # Two reductions, which a NaN passes through, and no temporary array.
    if array.size and not (array.min() >= lowest and array.max() <= highest):
        raise BatchError(
            f"a batch's body has an {name} from {array.min()} to {array.max()}, not {lowest:g} to {highest:g}"
        )
