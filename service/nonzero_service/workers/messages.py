"""What the writer and a worker say to each other, over their channel and over connections of requests."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "AnswerPart",
    "AnswerStart",
    "BodyPart",
    "BodyWanted",
    "Connect",
    "ForwardedRequest",
    "FromForwarder",
    "FromWorker",
    "FromWriter",
    "ImpressionsKept",
    "KeepImpressions",
    "MapModel",
    "Ping",
    "Pong",
    "Ready",
    "StartWorker",
    "Stop",
    "ToForwarder",
    "UnmapModels",
]

# -- over the channel ----------------------------------------------------------------------------------


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


FromWriter = StartWorker | MapModel | UnmapModels | Ping | Stop
FromWorker = Ready | Connect | Pong

# -- over a connection, from the worker ----------------------------------------------------------------


class ForwardedRequest(msgspec.Struct, tag=True):
    """A request that the writer is to answer: what its ASGI scope says of it."""

    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    http_version: str
    scheme: str
    headers: list[tuple[bytes, bytes]]
    may_not_teach: str | None
    """What the worker's guard has noted under :data:`~nonzero_service.http.guard.MAY_NOT_TEACH`."""

    @property
    def expects_continue(self) -> bool:
        """Whether the client sends the body only when it is told that this is wanted."""
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.headers)


class BodyPart(msgspec.Struct, tag=True):
    """A part of the request's body."""

    body: memoryview
    more: bool


class KeepImpressions(msgspec.Struct, tag=True):
    """Not a request: what the worker has predicted with ids, to be kept."""

    model: str
    batch: bytes
    """As the journal encodes batches."""
    text: bytes
    ends: bytes
    """int64[n + 1]: where in `text` the ids are."""
    given: bytes
    """bool[n]: which examples have one."""
    probabilities: bytes
    """float32[n]."""
    media: str
    shown: bytes
    """The beginning of the body, for the names in it."""


# -- over a connection, from the writer ----------------------------------------------------------------


class BodyWanted(msgspec.Struct, tag=True):
    """The writer reads the body of a request that said ``Expect: 100-continue``."""


class AnswerStart(msgspec.Struct, tag=True):
    """The status and the headers of the answer."""

    status: int
    headers: list[tuple[bytes, bytes]]


class AnswerPart(msgspec.Struct, tag=True):
    """A part of the answer's body."""

    body: bytes
    more: bool


class ImpressionsKept(msgspec.Struct, tag=True):
    """What came of impressions: an HTTP status, and why they are not kept."""

    status: int
    detail: str = ""


FromForwarder = ForwardedRequest | BodyPart | KeepImpressions
ToForwarder = BodyWanted | AnswerStart | AnswerPart | ImpressionsKept
