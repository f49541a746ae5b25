"""The pages of a column of a Parquet file, one after another, unpacked, in memory that is used again."""

from __future__ import annotations

import os
import zlib
from typing import Final, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from nonzero.formats.parquet_foot import GZIP, SNAPPY, UNPACKED, ColumnChunk
from nonzero.formats.parquet_kernels import NUMBERS, PADDING, read_header, unsnap
from nonzero.formats.thrift import DamagedError

_WINDOW: Final = 1 << 16
"""So many bytes of a column are read at once, where a page has no more."""

_LONGEST_HEADER: Final = 1 << 24

_TYPE, _UNPACKED_SIZE, _SIZE = 1, 2, 3
_DATA, _DICTIONARY, _DATA_2 = 5 * NUMBERS, 7 * NUMBERS, 8 * NUMBERS
_VALUES, _ENCODING, _ENCODING_2, _LEVELS_2, _REPETITIONS_2, _IS_PACKED = 1, 2, 4, 5, 6, 7
"""The numbers of what is needed of a header, as parquet.thrift has them."""


class Page(NamedTuple):
    """A page."""

    is_dictionary: bool
    values: int
    """How many it has, null among them."""
    encoding: int
    data: NDArray[np.uint8]
    """PADDING bytes stand behind it."""
    at: int
    end: int
    """Where in the data its values are, behind the levels where it has any."""
    levels: tuple[int, int] | None
    """Where in the data the levels are that say which values are null."""


NO_PAGE: Final = Page(False, 0, 0, np.zeros(PADDING, np.uint8), 0, 0, None)
"""A page before the first one."""


class Room:
    """Room for a page, which grows."""

    def __init__(self) -> None:
        self._array = np.empty(0, np.uint8)

    def of(self, size: int) -> NDArray[np.uint8]:
        """Return an array of so many bytes, and PADDING more at least; what it holds stays."""
        if self._array.size < size + PADDING:
            old = self._array
            self._array = np.empty(size + PADDING, np.uint8)
            self._array[: old.size] = old
        return self._array


