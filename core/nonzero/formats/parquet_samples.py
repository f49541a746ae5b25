"""Some rows of a Parquet file as texts, column by column, and no more of them than are looked at."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.formats.arrow_kernels import NONE
from nonzero.formats.column_cells import NO_NULL, Cells
from nonzero.formats.parquet_columns import spans_in, texts_of_values
from nonzero.formats.parquet_foot import Foot, Group, Leaf
from nonzero.formats.parquet_pages import Room
from nonzero.formats.parquet_values import Values

_FIRST: Final = 200
"""So many rows are looked at first, which is enough for most columns."""

_THEN: Final = 2000


class Texts:
    """Texts of a column, which are made when they are looked at: a cell is the number of one.

    Parameters
    ----------
    leaf
        What stands in the file.
    """

    none = int(NONE)

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self._starts: list[int] = []
        self._parts: list[tuple[bytes, NDArray[np.int64]]] = []
        self._count = 0

    def __getitem__(self, number: int) -> bytes:
        if number == self.none:
            return b""
        part = bisect(self._starts, number) - 1
        data, spans = self._parts[part]
        place = 2 * (number - self._starts[part])
        return data[spans[place] : spans[place + 1]]

    def of_texts(self, data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[Cells, int]:
        """Return the numbers of texts; as :class:`~nonzero.formats.parquet_columns.Meant` says."""
        spans, stop = spans_in(data, at, end, n)
        return self._kept(data[at:stop].tobytes(), spans - at), stop

    def of_values(self, values: NDArray[Any]) -> Cells:
        """Return the numbers of what numbers, or truths, are as text; as the same says."""
        texts = [text.encode() for text in texts_of_values(values)]
        ends = np.cumsum([len(text) for text in texts])
        return self._kept(b"".join(texts), np.stack([ends - [len(text) for text in texts], ends], 1).ravel())

    def _kept(self, data: bytes, spans: NDArray[np.int64]) -> Cells:
        first, self._count = self._count, self._count + spans.size // 2
        self._starts.append(first)
        self._parts.append((data, spans))
        return Cells(np.arange(first, self._count, dtype=np.uint32), NO_NULL, {})


def samples_of(
    path: str | Path, foot: Foot, columns: Sequence[str], rows: int
) -> Iterator[list[tuple[str, Iterator[list[bytes]]]]]:
    """Yield the cells at three places of a file, or all of a small one.

    Parameters
    ----------
    path, foot
        The file, and its foot.
    columns
        Which of its columns.
    rows
        How many at each place.

    Yields
    ------
    list of (str, iterator)
        The name of each column, and its cells in parts, empty ones for null; no more is read than is used.

    Raises
    ------
    DamagedError, OSError
        From an iterator, where the bytes are damaged, or cannot be read.
    """
    groups = foot.groups
    if sum(group.rows for group in groups) <= 3 * rows:
        places = [groups]
    else:
        places = [[groups[place]] for place in sorted({0, len(groups) // 2, len(groups) - 1})]
    most = rows if len(places[0]) == 1 else 3 * rows
    for some in places:
        yield [
            (leaf.name, _cells(path, leaf, place, some, most))
            for place, leaf in enumerate(foot.leaves)
            if leaf.name in columns
        ]


def _cells(
    path: str | Path, leaf: Leaf, place: int, groups: Sequence[Group], most: int
) -> Iterator[list[bytes]]:
    with Path(path).open("rb") as file:
        texts = Texts(leaf)
        values = Values(file.fileno(), texts, Room())
        for group in groups:
            values.open(group.chunks[place], group.rows)
            left, count = min(group.rows, most), _FIRST
            while left:
                count = min(count, left)
                cells = values.take(np.empty(count, np.uint32)).words
                yield [texts[number] for number in cells.tolist()]
                left, count = left - count, _THEN
