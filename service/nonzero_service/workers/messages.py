"""What the writer and a worker say to each other, beside the requests that are passed on."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Begin", "Connect", "Count", "FromWorker", "FromWriter", "Offer", "Ready", "Stop", "Sweep"]


class Begin(msgspec.Struct, tag=True):
    """To a worker, first of all; with the sockets to listen on."""

    number: int
    settings: dict[str, Any]


class Offer(msgspec.Struct, tag=True):
    """To a worker: map this model; with its memory."""

    name: str


class Sweep(msgspec.Struct, tag=True):
    """To a worker: let go of memory that was withdrawn."""


class Count(msgspec.Struct, tag=True):
    """To a worker: send what you have counted."""


class Stop(msgspec.Struct, tag=True):
    """To a worker: end the requests in flight, and then yourself."""


class Ready(msgspec.Struct, tag=True):
    """From a worker: it listens."""


class Connect(msgspec.Struct, tag=True):
    """From a worker: a connection on which requests will come; with the writer's end of it."""

    reports: bool
    """Whether they will be its own reports, and not what it passes on."""


FromWriter = Begin | Offer | Sweep | Count | Stop
FromWorker = Ready | Connect
