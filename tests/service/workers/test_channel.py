"""A channel brings each message once and whole, or ends; and no descriptor is left over."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from nonzero_service.errors import ChannelError
from nonzero_service.workers.channel import LARGEST, Channel
from nonzero_service.workers.messages import Connect, FromWorker, Pong, Ready

Check = Callable[["End"], Awaitable[None]]


class End:
    """One end of a channel that notes what it hears; the other is a bare socket."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.heard: list[tuple[FromWorker, list[int]]] = []
        self.ended: list[ChannelError | None] = []
        self.channel: Channel[FromWorker] = Channel(
            ours, FromWorker, lambda *heard: self.heard.append(heard), self.ended.append
        )

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(self.heard, self.ended)


def run(check: Check) -> None:
    """Check one end, and that as many descriptors are open afterwards as before."""

    async def checked() -> None:
        before = descriptors()
        end = End()
        try:
            await check(end)
        finally:
            end.channel.close()
            end.other.close()
        assert descriptors() <= before  # those of earlier tests may be closed meanwhile

    asyncio.run(checked())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def encoded(message: FromWorker) -> bytes:
    return msgspec.msgpack.encode(message)


@pytest.mark.parametrize(
    "message", [b"\xc1", b"x", encoded(Pong(1, b"some"))[:-2], bytes(LARGEST + 1), bytes(2 * LARGEST)]
)
@pytest.mark.parametrize("handed", [0, 2])
def test_what_cannot_be_understood_ends_it(message: bytes, handed: int) -> None:
    async def check(end: End) -> None:
        end.other.send(encoded(Ready()))
        socket.send_fds(end.other, [message], [end.other.fileno()] * handed)
        await end.until(lambda: end.ended)
        assert [type(message) for message, _ in end.heard] == [Ready]
        [error] = end.ended
        assert ("more than 65536" if len(message) > LARGEST else "understood") in str(error)
        assert not end.channel.clear

    run(check)


def test_what_was_said_before_the_end_is_heard() -> None:
    async def check(end: End) -> None:
        said = [Pong(n, b"counted") for n in range(5)]
        for message in said:
            end.other.send(encoded(message))
        end.other.close()
        end.channel.read()
        assert [message for message, _ in end.heard] == said
        assert end.ended == [None]

    run(check)


def test_what_the_other_end_does_not_read_waits_and_comes_in_order() -> None:
    async def check(end: End) -> None:
        sent = [Pong(n, bytes(1 << 12)) for n in range(200)]
        reading, writing = os.pipe()
        for message in sent:
            end.channel.send(message, writing)
        os.close(writing)
        assert not end.channel.clear
        came: list[Pong] = []
        end.other.setblocking(False)
        while len(came) < len(sent):
            await asyncio.sleep(0)
            with suppress(BlockingIOError):
                received, [descriptor], _, _ = socket.recv_fds(end.other, LARGEST, 1)
                os.close(descriptor)
                came.append(msgspec.msgpack.decode(received, type=Pong))
        assert came == sent
        assert end.channel.clear
        assert os.read(reading, 1) == b""  # no copy is open
        os.close(reading)

    run(check)


def test_what_there_is_no_descriptor_for_is_passed_over() -> None:
    async def check(end: End) -> None:
        reading, writing = os.pipe()
        socket.send_fds(end.other, [encoded(Connect())], [writing])
        os.close(writing)
        end.other.send(encoded(Ready()))
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))  # no new one is below it
        try:
            end.channel.read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, most)
        assert [type(message) for message, _ in end.heard] == [Ready]
        assert not end.ended
        assert os.read(reading, 1) == b""  # who sent it sees that nobody has it
        os.close(reading)

    run(check)
