"""A stream of messages between a worker, or another node, and the writer: MessagePack, behind its length.

Whoever writes waits while the other end does not read, so that bodies of any length pass at the pace of who
takes them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from nonzero_service.errors import ChannelError

T = TypeVar("T")

LENGTH_BYTES: Final = 4

KEEP_ALIVE: Final = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
"""After so many seconds of silence the other machine is asked, so often, so many times.

Not TCP_USER_TIMEOUT: Linux ends a connection by it too whose other end lives and does not read for as long,
which is what a stream does whose client is slow. Who has to know sooner asks over a connection of its own
(:mod:`nonzero_service.cluster.beating`).
"""

_encoder: Final = msgspec.msgpack.Encoder()


class MessageStream(Generic[T]):
    """One end of a stream, on the event loop. Made by :meth:`open`.

    Parameters
    ----------
    reader, writer
        The ends of the connection.
    kinds
        The type of the messages that come.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kinds: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._length = 0

    @classmethod
    async def open(cls, sock: socket.socket, kinds: Any) -> Self:
        """Take over a connected socket, of this machine or to another, and close it in the end."""
        local = sock.family == socket.AF_UNIX
        try:
            sock.setblocking(False)
            if not local:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in KEEP_ALIVE.items():
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
            opened = asyncio.open_unix_connection(sock=sock) if local else asyncio.open_connection(sock=sock)
            return cls(*await opened, kinds)
        except BaseException:
            sock.close()
            raise

    @property
    def lost(self) -> bool:
        """Whether either end has closed the connection."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def read(self) -> T:
        """Return the next message. Where this is cancelled nothing is lost: the next call goes on.

        Raises
        ------
        ConnectionError
            Where the other end has closed the connection, in the middle of a message too.
        ChannelError
            Where the message cannot be understood.
        """
        try:
            if not self._length:
                self._length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES))
            encoded = await self._reader.readexactly(self._length)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the other process has closed the connection") from error
        except OSError as error:  # the other machine does not answer any more, or cannot be reached
            raise _lost(error) from error
        self._length = 0
        try:
            return self._decoder.decode(encoded)
        except msgspec.DecodeError as error:
            raise ChannelError(f"a message of {len(encoded)} bytes cannot be understood") from error

    async def write(self, *messages: msgspec.Struct) -> None:
        """Write messages; return when the other end has room for more.

        Raises
        ------
        ConnectionError
            Where either end has closed the connection.
        """
        self.put(*messages)
        try:
            await self._writer.drain()
        except OSError as error:
            raise _lost(error) from error

    def put(self, *messages: msgspec.Struct) -> None:
        """Write messages, and do not wait; where the connection is closed they are lost."""
        buffer = bytearray()
        for message in messages:
            start = len(buffer)
            _encoder.encode_into(message, buffer, start + LENGTH_BYTES)
            buffer[start : start + LENGTH_BYTES] = (len(buffer) - start - LENGTH_BYTES).to_bytes(LENGTH_BYTES)
        if not self._writer.is_closing():
            self._writer.write(buffer)

    def abort(self) -> None:
        """Close at once; the other end sees it. May be called again."""
        self._writer.transport.abort()


def _lost(error: OSError) -> ConnectionError:
    return error if isinstance(error, ConnectionError) else ConnectionResetError(str(error))
