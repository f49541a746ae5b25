"""Examples out of files: read, parsed and checked against a table, each in its turn and all at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
from numpy.typing import NDArray

from nonzero.batch import Batch
from nonzero.errors import LineError
from nonzero.formats import Parsed, Reader
from nonzero.pipeline import ahead

__all__ = ["learnable", "predictable", "read_examples"]


def read_examples(blocks: Iterable[bytes], reader: Reader) -> Generator[Parsed, None, None]:
    r"""Parse a stream; reading it, parsing it and what the caller does with the rows run at once.

    Parameters
    ----------
    blocks
        The stream in any pieces, such as a :class:`nonzero.files.Source`; iterated in a thread of its own.
    reader
        A new :func:`nonzero.formats.reader`; used in another thread.

    Yields
    ------
    Parsed
        The rows and unreadable lines of about a block each, in order, in memory bounded by a few blocks.

    Examples
    --------
    >>> from nonzero import formats
    >>> parts = read_examples([b"1 | a\n-1 |", b" b\n"], formats.reader("vw"))
    >>> [label for part in parts for label in part.batch.labels.tolist()]
    [1.0, 0.0]
    """

    def parse() -> Generator[Parsed, None, None]:
        for block in ahead(blocks):
            yield reader.feed(block)
        yield reader.finish()

    return ahead(parse())


def learnable(parsed: Parsed, bits: int) -> Parsed:
    """Make errors of the rows that a table of ``2**bits`` slots cannot learn from.

    Those have no label, or name a slot outside the table.
    """
    parsed = predictable(parsed, bits)
    unlabelled = np.isnan(parsed.batch.labels)
    return _refuse(parsed, unlabelled, "there is no label; give 0 or 1") if unlabelled.any() else parsed


def predictable(parsed: Parsed, bits: int) -> Parsed:
    """Make errors of the rows that name, directly, a slot outside a table of ``2**bits``."""
    if parsed.batch.largest_slot < 2**bits:
        return parsed
    outside = parsed.batch.rows_outside(bits)
    reason = (
        f"an index is outside the table of 2**{bits} = {2**bits} slots; use more bits, or smaller indices"
    )
    return _refuse(parsed, outside, reason)


def _refuse(parsed: Parsed, refused: NDArray[np.bool_], reason: str) -> Parsed:
    """Make errors of some rows."""
    errors = [LineError(line, reason) for line in parsed.lines[refused].tolist()]
    return Parsed(
        _selected(parsed.batch, ~refused),
        parsed.lines[~refused],
        tuple(sorted((*parsed.errors, *errors))),
        parsed.lines_read,
    )


def _selected(batch: Batch, kept: NDArray[np.bool_]) -> Batch:
    """Return some rows of a batch."""
    lengths = np.diff(batch.indptr)
    nonzeros = np.repeat(kept, lengths)
    return Batch.trusted(
        np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths[kept]))),
        batch.indices[nonzeros],
        None if batch.values is None else batch.values[nonzeros],
        batch.labels[kept],
        batch.weights[kept],
        None if batch.fields is None else batch.fields[nonzeros],
        None if batch.ids is None else [batch.ids[row] for row in np.flatnonzero(kept).tolist()],
        None if batch.times is None else batch.times[kept],
    )
