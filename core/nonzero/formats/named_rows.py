"""Rows with the names of their features: what the plain parsers read, before it is hashed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.formats.assembly import PlainRow
from nonzero.formats.format import Format
from nonzero.formats.parsed import Parsed
from nonzero.formats.reading import Reader
from nonzero.formats.row_arrays import RowArrays


class NamedRows(NamedTuple):
    """What some bytes held, with names."""

    parsed: Parsed
    """As any reader finds it."""
    rows: list[PlainRow]
    """The rows of its batch, in their order."""


def read_named(blocks: Iterable[bytes], reader: Reader) -> Iterator[NamedRows]:
    r"""Read a stream by the plain parser alone, which knows names: some hundred times as long.

    Parameters
    ----------
    blocks
        The stream in any pieces.
    reader
        A new one, of any format.

    Yields
    ------
    NamedRows
        What each block, and the end, held.

    Examples
    --------
    >>> from nonzero import formats
    >>> [found, _] = read_named([b"1 |site news\n"], formats.reader("vw"))
    >>> found.rows[0].names
    {0: (b'site=news', b'site')}
    """
    form: Any = reader.format
    compiled, read_line = form.read, form.read_line
    rows: list[PlainRow] = []

    def read(data: NDArray[np.uint8], end: int, arrays: RowArrays) -> int:
        if not form.header:  # where the records are, a format without one finds for itself
            return Format.read(form, data, end, arrays)
        n = int(compiled(data, end, arrays))
        arrays.indptr[: n + 1] = 0
        arrays.plain[:n] = 1
        return n

    def kept(line: bytes) -> PlainRow:
        rows.append(read_line(line))
        return rows[-1]

    form.read, form.read_line = read, kept
    form.in_place = False  # what is left to Python is marked in the bytes, which are another's
    for block in blocks:
        yield _taken(reader.feed(block), rows)
    yield _taken(reader.finish(), rows)


def _taken(parsed: Parsed, rows: list[PlainRow]) -> NamedRows:
    """Take the rows of what was parsed; a record that does not end may have been read, and is none."""
    taken = rows[: len(parsed.batch)]
    rows.clear()
    return NamedRows(parsed, taken)
