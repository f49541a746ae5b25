"""Signs of life between two nodes, over a connection of their own.

A machine that has gone, a network that has parted and a process that is stopped look alike: nothing comes. A
connection that has something to send shows none of that for minutes, and one whose other end is slow shows
the same. So they beat on another one, on which nothing waits.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, TypeAlias

import msgspec

from nonzero_service.errors import ChannelError
from nonzero_service.workers.message_stream import MessageStream

TICK_SECONDS: Final = 0.5
"""How often who follows gives a sign of life, which is answered."""

# Ticks, not seconds: while this process is itself stopped, or has no processor, nobody is late.
SILENT_TICKS: Final = 6
"""After so many without one the other node is taken for gone."""

SILENT_SECONDS: Final = TICK_SECONDS * SILENT_TICKS


class NodeBeat(msgspec.Struct, tag=True):
    """A sign of life, and the answer to one."""


BeatStream: TypeAlias = MessageStream[NodeBeat]


async def beat(stream: BeatStream, *, asks: bool) -> bool:
    """Give signs of life until the other node gives none.

    Parameters
    ----------
    stream
        The connection; it is closed then.
    asks
        Whether this node gives them first; the other one answers each.

    Returns
    -------
    bool
        Whether it is silent; False where it has ended the connection.
    """
    heard = asyncio.Event()

    async def listen() -> None:
        with suppress(ConnectionError, ChannelError):
            while True:
                await stream.read()
                heard.set()
                if not asks:
                    stream.put(NodeBeat())

    listening, silent = asyncio.create_task(listen()), 0
    try:
        while silent < SILENT_TICKS:
            if asks:
                stream.put(NodeBeat())
            if (await asyncio.wait([listening], timeout=TICK_SECONDS))[0]:
                return False
            silent = 0 if heard.is_set() else silent + 1
            heard.clear()
        return True
    finally:
        listening.cancel()
        stream.abort()
