"""Parts: what a task has read of a block, as it travels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import Schema
from nonzero.batches.batch import Batch
from nonzero.batches.codec import decode_batch, encode_batch
from nonzero.errors import LineError
from nonzero.fields import known
from nonzero.fields.hashing import field_of
from nonzero.formats import Parsed

NONZEROS: Final = 1 << 19
"""A part has about so many nonzeros, of four bytes each and some more: large beside the cost of a message."""

ROWS: Final = 1 << 17
"""Or so many rows, or lines that could not be read."""

_KINDS: Final = {"category": known.CATEGORY, "number": known.NUMBER}


class TravellingRows(NamedTuple):
    """What some bytes held: :class:`nonzero.formats.Parsed` in arrays that need not be copied."""

    body: NDArray[np.uint8]
    """The batch, in the journal's coding."""
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
        np.frombuffer(encode_batch(parsed.batch), np.uint8),
        lines,
        first,
        tuple(LineError(error.line - before, error.reason) for error in parsed.errors),
        parsed.lines_read,
        dict(parsed.conflicts),
        tuple(line - before for line in parsed.skipped),
    )


def unpacked(rows: TravellingRows, before: int) -> Parsed:
    """Return it as it was read, of a block before which the file has so many lines."""
    batch = decode_batch(rows.body.data)
    lines = np.arange(rows.first, rows.first + len(batch)) if rows.lines is None else rows.lines
    return Parsed(
        batch,
        lines + before,
        tuple(LineError(error.line + before, error.reason) for error in rows.errors),
        rows.lines_read,
        rows.conflicts,
        tuple(line + before for line in rows.skipped),
    )


def gathered(parsed: Iterable[Parsed], most: int) -> Iterator[list[Parsed]]:
    """Yield what was read in lists that are worth a message: of about so many nonzeros at most, or ROWS."""
    waiting: list[Parsed] = []
    nonzeros = rows = 0
    for one in parsed:
        waiting.append(one)
        nonzeros += one.batch.nnz
        rows += len(one.batch) + len(one.errors)
        if nonzeros >= most or rows >= ROWS:
            yield waiting
            waiting, nonzeros, rows = [], 0, 0
    yield waiting


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
