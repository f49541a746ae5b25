"""The values of a column of a Parquet file as cells, as many rows at a time as are asked for."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError
from nonzero.formats.arrow_types import Meaning
from nonzero.formats.column_cells import NO_NULL, Cells
from nonzero.formats.parquet_columns import Meant
from nonzero.formats.parquet_foot import DICTIONARY, PLAIN, RUNS, ColumnChunk
from nonzero.formats.parquet_kernels import STATE, look_up, read_levels, spread
from nonzero.formats.parquet_pages import NO_PAGE, Page, Pages, Room
from nonzero.formats.thrift import DamagedError

M = TypeVar("M", bound=Meant)


class Values(Generic[M]):
    """Reads one column, chunk by chunk.

    Parameters
    ----------
    descriptor
        The open file.
    column
        What makes cells of what stands there.
    dictionaries
        Where dictionaries are unpacked, one at a time.

    Attributes
    ----------
    column
        As given.
    """

    def __init__(self, descriptor: int, column: M, dictionaries: Room) -> None:
        self.column = column
        self._pages = Pages(descriptor, dictionaries, optional=column.leaf.optional)
        self._dictionary: Cells | None = None
        self._entries = Cells(np.empty(0, np.uint32), NO_NULL, {})
        self._state = np.zeros(STATE, np.int64)
        self._page = NO_PAGE
        self._levels = self._said = NO_NULL
        self._coded = False
        self._size = self._known = 0
        self._width = self._at = self._left = self._rest = self._rows = 0

    def open(self, chunk: ColumnChunk, rows: int) -> None:
        """Go on with the column's part of another row group, which has so many rows."""
        self._pages.open(chunk)
        self._dictionary, self._left, self._rows = None, 0, rows

    def take(self, room: NDArray[np.uint32]) -> Cells:
        """Return the cells of the next rows.

        Parameters
        ----------
        room
            uint32[n]: where they are to be, one for each row.

        Raises
        ------
        DamagedError
            Where there are not so many, or the bytes are damaged.
        """
        wrong: dict[int, InputError] = {}
        parts: list[NDArray[np.uint8]] = []
        done = 0
        while done < room.size:
            if not self._left:
                self._turn()
            count = min(self._left, room.size - done)
            levels = self._levels[self._levels.size - self._left :][:count]
            cells = room[done : done + count]
            there = int(levels.sum()) if levels.size else count
            bad = self._read(cells[:there])
            if there < count:
                spread(levels, there, self.column.none, cells)
                parts += [np.ones(done - sum(part.size for part in parts), np.uint8), levels.copy()]
            if bad:
                rows = np.flatnonzero(levels) if levels.size else np.arange(count)
                wrong.update((done + int(rows[place]), error) for place, error in bad.items())
            self._left -= count
            done += count
        if not parts:
            return Cells(room, NO_NULL, wrong)
        parts.append(np.ones(done - sum(part.size for part in parts), np.uint8))
        return Cells(room, np.concatenate(parts), wrong)

    def _turn(self) -> None:
        """Go on to the next page that has values."""
        page = self._pages.read()
        while page.is_dictionary:
            if page.encoding not in (PLAIN, *DICTIONARY) or page.values < 0 or self._dictionary is not None:
                raise DamagedError("a dictionary is none")
            self._page, self._at = page, page.at
            self._dictionary = _padded(self._plain(page.values))
            self._size = page.values
            page = self._pages.read()
        self._page, self._left, self._at = page, page.values, page.at
        if not 0 <= page.values <= self._rows:
            raise DamagedError(f"a page has {page.values} values, where {self._rows} are left")
        self._rows -= page.values
        self._levels, self._rest = NO_NULL, page.values
        if page.levels is not None:
            if self._said.size < page.values:
                self._said = np.empty(page.values, np.uint8)
            levels = self._said[: page.values]
            there = read_levels(page.data, *page.levels, levels)
            if there < 0:
                raise DamagedError("what says which values of a page are null is damaged")
            if there < page.values:
                self._levels, self._rest = levels, int(there)
        self._begin_values(page)

    def _begin_values(self, page: Page) -> None:
        """Look how the values of a page are written."""
        truths = self.column.leaf.meaning is Meaning.TRUTH
        at, end = page.at, page.end
        self._coded = truths or page.encoding in DICTIONARY
        if not self._rest:
            return
        if page.encoding in DICTIONARY and self._dictionary is not None and at < end:
            self._entries, self._width = self._dictionary, int(page.data[at])
            self._known = self._size
            self._state[:] = at + 1, 0, 0, 0
        elif truths and page.encoding in (PLAIN, RUNS):
            self._entries, self._width, self._known = self.column.of_values(np.array([False, True])), 1, 2
            # All values are one run, or runs stand behind their length.
            self._state[:] = (end, 8 * (end - at), 1, 8 * at) if page.encoding == PLAIN else (at + 4, 0, 0, 0)
        elif page.encoding != PLAIN or truths:
            raise DamagedError(f"a page has the encoding {page.encoding}")
        if self._coded and (self._width > 32 or not self._known):
            raise DamagedError("codes stand for nothing")

    def _read(self, cells: NDArray[np.uint32]) -> dict[int, InputError]:
        """Write the next values that are there; return what is wrong with them."""
        if not cells.size:
            return {}
        if not self._coded:
            found = self._plain(cells.size)
            cells[:] = found.words
            return found.wrong
        words, wrong = self._entries.words, self._entries.wrong
        if not wrong:
            self._look_up(words, cells)
            return {}
        self._look_up(np.arange(words.size, dtype=np.uint32), cells)
        places = np.flatnonzero(np.isin(cells, list(wrong))).tolist()
        bad = {place: wrong[int(cells[place])] for place in places}
        cells[:] = words[cells]
        return bad

    def _look_up(self, entries: NDArray[np.uint32], cells: NDArray[np.uint32]) -> None:
        page = self._page
        if look_up(page.data, page.end, self._state, self._width, entries, self._known, cells) < cells.size:
            raise DamagedError("a code is none of its dictionary, or is missing")

    def _plain(self, n: int) -> Cells:
        """Return the cells of the next values, which stand one after another."""
        data, end, leaf = self._page.data, self._page.end, self.column.leaf
        if leaf.meaning is Meaning.TEXT:
            if n > end - self._at:
                raise DamagedError("a page has fewer values than it says")
            cells, self._at = self.column.of_texts(data, self._at, end, n)
            return cells
        dtype = np.dtype(leaf.dtype).newbyteorder("<")
        stop = self._at + n * dtype.itemsize
        if leaf.meaning is not Meaning.NUMBER or stop > end:
            raise DamagedError("a page has fewer values than it says")
        values = data[self._at : stop].view(dtype)
        self._at = stop
        return self.column.of_values(values)


def _padded(entries: Cells) -> Cells:
    """Return the entries of a dictionary, and others behind them, so that a power of two can be looked up."""
    size = entries.words.size
    words = np.zeros(1 << max(size - 1, 0).bit_length(), np.uint32)
    words[:size] = entries.words
    return entries._replace(words=words)
