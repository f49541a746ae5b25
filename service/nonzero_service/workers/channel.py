"""The channel between the writer and one worker: messages in order, descriptors with them.

It is a pair of Unix sockets that keep the borders of messages (``SOCK_SEQPACKET``). What was sent arrives,
once, or the channel has ended: so nothing that is said over it needs an acknowledgement.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import structlog

from nonzero_service.errors import ChannelError

T = TypeVar("T")

LARGEST: Final = 1 << 16
"""Bytes of a message."""
MOST_DESCRIPTORS: Final = 64


class Received(NamedTuple):
    """One message as it came."""

    message: bytes
    """Empty at the end."""
    descriptors: list[int]
    whole: bool
    """Whether all its descriptors are there: this process may have had no room for them."""


def send(sock: socket.socket, message: bytes, descriptors: list[int]) -> None:
    """Send one message; descriptors stay open here."""
    if descriptors:
        socket.send_fds(sock, [message], descriptors)
    else:
        sock.send(message)


def receive(sock: socket.socket) -> Received:
    """Receive one message.

    Raises
    ------
    ChannelError
        Where it is longer than messages are.
    """
    message, descriptors, flags, _ = socket.recv_fds(sock, LARGEST, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if flags & socket.MSG_TRUNC:
        _close(descriptors)
        raise ChannelError(f"a message has more than {LARGEST} bytes")
    return Received(message, list(descriptors), not flags & socket.MSG_CTRUNC)


class Channel(Generic[T]):
    """One end of a channel, on the event loop.

    Parameters
    ----------
    sock
        The socket; it is closed with the channel.
    kinds
        The type of the messages that come.
    heard
        Called with each message and its descriptors, which are then its own to close. It may raise
        :class:`ChannelError` where they are not what they should be.
    ended
        Called when the other end is gone, or cannot be understood: then with why. The channel is closed.
    """

    def __init__(
        self,
        sock: socket.socket,
        kinds: Any,
        heard: Callable[[T, list[int]], object],
        ended: Callable[[ChannelError | None], object],
    ) -> None:
        self._socket = sock
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._heard = heard
        self._ended = ended
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self.read)

    @property
    def clear(self) -> bool:
        """Whether what is sent now goes at once: nothing waits for the other end to read."""
        return self._open and not self._waiting

    def send(self, message: msgspec.Struct, *descriptors: int) -> None:
        """Send a message when there is room; to an end that is gone, nothing.

        Raises
        ------
        OSError
            Where it cannot be sent, nor kept until it can: there is no descriptor free. Nothing was sent.
        """
        if not self._open:
            return
        encoded = msgspec.msgpack.encode(message)
        if not self._waiting and self._sent(encoded, list(descriptors)):
            return
        self._waiting.append((encoded, _copies(descriptors)))
        self._loop.add_writer(self._socket, self._write)

    def close(self) -> None:
        """Close this end; may be called again."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            while self._waiting:
                _close(self._waiting.popleft()[1])

    def read(self) -> None:
        """Take what has come."""
        while self._open:
            try:
                received = receive(self._socket)
            except BlockingIOError:
                return
            except OSError:  # reset: an end as well
                received = Received(b"", [], whole=True)
            except ChannelError as error:
                self._end(error)
                return
            if not received.message:
                self._end(None)
                return
            try:
                self._take(received)
            except ChannelError as error:
                self._end(error)

    def _take(self, received: Received) -> None:
        try:
            message = self._decoder.decode(received.message)
        except msgspec.DecodeError as error:
            _close(received.descriptors)
            raise ChannelError(f"a message of {len(received.message)} bytes cannot be understood") from error
        if not received.whole:
            # The sender sees that what it handed over was closed, and has another way for each of them.
            _close(received.descriptors)
            structlog.get_logger("workers").warning(
                "no file descriptor is free for what another process hands over", what=type(message).__name__
            )
            return
        self._heard(message, received.descriptors)

    def _end(self, error: ChannelError | None) -> None:
        self.close()
        self._ended(error)

    def _write(self) -> None:
        while self._waiting:
            try:
                if not self._sent(*self._waiting[0]):
                    return
            except OSError as error:
                self._end(ChannelError(f"a message cannot be sent: {error.strerror}"))
                return
            _close(self._waiting.popleft()[1])
        self._loop.remove_writer(self._socket)

    def _sent(self, message: bytes, descriptors: list[int]) -> bool:
        """Send a message, if there is room now."""
        try:
            send(self._socket, message, descriptors)
        except BlockingIOError:
            return False
        except ConnectionError:  # the other end is gone, which the reader will tell
            pass
        return True


def _copies(descriptors: tuple[int, ...]) -> list[int]:
    copies: list[int] = []
    try:
        copies.extend(map(os.dup, descriptors))
    except OSError:
        _close(copies)
        raise
    return copies


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
