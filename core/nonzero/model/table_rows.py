"""A table by its touched rows, as it is saved and copied; wherever in memory they stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nonzero.model.table import AT_ONCE, Table
from nonzero.persistence.pages import take
from nonzero.persistence.rows import Touched


class TableRows:
    """The rows of a table by their slots; the number of slots stands for the intercept's.

    Parameters
    ----------
    table
        The table. Nothing else may spread it while rows are put.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """float32."""
        return self.table.memory.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and of the numbers in each."""
        return self.table.memory.shape

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return 2 * self.table.lanes

    @property
    def fill(self) -> int:
        """What an untouched row holds."""
        return 0

    @property
    def are_spread(self) -> bool:
        """Whether each row stands where its slot is."""
        return self.table.places is None

    def touched(self) -> Touched:
        """Return which rows hold a number that is not 0."""
        memory, places = self.table.standing
        if places is None:
            return Touched.in_rows(memory)
        standing = Touched.in_rows(memory[: places.taken + 1])
        slots = [places.slots[some] for some in standing.numbers()]
        slots.append(np.full(int(memory[-1].view(np.uint64).any()), self.table.slots, np.uint32))
        return Touched.of_numbers(np.sort(np.concatenate(slots)))

    def at(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of rows, float32[n, width]."""
        memory, places = self.table.standing
        return memory.take(numbers if places is None else places.of[numbers], axis=0)

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield all rows, some at a time. What was never touched takes no memory by it."""
        memory, places = self.table.standing
        if places is None:
            yield memory
            return
        for start in range(0, places.of.size, AT_ONCE):
            yield memory.take(places.of[start : start + AT_ONCE], axis=0)

    def expect(self, n: int) -> None:
        """Make ready for so many rows, at most, to be written."""
        if not self.table.has_room(n):
            self.table.spread()

    def take_for(self, n: int) -> None:
        """Take the memory that so many rows need which stand one behind the other."""
        memory, places = self.table.standing
        if places is not None:
            for array in (memory[: n + 1], places.of, places.slots[: n + 1]):
                take(array, array.nbytes)

    def put(self, numbers: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Write rows, ascending, each of which was untouched.

        Raises
        ------
        ValueError
            Where so many more do not stand one behind the other.
        """
        memory, places = self.table.standing
        if places is None:
            memory[numbers] = rows
            return
        if numbers.size and numbers[-1] == self.table.slots:
            memory[-1] = rows[-1]
            numbers, rows = numbers[:-1], rows[:-1]
        if not places.has_room(numbers.size):
            raise ValueError(f"{numbers.size} rows more do not stand one behind the other; spread the table")
        begin, end = places.taken + 1, places.taken + 1 + numbers.size
        memory[begin:end] = rows
        places.slots[begin:end] = numbers
        places.of[numbers] = np.arange(begin, end, dtype=np.uint32)
        places.taken += numbers.size

    def clear(self) -> None:
        """Make every row untouched."""
        memory, places = self.table.standing
        if places is None:
            memory[:] = 0
            return
        memory[: places.taken + 1] = memory[-1] = 0
        places.of[places.slots[1 : places.taken + 1]] = 0
        places.taken = 0
