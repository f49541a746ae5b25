"""The pool of workers, as the writer has it: it keeps them running, and tells them which models there are."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog
import uvicorn

from nonzero import LogisticRegression
from nonzero_service.errors import ChannelError, NotReadyError
from nonzero_service.listening import listen
from nonzero_service.logs import described
from nonzero_service.metrics.counts import InFlight
from nonzero_service.settings import Settings
from nonzero_service.workers.messages import Connect, FromWorker, MapModel, Pong, Ready, Stop, UnmapModels
from nonzero_service.workers.worker_process import WorkerProcess

COUNT_SECONDS: Final = 1.0
"""How long the metrics wait for what workers have counted."""

FIRST_RESPITE: Final = 0.5
"""Seconds before a worker that ended is replaced; twice as many each time that this happens again."""
LONGEST_RESPITE: Final = 30.0
WELL_SECONDS: Final = 30.0
"""A worker that has served so long is replaced as if it were the first."""

LAST_SECOND: Final = 1.0
"""Of the time that a stop may take, what is left when workers that have not ended are killed."""
REAP_SECONDS: Final = 0.5
"""How long the end of what was killed is waited for."""


OF_THE_WRITER: Final = frozenset({"source", "source_config"})
"""Settings that no worker has a use for: what it predicts from was learned elsewhere."""


class WorkerPool:
    """The workers of a service; with one process there are none. Used on the event loop.

    Parameters
    ----------
    settings
        How many processes, and where they listen.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.replaced = 0
        """How many have ended and were replaced, or are to be."""
        self._listeners: list[socket.socket] = []
        self._models: dict[str, LogisticRegression] = {}
        self._processes: dict[int, WorkerProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()
        self.complete = asyncio.Event()
        """Set when every worker has been ready once."""
        if not self.sharing:
            self.complete.set()
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
        self,
        server: uvicorn.Server,
        answer: Callable[[socket.socket], Coroutine[Any, Any, None]],
        count: Callable[[bytes], object],
    ) -> None:
        """Start every worker, once this process is warm.

        Parameters
        ----------
        server
            The writer's: when it is told to stop at once, workers are not waited for.
        answer
            Answers what comes over a worker's connection.
        count
            Told what workers have counted.
        """
        self._server = server
        self._answer = answer
        self._count = count
        for number in range(1, self.settings.workers):
            self._spawn(self._keep(number))

    def stop(self) -> None:
        """Tell every worker to end its requests and then itself."""
        self._ending.set()
        self.warm.set()
        for process in self._processes.values():
            process.send(Stop())
            if not process.spoke:  # it has no requests
                process.kill()

    async def end(self, seconds: float) -> float:
        """Stop every worker and wait for their end, but so long at most; return the seconds that are left."""
        self.stop()
        deadline = time.monotonic() + seconds
        last = deadline - min(LAST_SECOND, seconds / 4)
        while self._tasks and time.monotonic() < last and not self._server.force_exit:
            await asyncio.wait(self._tasks, timeout=0.1)
        for process in self._processes.values():
            self._log.error("a worker has not ended in time; it is killed", worker=process.number)
            process.kill()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=REAP_SECONDS)
        return deadline - time.monotonic()

    async def _keep(self, number: int) -> None:
        """Keep one worker running: replace what ends, and try again what cannot begin, ever later."""
        await self.warm.wait()
        respite = FIRST_RESPITE
        while not self._ending.is_set():
            try:
                settings = self.settings.model_dump(mode="json", exclude=OF_THE_WRITER)
                process = await WorkerProcess.start(number, settings, self._listeners, self._heard)
            except Exception as error:  # noqa: BLE001 - whatever it is may pass, and the service goes on
                self._log.error(
                    "a worker cannot be started; it is tried again",
                    worker=number,
                    reason=described(error),
                    seconds=respite,
                )
            else:
                self._processes[number] = process
                for name, model in self._models.items():
                    process.send(MapModel(name), model.share().descriptor)
                if self._ending.is_set():
                    process.kill()
                status = await process.attend()
                del self._processes[number]
                if self._ending.is_set():
                    return
                since = process.ready_since
                if since is not None and time.monotonic() - since > WELL_SECONDS:
                    respite = FIRST_RESPITE
                self._log.error(
                    "a worker has ended; another takes its place",
                    worker=number,
                    pid=process.process.pid,
                    status=status,
                    ready=since is not None,
                    seconds=respite,
                )
            self.replaced += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), respite)
            respite = min(2 * respite, LONGEST_RESPITE)

    # -- what workers are told -------------------------------------------------------------------------

    def offer(self, name: str, model: LogisticRegression) -> None:
        """Let workers predict with a model, whose memory is shared."""
        if self.sharing:
            self._models[name] = model
            for process in self._processes.values():
                process.send(MapModel(name), model.share().descriptor)

    def withdraw(self, name: str) -> None:
        """Let no worker begin another prediction with a model: when this returns, none does."""
        model = self._models.pop(name, None)
        if model is not None:
            model.share().withdraw()
            for process in self._processes.values():
                process.send(UnmapModels())

    # -- how they are ----------------------------------------------------------------------------------

    def check_ready(self) -> None:
        """Raise :class:`NotReadyError` until every worker has been ready once.

        Later a worker that is missing makes the service slower, not unready: those that there are answer.
        """
        if not self.complete.is_set():
            missing = self.settings.workers - 1 - self._begun()
            raise NotReadyError(f"{missing} of {self.settings.workers} processes are still starting")

    def _begun(self) -> int:
        return sum(process.ready_since is not None for process in self._processes.values())

    def states(self) -> dict[str, int]:
        """Return how many workers are ready, starting, silent (they do not answer) and missing."""
        found = {"ready": 0, "starting": 0, "silent": 0, "missing": 0}
        for process in self._processes.values():
            found["ready" if process.ready else "starting" if process.ready_since is None else "silent"] += 1
        found["missing"] = self.settings.workers - 1 - len(self._processes)
        return found

    def in_flight(self) -> Iterator[InFlight]:
        """Yield what each worker was answering when it was last asked."""
        return (process.in_flight for process in list(self._processes.values()))

    async def gather_counts(self) -> None:
        """Return when what all workers have counted was added to the writer's."""
        asked = [
            asyncio.ensure_future(process.report()) for process in self._processes.values() if process.ready
        ]
        if asked:
            _, late = await asyncio.wait(asked, timeout=COUNT_SECONDS)
            for one in late:
                one.cancel()

    # -- what workers tell -----------------------------------------------------------------------------

    def _heard(self, message: FromWorker, descriptors: list[int]) -> None:
        if len(descriptors) != isinstance(message, Connect):
            for one in descriptors:
                socket.close(one)
            raise ChannelError(f"{type(message).__name__} came with {len(descriptors)} descriptors")
        match message:
            case Ready():
                if self._begun() == self.settings.workers - 1:
                    self.complete.set()
            case Pong(_, counted) if counted is not None:
                try:
                    self._count(counted)
                except (msgspec.DecodeError, ValueError) as error:
                    raise ChannelError(f"what it has counted cannot be added: {error}") from error
            case Connect():
                self._spawn(self._answer(socket.socket(fileno=descriptors[0])))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
