"""Files of stores as files that are read at any place."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any

from nonzero.sources.store_files import FIRST, StoreFile


class StoreReader(io.RawIOBase):
    """A file that is read at any place.

    Parameters
    ----------
    file
        The file; its size is known.
    held
        Parts of it that were fetched before, each with where it begins.
    least
        So many bytes are fetched at least; they are kept until others are fetched.
    """

    def __init__(self, file: StoreFile, held: Iterable[tuple[int, bytes]] = (), least: int = FIRST) -> None:
        self._file = file
        self._size = file.size or 0
        self._held = sorted(held)
        self._last = (0, b"")
        self._least = least
        self._place = 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read at any place."""
        return True

    def tell(self) -> int:
        """Return where the next byte is."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError(f"there is no place {place} in a file")
        self._place = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, so many where there are as many."""
        left = max(self._size - self._place, 0)
        size = left if size is None or size < 0 else min(size, left)
        if not size:
            return b""
        start, end = self._place, self._place + size
        self._place = end
        for first, part in (self._last, *self._held):
            if first <= start and end <= first + len(part):
                return part[start - first : end - first]
        found = self._file.whole(start, min(max(end, start + self._least), self._size))
        self._last = (start, found)
        return found[:size]

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as there are bytes."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)
