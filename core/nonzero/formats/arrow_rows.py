"""Record batches of Arrow -> rows: the columns of a stream, each with its part, read block by block."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError, FormatError, InputError, LineError, SettingsError, named
from nonzero.fields import known
from nonzero.fields.counts import Fields
from nonzero.fields.known import CATEGORY, INFER, NUMBER
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.arrow_cells import ArrowColumn, Cells, Lists
from nonzero.formats.arrow_import import stream_of
from nonzero.formats.arrow_kernels import CellPlaces, RowsOut, merge_columns
from nonzero.formats.arrow_roles import check_role, ids_in, labels_in, times_in, weights_in
from nonzero.formats.delimited_columns import BOOLEAN, LABEL, LEFT_OUT
from nonzero.formats.delimited_columns import NUMBER as A_NUMBER
from nonzero.formats.delimited_labels import named_twice
from nonzero.formats.delimited_parts import Parts
from nonzero.formats.parsed import Parsed
from nonzero.formats.times import TimeFormat

CELLS_AT_ONCE: Final = 1 << 18
"""About so many cells are read at once: they stay in the cache."""

_FEWEST_ROWS: Final = 256

_INDEX: Final = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name, which is a column of what it hands over."""


class ArrowRows:
    """Reads the record batches of one stream, in order.

    A row is numbered from 1 over all that was read.

    Parameters
    ----------
    arrow_schema
        The names and types of the columns: a ``pyarrow.Schema``.
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
        arrow_schema: Any,
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
        names: list[str] = arrow_schema.names
        twice = named_twice(names)
        if twice is not None:
            raise FormatError(f"there are two columns {twice!r}; rename one")
        self._roles = {
            name: role for role, name in (("weight", weight), ("id", id), ("time", time)) if name is not None
        }
        self._check_roles(label, weight, id, time, names)
        parts = Parts(self.schema, label, numeric, ignore, labels=labels, boolean=boolean)
        self.notes = parts.notes
        left_out = set(_index_columns(arrow_schema))
        if left_out:
            self.notes.append("an index without a name is left out")
        self.names = [name for name in names if name not in left_out]
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
            check_role(role, name, arrow_schema.field(name).type, self._times)
        self._columns: list[ArrowColumn] = []
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
            arrow_type = arrow_schema.field(name).type
            self._columns.append(ArrowColumn(name, said, arrow_type, truths=kind == BOOLEAN))
        self._field_numbers = np.array([column.field for column in self._columns], np.uint16)
        self._constants = np.array([column.constant for column in self._columns], np.int64)
        self._words = np.empty(0, np.uint32)
        self._values = np.empty(0, np.float32)
        read = {column.name for column in self._columns} | self._roles.keys()
        self.columns = [name for name in names if name in read]
        self._rows = 0

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

    def read(self, batch: Any) -> Generator[Parsed, None, None]:
        """Read a record batch.

        Parameters
        ----------
        batch
            A ``pyarrow.RecordBatch`` that has the columns :attr:`columns`.

        Yields
        ------
        Parsed
            The rows of a part of it, and those that could not be read.

        Raises
        ------
        FormatError
            For what is wrong with a column as a whole.
        """
        step = max(_FEWEST_ROWS, CELLS_AT_ONCE // max(len(self._columns), 1))
        places = {name: batch.schema.get_field_index(name) for name in self.columns}
        for start in range(0, batch.num_rows, step):
            yield self._read(batch.slice(start, step), places, batch.num_rows)

    def _read(self, part: Any, places: Mapping[str, int], rows: int) -> Parsed:
        n = part.num_rows
        wrong: dict[int, InputError] = {}
        if self._words.size < n * len(self._columns):
            self._words = np.empty(n * len(self._columns), np.uint32)
        found = [
            column.read(part.column(places[column.name]), rows, self._words[n * k : n * (k + 1)])
            for k, column in enumerate(self._columns)
        ]
        for one in found:
            for row, error in (one.cells if isinstance(one, Lists) else one).wrong.items():
                wrong.setdefault(row, error)
        labels, weights, ids, times = self._read_roles(part, places, wrong)
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
        indptr, indices, values, fields = self._merged(found, kept, n - len(wrong))
        if wrong:
            chosen = kept != 0
            labels, weights, numbers = labels[chosen], weights[chosen], numbers[chosen]
            times = None if times is None else times[chosen]
            ids = None if ids is None else [ids[row] for row in np.flatnonzero(chosen).tolist()]
        batch = Batch.trusted(indptr, indices, values, labels, weights, fields, ids, times)
        return Parsed(batch, numbers, errors, n, self.fields.take())

    def _read_roles(
        self, part: Any, places: Mapping[str, int], wrong: dict[int, InputError]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Any, NDArray[np.int64] | None]:
        """Return labels, weights, ids and times; what is wrong with them is added."""
        n = part.num_rows
        labels = np.full(n, 0 if self._positive and self._read_label else np.nan, np.float32)
        weights = np.ones(n, np.float32)
        ids: Any = None
        times: NDArray[np.int64] | None = None
        for name, role in self._roles.items():
            array = part.column(places[name])
            bad: dict[int, InputError]
            if role == "label":
                labels, bad = labels_in(array, name, self._positive)
            elif role == "weight":
                weights, bad = weights_in(array, name)
            elif role == "id":
                ids, bad = ids_in(array, name)
            else:
                times, bad = times_in(array, name, self._times)
            for row, error in bad.items():
                wrong.setdefault(row, error)
        return labels, weights, ids, times

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
        self, found: Sequence[Cells | Lists], kept: NDArray[np.uint8], rows: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32] | None, NDArray[np.uint16] | None]:
        """Return the rows that the cells of all columns are: indptr, indices, values and fields."""
        n, scalars = kept.size, kept.size * len(found)
        words = self._words[:scalars]
        starts, lists = np.arange(len(found), dtype=np.int64) * n, np.full(len(found), -1, np.int64)
        offsets: list[NDArray[np.int64]] = []
        elements: list[NDArray[np.uint32]] = []
        end, ends = scalars, 0
        for place, one in enumerate(found):
            if isinstance(one, Lists):
                starts[place], lists[place] = end, ends
                elements.append(one.cells.words)
                offsets.append(one.offsets)
                end += one.cells.words.size
                ends += one.offsets.size
            elif one.words.base is not words.base:
                words[n * place : n * (place + 1)] = one.words
        if elements:
            words = np.concatenate([words, *elements])
        if self._values.size < end:
            self._values = np.empty(end, np.float32)
        out = RowsOut(
            np.empty(rows + 1, np.int64), np.empty(end, np.uint32), self._values, np.empty(end, np.uint16)
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


def _by_row(one: tuple[int, InputError]) -> int:
    return one[0]


def _fitting(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the first items; a copy where most of the memory is of others."""
    return array[:size] if 4 * size > 3 * array.size else array[:size].copy()


