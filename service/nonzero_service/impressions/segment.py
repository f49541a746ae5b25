"""A segment: a million impressions in two files, and what is known of them in memory."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.index import enter, find, leave
from nonzero_service.impressions.packing import PredictedRows, packed
from nonzero_service.impressions.unpacking import Records, unpacked, walk
from nonzero_service.journal.files import FILE_MODE

CAPACITY: Final = 1 << 20
"""How many impressions a segment takes. An id is looked for in each segment: they should be few."""

MAX_WORDS: Final = 1 << 28
"""How large its file may become, in words: 1 GiB."""

NAME: Final = re.compile(r"(\d{20})\.rows")

PIECE: Final = 1 << 24
"""So many words of it are read at once at a start, many times the longest record."""


class ImpressionState(IntEnum):
    """What has become of an impression: one byte of a file, any two of them four bits apart.

    So a flipped bit makes a byte that is none of these, and is taken for ``DAMAGED``.
    """

    PENDING = 0x00
    """Its window is open."""
    NEGATIVE = 0x0F
    """Its label was 0."""
    CLICKED = 0x33
    """Its label was 1."""
    EXPIRED = 0x3C
    """Its window ended, and it was learned from as a negative."""
    THINNED = 0x55
    """Its window ended, and it was not learned from: it was not kept, or was held and then discarded."""
    CORRECTED = 0x5A
    """Its window had ended, and then its click came."""
    DAMAGED = 0x66
    """Its record is not what was written: it is not used."""
    CLAIMED = 0xFF
    """What it becomes is on its way to the journal; in memory only."""


_KNOWN: Final = np.isin(
    np.arange(256), [state for state in ImpressionState if state != ImpressionState.CLAIMED]
)


class Segment:
    """Impressions with the numbers from `first` on. Used under the store's lock.

    Parameters
    ----------
    directory
        Where its files are.
    first
        The number of its first impression.
    new
        Whether it is begun; else it is read, and takes no more.

    Raises
    ------
    OSError
        Where the disk refuses; of what was to be begun, nothing stays.
    """

    def __init__(self, directory: Path, first: int, *, new: bool) -> None:
        self.first = first
        self.used = 0
        self.path = directory / f"{first:020}.rows"
        self._states_path = self.path.with_suffix(".states")
        with ExitStack() as opened:
            self._rows = self._opened(self.path, opened, new=new)
            self._bytes = self._opened(self._states_path, opened, new=new)
            if new:
                os.posix_fallocate(self._bytes, 0, CAPACITY)
                self._allocate(CAPACITY)
            else:
                self._read()
            opened.pop_all()

    @staticmethod
    def _opened(path: Path, opened: ExitStack, *, new: bool) -> int:
        """Open one of the files; a new one is empty, and goes again where the others fail."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if new else 0)
        descriptor = os.open(path, flags, FILE_MODE)
        if new:
            opened.callback(_remove, path)
        opened.callback(os.close, descriptor)
        return descriptor

    def _allocate(self, n: int) -> None:
        # Zeros take no memory until they are written to.
        self.hashes = np.zeros(n, np.uint64)
        self.times = np.zeros(n, np.int64)
        self._ends = np.zeros(n, np.int64)
        self.states = np.zeros(n, np.uint8)
        self._index = np.zeros(1 << max(2 * n - 1, 1).bit_length(), np.uint32)

    def _read(self) -> None:
        """Take over what the files hold."""
        hashes, times, ends = _walked(self.path)
        n = hashes.size
        self._allocate(n)
        self.times[:], self._ends[:] = times, ends
        self.used = int(enter(hashes, self.hashes, self._index, 0, np.ones(n, np.uint8)))
        if self.used != n:  # two alike: another's file, or damage
            self.hashes[:] = hashes
            self.used = n
        states: NDArray[np.uint8] = np.frombuffer(os.pread(self._bytes, n, 0), np.uint8)
        self.states[: states.size] = np.where(_KNOWN[states], states, ImpressionState.DAMAGED)

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.used == self.hashes.size or self.words >= MAX_WORDS

    @property
    def words(self) -> int:
        """The length of its records."""
        return int(self._ends[self.used - 1]) if self.used else 0

    @property
    def next(self) -> int:
        """The number after its last."""
        return self.first + self.used

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return int64[n]: the place of each hash in this segment, -1 where it is not here."""
        places = np.full(hashes.size, -1, np.int64)
        find(hashes, self.hashes, self._index, places)
        return places

    def keep(self, predictions: PredictedRows) -> int:
        """Keep predictions whose ids are not here yet; the others are not `fresh` then. Return how many.

        Raises
        ------
        OSError
            Where the disk refuses; nothing is changed then.
        """
        start, used = self.words, self.used
        stop = int(enter(predictions.hashes, self.hashes, self._index, used, predictions.fresh))
        if stop > used:
            try:
                words = packed(predictions, start, self._ends[used:stop])
                _write(self._rows, words.view(np.uint8).data, 4 * start)
            except BaseException:
                leave(self.hashes, self._index, used, stop)
                raise
            self.times[used:stop] = predictions.time_ms
            self.used = stop
        return stop - used

    def settle_on_disk(self, places: NDArray[np.int64], states: NDArray[np.uint8]) -> None:
        """Write to the file what has become of impressions."""
        order = np.argsort(places, kind="stable")
        at, values = places[order], states[order]
        # Runs of neighbours, as expiry makes them, are written at once.
        breaks = np.flatnonzero(np.diff(at) != 1) + 1
        for run in np.split(np.arange(at.size), breaks):
            if run.size:
                os.pwrite(self._bytes, values[run].tobytes(), int(at[run[0]]))

    def read(self, places: NDArray[np.int64], *, anyway: bool = False) -> Records:
        """Read records back from the file.

        Parameters
        ----------
        places
            int64[n]: which.
        anyway
            Whether one that the disk refuses to read is taken for damaged.

        Raises
        ------
        OSError
            Where the disk refuses, unless `anyway`.
        """
        ends = self._ends[places]
        starts = np.where(places > 0, self._ends[np.maximum(places, 1) - 1], 0)
        sizes = ends - starts
        near = places.size and int(ends[-1] - starts[0]) <= 2 * int(sizes.sum())
        if near and not anyway and (np.diff(places) > 0).all():
            data = self._read_at(4 * int(starts[0]), 4 * int(ends[-1] - starts[0]))
            at = starts - starts[0]
        else:
            pieces = zip((4 * starts).tolist(), (4 * sizes).tolist(), strict=True)
            data = b"".join([self._read_at(start, size, anyway=anyway) for start, size in pieces])
            at = np.cumsum(sizes) - sizes
        words: NDArray[Any] = np.frombuffer(data, np.uint32)
        return unpacked(words, at, sizes)

    def _read_at(self, start: int, size: int, *, anyway: bool = False) -> bytes:
        """Read some bytes of its records: zeros, which no record's checksum is right for, beyond the end."""
        try:
            data = os.pread(self._rows, size, start)
        except OSError:
            if not anyway:
                raise
            data = b""
        return data.ljust(size, b"\0")

    def sync_rows(self) -> None:
        """Make its records durable."""
        os.fdatasync(self._rows)

    def sync_states(self) -> None:
        """Make durable what has become of them."""
        os.fdatasync(self._bytes)

    def close(self) -> None:
        """Close the files."""
        try:
            os.close(self._rows)
        finally:
            os.close(self._bytes)

    def remove(self) -> None:
        """Close and delete the files."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._states_path.unlink(missing_ok=True)


def firsts_in(directory: Path) -> list[int]:
    """Return the numbers of the first impressions of the segments in a directory, in order.

    Other names are passed over; a directory that is not there has none.

    Raises
    ------
    NotADirectoryError
        Where it is no directory.
    """
    if not directory.exists():
        return []
    return sorted(int(match[1]) for path in directory.iterdir() if (match := NAME.fullmatch(path.name)))


def pending_in(directory: Path) -> int:
    """Count the impressions in a directory that wait for their label; a service may be writing there.

    Raises
    ------
    OSError
        Where a file cannot be read.
    """
    pending = 0
    for first in firsts_in(directory):
        path = directory / f"{first:020}.rows"
        with suppress(FileNotFoundError):  # just now forgotten
            hashes, _, _ = _walked(path)
            states = np.fromfile(path.with_suffix(".states"), np.uint8, hashes.size)
            pending += int((states == ImpressionState.PENDING).sum())
    return pending


def _walked(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the hash, the time and the end of each record of a file, up to one that was cut short."""
    hashes, times = np.empty(CAPACITY, np.uint64), np.empty(CAPACITY, np.int64)
    ends = np.empty(CAPACITY, np.int64)
    n, end, found = 0, 0, 1
    while found:
        words: NDArray[np.uint32] = np.fromfile(path, np.uint32, PIECE, offset=4 * end)
        found = int(walk(words, hashes[n:], times[n:], ends[n:]))
        ends[n : n + found] += end
        n += found
        end = int(ends[n - 1]) if n else 0
    return hashes[:n], times[:n], ends[:n]


def _remove(path: Path) -> None:
    """Remove a file, if that can be."""
    with suppress(OSError):
        path.unlink()


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
