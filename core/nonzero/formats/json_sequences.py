# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The compiled reader of JSON examples that stand in a list: with commas between them, and no lines.

To take the list apart first would cost as much as reading it. One example that is unusual or wrong is enough
for all of them to be left to who takes it apart.
"""

from __future__ import annotations

from typing import Final

from nonzero.arithmetic.intrinsics import address_of
from nonzero.fields import lookup
from nonzero.formats.json_examples import read_example
from nonzero.formats.json_features import hash_all
from nonzero.formats.json_text import past_space
from nonzero.formats.row_arrays import BUFFER, ROWS, begin_row, end_row
from nonzero.native import kernel, types

LEFT_ALONE: Final = -1


@kernel(
    types.UniTuple(types.int64, 3)(
        *(BUFFER, types.int64, BUFFER, ROWS, types.int64),
        *(types.uint64[:, ::1], types.uint32[::1], lookup.FIELDS),
    )
)
def read_sequence(data, j, scratch, rows, row, beginnings, names, table):
    """Read examples from `j` on into `rows`, from `row` on, while a comma and another follow.

    It ends where there is no room for another. The bytes end in a newline, which is nowhere else in them.

    Returns
    -------
    end : int64
        The row behind the last; LEFT_ALONE where compiled code cannot read one of them.
    j : int64
        The position behind the last of them, and behind white space and the comma that follow it.
    more : int64
        Whether a comma follows.
    """
    room = rows.plain.size
    known = address_of(beginnings)
    if row == 0:
        rows.indptr[0] = 0
    nnz = rows.indptr[row]
    hashed = nnz
    lookup.allow_new(table)
    while True:
        begin_row(rows, row, j, row)
        lookup.begin_fields(table)
        j, nnz, hashed = read_example(data, j, scratch, rows, row, nnz, known, names, hashed, table)
        if j < 0:
            return LEFT_ALONE, 0, 0
        lookup.count_fields(table)
        end_row(rows, row, j, nnz, True)
        row += 1
        j = past_space(data, j)
        if data[j] != ord(","):
            more = 0
            break
        j, more = past_space(data, j + 1), 1
        if row == room or data[j] != ord("{"):
            break
    hash_all(names, nnz - hashed, rows.indices, hashed)
    return row, j, more