def _index_columns(arrow_schema: Any) -> list[str]:
    """Return the columns that are an index without a name, in what pandas has written."""
    written = (arrow_schema.metadata or {}).get(b"pandas")
    if written is None:
        return []
    try:
        said = msgspec.json.decode(written, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    indices = said.get("index_columns")
    listed = [name for name in indices if isinstance(name, str)] if isinstance(indices, list) else []
    return [name for name in listed if _INDEX.fullmatch(name) and name in arrow_schema.names]


def read_table(given: Any, schema: Schema | Mapping[str, Any] | None = None, **columns: Any) -> Batch:
    """Read a whole table: what :meth:`nonzero.Batch.from_arrow` calls.

    Parameters
    ----------
    given
        The table.
    schema
        What the fields are; None for who asks nothing of it.
    **columns
        Which columns hold label, weight, id and time.

    Raises
    ------
    BatchError
        For what is no table, and naming the first rows that cannot be read.
    FormatError
        For what is wrong with a column.
    """
    with stream_of(given) as stream:
        rows = ArrowRows(stream.schema, schema=untracked if schema is None else schema, **columns)
        batches: list[Batch] = []
        errors: list[LineError] = []
        for batch in stream:
            for parsed in rows.read(batch):
                errors += (LineError(line - 1, reason) for line, reason in parsed.errors)
                if not errors and len(parsed.batch):
                    batches.append(parsed.batch)
    if errors:
        raise BatchError(f"{len(errors)} rows cannot be read: {named(errors, 'row')}")
    return Batch.concatenate(batches)
