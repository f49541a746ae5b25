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
from dataclasses import dataclass, field
from typing import Final

import xxhash

from nonzero_service.storage.errors import UnknownKindError
from nonzero_service.storage.keys import KeyRecord

__all__ = ["KINDS", "MAX_BODY", "Entry", "Row", "chained", "check_kind"]

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
}
"""The kinds of rows, and the versions of each, that this release reads and writes."""

MAX_BODY: Final = 2**28
"""The longest body of a row, in bytes: what a reader holds in memory at once."""

_NUMBERS: Final = struct.Struct("<6q")


@dataclass(frozen=True, slots=True)
class Entry:
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
class Row:
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


def chained(
    before: bytes,
    position: int,
    first_sequence: int,
    count: int,
    kind: str,
    version: int,
    time_ms: int,
    keys_digest: bytes,
    body: bytes,
) -> bytes:
    """Return the digest of a row that follows the digest `before`, 16 bytes."""
    name = kind.encode()
    numbers = _NUMBERS.pack(position, first_sequence, count, version, time_ms, len(name))
    digest = xxhash.xxh3_128(before + numbers + name + keys_digest)
    digest.update(body)
    return digest.digest()


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
