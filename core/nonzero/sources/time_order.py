"""Tables of any size, in the order of time: sorted by runs on the disk, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.formats.arrow_import import import_arrow
from nonzero.sources.scratch import Scratch

BUFFER: Final = 32 << 20
"""So many bytes are sorted at once."""

_PIECE: Final = 1 << 20
"""About so many bytes of a run are read at once."""

_FAN_IN: Final = 16
"""So many runs are merged at once."""

TIME: Final = "nonzero:time"
NUMBER: Final = "nonzero:number"
"""The columns that are added: the time of a row, and its number, from 0, in the order in which rows came."""


class TimeOrder:
    """Sorts rows by their times; of the same time, those that came first are first.

    Rows that come in order are written to the disk and read from it once. Others are sorted as they fill the
    memory, and merged (Knuth, "The Art of Computer Programming", vol. 3, section 5.4).

    Parameters
    ----------
    scratch
        Where there is room for all rows, or twice as much where they come in disorder.
    buffer
        How many bytes are sorted at once.

    Examples
    --------
    >>> import pyarrow, tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
    ...     order = TimeOrder(scratch)
    ...     order.add(pyarrow.table({"ad": ["a", "b", "c"]}), np.array([30, 10, 20]))
    ...     [part["ad"].to_pylist() for part in order.rows()]
    [['b', 'c', 'a']]
    """

    def __init__(self, scratch: Scratch, buffer: int = BUFFER) -> None:
        self._scratch = scratch
        self._buffer = buffer
        self._held: list[Any] = []
        self._nbytes = 0
        self._runs: list[list[_Run]] = [[]]  # by level: of each but the first, each run was merged of others
        self.count = 0
        """How many rows there are."""

    def add(self, table: Any, times: NDArray[np.int64]) -> None:
        """Add rows.

        Parameters
        ----------
        table
            A ``pyarrow.Table``; all have the same columns.
        times
            int64[n]: in milliseconds.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        if not times.size:
            return
        numbers = np.arange(self.count, self.count + times.size)
        arrow = import_arrow()
        self._held.append(
            table.append_column(TIME, arrow.array(times)).append_column(NUMBER, arrow.array(numbers))
        )
        self.count += times.size
        self._nbytes += self._held[-1].nbytes
        if self._nbytes >= self._buffer:
            self._flush()

    def rows(self) -> Iterator[Any]:
        """Yield all rows in order, as tables with the columns :data:`TIME` and :data:`NUMBER`; only once."""
        if self._held:
            self._flush()
        runs = [run for level in reversed(self._runs) for run in level]
        while len(runs) > _FAN_IN:
            runs = [self._merged(runs[:_FAN_IN]), *runs[_FAN_IN:]]
        yield from _merge(runs)

    def _flush(self) -> None:
        table = _in_order(self._held)
        self._held.clear()
        self._nbytes = 0
        runs = self._runs[0]
        if not runs or not runs[-1].goes_on_with(table):
            self._make_room()
            runs.append(_Run(self._scratch, table.schema))
        runs[-1].write(table)

    def _make_room(self) -> None:
        """Merge the runs of each level that is full into one of the next level."""
        for level, runs in enumerate(self._runs):
            if len(runs) < _FAN_IN:
                return
            if level + 1 == len(self._runs):
                self._runs.append([])
            self._runs[level + 1].append(self._merged(runs))
            runs.clear()

    def _merged(self, runs: list[_Run]) -> _Run:
        found = _Run(self._scratch, runs[0].schema)
        for table in _merge(runs):
            found.write(table)
        return found


class _Run:
    """Rows in order, in a file."""

    def __init__(self, scratch: Scratch, schema: Any) -> None:
        self.schema = schema
        self._file = scratch.file()
        self._writer = import_arrow().ipc.new_stream(self._file, schema)
        self._last: int | None = None

    def goes_on_with(self, table: Any) -> bool:
        """Whether rows in order, which came later, may be written behind those that are there."""
        return self._last is not None and table[TIME][0].as_py() >= self._last

    def write(self, table: Any) -> None:
        rows = max(1, table.num_rows * _PIECE // max(table.nbytes, 1))
        self._writer.write_table(table, max_chunksize=rows)
        self._last = table[TIME][-1].as_py()

    def read(self) -> Iterator[Any]:
        """Yield the rows, piece by piece."""
        self._writer.close()
        arrow = import_arrow()
        with self._file:
            self._file.seek(0)
            for batch in arrow.ipc.open_stream(self._file):
                yield arrow.Table.from_batches([batch])


def _in_order(tables: list[Any]) -> Any:
    table = import_arrow().concat_tables(tables)
    times, numbers = (table[name].to_numpy() for name in (TIME, NUMBER))
    if (times[1:] >= times[:-1]).all() and (numbers[1:] > numbers[:-1]).all():
        return table
    return table.take(np.lexsort((numbers, times)))


def _merge(runs: Iterable[_Run]) -> Iterator[Any]:
    """Yield the rows of runs in order.

    A piece of each is held. What comes before the last row of the piece that ends first can be told.
    """
    pieces = [run.read() for run in runs]
    held = [(piece, next(piece, None)) for piece in pieces]
    while held := [(piece, table) for piece, table in held if table is not None]:
        if len(held) == 1:
            [(piece, table)] = held
            yield table
            yield from piece
            return
        bound = min((table[TIME][-1].as_py(), table[NUMBER][-1].as_py()) for _, table in held)
        taken = [table.slice(0, _rows_until(table, bound)) for _, table in held]
        yield _in_order([part for part in taken if part.num_rows])
        held = [
            (piece, table.slice(part.num_rows) if part.num_rows < table.num_rows else next(piece, None))
            for (piece, table), part in zip(held, taken, strict=True)
        ]


def _rows_until(table: Any, bound: tuple[int, int]) -> int:
    """Return how many rows come before a time and a number, that row included."""
    times, numbers = (table[name].to_numpy() for name in (TIME, NUMBER))
    first, last = (int(np.searchsorted(times, bound[0], side)) for side in ("left", "right"))
    return first + int(np.searchsorted(numbers[first:last], bound[1], "right"))
