"""The file of a model's history: series of points of fixed size, each a ring, and one of events.

A start, a write and a look open it, and close it again. Nothing is synced: what a power cut takes of it makes
rows longer. Every record has a check, and one that was torn is passed over. A write goes over the oldest
record of its series; so the file never grows beyond :data:`NBYTES`, and takes no room for what is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nonzero_service.history.events import EVENT
from nonzero_service.history.points import POINT, whole_of
from nonzero_service.journal.files import FILE_MODE, write_durably

FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK
"""Whoever opens a pipe that stands in the file's place would wait for ever, and all learning with it."""

KEPT: Final = 1440
"""So many minutes, hours and days with examples are kept."""

BLOCKS: Final = 256
EVENTS: Final = 128
BEGINNINGS: Final = 16


class Ring(NamedTuple):
    """Records of one kind, in a ring."""

    start: int
    """Where the first of them is in the file."""
    slots: int
    dtype: np.dtype[np.void]
    stride: int
    """How far they are apart."""

    def place(self, number: int) -> int:
        """Return where the record of a number is."""
        return self.start + number % self.slots * self.stride

    @property
    def nbytes(self) -> int:
        """From the first to the end of the last."""
        return (self.slots - 1) * self.stride + self.dtype.itemsize


def _laid_out(*parts: tuple[int, DTypeLike, Sequence[str]]) -> dict[str, Ring]:
    """Lay out rings one after the other; those of a part within each other, so that the file grows slowly."""
    found, start = {}, 0
    for slots, dtype, names in parts:
        size = np.dtype(dtype).itemsize
        for place, name in enumerate(names):
            found[name] = Ring(start + place * size, slots, np.dtype(dtype), len(names) * size)
        start += slots * len(names) * size
    return found


SERIES: Final[Mapping[str, Ring]] = _laid_out(
    (BEGINNINGS, POINT, ["beginnings"]),
    (EVENTS, EVENT, ["events"]),
    (BLOCKS + 1, POINT, ["examples"]),
    (KEPT + 1, POINT, ["minute", "hour", "day"]),
)
"""All series. Of the beginnings each is what is to be added to the model's figures from there on."""

NBYTES: Final = max(ring.start + ring.nbytes for ring in SERIES.values())
"""The file is never larger."""


class HistoryFile:
    """The file of one model's history.

    Parameters
    ----------
    path
        It need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, *names: str) -> dict[str, NDArray[np.void]]:
        """Return the records of some series that are as they were written, in the order of their numbers.

        Raises
        ------
        OSError
            Where it cannot be read; a file that is not there has no records.
        """
        try:
            descriptor = os.open(self.path, FLAGS | os.O_RDONLY)
        except FileNotFoundError:
            return {name: np.zeros(0, SERIES[name].dtype) for name in names}
        try:
            return {name: _read(descriptor, SERIES[name]) for name in names}
        finally:
            os.close(descriptor)

    def write(self, records: Iterable[tuple[str, int, bytes]]) -> None:
        """Write records, of each the series, the number and what is kept.

        Raises
        ------
        OSError
            Where the disk refuses: some of them may be written.
        """
        descriptor = os.open(self.path, FLAGS | os.O_WRONLY | os.O_CREAT, FILE_MODE)
        try:
            for name, number, kept in records:
                _write(descriptor, kept, SERIES[name].place(number))
        finally:
            os.close(descriptor)

    def replace(self, records: Iterable[tuple[str, int, bytes]]) -> None:
        """Write a file of these records alone, in the place of what is there.

        Raises
        ------
        OSError
            Where the disk refuses: it is as before then.
        """
        whole = bytearray(NBYTES)
        for name, number, kept in records:
            place = SERIES[name].place(number)
            whole[place : place + len(kept)] = kept
        write_durably(self.path, bytes(whole))


def _read(descriptor: int, ring: Ring) -> NDArray[np.void]:
    raw, size = os.pread(descriptor, ring.nbytes, ring.start), ring.dtype.itemsize
    n = (len(raw) - size) // ring.stride + 1 if len(raw) >= size else 0
    found: NDArray[np.void] = np.ndarray(n, ring.dtype, raw, strides=(ring.stride,))
    found = whole_of(found[found["check"] != 0])
    return found[np.argsort(found["number"], kind="stable")]


def _write(descriptor: int, kept: bytes, place: int) -> None:
    written = os.pwrite(descriptor, kept, place)
    while written < len(kept):  # the disk is nearly full: the next try says so
        written += os.pwrite(descriptor, kept[written:], place + written)
