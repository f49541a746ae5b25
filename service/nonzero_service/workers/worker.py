"""A worker: a process that predicts from memory that it maps, and passes everything else on."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Final

import msgspec
import uvicorn

from nonzero_service import logs
from nonzero_service.errors import WorkerError
from nonzero_service.listening import config_of
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem
from nonzero_service.routes.learning import prediction_route
from nonzero_service.routes.shortcut import Shortcut
from nonzero_service.server import Server
from nonzero_service.service import Parts
from nonzero_service.settings import Settings
from nonzero_service.warming import warm_up
from nonzero_service.wire.bodies import Bodies
from nonzero_service.workers.channel import Channel, receive
from nonzero_service.workers.forwarding import Forwarder
from nonzero_service.workers.mapped import MappedModels
from nonzero_service.workers.messages import Begin, Connect, Count, FromWriter, Offer, Ready, Stop, Sweep

__all__ = ["main"]

STANDARD_INPUT: Final = 0


class Worker(Server):
    """The server of a worker.

    Parameters
    ----------
    begin
        What the writer says first.
    channel
        The socket to the writer.
    """

    def __init__(self, begin: Begin, channel: socket.socket) -> None:
        self.number = begin.number
        self.counts = Counts()
        settings = Settings(**begin.settings)
        self.models = MappedModels(self._keep, settings.recalibration == "on")
        self.counts.conflicts = self.models.take_conflicts
        self._socket = channel
        self._to_writer = Forwarder(lambda sock: self._connect(sock, reports=False))
        self._reporting = Forwarder(lambda sock: self._connect(sock, reports=True))
        self._tasks: set[asyncio.Task[None]] = set()
        app = self._application(settings)
        super().__init__(config_of(app, app.at_once, settings, self.counts, "off"))

    def _application(self, settings: Settings) -> Shortcut:
        self._bodies = Bodies(settings)
        parts = Parts(settings, self.models, self._bodies, self.counts)
        return Shortcut(self._to_writer, [prediction_route(parts)], self.counts, self.models.has)

    # -- beginning and ending --------------------------------------------------------------------------

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, when everything that a prediction runs was run once."""
        self._channel: Channel[FromWriter] = Channel(self._socket, FromWriter, self._heard, self._alone)
        await asyncio.to_thread(warm_up)
        await uvicorn.Server.startup(self, sockets)
        self.accept()
        self._channel.send(Ready())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the requests in flight."""
        await self._accepting.close()
        await uvicorn.Server.shutdown(self, sockets)
        self._channel.close()
        self._bodies.close()

    def _alone(self) -> None:
        self.fail(WorkerError("the writer has ended"))

    # -- what the writer says --------------------------------------------------------------------------

    def _heard(self, message: FromWriter, descriptors: list[int]) -> None:
        match message:
            case Offer(name):
                self.models.map(name, descriptors[0])
            case Sweep():
                self.models.sweep()
            case Count():
                task = asyncio.get_running_loop().create_task(self._report_counts())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Stop():
                self.should_exit = True

    # -- what it is told -------------------------------------------------------------------------------

    def _connect(self, sock: socket.socket, reports: bool) -> None:
        self._channel.send(Connect(reports), sock.fileno())

    async def _keep(self, model: str, impressions: bytes) -> None:
        """Have the writer keep what was predicted with ids.

        Raises
        ------
        Problem
            What the writer answers where it cannot; but a model that was deleted meanwhile keeps nothing.
        """
        status, answer = await self._reporting.post(f"/impressions/{model}", impressions)
        if status not in (200, 404):
            raise Problem(status, msgspec.json.decode(answer, type=str))

    async def _report_counts(self) -> None:
        await self._reporting.post(f"/counts/{self.number}", self.counts.take())


def main() -> None:
    """Be a worker, until the writer says to stop or ends."""
    channel = socket.socket(fileno=os.dup(STANDARD_INPUT))
    message, descriptors = receive(channel)
    if not message:  # the writer has ended before it began
        sys.exit(1)
    begin = msgspec.msgpack.decode(message, type=Begin)
    settings = Settings(**begin.settings)
    logs.configure(settings.log_level, settings.log_format, worker=begin.number)
    worker = Worker(begin, channel)
    worker.run(sockets=[socket.socket(fileno=descriptor) for descriptor in descriptors])
    sys.exit(0 if worker.failure is None else 1)
