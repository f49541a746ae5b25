# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of delimited text: one pass over the bytes, a row a line."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, byte_at, trailing_zeros, word_at
from nonzero.fields.hashing import NAMES_AT_ONCE, hash_names, put_name
from nonzero.formats.delimited_columns import BOOLEAN, CATEGORY, COLUMNS, LABEL, LEFT_OUT, NUMBER
from nonzero.formats.delimited_special import read_special
from nonzero.formats.numbers import label_of_number, scan_number, value_within
from nonzero.formats.row_arrays import BUFFER, ROWS, begin_row, end_row, put_nonzero
from nonzero.formats.words import EVERY_BYTE, zero_bytes
from nonzero.native import inlined, kernel, types

NEWLINE: Final = ord("\n")
RETURN: Final = ord("\r")
QUOTE: Final = ord('"')
SPACE: Final = ord(" ")
NEWLINES: Final = EVERY_BYTE * np.uint64(NEWLINE)
QUOTES: Final = EVERY_BYTE * np.uint64(QUOTE)

# The first four bytes of words, as the low half of a word.
TRUE: Final = np.uint32(int.from_bytes(b"True", "little"))
FALSE: Final = np.uint32(int.from_bytes(b"Fals", "little"))
LOWER: Final = np.uint32(0x20)  # added to a word, its first letter is a small one
LAST_OF_FALSE: Final = ord("e")


@inlined
def next_of(text, j, these):
    """Return where, from `j` on, the next newline is, or the next of the byte that `these` repeats."""
    while True:
        w = word_at(text, j)
        found = zero_bytes(w ^ these) | zero_bytes(w ^ NEWLINES)
        if found != 0:
            return j + (np.int64(trailing_zeros(found)) >> 3)
        j += 8


@inlined
def is_blank(text, j):
    """Whether a line has nothing but white space and controls."""
    while byte_at(text, j) <= SPACE:
        if byte_at(text, j) == NEWLINE:
            return True
        j += 1
    return False


@inlined
def find_cell(text, j, end, delimiters):
    """Find the cell that starts at `j`: start, stop, where its delimiter or line end is, its line ends.

    Where there is neither delimiter nor line end, the cell is not to be read here: it has quotes inside, or
    does not end.
    """
    breaks = 0
    if byte_at(text, j) == QUOTE:
        stop = next_of(text, j + 1, QUOTES)
        while byte_at(text, stop) == NEWLINE and stop + 1 < end:
            breaks += 1
            stop = next_of(text, stop + 1, QUOTES)
        after = stop + (byte_at(text, stop) == QUOTE)
        if after == stop:
            return j, j, j, breaks
        if byte_at(text, after) == RETURN:
            after += 1
            if byte_at(text, after) != NEWLINE:
                return j, j, j, breaks
        return j + 1, stop, after, breaks
    after = next_of(text, j, delimiters)
    ended = byte_at(text, after) == NEWLINE and after > j and byte_at(text, after - 1) == RETURN
    return j, after - ended, after, breaks


@inlined
def end_of_record(text, j, end, delimiters):
    """Find the newline that ends the record that starts at `j`, -1 for none; and the line ends in it."""
    breaks = 0
    while True:
        if byte_at(text, j) == QUOTE:
            j = next_of(text, j + 1, QUOTES)
            while byte_at(text, j) == NEWLINE or byte_at(text, j + 1) == QUOTE:
                if j + 1 >= end:
                    return -1, breaks
                breaks += byte_at(text, j) == NEWLINE
                j = next_of(text, j + 1 + (byte_at(text, j) == QUOTE), QUOTES)
            j += 1
        j = next_of(text, j, delimiters)
        if byte_at(text, j) == NEWLINE:
            return j, breaks
        j += 1


@inlined
def is_true(text, start, stop):
    """Whether a cell is True or true."""
    word = np.uint32(word_at(text, start))
    return stop - start == 4 and (word == TRUE or word == TRUE + LOWER)


@inlined
def is_false(text, start, stop):
    """Whether a cell is False or false."""
    word = np.uint32(word_at(text, start))
    return (
        stop - start == 5
        and (word == FALSE or word == FALSE + LOWER)
        and byte_at(text, start + 4) == LAST_OF_FALSE
    )


