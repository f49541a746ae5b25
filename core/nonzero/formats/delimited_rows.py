# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of delimited text: one pass over the bytes, a row a line."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import trailing_zeros
from nonzero.compiled import inlined, kernel, types
from nonzero.fields.hashing import BYTES, finish, mix_word, to_index
from nonzero.formats.numbers import label_of_number, scan_number, value_within
from nonzero.formats.row_arrays import BUFFER, ROWS
from nonzero.formats.words import EVERY_BYTE, half_at, word_at, zero_bytes

__all__ = ["BOOLEAN", "CATEGORY", "LABEL", "LEFT_OUT", "NUMBER", "Columns", "hash_start", "read_rows"]

LEFT_OUT: Final = 0
CATEGORY: Final = 1
NUMBER: Final = 2
LABEL: Final = 3
BOOLEAN: Final = 4  # a category of which True is written true, and False false

NEWLINE: Final = ord("\n")
RETURN: Final = ord("\r")
QUOTE: Final = ord('"')
SPACE: Final = ord(" ")
NEWLINES: Final = EVERY_BYTE * np.uint64(NEWLINE)
QUOTES: Final = EVERY_BYTE * np.uint64(QUOTE)

# The first four bytes of words, as half_at has them.
TRUE: Final = np.uint32(int.from_bytes(b"True", "little"))
FALSE: Final = np.uint32(int.from_bytes(b"Fals", "little"))
LOWER: Final = np.uint32(0x20)  # added to a word, its first letter is a small one
LAST_OF_FALSE: Final = ord("e")


class Columns(NamedTuple):
    """What the compiled reader needs to know of each column."""

    kinds: NDArray[np.uint8]
    """uint8[columns]: LEFT_OUT, CATEGORY, NUMBER, LABEL or BOOLEAN."""
    hashes: NDArray[np.uint32]
    """uint32[columns]: the hash of ``name=``, as far as it has four bytes at a time."""
    tails: NDArray[np.uint32]
    """uint32[columns]: the bytes of ``name=`` after those."""
    lengths: NDArray[np.int64]
    """int64[columns]: the length of ``name=``."""
    indices: NDArray[np.uint32]
    """uint32[columns]: the index of ``name``, the feature of a column of numbers; BOOLEAN: ``name=true``."""
    falses: NDArray[np.uint32]
    """uint32[columns]: the index of ``name=false``."""
    fields: NDArray[np.uint16]
    """uint16[columns]: the field of ``name``."""
    positive: NDArray[np.uint8]
    """uint8[n]: the label that is a click, where all others are none; nothing where labels are 0 and 1."""


