"""Messages pass between two machines as they do between two processes of one."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from nonzero_service.cluster.beating import SILENT_SECONDS
from nonzero_service.workers.message_stream import MessageStream
from nonzero_service.workers.request_messages import AnswerPart

PART = AnswerPart(bytes(1 << 20), True)


def test_who_reads_slowly_is_waited_for() -> None:
    """A window that stays closed is no silence, though it be so for longer than a node may be silent."""

    async def check() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        writing: MessageStream[AnswerPart] = await MessageStream.open(ours, AnswerPart)
        reading: MessageStream[AnswerPart] = await MessageStream.open(theirs, AnswerPart)
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(64):
                await writing.write(PART)
                written += 1

        task = asyncio.create_task(write())
        await asyncio.sleep(SILENT_SECONDS + 1)
        assert 0 < written < 64  # it waits
        assert not writing.lost
        for _ in range(64):
            assert (await reading.read()).body == PART.body
        await task
        for stream in (reading, writing):
            stream.abort()

    asyncio.run(check())


def test_a_machine_that_cannot_be_reached_any_more_is_a_lost_connection() -> None:
    """The system says of it that the time is over, or that there is no route."""

    async def check() -> None:
        ours, theirs = socket.socketpair()
        stream: MessageStream[AnswerPart] = await MessageStream.open(ours, AnswerPart)
        transport = stream._writer.transport
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        transport._fatal_error(OSError(errno.EHOSTUNREACH, "No route to host"))  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError, match="No route to host"):
            await reading
        with pytest.raises(ConnectionError):
            await stream.write(PART)
        assert stream.lost
        theirs.close()

    asyncio.run(check())
