"""A worker: a process that predicts from memory that it maps, and passes everything else on."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Final

import msgspec
import structlog
import uvicorn

from nonzero_service import logs, tracing
from nonzero_service.api.table import BY_WORKERS, DIRECT, READERS, TABLE
from nonzero_service.bodies.reading import Bodies
from nonzero_service.errors import ChannelError, WorkerError
from nonzero_service.http.dispatch import Dispatcher, way_of
from nonzero_service.http.min_sequence import ModelProgress
from nonzero_service.http.routing import model_of
from nonzero_service.listening import config_of
from nonzero_service.metrics.counts import Counts
from nonzero_service.predictor.mapped_models import MappedModels
from nonzero_service.predictor.parent_death import end_with_writer
from nonzero_service.problems import RETRY, Problem
from nonzero_service.server import LAST_SECONDS, Server, end_now
from nonzero_service.service import ServiceParts
from nonzero_service.settings import Settings
from nonzero_service.warming import warm_up
from nonzero_service.workers import messages
from nonzero_service.workers.channel import Channel, receive
from nonzero_service.workers.forwarding import OF_PROCESSES, Forwarder
from nonzero_service.workers.request_messages import KeepImpressions
from nonzero_service.writer.sequences import sequence_of

STANDARD_INPUT: Final = 0

TICK_SECONDS: Final = 1.0
"""How often the writer asks, or nearly."""

SILENT_TICKS: Final = 10
"""After so many, in which this process ran, without a word of the writer nobody waits for it any longer."""


class Worker(Server):
    """The server of a worker.

    Parameters
    ----------
    start
        What the writer says first.
    channel
        The socket to the writer.
    """

    def __init__(self, start: messages.StartWorker, channel: socket.socket) -> None:
        self.number = start.number
        self.counts = Counts()
        settings = Settings(**start.settings)
        self.models = MappedModels(self._keep, settings.recalibration == "on")
        self.counts.conflicts = self.models.take_conflicts
        self._socket = channel
        self._to_writer = Forwarder(self._connect, self.counts)
        self._silent = 0
        self._log = structlog.get_logger("workers")
        dispatcher = self._dispatcher(settings)
        super().__init__(config_of(dispatcher, dispatcher, settings, self.counts, "off"))

    def _dispatcher(self, settings: Settings) -> Dispatcher:
        self._bodies = Bodies(settings)
        parts = ServiceParts(settings, self.models, self._bodies, self.counts)
        predicting = {route: DIRECT[route](parts) for route in BY_WORKERS}
        progress = ModelProgress(self._sequence_of, settings.min_sequence_seconds, READERS)
        way = way_of(predicting, self._to_writer, lambda scope: self.models.has(model_of(scope)))
        return Dispatcher(TABLE, way, self.counts, progress)

    def _sequence_of(self, name: str) -> int:
        return sequence_of(self.models.get_readable(name).model)

    # -- beginning and ending --------------------------------------------------------------------------

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, when everything that a prediction runs was run once."""
        self._channel: Channel[messages.FromWriter] = Channel(
            self._socket, messages.FromWriter, self._heard, self._alone
        )
        self._watching = asyncio.create_task(self._watch())
        await asyncio.to_thread(warm_up)
        await uvicorn.Server.startup(self, sockets)
        self.accept()
        self._channel.send(messages.Ready())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the requests in flight."""
        await self._acceptor.close()
        await uvicorn.Server.shutdown(self, sockets)
        self._watching.cancel()
        self._tell_counts(0)
        self._to_writer.close()
        self._channel.close()
        self._bodies.close()

    def _alone(self, error: ChannelError | None) -> None:
        self.fail(error or WorkerError("the writer has ended"))

    async def _watch(self) -> None:
        """Notice when the writer says nothing any more: then what needs it is refused, not kept waiting."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._silent += 1
            if self._silent == SILENT_TICKS:
                self._log.error(
                    "the writer does not answer; what needs it is refused",
                    seconds=round(SILENT_TICKS * TICK_SECONDS),
                )
                self._to_writer.refuse(OF_PROCESSES.not_taken)

    # -- what the writer says --------------------------------------------------------------------------

    def _heard(self, message: messages.FromWriter, descriptors: list[int]) -> None:
        if len(descriptors) != isinstance(message, messages.MapModel):
            for one in descriptors:
                os.close(one)
            raise ChannelError(f"{type(message).__name__} came with {len(descriptors)} descriptors")
        match message:
            case messages.MapModel(name):
                try:
                    self.models.map(name, descriptors[0])
                except OSError as error:
                    self._log.warning(
                        "a model cannot be mapped; the writer predicts with it",
                        model=name,
                        reason=logs.described(error),
                    )
            case messages.UnmapModels():
                self.models.unmap_withdrawn()
            case messages.Ping(number):
                if self._silent >= SILENT_TICKS:
                    self._log.info("the writer answers again")
                    self._to_writer.refuse(None)
                self._silent = 0
                self._tell_counts(number)
            case messages.Stop():
                self.should_exit = True

    # -- what it is told -------------------------------------------------------------------------------

    async def _connect(self) -> socket.socket:
        """Make a connection for requests, and give the writer its end."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._channel.send(messages.Connect(), theirs.fileno())
        except BaseException:
            ours.close()
            raise
        return ours

    async def _keep(self, impressions: KeepImpressions) -> None:
        """Have the writer keep what was predicted with ids.

        Raises
        ------
        Problem
            What the writer answers where it cannot; but a model that was deleted meanwhile keeps nothing.
        """
        [kept] = await self._to_writer.keep(impressions)
        if kept.status not in (200, 404):
            raise Problem(kept.status, kept.detail, headers=RETRY if kept.status == 503 else ())

    def _tell_counts(self, number: int) -> None:
        """Answer a ping; what cannot go at once is kept for the next."""
        parts = self.counts.take() if self._channel.clear else []
        for part in parts:
            self._channel.send(messages.Pong(0, part))
        self._channel.send(messages.Pong(number, None, self.counts.in_flight()))


def main() -> None:
    """Be a worker, until the writer says to stop or ends."""
    channel = socket.socket(fileno=os.dup(STANDARD_INPUT))
    end_with_writer(channel, LAST_SECONDS, end_now)
    received = receive(channel)
    if not received.message or not received.whole:  # the writer has ended; or there is no descriptor free
        sys.exit(1)
    start = msgspec.msgpack.decode(received.message, type=messages.StartWorker)
    settings = Settings(**start.settings)
    logs.configure(settings.log_level, settings.log_format, worker=start.number)
    if settings.otel == "on":
        tracing.configure(**{"nonzero.worker": start.number})
    worker = Worker(start, channel)
    worker.run(sockets=[socket.socket(fileno=descriptor) for descriptor in received.descriptors])
    tracing.shutdown()
    sys.exit(0 if worker.failure is None else 1)
