"""What the writer and a worker say to each other over their channel."""

from __future__ import annotations

from typing import Any

import msgspec

from nonzero_service.metrics.counts import InFlight


class StartWorker(msgspec.Struct, tag=True):
    """To a worker, first of all; with the sockets to listen on."""

    number: int
    settings: dict[str, Any]


class MapModel(msgspec.Struct, tag=True):
    """To a worker: map this model; with the descriptor of its memory."""

    name: str


class UnmapModels(msgspec.Struct, tag=True):
    """To a worker: unmap the models that were withdrawn."""


class Ping(msgspec.Struct, tag=True):
    """To a worker: say that you are there, and what you have counted."""

    number: int


class Stop(msgspec.Struct, tag=True):
    """To a worker: end the requests in flight, and then yourself."""


class Ready(msgspec.Struct, tag=True):
    """From a worker: it listens."""


class Connect(msgspec.Struct, tag=True):
    """From a worker: requests will come over a connection; with the descriptor of the writer's end."""


class Pong(msgspec.Struct, tag=True):
    """From a worker: it is there, and has counted this since it said so last."""

    number: int
    """The ping's; 0 where more will follow, or where there was none."""
    counted: bytes | None
    """A part of it, as :meth:`nonzero_service.metrics.counts.Counts.take` makes them."""
    in_flight: InFlight = InFlight()
    """What it is answering, where the number is a ping's."""


FromWriter = StartWorker | MapModel | UnmapModels | Ping | Stop
FromWorker = Ready | Connect | Pong
