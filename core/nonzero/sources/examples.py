"""Examples out of files: read, parsed and checked against a table, each in its turn and all at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import LineError
from nonzero.formats import Parsed, Reader
from nonzero.formats.parsed import Buffer
from nonzero.formats.reading import BYTE_ORDER_MARK, PADDING
from nonzero.sources.pipeline import ahead, in_turns

if TYPE_CHECKING:
    from nonzero.sources.columnar import ColumnarReader

_WAITING: Final = 4
"""So many blocks are parsed or wait for who uses them: each parser has one to begin while one waits."""


def read_examples(blocks: Iterable[bytes], reader: Reader | ColumnarReader) -> Generator[Parsed, None, None]:
    r"""Parse a stream; reading it, parsing it and what the caller does with the rows run at once.

    Parameters
    ----------
    blocks
        The stream in any pieces, such as a :class:`nonzero.sources.files.Source`; iterated in a thread of its
        own.
    reader
        A new :func:`nonzero.formats.reader`; used in another thread. Where lines stand for themselves, as in
        every format but delimited text, another one like it takes turns with it. The reader of a columnar
        file has its file itself.

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
    if not isinstance(reader, Reader):
        return reader.examples()
    first, second = reader.alike(), reader.alike()
    if first is None or second is None:
        return ahead(_parsed(blocks, reader))
    return _parsed_by_several(blocks, (first, second))


def _parsed(blocks: Iterable[bytes], reader: Reader) -> Generator[Parsed, None, None]:
    for block in ahead(blocks):
        yield reader.feed(block)
    yield reader.finish()


def _parsed_by_several(blocks: Iterable[bytes], readers: Sequence[Reader]) -> Generator[Parsed, None, None]:
    """Parse with a thread for each of some readers that are alike.

    The first part is read before the others begin: the kind that a field comes in first is what its later
    values are held to, and must not depend on which thread is faster.
    """
    parts = _whole_lines(_past_mark(blocks), readers[0].max_line)
    apart = [_Apart(reader) for reader in readers]
    first = next(parts, None)
    if first is None:
        return
    _, parsed = apart[0](first)
    line = parsed.lines_read
    yield parsed
    with closing(in_turns(parts, apart, _WAITING)) as found:
        for counted, parsed in found:
            yield _moved(parsed, line - counted)
            line += parsed.lines_read


class _Apart:
    """Reads some parts of a stream; says of each how many lines of its own parts it had read before."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lines = 0

    def __call__(self, part: tuple[Buffer, Buffer, int]) -> tuple[int, Parsed]:
        start, lines, behind = part
        parsed = self._reader.feed(start, lines, behind=behind)
        before = self._lines
        self._lines += parsed.lines_read
        return before, parsed


def _past_mark(blocks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield the stream without a byte order mark at its start: any reader may get its first part."""
    rest = iter(blocks)
    start = b""
    for block in rest:
        start += block
        if len(start) >= len(BYTE_ORDER_MARK):
            break
    yield start.removeprefix(BYTE_ORDER_MARK)
    yield from rest


def _whole_lines(blocks: Iterable[bytes], max_line: int) -> Generator[tuple[Buffer, Buffer, int], None, None]:
    """Yield the stream in parts that end with a line, each in two pieces: a line's start and what follows.

    Behind the second, as many bytes may be read as are told. Of a line that is too long, enough is kept.
    """
    start = bytearray()
    for block in blocks:
        # Where a line or more are left for the next part, this one can be parsed where it is.
        end = block.rfind(b"\n", 0, max(len(block) - PADDING, 0)) + 1
        if not end or len(block) - end > max_line:
            end = block.rfind(b"\n") + 1
        if end:
            yield start, memoryview(block)[:end], len(block) - end
            start = bytearray()
        start += memoryview(block)[end:]
        del start[start.rfind(b"\n") + max_line + 2 :]
    if start:
        yield start, b"" if start.endswith(b"\n") else b"\n", 0


def _moved(parsed: Parsed, lines: int) -> Parsed:
    """Add to the line numbers."""
    errors = tuple(LineError(error.line + lines, error.reason) for error in parsed.errors)
    skipped = tuple(line + lines for line in parsed.skipped)
    return parsed._replace(lines=parsed.lines + lines, errors=errors, skipped=skipped)


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
    return parsed.without(refused, lambda row: _reason(batch, row, bits, outside))


def _reason(batch: Batch, row: int, bits: int, outside: NDArray[np.bool_]) -> str:
    if not outside[row]:
        return "there is no label; give 0 or 1"
    largest = int(batch.indices[batch.indptr[row] : batch.indptr[row + 1]].max())
    return (
        f"index {largest} is outside the model's table of 2**{bits} = {2**bits} slots; "
        f"use indices below {2**bits}, or a model with more bits"
    )