class Pages:
    """The pages of one column.

    Parameters
    ----------
    descriptor
        The open file, which several read at once.
    optional
        Whether values may be null.
    dictionaries
        Where a dictionary is unpacked: it lasts until another one is, of whatever column.
    """

    def __init__(self, descriptor: int, dictionaries: Room, *, optional: bool) -> None:
        self._file = descriptor
        self._dictionaries = dictionaries
        self._optional = optional
        self._found = np.zeros(NUMBERS * NUMBERS, np.int64)
        self._window = np.empty(0, np.uint8)
        self._room = Room()
        self._at = self._held = 0  # what is held of the window, and not looked at yet
        self._next = self._left = 0  # what is not read yet of the chunk
        self._codec = UNPACKED

    def open(self, chunk: ColumnChunk) -> None:
        """Go on with another chunk."""
        self._at = self._held = 0
        self._next, self._left, self._codec = chunk.begin, chunk.size, chunk.codec

    def read(self) -> Page:
        """Return the next page, which lasts until the next one is asked for.

        Raises
        ------
        DamagedError
            Where there is none, or it is damaged.
        """
        found = self._found
        while True:
            self._read_header()
            packed, size = int(found[_SIZE]), int(found[_UNPACKED_SIZE])
            if packed < 0 or size < 0:
                raise DamagedError("a page has a negative length")
            self._need(packed)
            at, self._at = self._at, self._at + packed
            kind = int(found[_TYPE])
            if kind == 2:
                data, at, end = self._unpacked(at, packed, size, self._dictionaries)
                count, encoding = found[_DICTIONARY + _VALUES], found[_DICTIONARY + _ENCODING]
                return Page(True, int(count), int(encoding), data, at, end, None)
            if kind == 0:
                return self._of_first_kind(at, packed, size)
            if kind == 3:
                return self._of_second_kind(at, packed, size)

    def _of_first_kind(self, at: int, packed: int, size: int) -> Page:
        """Return a page whose levels are packed with its values, and say how long they are."""
        data, at, end = self._unpacked(at, packed, size, self._room)
        levels = None
        if self._optional:
            begin = at + 4
            at = begin + int.from_bytes(data[at:begin].tobytes(), "little")
            if at > end:
                raise DamagedError("the levels of a page are longer than it")
            levels = begin, at
        count, encoding = self._found[_DATA + _VALUES], self._found[_DATA + _ENCODING]
        return Page(False, int(count), int(encoding), data, at, end, levels)

    def _of_second_kind(self, at: int, packed: int, size: int) -> Page:
        """Return a page whose levels are not packed; the header says how long they are."""
        found = self._found[_DATA_2:]
        length = int(found[_LEVELS_2])
        if found[_REPETITIONS_2] or not 0 <= length <= min(packed, size):
            raise DamagedError("the levels of a page are longer than it")
        levels = (at, at + length) if self._optional else None
        packed, size = packed - length, size - length
        window = self._window
        if found[_IS_PACKED] and self._codec != UNPACKED and packed:
            data, begin, end = self._unpacked(at + length, packed, size, self._room)
            if levels is not None:  # into one array, behind the values
                stop = size + length
                data = self._room.of(stop)
                data[size:stop] = window[at : at + length]
                levels = size, stop
        else:
            data, begin, end = window, at + length, at + length + packed
        return Page(False, int(found[_VALUES]), int(found[_ENCODING_2]), data, begin, end, levels)

    def _read_header(self) -> None:
        """Read the header of the next page, however long it is."""
        wanted = 1
        while True:
            self._need(min(wanted, self._left + self._held - self._at))
            self._found[:] = 0
            self._found[_DATA_2 + _IS_PACKED] = 1
            end = read_header(self._window, self._at, self._held, self._found)
            if end >= 0:
                self._at = int(end)
                return
            wanted = 2 * max(self._held - self._at, 512)
            if not self._left or wanted > _LONGEST_HEADER:
                raise DamagedError("the header of a page is damaged, or not whole")

    def _need(self, size: int) -> None:
        """Have the window hold so many bytes that were not looked at."""
        rest = self._held - self._at
        if size <= rest and self._window.size:
            return
        if size > rest + self._left or not size:
            raise DamagedError("a page is not whole")
        capacity = max(size, min(_WINDOW, rest + self._left))
        old = self._window
        if old.size < capacity + PADDING:
            self._window = np.empty(capacity + PADDING, np.uint8)
        self._window[:rest] = old[self._at : self._held]
        self._at, self._held = 0, rest
        wanted = min(self._window.size - PADDING - rest, self._left)
        while wanted:
            read = os.preadv(self._file, [self._window.data[self._held : self._held + wanted]], self._next)
            if not read:
                raise DamagedError("the file ends within a page")
            self._held += read
            self._next += read
            self._left -= read
            wanted -= read

    def _unpacked(self, at: int, packed: int, size: int, room: Room) -> tuple[NDArray[np.uint8], int, int]:
        """Return where the unpacked bytes are, and where there they begin and end."""
        if self._codec == UNPACKED:
            return self._window, at, at + packed
        out = room.of(size)
        if self._codec == SNAPPY:
            if not unsnap(self._window, at, at + packed, size, out):
                raise DamagedError("a page that Snappy packed is damaged")
            return out, 0, size
        data = self._window.data[at : at + packed]
        try:
            plain = _ungzipped(data, size) if self._codec == GZIP else _unzstd(data, size)
        except (zlib.error, zstandard.ZstdError) as error:
            raise DamagedError(f"a page is damaged: {error}") from error
        if len(plain) != size:
            raise DamagedError(f"a page is said to have {size} bytes, and has {len(plain)}")
        out[:size] = np.frombuffer(plain, np.uint8)
        return out, 0, size


def _ungzipped(data: memoryview, size: int) -> bytes:
    return zlib.decompressobj(wbits=47).decompress(data, size + 1)


def _unzstd(data: memoryview, size: int) -> bytes:
    said = zstandard.frame_content_size(data)
    if said not in (-1, size):
        raise DamagedError(f"a page is said to have {size} bytes, and has {said}")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if size else b""
