"""Rows that are kept where they were touched: of an array that is mostly as it was made, the rest.

A row counts as touched where some bit of it is another than it was in a model that has learned nothing.
Which rows those are is said by blocks of 64: the numbers of the blocks with a touched row, and for each a
word with a bit for every row. That takes 12 bytes a block, at most as many a row, and an eighth of a byte a
row where all are touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.places import BLOCK, mark

BLOCKS_AT_ONCE: Final = 1 << 10
"""So many blocks are gone through at once: 4 MB of a table of eight lanes."""

LINE: Final = 64
"""Bytes of a row of an array that has no rows of its own."""


@dataclass(frozen=True)
class Touched:
    """Which rows of an array were touched.

    Parameters
    ----------
    blocks
        uint32[n]: the numbers of the blocks of 64 rows with a touched one, ascending.
    masks
        uint64[n]: bit j of a block's word says whether its row j was touched; none is 0.
    """

    blocks: NDArray[np.uint32]
    masks: NDArray[np.uint64]

    @classmethod
    def in_rows(cls, rows: NDArray[Any], fill: int = 0) -> Self:
        """Return which of some C-contiguous rows have a bit unlike those of `fill`, which is 0 or -1."""
        masks = np.empty(-(-len(rows) // BLOCK), np.uint64)
        mark(rows.view(np.uint64), fill, masks)
        blocks = np.flatnonzero(masks)
        return cls(blocks.astype(np.uint32), masks[blocks])

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.uint32]) -> Self:
        """Return what has these rows, ascending."""
        blocks, starts = np.unique(numbers // np.uint32(BLOCK), return_index=True)
        bits = np.uint64(1) << (numbers % np.uint32(BLOCK)).astype(np.uint64)
        return cls(blocks, np.bitwise_or.reduceat(bits, starts) if starts.size else bits)

    @property
    def count(self) -> int:
        """How many rows were touched."""
        return int(np.bitwise_count(self.masks).sum())

    def numbers(self) -> Iterator[NDArray[np.int64]]:
        """Yield the numbers of the rows, ascending, some at a time."""
        for start in range(0, self.blocks.size, BLOCKS_AT_ONCE):
            masks = self.masks[start : start + BLOCKS_AT_ONCE].astype("<u8")
            bits = np.unpackbits(masks.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
            block, row = np.nonzero(bits)
            yield self.blocks[start + block].astype(np.int64) * BLOCK + row

    def copied_from(self, rows: WrittenRows) -> NDArray[Any]:
        """Return a copy of these rows of an array, [n, width], some of which are read at a time."""
        copies = np.empty((self.count, rows.width), rows.dtype)
        first = 0
        for numbers in self.numbers():
            copies[first : first + numbers.size] = rows.at(numbers)
            first += numbers.size
        return copies

    def check(self, rows: int) -> None:
        """Refuse what names no rows of an array of so many, or the same ones twice.

        Raises
        ------
        ValueError
            It says what is wrong.
        """
        if self.blocks.shape != self.masks.shape:
            raise ValueError(f"has {self.blocks.size} blocks and {self.masks.size} words for them")
        if not self.blocks.size:
            return
        if not (self.blocks[1:] > self.blocks[:-1]).all():
            raise ValueError("names its blocks twice, or not in ascending order")
        if not self.masks.all():
            raise ValueError("names a block without a row")
        last, bits = int(self.blocks[-1]), int(self.masks[-1])
        highest = last * BLOCK + bits.bit_length() - 1
        if highest >= rows:
            raise ValueError(f"names row {highest} of {rows}")


class WrittenRows(Protocol):
    """An array of which the touched rows are written to a file."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers in it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's own."""

    @property
    def width(self) -> int:
        """How many numbers a row has."""

    def touched(self) -> Touched:
        """Return which rows were touched."""

    def at(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of rows that were touched, [n, width], by their numbers, ascending."""


class Rows(WrittenRows, Protocol):
    """An array that is kept by its touched rows."""

    @property
    def fill(self) -> int:
        """0, or -1 where an untouched row has every bit set."""

    def expect(self, n: int) -> None:
        """Make ready for so many rows, at most, to be written."""

    def put(self, numbers: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Write rows, ascending, each of which was untouched."""

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the whole array, its rows in order, some at a time; a piece is good until the next."""


def count_of(rows: WrittenRows) -> int:
    """Return how many rows an array has, the untouched ones too."""
    return prod(rows.shape) // rows.width


class ArrayRows:
    """An array, seen as rows of at most some hundred bytes.

    Parameters
    ----------
    array
        C-contiguous. Of one with longer rows, and of one of one dimension, a row is 64 bytes.
    fill
        What all numbers of a new model's are: 0, or -1.
    among
        The numbers of rows, ascending, or how many first ones, among which are all that were touched, where
        somebody knows: the others are not looked at, which takes time, and of mapped memory pages.
    """

    def __init__(
        self, array: NDArray[Any], fill: int = 0, among: NDArray[np.uint32] | int | None = None
    ) -> None:
        self.array, self.fill, self._among = array, fill, among
        self._put: list[NDArray[np.int64]] = []
        short = array.ndim == 2 and array.shape[1] * array.itemsize <= 2 * LINE
        self._rows = array if short else array.reshape(-1, LINE // array.itemsize)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers in it."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's own."""
        return self.array.shape

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self._rows.shape[1])

    def touched(self) -> Touched:
        """Return which rows were touched."""
        among = self._among
        if not isinstance(among, np.ndarray):
            return Touched.in_rows(self._rows[:among], self.fill)
        found = Touched.in_rows(self._rows[among], self.fill)
        return Touched.of_numbers(np.concatenate([among[:0], *(among[some] for some in found.numbers())]))

    def at(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of rows, by their numbers."""
        return self._rows.take(numbers, axis=0)

    def expect(self, n: int) -> None:
        """Do nothing: all memory is there."""

    def put(self, numbers: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Write rows."""
        self._rows[numbers] = rows
        self._put.append(numbers)

    @property
    def written(self) -> NDArray[np.int64]:
        """The numbers of the rows that were written here."""
        return np.concatenate([np.empty(0, np.int64), *self._put])

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the array."""
        yield self.array
