"""What passes over the connections of requests, between a worker, or another node, and the writer.

Nodes of two releases may speak to each other: a change of what stands here is a new number of the protocol
(:mod:`nonzero_service.cluster.handshake`).
"""

from __future__ import annotations

from typing import Any

import msgspec

# -- from the worker ----------------------------------------------------------------------------------


class ForwardedRequest(msgspec.Struct, tag=True):
    """A request that the writer is to answer."""

    scope: dict[str, Any]
    """What its ASGI scope says of it."""

    @property
    def expects_continue(self) -> bool:
        """Whether the client sends the body only when it is told that this is wanted."""
        headers = self.scope["headers"]
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


class BodyPart(msgspec.Struct, tag=True):
    """A part of the request's body."""

    body: memoryview
    more: bool


class KeepImpressions(msgspec.Struct):
    """What one request has predicted with ids, to be kept."""

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
    handed_on: bool = False
    """Whether another node hands them on: it takes them for kept only when they are durable, and counts those
    that are lost."""

    @property
    def nbytes(self) -> int:
        """About the bytes that it takes."""
        return len(self.batch) + len(self.text) + len(self.ends) + 5 * len(self.given) + len(self.shown)

    @property
    def count(self) -> int:
        """How many predictions it has."""
        return sum(self.given)


class KeepAll(msgspec.Struct, tag=True):
    """Not a request: what several have predicted with ids."""

    impressions: list[KeepImpressions]


# -- from the writer ---------------------------------------------------------------------------------


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


class ImpressionsKept(msgspec.Struct):
    """What came of the impressions of one request: an HTTP status, and why they are not kept."""

    status: int
    detail: str = ""


class AllKept(msgspec.Struct, tag=True):
    """What came of the impressions of several, in order."""

    kept: list[ImpressionsKept]


FromForwarder = ForwardedRequest | BodyPart | KeepAll
ToForwarder = BodyWanted | AnswerStart | AnswerPart | AllKept
