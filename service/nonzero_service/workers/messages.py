"""What the writer and a worker say to each other, beside the requests that are passed on."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Begin", "Connect", "FromWorker", "FromWriter", "Offer", "Ping", "Pong", "Ready", "Stop", "Sweep"]


class Begin(msgspec.Struct, tag=True):
    """To a worker, first of all; with the sockets to listen on."""

    number: int
    settings: dict[str, Any]


class Offer(msgspec.Struct, tag=True):
    """To a worker: map this model; with its memory."""

    name: str


class Sweep(msgspec.Struct, tag=True):
    """To a worker: let go of memory that was withdrawn."""


class Ping(msgspec.Struct, tag=True):
    """To a worker: say that you are there, and what you have counted."""

    number: int


class Stop(msgspec.Struct, tag=True):
    """To a worker: end the requests in flight, and then yourself."""


class Ready(msgspec.Struct, tag=True):
    """From a worker: it listens."""


class Connect(msgspec.Struct, tag=True):
    """From a worker: a connection on which requests will come; with the writer's end of it."""

    reports: bool
    """Whether they will be its own reports, and not what it passes on."""


class Pong(msgspec.Struct, tag=True):
    """From a worker: it is there, and has counted this since it said so last."""

    number: int
    """The ping's; 0 where more will follow, or where there was none."""
    counted: bytes | None
    """A part of it, as :meth:`nonzero_service.metrics.counts.Counts.take` makes them."""


FromWriter = Begin | Offer | Sweep | Ping | Stop
FromWorker = Ready | Connect | Pong
