"""Parts: what a task has read of a block, as it travels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Schema
from nonzero.batches.batch import Batch
from nonzero.batches.codec import decode_pieces, encode_in_pieces
from nonzero.errors import LineError
from nonzero.fields import known
from nonzero.fields.hashing import field_of
from nonzero.formats import Parsed

NONZEROS: Final = 1 << 21
"""A part has about so many nonzeros, of four bytes each and some more. Ray takes milliseconds for a part."""

ROWS: Final = 1 << 17
"""Or so many rows, or lines that could not be read."""

_KINDS: Final = {"category": known.CATEGORY, "number": known.NUMBER}


class TravellingRows(NamedTuple):
    """What some bytes held: :class:`nonzero.formats.Parsed` in arrays that need not be copied."""

    body: list[bytes | NDArray[np.uint8]]
    """The batch, in the journal's coding, in pieces."""
    lines: NDArray[np.int64] | None
    """The numbers of its rows, counted from 1 over the block; None where they go on from `first`."""
    first: int
    errors: tuple[LineError, ...]
    lines_read: int
    conflicts: dict[str, int]
    skipped: tuple[int, ...]


class BlockPart(NamedTuple):
    """A part of a block."""

    rows: list[TravellingRows]
    position: int
    """How many bytes of the file have been read."""
    start: int | None
    """Where the first line begins of a range of lines."""
    names: dict[str, str]
    """The fields that were met since the last part, and the kinds in which they came."""
    is_last: bool = False
    end: int | None = None
    """Where the line behind a range's last one begins; told by the last part, as what follows."""
    notes: tuple[str, ...] = ()
    """What the reader has to say at its end."""
    error: Exception | None = None
    """Why no more could be read."""


def packed(parsed: Parsed, before: int) -> TravellingRows:
    """Return what travels of what some bytes held, of which so many lines are counted before the block's."""
    lines: NDArray[np.int64] | None = parsed.lines - before
    first = int(parsed.lines[0]) - before if parsed.lines.size else 0
    if parsed.lines.size and int(parsed.lines[-1]) - int(parsed.lines[0]) + 1 == parsed.lines.size:
        lines = None
    return TravellingRows(
        encode_in_pieces(parsed.batch),
        lines,
        first,
        tuple(LineError(error.line - before, error.reason) for error in parsed.errors),
        parsed.lines_read,
        dict(parsed.conflicts),
        tuple(line - before for line in parsed.skipped),
    )


def unpacked(rows: TravellingRows, before: int) -> Parsed:
    """Return it as it was read, of a block before which the file has so many lines."""
    batch = decode_pieces([piece if isinstance(piece, bytes) else piece.data for piece in rows.body])
    lines = np.arange(rows.first, rows.first + len(batch)) if rows.lines is None else rows.lines
    return Parsed(
        batch,
        lines + before,
        tuple(LineError(error.line + before, error.reason) for error in rows.errors),
        rows.lines_read,
        rows.conflicts,
        tuple(line + before for line in rows.skipped),
    )


class Gathering:
    """What was read, until it is worth a message.

    Parameters
    ----------
    most
        That are about so many nonzeros, or ROWS.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Parsed] = []
        self._nonzeros = self._rows = 0

    def full(self, parsed: Iterable[Parsed]) -> Iterator[list[Parsed]]:
        """Yield what is read in lists that are worth one; what is left then, or where it fails, waits."""
        for one in parsed:
            self._waiting.append(one)
            self._nonzeros += one.batch.nnz
            self._rows += len(one.batch) + len(one.errors)
            if self._nonzeros >= self._most or self._rows >= ROWS:
                yield self.rest()

    def rest(self) -> list[Parsed]:
        """Return what waits; nothing does then."""
        rest, self._waiting = self._waiting, []
        self._nonzeros = self._rows = 0
        return rest


def met(schema: Schema, names: Mapping[str, str]) -> set[str]:
    """Make the names known that a part has met; return those that came first in another kind before."""
    differ = set()
    for name, kind in names.items():
        schema.known.meet(name.encode(errors="replace"))
        if kind and schema.known.came(name.encode(errors="replace"), _KINDS[kind]):
            differ.add(name)
    return differ


def recounted(conflicts: Mapping[str, int], batch: Batch, differing: Iterable[str]) -> dict[str, int]:
    """Count conflicts as they are where some fields came in another kind before: what fitted is one then."""
    found = dict(conflicts)
    for name in differing:
        came = 0 if batch.fields is None else int(np.count_nonzero(batch.fields == field_of(name)))
        found[name] = max(came - found.get(name, 0), 0)
    return {name: count for name, count in found.items() if count}
