"""The columns of Parquet files in stores: what is decoded is fetched, and no more."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from nonzero.sources.pipeline import ahead
from nonzero.sources.store_files import PART, SMALL, StoreFile
from nonzero.sources.store_reader import StoreReader

_FOOTER: Final = 1 << 18
"""So much of the end is fetched at once: it holds what is said of the columns, in most files."""

_GAP: Final = 1 << 19
"""Columns with so many bytes between them are fetched as one range: asking again would take longer."""

MOST_HELD: Final = 1 << 28
"""The columns of a row group are fetched as a whole, unless they are larger."""

_BEGUN: Final = 1 << 20
"""Of a column that is sampled so much is fetched: a dictionary, and a page."""

_HELD_BUFFER: Final = 1 << 16

_SPAN = tuple[int, int]


class StoreColumns:
    """What is fetched of a Parquet file.

    Parameters
    ----------
    file
        The file.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        size = file.size or 0
        start = 0 if size <= SMALL else size - _FOOTER
        self._end = [(start, file.whole(start, size))]
        self._begun: list[tuple[int, bytes]] = []
        self._groups: dict[int, list[tuple[int, bytes]]] = {}

    def opened(self, group: int | None) -> StoreReader:
        """Return the file, with what has been fetched of it.

        Parameters
        ----------
        group
            The row group that is read; None where samples are.
        """
        held = self._begun if group is None else self._groups.get(group, [])
        return StoreReader(self._file, [*self._end, *held], least=PART if group is not None else _BEGUN)

    def buffer(self, group: int | None) -> int:
        """Return how much of a column is read at once: little of what is in memory, much of what is not."""
        return _HELD_BUFFER if group is None or self._groups.get(group) else PART

    def ahead(
        self, metadata: Any, groups: Sequence[int], columns: Sequence[str]
    ) -> Generator[int, None, None]:
        """Yield row groups, some columns of which have been fetched; those of the next two are meanwhile.

        Parameters
        ----------
        metadata
            The file's, as pyarrow has it.
        groups
            Their numbers.
        columns
            The names of the columns.
        """
        self._begun = []
        with closing(ahead(self._fetched(metadata, groups, columns), 1)) as fetched:
            for group, parts in fetched:
                self._groups = {group: parts}
                yield group
        self._groups = {}

    def _fetched(
        self, metadata: Any, groups: Sequence[int], columns: Sequence[str]
    ) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
        for group in groups:
            spans = _joined(_spans(metadata.row_group(group), columns))
            whole = sum(end - start for start, end in spans) <= MOST_HELD
            yield group, self._fetch(spans) if whole else []

    def sample(self, metadata: Any, groups: Sequence[int], columns: Sequence[str]) -> None:
        """Fetch the beginnings of some columns in some row groups."""
        spans = [
            (start, min(end, start + _BEGUN))
            for group in groups
            for start, end in _spans(metadata.row_group(group), columns)
        ]
        self._begun = self._fetch(_joined(spans))

    def _fetch(self, spans: Sequence[_SPAN]) -> list[tuple[int, bytes]]:
        """Fetch spans, several at a time; large ones by parts, which are joined again."""
        [(first, held)] = self._end
        missing = [(start, end) for start, end in spans if not (first <= start and end <= first + len(held))]
        pieces = [
            (start, min(start + PART, end)) for first, end in missing for start in range(first, end, PART)
        ]
        found: list[tuple[int, bytes]] = []
        with closing(self._file.ranges(pieces)) as parts:
            for start, end in missing:
                count = -(-(end - start) // PART)
                found.append((start, b"".join([next(parts) for _ in range(count)])))
        return found


def _spans(group: Any, columns: Iterable[str]) -> Iterator[_SPAN]:
    """Yield where the columns of a row group lie in the file, in the file's order."""
    wanted = set(columns)
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.split(".")[0] in wanted:
            start = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            yield start, start + column.total_compressed_size


def _joined(spans: Iterable[_SPAN]) -> list[_SPAN]:
    """Return spans with small gaps between them as one."""
    joined: list[_SPAN] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] <= _GAP:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
