"""Cells of columns -> rows: joined example by example, and numbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import InputError, LineError
from nonzero.fields import known
from nonzero.fields.counts import Fields
from nonzero.fields.known import NUMBER
from nonzero.formats.arrow_kernels import CellPlaces, RowsOut, interleave, merge_columns
from nonzero.formats.column_cells import Cells, Column, Lists
from nonzero.formats.parsed import Parsed


class Roles(NamedTuple):
    """What rows have beside features."""

    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    ids: Any = None
    times: NDArray[np.int64] | None = None


class RowJoiner:
    """Makes rows of the cells of one stream's columns, in order.

    A row is numbered from 1 over all that was read.

    Parameters
    ----------
    columns
        The columns that features are made of.
    inferred
        The places of those of which the schema says nothing: in which kinds they come is noted.
    fields
        Counts what contradicts the schema.
    """

    def __init__(self, columns: Sequence[Column], inferred: Sequence[int], fields: Fields) -> None:
        self._columns, self._inferred, self._fields = columns, inferred, fields
        self._field_numbers = np.array([column.field for column in columns], np.uint16)
        self._constants = np.array([column.constant for column in columns], np.int64)
        self._categories = bool((self._constants < 0).all())
        self._full_starts = np.zeros(1, np.int64)
        self._full_fields = np.empty(0, np.uint16)
        self._words = np.empty(0, np.uint32)
        self._stride = 0
        self._values = np.empty(0, np.float32)
        self._rows = 0

    def room(self, rows: int) -> NDArray[np.uint32]:
        """Return uint32[columns, rows], where the cells may be."""
        size = rows * len(self._columns)
        if self._words.size < size:
            self._words = np.empty(size, np.uint32)
        self._stride = rows
        return self._words[:size].reshape(len(self._columns), rows)

    def rows_of(
        self, found: Sequence[Cells | Lists], roles: Roles, bad: Mapping[int, InputError], first: int = 0
    ) -> Parsed:
        """Make rows of the cells of all columns.

        Parameters
        ----------
        found
            A column's cells each, those that have one each in :meth:`room`, or elsewhere.
        roles
            What the rows have beside features.
        bad
            What is wrong with that, by row.
        first
            Where in the room of each column these rows begin.
        """
        labels, weights, ids, times = roles
        n = labels.size
        wrong: dict[int, InputError] = {}
        for each in (*((one.cells if isinstance(one, Lists) else one).wrong for one in found), bad):
            for row, error in each.items():
                wrong.setdefault(row, error)
        kept = np.ones(n, np.uint8)
        kept[list(wrong)] = 0
        numbers = np.arange(self._rows + 1, self._rows + n + 1)
        self._rows += n
        errors = tuple(
            LineError(int(numbers[row]), str(error)) for row, error in sorted(wrong.items(), key=_by_row)
        )
        for error in wrong.values():
            self._fields.refused(error)
        self._note_kinds(found, kept)
        indptr, indices, values, fields = self._merged(found, kept, n - len(wrong), first)
        if wrong:
            chosen = kept != 0
            labels, weights, numbers = labels[chosen], weights[chosen], numbers[chosen]
            times = None if times is None else times[chosen]
            ids = None if ids is None else [ids[row] for row in np.flatnonzero(chosen).tolist()]
        batch = Batch.trusted(
            indptr, indices, values, labels, weights, fields, ids, times, -1 if fields is not None else None
        )
        return Parsed(batch, numbers, errors, n, self._fields.take())

    def _note_kinds(self, found: Sequence[Cells | Lists], kept: NDArray[np.uint8]) -> None:
        """Take note of the kinds in which the columns came of which the schema says nothing."""
        for place in self._inferred:
            column, one = self._columns[place], found[place]
            present = (one.cells if isinstance(one, Lists) else one).present
            values = int((kept & present).sum()) if present.size else int(kept.sum())
            kind = known.NUMBER if column.kind == NUMBER else known.CATEGORY
            if values and self._fields.schema.known.came(column.name.encode(), kind):
                self._fields.count(column.name, values)

    def _merged(
        self, found: Sequence[Cells | Lists], kept: NDArray[np.uint8], rows: int, first: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32] | None, NDArray[np.uint16] | None]:
        """Return the rows that the cells of all columns are: indptr, indices, values and fields."""
        n, columns, stride = kept.size, len(found), self._stride
        words = self._words[: columns * stride]
        for place, one in enumerate(found):
            if isinstance(one, Cells) and one.words.base is not words.base:
                words[stride * place :][first : first + n] = one.words
        listed = [place for place, one in enumerate(found) if isinstance(one, Lists)]
        if n * columns and rows == n and self._categories and not listed:
            indices = np.empty(n * columns, np.uint32)
            if interleave(words, first, stride, columns, indices):
                return self._starts(n), indices, None, self._fields_of(n)
        starts, lists = np.arange(columns) * stride + first, np.full(columns, -1, np.int64)
        offsets: list[NDArray[np.int64]] = []
        elements: list[NDArray[np.uint32]] = []
        end, ends, most = words.size, 0, n * (columns - len(listed))
        for place, one in enumerate(found):
            if isinstance(one, Lists):
                starts[place], lists[place] = end, ends
                elements.append(one.cells.words)
                offsets.append(one.offsets)
                end += one.cells.words.size
                most += one.cells.words.size
                ends += one.offsets.size
        if elements:
            words = np.concatenate([words, *elements])
        if self._values.size < most:
            self._values = np.empty(most, np.float32)
        out = RowsOut(
            np.empty(rows + 1, np.int64), np.empty(most, np.uint32), self._values, np.empty(most, np.uint16)
        )
        among = CellPlaces(
            starts,
            lists,
            self._constants,
            self._field_numbers,
            np.concatenate([np.empty(0, np.int64), *offsets]),
        )
        valued = merge_columns(kept, among, words, words.view(np.float32), out)
        nnz = int(out.indptr[-1])
        indices, fields = _fitting(out.indices, nnz), _fitting(out.fields, nnz)
        values = out.values[:nnz].copy() if valued else None
        return out.indptr, indices, values, fields if nnz else None

    def _starts(self, rows: int) -> NDArray[np.int64]:
        """Return where rows begin, and the last one ends, that have a cell in each column."""
        if self._full_starts.size != rows + 1:
            self._full_starts = np.arange(rows + 1, dtype=np.int64) * len(self._columns)
        return self._full_starts

    def _fields_of(self, rows: int) -> NDArray[np.uint16]:
        """Return the fields of such rows; the same array as before, where there were as many."""
        if self._full_fields.size != rows * len(self._columns):
            self._full_fields = np.tile(self._field_numbers, rows)
        return self._full_fields


def parts_of(cells: Cells, rows: int) -> Iterator[Cells]:
    """Yield the cells of so many rows at a time."""
    wrong: dict[int, dict[int, InputError]] = {}
    for row, error in cells.wrong.items():
        wrong.setdefault(row // rows, {})[row % rows] = error
    for part, first in enumerate(range(0, cells.words.size, rows)):
        stop = first + rows
        yield Cells(cells.words[first:stop], cells.present[first:stop], wrong.get(part, {}))


def _by_row(one: tuple[int, InputError]) -> int:
    return one[0]


def _fitting(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the first items; a copy where most of the memory is of others."""
    return array[:size] if 4 * size > 3 * array.size else array[:size].copy()
