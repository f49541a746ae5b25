# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The text of LIBSVM and SVMlight: ``label index:value index:value ... # comment``.

The label is 1 (``+1``, ``1.0``), or 0 or -1; a line that starts with ``index:value`` has none. An index is
a slot of the table, taken as it is written, be the first 0 or 1; it is at most ``2**31``. Indices need not
ascend, and one that is named twice counts twice. A value of 0 is no nonzero. ``qid:n`` before the features,
which ranks, and what follows a ``#`` are passed over. A line that is blank, or only a comment, is no example.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import address_of, byte_at
from nonzero.batches.limits import MAX_INDEX
from nonzero.errors import InputError
from nonzero.fields.hashing import NO_FIELD
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.assembly import PlainRow
from nonzero.formats.format import Format
from nonzero.formats.numbers import (
    label_of,
    label_of_number,
    number_of,
    scan_digits,
    scan_number,
    shown,
    value_of,
    value_within,
)
from nonzero.formats.row_arrays import BUFFER, ROWS, RowArrays, begin_row, end_row, put_nonzero
from nonzero.native import inlined, kernel, types

NEWLINE: Final = np.uint8(ord("\n"))
RETURN: Final = np.uint8(ord("\r"))
SPACE: Final = np.uint8(ord(" "))
TAB: Final = np.uint8(ord("\t"))
COLON: Final = np.uint8(ord(":"))
HASH: Final = np.uint8(ord("#"))
MAX_DIGITS: Final = 10  # of an index

BLANKS: Final = re.compile(rb"[ \t]+")
INDEX: Final = re.compile(rb"\d+")


class Libsvm(Format):
    """The text of LIBSVM and SVMlight.

    Parameters
    ----------
    schema
        A schema, as other formats take it; slots have no fields, and it says nothing of them.
    """

    name = "libsvm"

    def __init__(self, schema: Schema | Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        super().__init__(untracked)  # there are no fields

    def alike(self) -> Libsvm:
        """Return another."""
        return Libsvm()

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        """Parse whole lines by compiled code."""
        return int(_read(data, end, rows))

    def skips(self, line: bytes) -> bool:
        """Tell whether a line is blank or a comment."""
        return not line.partition(b"#")[0].strip()

    def parse_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python."""
        words = [word for word in BLANKS.split(line.partition(b"#")[0]) if word]
        row = PlainRow(label=float("nan") if b":" in words[0] else label_of(words.pop(0)))
        if words and words[0].startswith(b"qid:"):
            number_of(words.pop(0)[4:], "the qid")
        for word in words:
            index, colon, text = word.partition(b":")
            if not colon:
                raise InputError(f"{shown(word)} is not index:value")
            if not INDEX.fullmatch(index) or int(index) > MAX_INDEX:
                raise InputError(
                    f"the index {shown(index)} is not a whole number from 0 to 2**31 = {MAX_INDEX}"
                )
            number = number_of(text, f"the value of the index {shown(index)}")
            row.add(int(index), value_of(number, text), NO_FIELD)
        return row


@inlined
def _skip_blanks(text, j):
    """Return where the next byte is that is neither a space nor a tab."""
    while byte_at(text, j) in (SPACE, TAB):
        j += 1
    return j


@inlined
def _ends_word(byte):
    return byte in (SPACE, TAB, NEWLINE, RETURN, HASH)


@inlined
def _scan_label(text, j):
    """Read the label, NaN where there is none; return it, where it ends, and whether it was read."""
    number, stop, read = scan_number(text, j)
    if byte_at(text, stop) == COLON:
        return np.float32(np.nan), j, True
    label = label_of_number(number)
    return label, stop, read and _ends_word(byte_at(text, stop)) and not np.isnan(label)


@kernel(types.int64(BUFFER, types.int64, ROWS))
def _read(data, end, rows):
    text = address_of(data)
    r = 0
    nnz = 0
    j = 0
    rows.indptr[0] = 0
    while j < end:
        first = nnz
        begin_row(rows, r, j, r)
        rows.labels[r], j, read = _scan_label(data, _skip_blanks(text, j))
        j = _skip_blanks(text, j)
        while read and not _ends_word(byte_at(text, j)):
            start = j
            index, j = scan_digits(text, start, np.uint64(0))
            read = (
                j > start
                and j - start <= MAX_DIGITS
                and index <= np.uint64(MAX_INDEX)
                and byte_at(text, j) == COLON
            )
            if read:
                number, j, read = scan_number(text, j + 1)
                value = np.float32(number)
                read = read and value_within(value) and _ends_word(byte_at(text, j))
                put_nonzero(rows, nnz, np.uint32(index), value, NO_FIELD)
                nnz += value != 0
                j = _skip_blanks(text, j)
        # A comment is passed over; a return that ends no line, or anything else, is for Python.
        read = read and (byte_at(text, j) != RETURN or byte_at(text, j + 1) == NEWLINE)
        if not read:
            nnz = first
        while byte_at(text, j) != NEWLINE:
            j += 1
        end_row(rows, r, j, nnz, read)
        j += 1
        r += 1
    rows.lines[r] = r
    return r
