"""The journal's rows, and the chain of digests that holds them together.

A row's digest is xxh3-128 over the digest of the row before it and over everything that the row says::

    digest[n] = xxh3_128(digest[n-1] | position | first_sequence | count | version | time_ms | kind |
    keys_digest | body)

so that a changed bit, a missing row and a row in another's place all show, in that row and in every one after
it. The first row's predecessor is the journal's name: 16 random bytes, so that rows of two journals never fit
together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import xxhash

from nonzero_service.journal.errors import UnknownKindError
from nonzero_service.journal.keys import KeyRecord, encode_records, keys_digest_of

KINDS: Final = {
    "batch": frozenset({1}),
    "settings": frozenset({1}),
    "joined": frozenset({1}),
    "remedy": frozenset({1}),
    "recalibration": frozenset({1}),
    "trip": frozenset({1}),
    "held": frozenset({1}),
    "resume": frozenset({1}),
    "clock": frozenset({1}),
    "impression": frozenset({1, 2}),
    "label": frozenset({1}),
    "promotion": frozenset({1, 2}),
    "source": frozenset({1}),
}
"""The kinds of rows, and the versions of each, that this release reads and writes."""

MAX_BODY: Final = 2**28
"""The longest body of a row, in bytes: what a reader holds in memory at once."""

_NUMBERS: Final = struct.Struct("<6q")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What is handed to the journal: a row without its place.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    version
        The version of the kind's body.
    body
        What the row says, at most :data:`MAX_BODY` bytes.
    count
        The examples in it; 0 for a row that is not learned from.
    keys
        What becomes known of idempotency keys with this row, in the same transaction.
    time_ms
        What the journal's clock is set to by this row; None for a row that does not set it.
    """

    kind: str
    version: int
    body: bytes
    count: int = 0
    keys: tuple[KeyRecord, ...] = ()
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A row of the journal.

    Parameters
    ----------
    position
        Its place, from 1; there are no holes.
    first_sequence
        The examples before it: its own have the numbers ``first_sequence`` to ``first_sequence + count - 1``.
    count
        The examples in it.
    kind, version
        What the body is.
    time_ms
        The journal's clock, in milliseconds since 1970: no earlier than that of the row before, but for a row
        of the kind ``clock``, which sets it.
    keys_digest
        The newest digest of the keys' chain, this row's keys included, 16 bytes.
    body
        What the row says.
    digest
        The chain's digest, 16 bytes.
    """

    position: int
    first_sequence: int
    count: int
    kind: str
    version: int
    time_ms: int
    keys_digest: bytes
    body: bytes = field(repr=False)
    digest: bytes

    @property
    def next_sequence(self) -> int:
        """The examples up to and with this row."""
        return self.first_sequence + self.count

    def digest_after(self, before: bytes) -> bytes:
        """Return the digest that this row must have behind a row with the digest `before`, 16 bytes."""
        place = (self.position, self.first_sequence, self.count, self.kind, self.version, self.time_ms)
        return _digest(before, (*place, self.keys_digest), self.body)


@dataclass(frozen=True, slots=True)
class Base:
    """What stands before the first row that is held: the last of those that were pruned, or the beginning.

    Parameters
    ----------
    position, sequence, time_ms, digest
        Of the last row pruned: its position, the examples up to it, its time, its digest (16 bytes).
    keys_position, keys_digest
        Of the last key records that expired.
    """

    position: int
    sequence: int
    time_ms: int
    digest: bytes
    keys_position: int
    keys_digest: bytes

    @property
    def seal(self) -> bytes:
        """A digest over all of it, for no later row vouches for it while there is none."""
        numbers = struct.pack("<4q", self.position, self.sequence, self.time_ms, self.keys_position)
        return xxhash.xxh3_64_digest(numbers + self.digest + self.keys_digest)


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the journal ends, and what the next row builds on.

    Parameters
    ----------
    position, sequence, time_ms, digest
        Of the last row: its position (0 before the first), the examples up to and with it, its time, its
        digest.
    keys_digest
        The newest digest of the keys' chain, 16 bytes.
    """

    position: int
    sequence: int
    time_ms: int
    digest: bytes
    keys_digest: bytes


def _digest(before: bytes, place: tuple[int, int, int, str, int, int, bytes], body: bytes) -> bytes:
    position, first_sequence, count, kind, version, time_ms, keys_digest = place
    name = kind.encode()
    numbers = _NUMBERS.pack(position, first_sequence, count, version, time_ms, len(name))
    digest = xxhash.xxh3_128(before + numbers + name + keys_digest)
    digest.update(body)
    return digest.digest()


def chain_entries(
    entries: Sequence[JournalEntry], tip: Tip, now_ms: int
) -> tuple[Tip, list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Chain entries to the tip: positions, sequences, times and digests follow from what stands before them.

    `now_ms` is the journal's clock, which stands in every row but those that set it.

    Returns
    -------
    Tip, list of tuple, list of tuple
        The new tip, and what to insert into the tables of rows and of keys.

    Raises
    ------
    ValueError
        For no entries, and for a body that is too long.
    UnknownKindError
        For a kind or version that could not be read again.
    """
    if not entries:
        raise ValueError("an append needs at least one entry")
    time_ms = max(now_ms, tip.time_ms)
    position, sequence, digest, keys_digest = tip.position, tip.sequence, tip.digest, tip.keys_digest
    rows: list[tuple[object, ...]] = []
    keys: list[tuple[object, ...]] = []
    for entry in entries:
        position += 1
        check_kind(entry.kind, entry.version, position)
        if len(entry.body) > MAX_BODY:
            raise ValueError(
                f"a body of {len(entry.body)} bytes is longer than {MAX_BODY}; append it as several"
            )
        if entry.time_ms is not None:
            time_ms = entry.time_ms
        if entry.keys:
            records = encode_records(entry.keys)
            keys_digest = keys_digest_of(keys_digest, position, time_ms, records)
            keys.append((position, time_ms, records, keys_digest))
        place = (position, sequence, entry.count, entry.kind, entry.version, time_ms, keys_digest)
        digest = _digest(digest, place, entry.body)
        rows.append((*place, digest, entry.body))
        sequence += entry.count
    return Tip(position, sequence, time_ms, digest, keys_digest), rows, keys


def check_kind(kind: str, version: int, position: int) -> None:
    """Refuse a row that this release does not know.

    Raises
    ------
    UnknownKindError
        It names the kind, the version and the position.
    """
    versions = KINDS.get(kind)
    if versions is None:
        raise UnknownKindError(
            f"position {position}: rows of the kind {kind!r} are not known to this release, which knows "
            f"{', '.join(sorted(KINDS))}; use the release that wrote them, or a newer one"
        )
    if version not in versions:
        raise UnknownKindError(
            f"position {position}: version {version} of the kind {kind!r} is not known to this release, "
            f"which knows {', '.join(map(str, sorted(versions)))}; use the release that wrote it, or a newer "
            "one"
        )
