"""Record batches of Arrow -> rows: the columns of a stream, each with its part, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError, FormatError, InputError, LineError, named
from nonzero.fields.counts import Fields
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.arrow_columns import ArrowColumns
from nonzero.formats.arrow_import import import_arrow, stream_of
from nonzero.formats.arrow_roles import ids_in, labels_in, times_in, weights_in
from nonzero.formats.column_cells import Cells, Lists
from nonzero.formats.column_rows import Roles, RowJoiner, parts_of
from nonzero.formats.parsed import Parsed

CELLS_AT_ONCE: Final = 1 << 18
"""About so many cells are made rows at once: they stay in the cache."""

CELLS_LOOKED_UP: Final = 1 << 22
"""About so many are looked up at once, column by column: so a dictionary stays in the cache meanwhile."""

_FEWEST_ROWS: Final = 256

_MOST_WRONG: Final = 100_000
"""Columns of which more cells cannot be read are not looked up as a whole: what is wrong is told in words."""

AtOnce: TypeAlias = Callable[[Sequence[Callable[[], None]]], object]


class ArrowRows:
    """Reads the record batches of one stream, in order.

    Parameters
    ----------
    arrow_schema
        The names and types of the columns: a ``pyarrow.Schema``.
    **options
        Those of :class:`~nonzero.formats.arrow_columns.ArrowColumns`.

    Attributes
    ----------
    names, columns, label, notes, features, schema
        As of :class:`~nonzero.formats.arrow_columns.ArrowColumns`.
    fields
        Counts what contradicts the schema.

    Raises
    ------
    FormatError
        For a column that is missing, stands twice, or is of a type that is nothing of what it should be.
    SettingsError
        For a column given two parts, or another one than the schema gives it.
    """

    def __init__(self, arrow_schema: Any, **options: Any) -> None:
        parts = self._parts = ArrowColumns(arrow_schema, **options)
        self.names, self.columns, self.label = parts.names, parts.columns, parts.label
        self.notes, self.features, self.schema = parts.notes, parts.features, parts.schema
        self.fields = Fields(self.schema)
        self._joiner = RowJoiner(self.features, parts.inferred, self.fields)

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
        columns = len(self.features)
        many = _rows_at_once(columns, CELLS_AT_ONCE if self.has_lists else CELLS_LOOKED_UP)
        places = {name: batch.schema.get_field_index(name) for name in self.columns}
        for start in range(0, batch.num_rows, many):
            part = batch.slice(start, many)
            found = [
                column.read(part.column(places[column.name]), batch.num_rows, room)
                for column, room in zip(self.features, self._joiner.room(part.num_rows), strict=True)
            ]
            yield from self._in_parts(found, part, part.num_rows)

    @property
    def has_lists(self) -> bool:
        """Whether a column that is read holds lists, which :meth:`read` alone takes."""
        return any(column.lists for column in self.features)

    def look_up(
        self, rows: int, decoders: Sequence[Callable[[str], Any]], at_once: AtOnce
    ) -> Generator[Parsed, None, None] | None:
        """Look columns up as a whole, one after another, each of which is let go of before the next.

        Parameters
        ----------
        rows
            How many rows there are; of these there is a cell of four bytes for each column.
        decoders
            What returns a column by its name, a ``pyarrow.ChunkedArray``; each is called by one thread.
        at_once
            Calls functions at the same time.

        Returns
        -------
        generator
            As of :meth:`read`; to be used up before more is read. None where so much is wrong with the cells
            that they are better read in parts.

        Raises
        ------
        FormatError
            For what is wrong with a column as a whole.
        """
        rooms, found, others = self._joiner.room(rows), dict[int, Cells](), dict[str, Any]()

        def take(k: int) -> None:
            decode = decoders[k]
            for place in range(k, len(self.features), len(decoders)):
                column = self.features[place]
                whole = _of_length(decode(column.name), rows, column.name)
                cells = column.read_whole(whole.chunks, rooms[place], _MOST_WRONG)
                if cells is None or sum(len(one.wrong) for one in tuple(found.values())) > _MOST_WRONG:
                    return
                found[place] = cells
            for name in list(self._parts.roles)[k :: len(decoders)]:
                whole = _of_length(decode(name), rows, name)
                others[name] = whole.chunk(0) if whole.num_chunks == 1 else whole.combine_chunks()

        at_once([partial(take, k) for k in range(len(decoders))])
        if len(found) < len(self.features):
            return None
        names = list(self._parts.roles)
        beside = import_arrow().RecordBatch.from_arrays([others[name] for name in names], names)
        return self._in_parts([found[place] for place in range(len(found))], beside, rows)

    def _in_parts(
        self, found: Sequence[Cells | Lists], beside: Any, rows: int
    ) -> Generator[Parsed, None, None]:
        """Make rows of the cells of all columns, some at a time; with lists, all: they are no more than that.

        `beside` is a record batch that has the columns that are no features.
        """
        step = _rows_at_once(len(self.features), CELLS_AT_ONCE)
        places = {name: beside.schema.get_field_index(name) for name in self._parts.roles}
        parts: list[Iterator[Cells | Lists]] = [
            repeat(one) if isinstance(one, Lists) else parts_of(one, step) for one in found
        ]
        for first in range(0, rows, step):
            wrong: dict[int, InputError] = {}
            size = min(step, rows - first)
            roles = self._read_roles(beside.slice(first, size), size, places, wrong)
            yield self._joiner.rows_of([next(part) for part in parts], roles, wrong, first)

    def _read_roles(
        self, part: Any, n: int, places: Mapping[str, int], wrong: dict[int, InputError]
    ) -> Roles:
        """Return labels, weights, ids and times of `n` rows; what is wrong with them is added."""
        labels = np.full(n, 0 if self._parts.positive and self._parts.has_labels else np.nan, np.float32)
        weights = np.ones(n, np.float32)
        ids: Any = None
        times: NDArray[np.int64] | None = None
        for name, role in self._parts.roles.items():
            array = part.column(places[name])
            bad: dict[int, InputError]
            if role == "label":
                labels, bad = labels_in(array, name, self._parts.positive)
            elif role == "weight":
                weights, bad = weights_in(array, name)
            elif role == "id":
                ids, bad = ids_in(array, name)
            else:
                times, bad = times_in(array, name, self._parts.times)
            for row, error in bad.items():
                wrong.setdefault(row, error)
        return Roles(labels, weights, ids, times)


def _of_length(column: Any, rows: int, name: str) -> Any:
    if len(column) != rows:
        raise FormatError(f"the column {name!r} has {len(column)} rows, where there should be {rows}")
    return column


def _rows_at_once(columns: int, cells: int) -> int:
    """Return how many rows of so many columns have about so many cells, but for a few rows at least."""
    return max(_FEWEST_ROWS, cells // max(columns, 1))


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
