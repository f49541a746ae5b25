"""Examples out of files: read, parsed and checked against a table, each in its turn and all at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
from numpy.typing import NDArray

from nonzero.batch import Batch
from nonzero.errors import LineError
from nonzero.formats import Parsed, Reader
from nonzero.pipeline import ahead

__all__ = ["read_examples", "usable"]


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


def usable(parsed: Parsed, bits: int, *, labelled: bool) -> Parsed:
    """Make errors of the rows that a model cannot use, so that each line is accounted for.

    Parameters
    ----------
    parsed
        What a reader found.
    bits
        log2 of the number of slots of the model's table: a slot outside it, named directly, is an error.
    labelled
        Whether a row without a label is an error too, as it is for learning.
    """
    batch = parsed.batch
    outside = batch.rows_outside(bits) if batch.largest_slot >= 2**bits else np.zeros(len(batch), np.bool_)
    refused = outside | np.isnan(batch.labels) if labelled else outside
    if not refused.any():
        return parsed
    rows = np.flatnonzero(refused).tolist()
    errors = [LineError(int(parsed.lines[row]), _reason(batch, row, bits, outside)) for row in rows]
    return Parsed(
        batch.select(~refused),
        parsed.lines[~refused],
        tuple(sorted((*parsed.errors, *errors))),
        parsed.lines_read,
    )


def _reason(batch: Batch, row: int, bits: int, outside: NDArray[np.bool_]) -> str:
    if not outside[row]:
        return "there is no label; give 0 or 1"
    largest = int(batch.indices[batch.indptr[row] : batch.indptr[row + 1]].max())
    return (
        f"index {largest} is outside the model's table of 2**{bits} = {2**bits} slots; "
        f"use indices below {2**bits}, or a model with more bits"
    )
