"""Holding: what is journalled and not learned from, until someone says what is to be done with it.

Three kinds of rows. A ``trip`` says why learning paused. The ``held`` rows after it have examples, in the
form of ``joined`` ones, and count none. A ``resume`` says from where on, and whether they are applied, which
it then does, in order: its count is theirs; or discarded. So the fold decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog

from nonzero import Batch
from nonzero_service.impressions import joined
from nonzero_service.impressions.joined import References, decode_joined, encode_joined
from nonzero_service.journal.chain import Entry, JournalRow
from nonzero_service.journal.errors import BodyError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.learning.breaker import Breaker

__all__ = [
    "Gate",
    "Resume",
    "Rows",
    "held_batches",
    "held_entry",
    "held_references",
    "reason_of",
    "resume_entry",
    "resume_of",
    "trip_entry",
]

Rows = Callable[[int], Iterator[JournalRow]]
"""Reads the journal's rows from a position on."""


class Resume(msgspec.Struct, frozen=True):
    """The body of a ``resume`` row."""

    since: int
    """The position of the trip."""
    discard: bool


def trip_entry(reason: dict[str, Any]) -> Entry:
    """Return the entry that says that learning pauses, and why."""
    return Entry("trip", 1, msgspec.json.encode(reason))


def held_entry(batch: Batch, references: References, keys: list[KeyRecord]) -> Entry:
    """Return the entry of examples that are not learned from for now."""
    return Entry("held", joined.VERSION, encode_joined(batch, references), 0, tuple(keys))


def resume_entry(since: int, *, discard: bool, examples: int) -> Entry:
    """Return the entry that ends a pause.

    Parameters
    ----------
    since
        The position of the trip.
    discard
        Whether what was held is never learned from.
    examples
        How many are held.
    """
    return Entry("resume", 1, msgspec.json.encode(Resume(since, discard)), 0 if discard else examples)


def resume_of(row: JournalRow) -> Resume:
    """Read a ``resume`` row.

    Raises
    ------
    BodyError
        Where it does not say from where on.
    """
    try:
        return msgspec.json.decode(row.body, type=Resume)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"position {row.position} does not say what is resumed: {error}") from error


def reason_of(rows: Rows, position: int) -> dict[str, Any]:
    """Return why learning paused, of the trip at a position."""
    reason: dict[str, Any] = msgspec.json.decode(next(rows(position)).body)
    return reason


def held_batches(rows: Rows, since: int, until: int | None = None) -> Iterator[Batch]:
    """Yield what was held between two positions, in order; to the journal's end where `until` is None."""
    return (batch for batch, _ in _held(rows, since, until))


def held_references(rows: Rows, since: int, until: int | None = None) -> Iterator[References]:
    """Yield which impressions that was."""
    return (references for _, references in _held(rows, since, until))


def _held(rows: Rows, since: int, until: int | None) -> Iterator[tuple[Batch, References]]:
    for row in rows(since + 1):
        if until is not None and row.position >= until:
            return
        if row.kind == "held":
            yield decode_joined(row.body)


class Gate:
    """Whether examples are learned from now or held. Written on the committer's thread only.

    Parameters
    ----------
    breaker
        What trips it; None where nothing does.
    since
        The position of the trip that has not been resumed; None where there is none.
    examples
        How many are held.
    reason
        Why, as the trip says.
    """

    def __init__(
        self,
        breaker: Breaker | None = None,
        since: int | None = None,
        examples: int = 0,
        reason: dict[str, Any] | None = None,
    ) -> None:
        self.since = since
        self.examples = examples
        self.trips = 0
        """How often it has tripped, in this process."""
        self.reason = reason
        """Why it tripped last."""
        self.unsaid: list[tuple[str, str, dict[str, Any]]] = []
        """What is to be logged, when all else is done: level, event, what it says."""
        self._breaker = breaker

    def admit(self, batch: Batch, references: References | None) -> tuple[int, dict[str, Any] | None]:
        """Return how many of a batch's examples are learned from, and why no more, where that is new."""
        if self.since is not None:
            return 0, None
        return (len(batch), None) if self._breaker is None else self._breaker.admit(batch, references)

    def tripped(self, position: int, reason: dict[str, Any]) -> None:
        """Take note that a trip is in the journal."""
        self.since, self.reason = position, reason
        self.trips += 1
        self.unsaid.append(("error", "learning is paused", {"position": position, **reason}))

    def resumed(self, position: int, *, discard: bool) -> None:
        """Take note that a resumption is in the journal.

        After a discard what was usual before is usual still. What is applied is what is usual from now on.
        """
        assert self.since is not None  # noqa: S101 - who resumes has looked
        if self._breaker is not None and discard:
            self._breaker.forget(str((self.reason or {}).get("figure")))
        elif self._breaker is not None:
            self._breaker.reset()
        self.since, self.examples, self.reason = None, 0, None
        self.unsaid.append(("warning", "learning goes on", {"position": position}))

    def say(self) -> None:
        """Log what there is to say."""
        log = structlog.get_logger("breaker")
        while self.unsaid:
            level, event, members = self.unsaid.pop(0)
            getattr(log, level)(event, **members)

    def failed(self, admitted: list[References]) -> None:
        """Take note that what was admitted, these impressions among it, is not in the journal."""
        if self._breaker is not None:
            self._breaker.take_back(admitted)
