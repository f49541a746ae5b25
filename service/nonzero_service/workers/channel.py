"""The channel between the writer and one worker: messages in order, descriptors with them.

It is a pair of Unix sockets that keep the borders of messages (``SOCK_SEQPACKET``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

__all__ = ["Channel", "receive", "send"]

T = TypeVar("T")

LARGEST: Final = 1 << 16
"""Bytes of a message."""
MOST_DESCRIPTORS: Final = 64


def send(sock: socket.socket, message: bytes, descriptors: list[int]) -> None:
    """Send one message; descriptors stay open here."""
    if descriptors:
        socket.send_fds(sock, [message], descriptors)
    else:
        sock.send(message)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one message and the descriptors that came with it; an empty one at the end."""
    message, descriptors, _, _ = socket.recv_fds(sock, LARGEST, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return message, list(descriptors)


class Channel(Generic[T]):
    """One end of a channel, on the event loop.

    Parameters
    ----------
    sock
        The socket; it is closed with the channel.
    kinds
        The type of the messages that come.
    heard
        Called with each message and its descriptors, which are then its own to close.
    ended
        Called when the other end is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        kinds: Any,
        heard: Callable[[T, list[int]], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self._socket = sock
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._heard = heard
        self._ended = ended
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    def send(self, message: msgspec.Struct, *descriptors: int) -> None:
        """Send a message when there is room; to an end that is gone, nothing."""
        if self._open:
            copies = [os.dup(descriptor) for descriptor in descriptors]
            self._waiting.append((msgspec.msgpack.encode(message), copies))
            self._write()

    def close(self) -> None:
        """Close this end; may be called again."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            while self._waiting:
                _close(self._waiting.popleft()[1])

    def _read(self) -> None:
        while self._open:
            try:
                message, descriptors = receive(self._socket)
            except BlockingIOError:
                return
            except OSError:  # reset: an end as well
                message = b""
            if not message:
                self.close()
                self._ended()
                return
            self._heard(self._decoder.decode(message), descriptors)

    def _write(self) -> None:
        while self._waiting:
            message, descriptors = self._waiting[0]
            try:
                send(self._socket, message, descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._write)
                return
            except OSError:  # the other end is gone, which the reader will tell
                pass
            self._waiting.popleft()
            _close(descriptors)
        self._loop.remove_writer(self._socket)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
