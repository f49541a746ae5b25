"""Admission: how much is let in at once, decided before a body is read.

Refusing must be cheap, and early: what was read and parsed before it is refused takes the time of what could
be answered.
Updates find less room than predictions: when there is too much of both, predictions go on.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

STREAM_BYTES: Final = 4 << 20
"""What a stream may hold at once: what was read ahead of it, and what is being parsed."""

SHARE: Final = 0.75
"""Of the room, what everything but predictions may take."""

AGAIN: Final = ((b"retry-after", b"1"),)


class Capacity:
    """Counts what is in flight; used on the event loop.

    Parameters
    ----------
    settings
        How much may be.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_requests = settings.max_requests
        self._most_of_client = settings.max_requests_per_client
        self._most_bytes = int(settings.in_flight_bytes)
        self.requests = 0
        self.bytes = 0
        self._of_client: Counter[object] = Counter()

    def enter(self, client: object, nbytes: int, *, preferred: bool) -> None:
        """Let a request in.

        Parameters
        ----------
        client
            Whose it is; None: nobody's in particular.
        nbytes
            What it will hold.
        preferred
            Whether it may take the last of the room.

        Raises
        ------
        Problem
            503, or 429 where this client has too many.
        """
        share = 1 if preferred else SHARE
        if self.requests >= share * self._most_requests:
            raise Problem(503, f"{self.requests} requests are being answered; come again", headers=AGAIN)
        if self.bytes + nbytes > share * self._most_bytes and self.bytes:
            raise Problem(503, f"{self.bytes} bytes of bodies are held; come again", headers=AGAIN)
        if client is not None:
            if self._of_client[client] >= self._most_of_client:
                raise Problem(
                    429, f"{self._most_of_client} requests of yours are being answered already", headers=AGAIN
                )
            self._of_client[client] += 1
        self.requests += 1
        self.bytes += nbytes

    def hold(self, nbytes: int) -> None:
        """Hold more for a request that is in.

        Raises
        ------
        Problem
            503, where there is no room; nothing more is held then.
        """
        if self.bytes + nbytes > self._most_bytes:
            raise Problem(503, f"{self.bytes} bytes of bodies are held; come again", headers=AGAIN)
        self.bytes += nbytes

    def leave(self, client: object, nbytes: int) -> None:
        """Take it that a request has ended."""
        self.requests -= 1
        self.bytes -= nbytes
        if client is not None:
            left = self._of_client[client] - 1
            if left:
                self._of_client[client] = left
            else:
                del self._of_client[client]


class Admission:
    """What a request was let in with.

    Parameters
    ----------
    capacity
        Where it counts; None where it does not.
    client
        Whose it is.
    nbytes
        What it holds.
    """

    __slots__ = ("_capacity", "_client", "nbytes")

    def __init__(self, capacity: Capacity | None, client: object, nbytes: int) -> None:
        self._capacity = capacity
        self._client = client
        self.nbytes = nbytes

    def hold(self, nbytes: int) -> None:
        """Hold so many bytes in all, if it holds fewer.

        Raises
        ------
        Problem
            503, where there is no room for it.
        """
        if self._capacity is not None and nbytes > self.nbytes:
            self._capacity.hold(nbytes - self.nbytes)
            self.nbytes = nbytes

    def end(self) -> None:
        """Give back what was held."""
        if self._capacity is not None:
            self._capacity.leave(self._client, self.nbytes)
            self._capacity = None
