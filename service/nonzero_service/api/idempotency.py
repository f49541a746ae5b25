"""Idempotency keys: a repeated request is recognised by its key and its bytes, and learned from once.

What is known of a key is journalled with the rows that its request brought, so it is as durable as they are.
A stream's bytes are digested up to the end of the last row of each piece; a stream that broke off is
recognised when its bytes pass the offset that was journalled last, and only the rows after that are learned
from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
import xxhash

from nonzero_service.errors import KeyInFlightError, KeyReusedError, KeyUnrecognisedError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.writer.work import StreamState

PATIENCE: Final = 10.0
"""Seconds for which a repeat waits for the request that is in flight."""


_NEWLINE: Final = 10


class Fingerprint:
    """The digest of a request's body as it is read, held against what is known of its key.

    Parameters
    ----------
    what
        How the body is read, which is digested too: its type, and for a table what the query says of columns.
    known
        What is known of the key; None for a new one.
    """

    def __init__(self, what: str, known: KeyRecord | None) -> None:
        self._digest = xxhash.xxh3_128(what.encode() + b"\n")
        self._known = known
        self._held = b""
        self.offset = 0
        """The bytes that are digested: those of whole lines."""
        self.known_lines = 0
        """The lines up to the offset that is known; for whoever has seen that it was :attr:`recognised`."""

    def update(self, data: bytes, unread: int) -> None:
        """Take more of the body.

        Parameters
        ----------
        data
            What follows on what was given before.
        unread
            How many bytes at the end of all that was given are no whole line, or record of a table, yet.

        Raises
        ------
        KeyReusedError
            Where it is another body than the one that is known.
        """
        end = len(data) - unread
        if end >= 0:
            self._take(self._held)
            self._take(memoryview(data)[:end])
            self._held = data[end:]
        else:
            whole = len(self._held) + end
            self._take(self._held[:whole])
            self._held = self._held[whole:] + data

    def finish(self) -> None:
        """Take the end of the body.

        Raises
        ------
        KeyReusedError
            Where it is another body than the one that is known, or ends before it.
        """
        self._take(self._held)
        self._held = b""
        known = self._known
        if known is not None and self.offset < known.offset:
            raise self.reused()

    @property
    def recognised(self) -> bool:
        """Whether all that is known of the key has been found in the body: until then nothing is new."""
        return self._known is None or self.offset >= self._known.offset

    def reused(self) -> KeyReusedError:
        """Return the error that says that the key came with another body before."""
        key = "" if self._known is None else self._known.key
        return KeyReusedError(
            f"the Idempotency-Key {key!r} was used with another body; send the same body, or a new key"
        )

    def unrecognised(self, found: int) -> KeyUnrecognisedError:
        """Return the error that says that other examples of what is known would be accepted now: `found`."""
        known = self._known
        assert known is not None  # noqa: S101 - else nothing could be other than before
        other = found if found != known.rows else "as many of other lines"
        return KeyUnrecognisedError(
            f"of the first {known.offset} bytes of this body {known.rows} examples were accepted when it "
            f"came first with the Idempotency-Key {known.key!r}, and {other} are acceptable now: settings "
            "have changed since that decide which (max_features, max_line_bytes, max_weight), or the release "
            f"has. Nothing of this request was learned. Send what follows byte {known.offset} with a new "
            "key, or the whole again when the settings are as they were"
        )

    def digest(self) -> bytes:
        """The digest of what was taken up to :attr:`offset`, 16 bytes."""
        return self._digest.digest()

    def _take(self, data: bytes | memoryview) -> None:
        known = self._known
        if known is not None and self.offset <= known.offset <= self.offset + len(data):
            cut = known.offset - self.offset
            self._digest.update(data[:cut])
            self._count(data[:cut], last=True)
            if self._digest.digest() != known.digest or (known.complete and cut < len(data)):
                raise self.reused()
            self._digest.update(data[cut:])
        else:
            self._digest.update(data)
            if known is not None and self.offset < known.offset:
                self._count(data, last=False)
        self.offset += len(data)

    def _count(self, data: bytes | memoryview, *, last: bool) -> None:
        """Count the lines of a part of what is known; the last of all may lack its end."""
        self.known_lines += int((np.frombuffer(data, np.uint8) == _NEWLINE).sum())
        if last and len(data) and data[-1] != _NEWLINE:
            self.known_lines += 1


class KeyLocks:
    """Lets one request with a key go at a time."""

    def __init__(self) -> None:
        self._in_flight: dict[tuple[int, str], asyncio.Event] = {}

    @asynccontextmanager
    async def hold(self, model: object, key: str) -> AsyncIterator[StreamState]:
        """Wait until no other request of a model with the key is in flight, and be the one.

        It ends when all that was submitted as its pieces has ended, whatever fails: before the journal
        knows of that, a repeat would learn from it again.

        Yields
        ------
        StreamState
            What all that is submitted for the request is a piece of.

        Raises
        ------
        KeyInFlightError
            Where the other one takes more than ten seconds.
        """
        lock = (id(model), key)
        try:
            async with asyncio.timeout(PATIENCE):
                while (other := self._in_flight.get(lock)) is not None:
                    await other.wait()
        except TimeoutError:
            raise KeyInFlightError(
                f"a request with the Idempotency-Key {key!r} is still being read; come again in a second"
            ) from None
        pieces = StreamState()  # whatever fails here is to leave the key free
        ended = asyncio.Event()
        self._in_flight[lock] = ended
        try:
            try:
                yield pieces
            finally:
                await pieces.ended()
        finally:
            del self._in_flight[lock]
            ended.set()
