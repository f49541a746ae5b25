"""RecordReader: the records of impressions, out of memory or out of the journal's rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import NonzeroError
from nonzero_service.impressions.recent_rows import RecentRows
from nonzero_service.impressions.rows import ImpressionRow, offset_behind
from nonzero_service.impressions.segment import Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.unpacking import Part, Records, unpacked
from nonzero_service.journal.errors import StorageError

WORDS_A_READ: Final = 1 << 13
"""So many words of a row cost as much as another read of it does."""

UNREAD_SECONDS: Final = 60.0
"""For so long a row that cannot be read is tried again."""

PartReader = Callable[[int, int, int], bytes]
"""Returns some bytes of the body of the journal's row at a position: from an offset on, so many."""


class RecordReader:
    """Reads the records of one model's impressions; on the committer.

    Parameters
    ----------
    segments
        Say where each stands.
    unplaced
        What is not in the journal yet: by the segment's first number, and the row.
    read
        Reads the journal.
    """

    def __init__(
        self, segments: Segments, unplaced: Mapping[tuple[int, int], ImpressionRow], read: PartReader
    ) -> None:
        self.read = read
        """Reads the journal."""
        self.recent = RecentRows()
        self._segments = segments
        self._unplaced = unplaced
        self._unread: dict[int, float] = {}  # since when rows could not be read, by their positions

    def records(self, numbers: NDArray[np.int64], *, ids: bool = False) -> Records:
        """Read the records of impressions, in their order, with their ids where those are wanted.

        Those whose row could not be read for a minute are taken for damaged, so that others have their turn.

        Raises
        ------
        StorageError
            Where a row cannot be read, and it could a minute ago.
        """
        order = np.argsort(numbers, kind="stable")
        in_order = numbers[order]
        parts: list[Part] = []
        for segment, which in self._segments.parts(in_order):
            rows, first, stop = segment.spans(in_order[which] - segment.first)
            cuts = np.flatnonzero(rows[1:] != rows[:-1]) + 1
            for start, end in pairwise([0, *cuts.tolist(), rows.size]):
                parts += self._parts(segment, int(rows[start]), first[start:end], stop[start:end])
        found = unpacked(parts, ids=ids)
        if (in_order == numbers).all():
            return found
        back = np.empty(order.size, np.intp)
        back[order] = np.arange(order.size)
        return found.chosen(back)

    def _parts(
        self, segment: Segment, row: int, first: NDArray[np.int64], stop: NDArray[np.int64]
    ) -> Sequence[Part]:
        """Return where the records between some words of a row are found, which are in order."""
        sizes = stop - first
        there, usual = self._in_memory(segment, row), segment.usual[row]
        if there is not None:
            return [Part(there, first, sizes, usual)]
        begin, end = int(first[0]), int(stop[-1])
        if end - begin <= max(2 * int(sizes.sum()), WORDS_A_READ * sizes.size):
            return [Part(self._words(segment, row, begin, end), first - begin, sizes, usual)]
        return [
            Part(self._words(segment, row, one, end), np.zeros(1, np.int64), np.full(1, end - one), usual)
            for one, end in zip(first.tolist(), stop.tolist(), strict=True)
        ]

    def _in_memory(self, segment: Segment, row: int) -> NDArray[np.uint32] | None:
        """Return the words of a row, where they need not be read."""
        there = self._unplaced.get((segment.first, row))
        if there is not None:
            return there.words
        return self.recent.words(int(segment.positions[row]))

    def _words(self, segment: Segment, row: int, begin: int, end: int) -> NDArray[np.uint32]:
        """Read some words of a row: zeros, which no record's checksum is right for, where it cannot be."""
        position = int(segment.positions[row])
        try:
            data = self.read(position, offset_behind(segment.usual[row]) + 4 * begin, 4 * (end - begin))
        except (NonzeroError, OSError) as error:
            now = time.monotonic()
            if now - self._unread.setdefault(position, now) <= UNREAD_SECONDS:
                raise StorageError(f"impressions cannot be read: {error}") from error
            data = b""
        return np.frombuffer(data.ljust(4 * (end - begin), b"\0"), np.uint32)
