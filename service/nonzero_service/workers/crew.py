"""The crew: the writer's side of its workers. It begins them, tells them what there is, and ends them."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from nonzero import LogisticRegression
from nonzero_service.errors import NotReadyError, WorkerError
from nonzero_service.listening import beside, inner_config_of, listen
from nonzero_service.settings import Settings
from nonzero_service.workers.channel import Channel
from nonzero_service.workers.forwarding import PassedOn
from nonzero_service.workers.messages import (
    Begin,
    Connect,
    Count,
    FromWorker,
    Offer,
    Ready,
    Stop,
    Sweep,
)

__all__ = ["Crew"]

COUNT_SECONDS: Final = 1.0
"""How long the metrics wait for what workers have counted."""

RESPITE: Final = 0.5
"""Seconds before a worker that ended is replaced."""


class Worker:
    """One worker, as the writer knows it."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.process = process
        self.ready = False
        self.counted = asyncio.Event()
        self.channel: Channel[FromWorker]


class Crew:
    """The workers of a service; with one process there are none. Used on the event loop.

    Parameters
    ----------
    settings
        How many processes, and where they listen.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._listeners: list[socket.socket] = []
        self._models: dict[str, LogisticRegression] = {}
        self._workers: dict[int, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self.warm = asyncio.Event()
        """Set when the writer has compiled what workers need: until then they would compile it too."""
        self._log = structlog.get_logger("workers")

    @property
    def sharing(self) -> bool:
        """Whether there are to be workers, so that models are kept where these can read them."""
        return self.settings.workers > 1

    # -- beginning and ending --------------------------------------------------------------------------

    def listen(self) -> list[socket.socket]:
        """Bind the address that all share, and return the writer's sockets.

        Raises
        ------
        AddressError
            Where the address is taken, or cannot be bound.
        """
        self._listeners = listen(self.settings.host, self.settings.port, self.sharing)
        return self._listeners

    async def begin(
        self, server: uvicorn.Server, reports: ASGIApp, on_failure: Callable[[Exception], None]
    ) -> None:
        """Start every worker, once this process is warm.

        Parameters
        ----------
        server
            The writer's: its application answers what workers pass on.
        reports
            The application that takes what workers report.
        on_failure
            Told when a worker could not begin: the service must end.
        """
        self._server = server
        self._passed_on = inner_config_of(PassedOn(server.config.loaded_app))
        self._reports = inner_config_of(reports)
        self._on_failure = on_failure
        # Not among the connections of the service, whose number is bounded; a stop waits for their requests.
        self._state = ServerState()
        self._state.tasks = server.server_state.tasks
        self._spawn(self._start_all())

    def stop(self) -> None:
        """Tell every worker to end its requests and then itself."""
        self._ending = True
        self.warm.set()
        for worker in self._workers.values():
            worker.channel.send(Stop())

    async def end(self, seconds: float) -> float:
        """Stop every worker and wait for their end, but so long at most; return the seconds that are left."""
        self.stop()
        deadline = time.monotonic() + seconds
        while self._tasks and time.monotonic() < deadline and not self._server.force_exit:
            await asyncio.wait(self._tasks, timeout=0.1)
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.process.kill()
        return deadline - time.monotonic()

    async def _start_all(self) -> None:
        await self.warm.wait()
        for number in range(1, self.settings.workers):
            if not self._ending:
                await self._start(number)

    async def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "nonzero_service.workers",
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        worker = Worker(number, process)
        worker.channel = Channel(ours, FromWorker, partial(self._heard, worker))
        listeners = [beside(one) for one in self._listeners]
        settings = self.settings.model_dump(mode="json")
        worker.channel.send(Begin(number, settings), *(one.fileno() for one in listeners))
        for one in listeners:
            one.close()
        self._workers[number] = worker
        for name, model in self._models.items():
            worker.channel.send(Offer(name), model.share().descriptor)
        if self._ending:
            worker.channel.send(Stop())
        self._spawn(self._watch(worker))

    async def _watch(self, worker: Worker) -> None:
        """Replace a worker that ends; one that ends before it was ready would do so again."""
        status = await worker.process.wait()
        worker.channel.close()
        del self._workers[worker.number]
        if self._ending:
            return
        if not worker.ready:
            self._on_failure(
                WorkerError(f"worker {worker.number} ended with status {status} before it was ready")
            )
            return
        self._log.error("a worker has ended; another takes its place", worker=worker.number, status=status)
        await asyncio.sleep(RESPITE)
        if not self._ending:
            await self._start(worker.number)

    # -- what workers are told -------------------------------------------------------------------------

    def offer(self, name: str, model: LogisticRegression) -> None:
        """Let workers predict with a model, whose memory is shared."""
        if self.sharing:
            self._models[name] = model
            for worker in self._workers.values():
                worker.channel.send(Offer(name), model.share().descriptor)

    def withdraw(self, name: str) -> None:
        """Let no worker begin another prediction with a model: when this returns, none does."""
        model = self._models.pop(name, None)
        if model is not None:
            model.share().withdraw()
            for worker in self._workers.values():
                worker.channel.send(Sweep())

    def check_ready(self) -> None:
        """Raise :class:`NotReadyError` while a worker is not ready."""
        missing = self.settings.workers - 1 - sum(worker.ready for worker in self._workers.values())
        if missing:
            raise NotReadyError(f"{missing} of {self.settings.workers} processes are still starting")

    async def gather_counts(self) -> None:
        """Return when what all workers have counted was added to the writer's."""
        asked = [worker for worker in self._workers.values() if worker.ready]
        for worker in asked:
            worker.counted.clear()
            worker.channel.send(Count())
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_SECONDS):
                for worker in asked:
                    await worker.counted.wait()

    def counted(self, number: int) -> None:
        """Note that a worker's counts were added."""
        if number in self._workers:
            self._workers[number].counted.set()

    # -- what workers tell -----------------------------------------------------------------------------

    def _heard(self, worker: Worker, message: FromWorker, descriptors: list[int]) -> None:
        match message:
            case Ready():
                worker.ready = True
                self._log.info("a worker is ready", worker=worker.number, pid=worker.process.pid)
            case Connect(reports):
                [descriptor] = descriptors
                self._spawn(self._adopt(descriptor, self._reports if reports else self._passed_on))

    async def _adopt(self, descriptor: int, config: uvicorn.Config) -> None:
        """Answer the requests that come over a connection."""

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self._state, app_state=self._server.lifespan.state
            )
            return made

        try:
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(protocol, sock)
        except OSError:  # the worker has gone meanwhile
            self._log.debug("a connection of a worker was lost", exc_info=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
