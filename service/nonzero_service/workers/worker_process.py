"""One worker process as the writer has it: started, asked each second whether it lives, and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, Self

import msgspec
import structlog

from nonzero_service.errors import ChannelError
from nonzero_service.listening import beside
from nonzero_service.metrics.counts import InFlight
from nonzero_service.workers.channel import Channel
from nonzero_service.workers.messages import FromWorker, Ping, Pong, Ready, StartWorker

TICK_SECONDS: Final = 1.0
"""How often it is asked."""

# Ticks, not seconds: while this process is itself stopped, or has no processor, nobody is late.
SILENT_TICKS: Final = 10
"""After so many without a word it is killed: its event loop answers beside all that it does."""
START_TICKS: Final = 60
"""So many it has to say its first word: it imports all before."""


class WorkerProcess:
    """One worker process. Made by :meth:`start`.

    Parameters
    ----------
    number
        Which worker it is.
    process
        The process.
    heard
        Called with what it says, beside what is heard here.
    """

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        heard: Callable[[FromWorker, list[int]], object],
    ) -> None:
        self.number = number
        self.process = process
        self.ready_since: float | None = None
        """When it said that it listens, by the monotonic clock."""
        self.spoke = False
        """Whether it has said a word: its event loop runs."""
        self.in_flight = InFlight()
        """What it was answering when it was last asked."""
        self._heard = heard
        self._channel: Channel[FromWorker]
        self._silent = 0
        self._asked = self._answered = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._log = structlog.get_logger("workers").bind(worker=number, pid=process.pid)

    @classmethod
    async def start(
        cls,
        number: int,
        settings: dict[str, Any],
        addresses: list[socket.socket],
        heard: Callable[[FromWorker, list[int]], object],
    ) -> Self:
        """Start a process, and tell it what to do.

        Parameters
        ----------
        number, heard
            See above.
        settings
            The service's.
        addresses
            Sockets that are bound to where it is to listen.

        Raises
        ------
        OSError
            Where there is no process, no memory or no descriptor for it; nothing of it is left.
        """
        with ExitStack() as stack:
            listeners = [stack.enter_context(beside(one)).fileno() for one in addresses]
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(theirs)
            unused = stack.enter_context(ExitStack())
            unused.enter_context(ours)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "nonzero_service.predictor",
                str(os.getpid()),
                stdin=theirs.fileno(),
                start_new_session=True,
            )
            unused.pop_all()  # from here on the channel closes it
            made = cls(number, process, heard)
            made._channel = Channel(ours, FromWorker, made._hear, made._end)
            made.send(StartWorker(number, settings), *listeners)
        return made

    @property
    def ready(self) -> bool:
        """Whether it listens, and was there when it was last asked."""
        return self.ready_since is not None and self._silent <= 1

    def send(self, message: msgspec.Struct, *descriptors: int) -> None:
        """Send a message; a process that cannot be told is ended."""
        try:
            self._channel.send(message, *descriptors)
        except OSError as error:
            self._end(ChannelError(f"a message cannot be sent: {error.strerror}"))

    def kill(self) -> None:
        """End the process now; a stopped one too."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def attend(self) -> int:
        """Ask it again and again whether it lives; return its exit status when it has ended."""
        ending = asyncio.ensure_future(self.process.wait())
        while not (await asyncio.wait([ending], timeout=TICK_SECONDS))[0]:
            self._tick()
        self._channel.read()  # its last words
        self._channel.close()
        self._ended = True
        self._changed.set()
        return ending.result()

    async def report(self) -> None:
        """Return when all is taken over that it has counted until now; or it has ended."""
        asked = self._ping()
        while self._answered < asked and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    def _ping(self) -> int:
        self._asked += 1
        self.send(Ping(self._asked))
        return self._asked

    def _tick(self) -> None:
        self._silent += 1
        bound = SILENT_TICKS if self.spoke else START_TICKS
        if self._silent > bound:
            if self._silent == bound + 1:
                self._log.error("a worker does not answer; it is ended", seconds=round(bound * TICK_SECONDS))
            self.kill()
        elif self._answered == self._asked:
            self._ping()

    def _hear(self, message: FromWorker, descriptors: list[int]) -> None:
        self._silent = 0
        self.spoke = True
        match message:
            case Ready():
                self.ready_since = time.monotonic()
                self._log.info("a worker is ready")
            case Pong(number, _, in_flight) if number:
                self.in_flight = in_flight
                self._answered = number
                self._changed.set()
        self._heard(message, descriptors)

    def _end(self, error: ChannelError | None) -> None:
        """Take it that the channel has ended: the process has too, or will, or is to be ended."""
        if error is not None:
            self._channel.close()
            self._log.error("a worker cannot be understood; it is ended", reason=str(error))
            self.kill()
