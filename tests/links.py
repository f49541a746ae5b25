"""The network between two processes of this machine, as a test breaks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

__all__ = ["DatabaseLink", "Link"]

CHUNK = 2**18

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """Ports that lead to other ports, until it is told otherwise.

    Parameters
    ----------
    targets
        Ports of the loopback; :attr:`ports` are those that lead there, in the same order.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self._refused = False
        self._opened: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._servers = [self._wait(self._listen(target)) for target in targets]
        self.ports: list[int] = [server.sockets[0].getsockname()[1] for server in self._servers]
        self.heal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Drop all connections, and those that come: as a machine does that has gone from the network."""
        self._do(self._cut)

    def stall(self, *, there: bool = True, back: bool = True) -> None:
        """Let connections stand, and hold what is sent until :meth:`heal`, as a network does that has parted.

        Parameters
        ----------
        there
            Whether what is sent to the targets is held.
        back
            Whether their answers are.
        """
        for held, gate in ((there, self._there), (back, self._back)):
            if held:
                self._do(gate.clear)

    def heal(self) -> None:
        """Let all through: what was held arrives now."""
        self._do(self._heal)

    def close(self) -> None:
        """End it."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _do(self, act: Callable[[], object]) -> None:
        async def acting() -> None:
            act()

        self._wait(acting())

    def _cut(self) -> None:
        self._refused = True
        for writer in self._opened:
            writer.transport.abort()

    def _heal(self) -> None:
        self._refused = False
        self._there.set()
        self._back.set()

    async def _listen(self, target: int) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            with suppress(
                OSError, asyncio.CancelledError
            ):  # of which asyncio would say that nobody has seen it
                await self._serve((reader, writer), target)
            writer.transport.abort()
            self._tasks.discard(task)

        return await asyncio.start_server(serve, "127.0.0.1", 0, limit=CHUNK)

    async def _serve(self, near: Streams, target: int) -> None:
        if self._refused:
            return
        self._opened.add(near[1])
        far = await asyncio.open_connection("127.0.0.1", target, limit=CHUNK)
        self._opened.add(far[1])
        try:
            await asyncio.gather(
                self._pass_on(near[0], far[1], self._there), self._pass_on(far[0], near[1], self._back)
            )
        finally:
            far[1].transport.abort()
            self._opened -= {near[1], far[1]}

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await gate.wait()
                writer.write(data)
                await writer.drain()
        await gate.wait()
        with suppress(OSError):
            writer.write_eof()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were aborted are closed in the loop's next turn


class DatabaseLink(Link):
    """A way to a database.

    Parameters
    ----------
    url
        The database's address, with its servers on this machine; :attr:`url` is the address by this way.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        super().__init__([int(host.split(":")[1]) for host in hosts.split(",")])
        ways = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = parts._replace(netloc=f"{user}@{ways}").geturl()
