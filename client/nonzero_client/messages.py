"""What is sent, what comes back, and how far an attempt came that brought nothing back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from nonzero_client.backoff import seconds_of
from nonzero_client.problems import Problem

FileName = str | os.PathLike[str]

PIECE: Final = 1 << 18
"""So many bytes of a file are sent at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered.

    Parameters
    ----------
    status
        The HTTP status.
    body
        Its content; empty where it went to a file.
    headers
        Its headers, their names in lower case.
    unsure
        Whether an earlier sending may have done what was asked for already.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    unsure: bool = False

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """Seconds after which it may be asked again, where it says so."""
        return seconds_of(self.headers.get("retry-after"))

    @property
    def problem(self) -> Problem:
        """What it says was wrong."""
        return Problem.read(self.status, self.body)


@dataclass(frozen=True, slots=True)
class Broken:
    """An attempt that brought no answer.

    Parameters
    ----------
    reason
        Why.
    reached
        Whether the service may have read the request.
    timed_out
        Whether it is that the time was over.
    lasting
        Whether another attempt would end alike.
    """

    reason: str
    reached: bool = True
    timed_out: bool = False
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is sent, from its beginning each time.

    Parameters
    ----------
    path
        Its path.
    """

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


Check = Callable[[Answer], Answer | Broken]
"""Looks at a success: returns it, or what it is instead."""


@dataclass(frozen=True, slots=True)
class Request:
    """One logical request: however often it is sent, it is the same bytes.

    Parameters
    ----------
    method, path
        As HTTP has them.
    query
        The query's parameters.
    body
        What is sent.
    media_type
        Its Content-Type.
    key
        Its idempotency key.
    min_sequence
        How many examples the model must have learned; None: as many as it has.
    changes
        Whether it changes anything.
    repeatable
        Whether it may be sent again when it is not known what became of it.
    check
        Looks at a success.
    sink
        Where the body of a success goes, in the place of memory.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Upload = b""
    media_type: str = ""
    key: str = ""
    min_sequence: int | None = None
    changes: bool = False
    repeatable: bool = True
    check: Check | None = None
    sink: BinaryIO | None = None

    def begin(self) -> None:
        """Make ready for an attempt: what came of an earlier one is no part of the answer."""
        if self.sink is not None:
            self.sink.seek(0)
            self.sink.truncate()

    @property
    def headers(self) -> dict[str, str]:
        """Those that say what the body is, and what is asked for."""
        found = {}
        if self.media_type:
            found["Content-Type"] = self.media_type
        if self.key:
            found["Idempotency-Key"] = self.key
        if self.min_sequence is not None:
            found["Nonzero-Min-Sequence"] = str(self.min_sequence)
        return found


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one attempt may take, in seconds.

    Parameters
    ----------
    connect
        Until there is a connection.
    idle
        Without a byte of the answer.
    total
        In all.
    """

    connect: float
    idle: float
    total: float