@inlined
def read_label(text, start, stop, positive):
    """Return the label of a cell, NaN where it is none."""
    if positive.size > 0:
        same = positive.size == stop - start
        for i in range(positive.size):
            same = same and byte_at(text, start + i) == positive[i]
        return np.float32(1) if same else np.float32(0)
    number, after, read = scan_number(text, start)
    if read and after == stop:
        return label_of_number(number)
    if is_true(text, start, stop):
        return np.float32(1)
    return np.float32(0) if is_false(text, start, stop) else np.float32(np.nan)


@inlined
def read_cell(text, start, stop, column, columns, rows, row, nnz, names, hashed):
    """Read a cell that is not empty.

    Returns
    -------
    read : bool
        Whether it was read.
    nnz : int64
        The number of nonzeros.
    hashed : int64
        Up to which of them the indices are there: names of categories that follow each other are hashed
        together.
    """
    kind = columns.kinds[column]
    if kind == LEFT_OUT:
        return True, nnz, hashed
    if kind == LABEL:
        rows.labels[row] = read_label(text, start, stop, columns.positive)
        return not np.isnan(rows.labels[row]), nnz, hashed
    if kind == CATEGORY:
        if nnz - hashed == NAMES_AT_ONCE:
            hash_names(names, NAMES_AT_ONCE, rows.indices, hashed)
            hashed = nnz
        put_name(names, nnz - hashed, columns.beginnings[column], columns.lengths[column], text, start, stop)
        rows.values[nnz] = np.float32(1)
        rows.fields[nnz] = columns.fields[column]
        return True, nnz + 1, hashed
    hash_names(names, nnz - hashed, rows.indices, hashed)
    index, value = columns.indices[column], np.float32(1)
    if kind == BOOLEAN:
        read = is_true(text, start, stop)
        if is_false(text, start, stop):
            index, read = columns.falses[column], True
    elif kind == NUMBER:
        number, after, read = scan_number(text, start)
        value = np.float32(number)
        read = read and after == stop and value_within(value)
    else:
        read, nnz = read_special(text, start, stop, column, columns, rows, row, nnz)
        return read, nnz, nnz
    put_nonzero(rows, nnz, index, value, columns.fields[column])
    nnz += value != 0
    return read, nnz, nnz


@kernel(types.UniTuple(types.int64, 2)(BUFFER, types.int64, ROWS, COLUMNS, types.uint8, types.uint32[::1]))
def read_rows(data, end, rows, columns, delimiter, names):
    """Read the records of the whole lines ``data[:end]`` into `rows`.

    A line that is blank, unusual or wrong becomes a row without nonzeros, flagged plain.

    Returns
    -------
    count : int64
        How many rows they are.
    left : int64
        Where a last record begins that does not end here: a line end stands in its quotes; else `end`.
    """
    text = address_of(data)
    delimiters = EVERY_BYTE * np.uint64(delimiter)
    unlabelled = np.float32(0) if columns.positive.size > 0 else np.float32(np.nan)
    j = 0
    row = 0
    nnz = 0
    ends = 0
    hashed = 0
    rows.indptr[0] = 0
    left = end
    while j < end:
        line = j
        first = nnz
        begin_row(rows, row, j, ends)
        rows.labels[row] = unlabelled
        read = not is_blank(text, j)
        column = 0
        inside = 0
        while read:
            start, stop, j, breaks = find_cell(text, j, end, delimiters)
            last = byte_at(text, j) == NEWLINE
            if column == columns.kinds.size or not (last or byte_at(text, j) == delimiter):
                read = False
                break
            if stop > start:
                read, nnz, hashed = read_cell(
                    text, start, stop, column, columns, rows, row, nnz, names, hashed
                )
            column += 1
            inside += breaks
            if last:
                break
            j += 1
        read = read and column == columns.kinds.size
        if not read:
            nnz = first
            hashed = min(hashed, nnz)
            j, inside = end_of_record(text, line, end, delimiters)
            if j < 0:
                left = line
                break
        end_row(rows, row, j, nnz, read)
        row += 1
        ends += inside + 1
        j += 1
    hash_names(names, nnz - hashed, rows.indices, hashed)
    rows.lines[row] = ends
    return row, left
