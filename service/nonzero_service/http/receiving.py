"""LongBodyReceiver: a long body of known length goes past the parser, from the socket into blocks of its own.

The parser would look for nothing in it, and hand it on as a copy of a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import numpy as np

LONG: Final = 1 << 18
"""From so many missing bytes on a body is received so."""

BLOCK: Final = 1 << 20
"""Bytes of a block; what arrives of a body a little at a time shares one."""


class LongBodyReceiver(asyncio.BufferedProtocol):
    """Stands in a connection's place before its transport until a body is whole.

    Parameters
    ----------
    connection
        The connection, which hears of everything but the bytes.
    missing
        How many bytes of the body have not come.
    take
        Is given them, piece by piece; a piece is never written to again. Returns whether more are wanted.
    end
        Called when all have come.
    """

    def __init__(
        self,
        connection: asyncio.Protocol,
        missing: int,
        take: Callable[[memoryview], bool],
        end: Callable[[], None],
    ) -> None:
        self._missing = missing
        self._take = take
        self._end = end
        self._block = memoryview(b"")
        self._filled = 0
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Say where the next bytes go: never so many that a next request's are among them."""
        if self._filled == len(self._block):
            # Not a bytearray, which is filled with zeros first.
            self._block = np.empty(min(BLOCK, self._missing), np.uint8).data
            self._filled = 0
        return self._block[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand bytes on."""
        start = self._filled
        if self._take(self._block[start : start + nbytes]):
            self._filled += nbytes
            self._missing -= nbytes
            if not self._missing:
                self._end()
