"""Which impressions were clicked: clicks are joined by id, and by a window after the impression.

Both may be more than fit into memory. What is known of them, an id's hash and a time, is spilled to the disk,
by the highest bits of the hash, and joined part by part (a hash join by partitions: Graefe, "Query evaluation
techniques for large databases", ACM Computing Surveys 25, 1993, section 4.2). An id is known by 64 bits of
its hash: of a billion impressions two share them with a probability of 3 %.
"""

from __future__ import annotations

import mmap
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.sources.scratch import Scratch

PARTS: Final = 256

_SHIFT: Final = np.uint64(56)

_ROW: Final = np.dtype([("hash", "<u8"), ("time", "<i8"), ("number", "<i8")])

_BUFFER: Final = 1 << 19
"""So many rows are held before they are spilled."""

NEGATIVE, CLICKED, REPEATED = range(3)
"""What an impression is: not clicked in its window, clicked, or another one with the id of an earlier one."""


@dataclass
class JoinCounts:
    """What was counted."""

    impressions: int = 0
    """All of them."""
    positives: int = 0
    """Those that were clicked in their window."""
    negatives: int = 0
    repeated_impressions: int = 0
    """Those with the id of an earlier one: left out."""
    clicks: int = 0
    """All of them."""
    joined_clicks: int = 0
    """Those that made an impression a click."""
    repeated_clicks: int = 0
    """Further ones, in the window of an impression that was clicked before."""
    clicks_before: int = 0
    """Those before the impression with their id."""
    clicks_after: int = 0
    """Those after its window."""
    clicks_without: int = 0
    """Those without an impression."""

    def to_dict(self) -> dict[str, int]:
        """Return them by name."""
        return asdict(self)


class WindowJoin:
    """Joins clicks with impressions, once both are known.

    Parameters
    ----------
    window
        How long after an impression its click may come, in milliseconds; that moment included.
    scratch
        Where there is room for 25 bytes an impression and 24 a click.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
    ...     found = WindowJoin(60_000, scratch)
    ...     found.add_impressions(np.array([1, 2], np.uint64), np.array([0, 5000]))
    ...     found.add_clicks(np.array([2, 7], np.uint64), np.array([65_000, 9]))
    ...     labels, counts = found.join()
    >>> labels.tolist(), counts.positives, counts.clicks_without
    ([0, 1], 1, 1)
    """

    def __init__(self, window: int, scratch: Scratch) -> None:
        self._window = window
        self._scratch = scratch
        self._impressions, self._clicks = _Spill(scratch), _Spill(scratch)

    def add_impressions(self, hashes: NDArray[np.uint64], times: NDArray[np.int64]) -> None:
        """Add impressions; they are numbered from 0, in the order in which they are added.

        Parameters
        ----------
        hashes, times
            uint64[n], int64[n]: of their ids, and when they were, in milliseconds.
        """
        self._impressions.add(hashes, times)

    def add_clicks(self, hashes: NDArray[np.uint64], times: NDArray[np.int64]) -> None:
        """Add clicks.

        Parameters
        ----------
        hashes, times
            As of :meth:`add_impressions`.
        """
        self._clicks.add(hashes, times)

    def join(self) -> tuple[NDArray[np.uint8], JoinCounts]:
        """Return what each impression is, by its number, and what was counted.

        Returns
        -------
        uint8[n]
            :data:`NEGATIVE`, :data:`CLICKED` or :data:`REPEATED`; in memory that the system may write to the
            disk.
        JoinCounts
            What there was.
        """
        counts = JoinCounts(impressions=self._impressions.count, clicks=self._clicks.count)
        found = _bytes_on_disk(counts.impressions, self._scratch)
        for part in range(PARTS):
            impressions, clicks = self._impressions.part(part), self._clicks.part(part)
            impressions = impressions[
                np.lexsort((impressions["number"], impressions["time"], impressions["hash"]))
            ]
            is_first = np.ones(impressions.size, np.bool_)
            is_first[1:] = impressions["hash"][1:] != impressions["hash"][:-1]
            found[impressions["number"][~is_first]] = REPEATED
            counts.repeated_impressions += int((~is_first).sum())
            firsts = impressions[is_first]
            found[firsts["number"][self._clicked(firsts, clicks, counts)]] = CLICKED
        counts.positives = counts.joined_clicks
        counts.negatives = counts.impressions - counts.repeated_impressions - counts.positives
        return found, counts

    def _clicked(
        self, firsts: NDArray[np.void], clicks: NDArray[np.void], counts: JoinCounts
    ) -> NDArray[np.intp]:
        """Return which impressions were clicked in their window, and count what becomes of clicks."""
        places = np.searchsorted(firsts["hash"], clicks["hash"])
        there = places < firsts.size
        there[there] = firsts["hash"][places[there]] == clicks["hash"][there]
        counts.clicks_without += int((~there).sum())
        places = places[there]
        delays = clicks["time"][there] - firsts["time"][places]
        counts.clicks_before += int((delays < 0).sum())
        counts.clicks_after += int((delays > self._window).sum())
        within = places[(delays >= 0) & (delays <= self._window)]
        clicked = np.unique(within)
        counts.joined_clicks += clicked.size
        counts.repeated_clicks += within.size - clicked.size
        return clicked


class _Spill:
    """Rows on the disk, by the highest bits of their hashes."""

    def __init__(self, scratch: Scratch) -> None:
        self.count = 0
        self._held: list[NDArray[np.void]] = []
        self._waiting = 0
        self._file = scratch.file()
        self._starts: list[NDArray[np.int64]] = []  # of each piece, where each part begins; its end last

    def add(self, hashes: NDArray[np.uint64], times: NDArray[np.int64]) -> None:
        rows = np.empty(hashes.size, _ROW)
        rows["hash"], rows["time"] = hashes, times
        rows["number"] = np.arange(self.count, self.count + rows.size)
        self.count += rows.size
        self._held.append(rows)
        self._waiting += rows.size
        if self._waiting >= _BUFFER:
            self._write()

    def part(self, part: int) -> NDArray[np.void]:
        """Return the rows of a part, in the order in which they were added."""
        if self._held:
            self._write()
        pieces = [np.empty(0, _ROW)]
        for starts in self._starts:
            self._file.seek(int(starts[part]))
            pieces.append(np.frombuffer(self._file.read(int(starts[part + 1] - starts[part])), _ROW))
        return np.concatenate(pieces)

    def _write(self) -> None:
        rows = np.concatenate(self._held)
        self._held.clear()
        self._waiting = 0
        parts = (rows["hash"] >> _SHIFT).astype(np.intp)
        begin = self._file.seek(0, 2)
        sizes = np.bincount(parts, minlength=PARTS) * _ROW.itemsize
        self._starts.append(begin + np.concatenate([[0], np.cumsum(sizes)]))
        self._file.write(rows[np.argsort(parts, kind="stable")].tobytes())


def _bytes_on_disk(size: int, scratch: Scratch) -> NDArray[np.uint8]:
    """Return zeros in a file: what does not fit into memory goes there."""
    if not size:
        return np.zeros(0, np.uint8)
    file = scratch.file()
    file.truncate(size)
    return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
