"""Rows of columns: what each column of a table is for, and its cells joined to rows, whatever holds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import FormatError, InputError, LineError, SettingsError
from nonzero.fields import known
from nonzero.fields.counts import Fields
from nonzero.fields.known import CATEGORY, INFER, NUMBER
from nonzero.fields.schema import Schema
from nonzero.formats.arrow_kernels import CellPlaces, RowsOut, interleave, merge_columns
from nonzero.formats.column_cells import Cells, Column, Lists
from nonzero.formats.delimited_columns import BOOLEAN, LABEL, LEFT_OUT
from nonzero.formats.delimited_columns import NUMBER as A_NUMBER
from nonzero.formats.delimited_labels import named_twice
from nonzero.formats.delimited_parts import Parts
from nonzero.formats.parsed import Parsed
from nonzero.formats.times import TimeFormat

C = TypeVar("C", bound=Column)


class Roles(NamedTuple):
    """What rows have beside features."""

    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    ids: Any = None
    times: NDArray[np.int64] | None = None


class ColumnRows(ABC, Generic[C]):
    """Decides what the columns of one stream are, and makes rows of their cells, in order.

    A row is numbered from 1 over all that was read.

    Parameters
    ----------
    names
        The names of the columns.
    unnamed
        Those that are an index without a name, which is left out.
    label
        The column that holds the label; None for the one that is called like one.
    weight, id, time
        The columns that hold importance weights, ids and times; None for none.
    time_format
        How times are written that are texts or numbers: see :class:`~nonzero.formats.times.TimeFormat`. None:
        numbers are milliseconds, and texts are refused.
    numeric, ignore
        Columns that hold numbers, and columns that are left out.
    schema
        What the fields are.
    positive
        The label that is a click; every other, and none, is no click.
    boolean
        The columns of text in which True is ``true`` and False ``false``.
    labels
        Whether labels are read; else they are not looked at.
    judged
        Whether a column of which the schema says nothing is a category, as in delimited text. Else it is what
        its type says: text is a category, numbers and truths are numbers.

    Attributes
    ----------
    names
        The names of all columns, but for an index without a name.
    columns
        The names of those that are read, in their order.
    label
        The column that holds the label; None for none.
    notes
        What there is to say of the columns, in sentences.

    Raises
    ------
    FormatError
        For a column that is missing, stands twice, or is of a type that is nothing of what it should be.
    SettingsError
        For a column given two parts, or another one than the schema gives it.
    """

    def __init__(
        self,
        names: list[str],
        unnamed: Sequence[str] = (),
        *,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        numeric: Sequence[str] = (),
        ignore: Sequence[str] = (),
        schema: Schema | Mapping[str, Any] | None = None,
        positive: str | None = None,
        boolean: Sequence[str] = (),
        labels: bool = True,
        judged: bool = False,
    ) -> None:
        self.schema = Schema.of(schema)
        self.fields = Fields(self.schema)
        twice = named_twice(names)
        if twice is not None:
            raise FormatError(f"there are two columns {twice!r}; rename one")
        self._roles = {
            name: role for role, name in (("weight", weight), ("id", id), ("time", time)) if name is not None
        }
        self._check_roles(label, weight, id, time, names)
        parts = Parts(self.schema, label, numeric, ignore, labels=labels, boolean=boolean)
        self.notes = parts.notes
        if unnamed:
            self.notes.append("an index without a name is left out")
        self.names = [name for name in names if name not in unnamed]
        others = [name for name in self.names if name not in self._roles]
        kinds = dict(zip(others, parts.decide(others), strict=True))
        self.label = parts.label
        self._positive = b"" if positive is None else positive.encode()
        if positive is not None and not positive:
            raise SettingsError("positive is empty; give the label that is a click")
        self._read_label = self.label if labels else None
        if self._read_label is not None:
            self._roles[self._read_label] = "label"
        self._times = None if time_format is None else TimeFormat(time_format)
        for name, role in self._roles.items():
            self._check_role(role, name)
        self._columns: list[C] = []
        self._inferred: list[int] = []
        for name, kind in kinds.items():
            if kind in (LABEL, LEFT_OUT):
                continue
            said = CATEGORY
            if kind == A_NUMBER:
                said = NUMBER
            elif parts.said_of(name) == INFER:
                self._inferred.append(len(self._columns))
                said = CATEGORY if judged or kind == BOOLEAN else INFER
            self._columns.append(self._column(name, said, truths=kind == BOOLEAN))
        self._field_numbers = np.array([column.field for column in self._columns], np.uint16)
        self._constants = np.array([column.constant for column in self._columns], np.int64)
        self._categories = bool((self._constants < 0).all())
        self._full_starts = np.zeros(1, np.int64)
        self._full_fields = np.empty(0, np.uint16)
        self._words = np.empty(0, np.uint32)
        self._stride = 0
        self._values = np.empty(0, np.float32)
        read = {column.name for column in self._columns} | self._roles.keys()
        self.columns = [name for name in names if name in read]
        self._rows = 0

    @property
    def features(self) -> Sequence[C]:
        """The columns that features are made of."""
        return self._columns

    def _check_roles(
        self, label: str | None, weight: str | None, id: str | None, time: str | None, names: Sequence[str]
    ) -> None:
        """Refuse two parts for one column, and columns that are not there."""
        given = [name for name in (label, weight, id, time) if name is not None]
        for name in given:
            if given.count(name) > 1:
                raise SettingsError(
                    f"the column {name!r} is named twice among label, weight, id and time; name it once"
                )
            if name not in names:
                raise FormatError(f"there is no column {name!r}; there are {', '.join(names)}")

    @abstractmethod
    def _column(self, name: str, said: int, *, truths: bool) -> C:
        """Return what reads a column; see :class:`Column`."""

    @abstractmethod
    def _check_role(self, role: str, name: str) -> None:
        """Refuse a column whose type cannot be a label, a weight, an id or a time."""

    def _room(self, rows: int) -> NDArray[np.uint32]:
        """Return uint32[columns, rows], where the cells may be."""
        size = rows * len(self._columns)
        if self._words.size < size:
            self._words = np.empty(size, np.uint32)
        self._stride = rows
        return self._words[:size].reshape(len(self._columns), rows)

    def _rows_of(
        self, found: Sequence[Cells | Lists], roles: Roles, bad: Mapping[int, InputError], first: int = 0
    ) -> Parsed:
        """Make rows of the cells of all columns.

        Parameters
        ----------
        found
            A column's cells each, those that have one each in :meth:`_room`, or elsewhere.
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
            self.fields.refused(error)
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
        return Parsed(batch, numbers, errors, n, self.fields.take())

    def _note_kinds(self, found: Sequence[Cells | Lists], kept: NDArray[np.uint8]) -> None:
        """Take note of the kinds in which the columns came of which the schema says nothing."""
        for place in self._inferred:
            column, one = self._columns[place], found[place]
            present = (one.cells if isinstance(one, Lists) else one).present
            values = int((kept & present).sum()) if present.size else int(kept.sum())
            kind = known.NUMBER if column.kind == NUMBER else known.CATEGORY
            if values and self.schema.known.came(column.name.encode(), kind):
                self.fields.count(column.name, values)

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