COLUMNS: Final = types.NamedTuple(
    (
        types.uint8[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.int64[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.uint16[::1],
        types.uint8[::1],
    ),
    Columns,
)


@kernel(types.UniTuple(types.uint32, 2)(BYTES))
def hash_start(prefix):
    """Hash what a column's names start with: its whole words; returns the bytes after them too."""
    h = np.uint32(0)
    j = 0
    while j + 4 <= prefix.size:
        h = mix_word(h, np.uint32(half_at(prefix, np.uintp(j))))
        j += 4
    tail = np.uint32(0)
    for i in range(prefix.size - 1, j - 1, -1):
        tail = np.uint32(np.uint32(tail << np.uint32(8)) | np.uint32(prefix[i]))
    return h, tail


@inlined
def hash_after(h, tail, length, data, start, stop):
    """Hash a name of which `length` bytes are in `h` and `tail`, and the others are ``data[start:stop]``."""
    filled = np.uint64(length & 3)
    shift = np.uint64(8) * filled
    left = np.uint64(tail)
    i = np.uintp(start)
    end = np.uintp(stop)
    while i + np.uintp(4) <= end:
        left |= np.uint64(half_at(data, i)) << shift
        h = mix_word(h, np.uint32(left & np.uint64(0xFFFFFFFF)))
        left >>= np.uint64(32)
        i += np.uintp(4)
    more = np.uint64(end - i)
    mask = np.uint64((np.uint64(1) << np.uint64(np.uint64(8) * more)) - np.uint64(1))
    left |= np.uint64(np.uint64(half_at(data, i)) & mask) << shift
    if filled + more >= np.uint64(4):
        h = mix_word(h, np.uint32(left & np.uint64(0xFFFFFFFF)))
        left >>= np.uint64(32)
    return finish(h, np.uint32(left), length + (stop - start))


@inlined
def next_of(data, j, these):
    """Return where, from `j` on, the next newline is, or the next of the byte that `these` repeats."""
    while True:
        w = word_at(data, j)
        found = zero_bytes(w ^ these) | zero_bytes(w ^ NEWLINES)
        if found != 0:
            return j + (np.int64(trailing_zeros(found)) >> 3)
        j += 8


@inlined
def is_blank(data, j):
    """Whether a line has nothing but white space and controls."""
    while data[np.uintp(j)] <= SPACE:
        if data[np.uintp(j)] == NEWLINE:
            return True
        j += 1
    return False


@inlined
def find_cell(data, j, end, delimiters):
    """Find the cell that starts at `j`: start, stop, where its delimiter or line end is, its line ends.

    Where there is neither delimiter nor line end, the cell is not to be read here: it has quotes inside, or
    does not end.
    """
    breaks = 0
    if data[np.uintp(j)] == QUOTE:
        stop = next_of(data, j + 1, QUOTES)
        while data[np.uintp(stop)] == NEWLINE and stop + 1 < end:
            breaks += 1
            stop = next_of(data, stop + 1, QUOTES)
        after = stop + (data[np.uintp(stop)] == QUOTE)
        if after == stop:
            return j, j, j, breaks
        if data[np.uintp(after)] == RETURN:
            after += 1
            if data[np.uintp(after)] != NEWLINE:
                return j, j, j, breaks
        return j + 1, stop, after, breaks
    after = next_of(data, j, delimiters)
    ended = data[np.uintp(after)] == NEWLINE and after > j and data[np.uintp(after - 1)] == RETURN
    return j, after - ended, after, breaks


@inlined
def end_of_record(data, j, end, delimiters):
    """Find the newline that ends the record that starts at `j`, -1 for none; and the line ends in it."""
    breaks = 0
    while True:
        if data[np.uintp(j)] == QUOTE:
            j = next_of(data, j + 1, QUOTES)
            while data[np.uintp(j)] == NEWLINE or data[np.uintp(j + 1)] == QUOTE:
                if j + 1 >= end:
                    return -1, breaks
                breaks += data[np.uintp(j)] == NEWLINE
                j = next_of(data, j + 1 + (data[np.uintp(j)] == QUOTE), QUOTES)
            j += 1
        j = next_of(data, j, delimiters)
        if data[np.uintp(j)] == NEWLINE:
            return j, breaks
        j += 1


@inlined
def is_true(data, start, stop):
    """Whether a cell is True or true."""
    word = half_at(data, np.uintp(start))
    return stop - start == 4 and (word == TRUE or word == TRUE + LOWER)


@inlined
def is_false(data, start, stop):
    """Whether a cell is False or false."""
    word = half_at(data, np.uintp(start))
    return (
        stop - start == 5
        and (word == FALSE or word == FALSE + LOWER)
        and data[np.uintp(start + 4)] == LAST_OF_FALSE
    )


@inlined
def read_label(data, start, stop, positive):
    """Return the label of a cell, NaN where it is none."""
    if positive.size > 0:
        same = positive.size == stop - start
        for i in range(positive.size):
            same = same and data[np.uintp(start + i)] == positive[i]
        return np.float32(1) if same else np.float32(0)
    number, after, read = scan_number(data, start)
    if read and after == stop:
        return label_of_number(number)
    if is_true(data, start, stop):
        return np.float32(1)
    return np.float32(0) if is_false(data, start, stop) else np.float32(np.nan)


@inlined
def read_cell(data, start, stop, column, columns, rows, row, nnz):
    """Read a cell that is not empty; returns whether it was read, and the number of nonzeros."""
    kind = columns.kinds[column]
    if kind == CATEGORY:
        h = hash_after(
            columns.hashes[column], columns.tails[column], columns.lengths[column], data, start, stop
        )
        rows.indices[nnz] = to_index(h)
        rows.values[nnz] = np.float32(1)
        rows.fields[nnz] = columns.fields[column]
        return True, nnz + 1
    if kind == LEFT_OUT:
        return True, nnz
    if kind == LABEL:
        rows.labels[row] = read_label(data, start, stop, columns.positive)
        return not np.isnan(rows.labels[row]), nnz
    if kind == BOOLEAN:
        true, false = is_true(data, start, stop), is_false(data, start, stop)
        rows.indices[nnz] = columns.indices[column] if true else columns.falses[column]
        rows.values[nnz] = np.float32(1)
        rows.fields[nnz] = columns.fields[column]
        return true or false, nnz + 1
    number, after, read = scan_number(data, start)
    if not read or after != stop:
        return False, nnz
    value = np.float32(number)
    rows.indices[nnz] = columns.indices[column]
    rows.values[nnz] = value
    rows.fields[nnz] = columns.fields[column]
    return value_within(value), nnz + (value != 0)


@kernel(types.UniTuple(types.int64, 2)(BUFFER, types.int64, ROWS, COLUMNS, types.uint8))
def read_rows(data, end, rows, columns, delimiter):
    """Read the records of the whole lines ``data[:end]`` into `rows`.

    A line that is blank, unusual or wrong becomes a row without nonzeros, flagged plain.

    Returns
    -------
    count : int64
        How many rows they are.
    left : int64
        Where a last record begins that does not end here: a line end stands in its quotes; else `end`.
    """
    delimiters = EVERY_BYTE * np.uint64(delimiter)
    unlabelled = np.float32(0) if columns.positive.size > 0 else np.float32(np.nan)
    j = 0
    row = 0
    nnz = 0
    ends = 0
    rows.indptr[0] = 0
    left = end
    while j < end:
        line = j
        first = nnz
        rows.lines[row] = ends
        rows.labels[row] = unlabelled
        rows.weights[row] = 1
        rows.times[row] = -1
        rows.ids[row, 0] = -1
        rows.ids[row, 1] = -1
        read = not is_blank(data, j)
        column = 0
        inside = 0
        while read:
            start, stop, j, breaks = find_cell(data, j, end, delimiters)
            last = data[np.uintp(j)] == NEWLINE
            if column == columns.kinds.size or not (last or data[np.uintp(j)] == delimiter):
                read = False
                break
            if stop > start:
                read, nnz = read_cell(data, start, stop, column, columns, rows, row, nnz)
            column += 1
            inside += breaks
            if last:
                break
            j += 1
        read = read and column == columns.kinds.size
        if not read:
            nnz = first
            j, inside = end_of_record(data, line, end, delimiters)
            if j < 0:
                left = line
                break
        rows.plain[row] = not read
        rows.spans[row, 0] = line
        rows.spans[row, 1] = j
        row += 1
        ends += inside + 1
        rows.indptr[row] = nnz
        j += 1
    rows.lines[row] = ends
    return row, left
