"""Parquet -> rows, without pyarrow: the columns of a file, each with its part, row group by row group."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from nonzero.formats.arrow_rows import CELLS_LOOKED_UP, index_columns, rows_at_once
from nonzero.formats.column_cells import NO_NULL, Cells
from nonzero.formats.column_rows import ColumnRows, Roles, part_of
from nonzero.formats.parquet_columns import LabelColumn, ParquetColumn
from nonzero.formats.parquet_foot import Foot
from nonzero.formats.parquet_pages import Room
from nonzero.formats.parquet_values import Values
from nonzero.formats.parsed import Parsed

_THREADS: Final = 2
"""So many read columns at the same time: as many as parse text."""

AtOnce: TypeAlias = Callable[[Sequence[Callable[[], None]]], object]


class ParquetRows(ColumnRows[ParquetColumn]):
    """Reads the rows of a file, in order.

    Parameters
    ----------
    foot
        What stands where.
    **options
        Those of :class:`~nonzero.formats.column_rows.ColumnRows`; no other part than the label.

    Raises
    ------
    FormatError, SettingsError
        As it does.
    """

    def __init__(self, foot: Foot, **options: Any) -> None:
        self._leaves = {leaf.name: leaf for leaf in foot.leaves}
        self._groups = foot.groups
        super().__init__(foot.names, index_columns(foot.pandas, foot.names), **options)
        columns = len(self._columns)
        self._step, self._many = rows_at_once(columns), rows_at_once(columns, CELLS_LOOKED_UP)
        self._places = {name: place for place, name in enumerate(foot.names)}

    def _column(self, name: str, said: int, *, truths: bool) -> ParquetColumn:
        return ParquetColumn(self._leaves[name], said, truths=truths)

    def _check_role(self, role: str, name: str) -> None:
        if role != "label":
            raise AssertionError(f"the column {name!r} is to be read as {role}")

    @property
    def size(self) -> int:
        """The bytes of all pages."""
        return sum(group.size for group in self._groups)

    @property
    def looked_up_at_once(self) -> int:
        """How many parts are made before others are read for the next ones."""
        return max(self._many // self._step, 1)

    def read(self, path: str | Path, at_once: AtOnce) -> Generator[tuple[Parsed, int], None, None]:
        """Read the file.

        Parameters
        ----------
        path
            Where it is.
        at_once
            Calls functions at the same time.

        Yields
        ------
        Parsed
            Some rows, and those that could not be read.
        int
            How many bytes of pages have been read.

        Raises
        ------
        DamagedError
            Where the bytes are damaged.
        OSError
            Where they cannot be read.
        """
        step, many = self._step, self._many
        meant: list[ParquetColumn | LabelColumn] = list(self._columns)
        if self._read_label is not None:
            meant.append(LabelColumn(self._leaves[self._read_label], self._positive))
        dictionaries = [Room() for _ in range(_THREADS)]
        done = 0
        with Path(path).open("rb") as file:
            columns = [
                Values(file.fileno(), column, dictionaries[k % _THREADS]) for k, column in enumerate(meant)
            ]
            for group in self._groups:
                for values in columns:
                    values.open(group.chunks[self._places[values.column.leaf.name]], group.rows)
                for start in range(0, group.rows, many):
                    rows = min(many, group.rows - start)
                    found = self._taken(columns, rows, at_once)
                    for first in range(0, rows, step):
                        stop = min(first + step, rows)
                        *cells, label = (part_of(one, first, stop) for one in found)
                        roles = Roles(label.words.view(np.float32), np.ones(stop - first, np.float32))
                        parsed = self._rows_of(cells, roles, label.wrong, first)
                        yield parsed, done + group.size * (start + stop) // group.rows
                done += group.size

    def _taken(
        self, columns: Sequence[Values[ParquetColumn | LabelColumn]], rows: int, at_once: AtOnce
    ) -> list[Cells]:
        """Return the next cells of all columns, and then the labels as cells, NaN where none are read."""
        no_labels = np.full(rows, np.nan, np.float32).view(np.uint32)
        rooms = [*self._room(rows), no_labels]
        found = [Cells(room, NO_NULL, {}) for room in rooms]

        def take(k: int) -> None:
            for place in range(k, len(columns), _THREADS):
                found[place] = columns[place].take(rooms[place])

        at_once([partial(take, k) for k in range(_THREADS)])
        return found
