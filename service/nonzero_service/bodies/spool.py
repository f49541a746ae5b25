"""Spool: an answer that is written while the request's body is still being read.

Ordinary clients send their whole body before they read a byte of the answer. If the service stopped reading
because its answer is not being read, both would wait for ever. So writing never waits: what the client has
not taken waits in memory up to a bound, then in a temporary file that has no name and goes with the process.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from pathlib import Path
from typing import IO, Final

PIECE: Final = 1 << 18
"""So many bytes are read back from the file at once."""


class Spool:
    """A pipe of bytes whose writer never waits.

    Parameters
    ----------
    memory
        How many bytes may wait in memory.
    directory
        Where the temporary file is made, if it comes to that.
    """

    def __init__(self, memory: int, directory: Path) -> None:
        self._memory = memory
        self._directory = directory
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._file: IO[bytes] | None = None
        self._written = self._read = 0  # bytes of the file
        self.begun = False
        """Whether anything was ever written."""
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def spilled(self) -> bool:
        """Whether a file was needed."""
        return self._file is not None

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises
        ------
        OSError
            Where the disk refuses what does not fit into memory.
        """
        if not data:
            return
        self.begun = True
        # Once bytes are in the file, later ones must stand behind them until it has been read.
        if self._written > self._read or self._size + len(data) > self._memory:
            self._spill(data)
        else:
            self._pieces.append(data)
            self._size += len(data)
        self._changed.set()

    def end(self) -> None:
        """Say that nothing more comes."""
        self._ended = True
        self._changed.set()

    async def take(self) -> bytes:
        """Return the next bytes, waiting for some; empty at the end."""
        while not self._pieces and self._written == self._read:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            return data
        return self._unspill()

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _spill(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
        view = memoryview(data)
        self._file.seek(self._written)
        while view:
            count = self._file.write(view)
            self._written += count
            view = view[count:]

    def _unspill(self) -> bytes:
        assert self._file is not None  # noqa: S101 - what was written was written to it
        self._file.seek(self._read)
        data = self._file.read(PIECE)
        self._read += len(data)
        if self._read == self._written:
            self._file.truncate(0)
            self._read = self._written = 0
        return data
