"""Parsed: what some bytes held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import LineError
from nonzero.fields.conflicts import NO_CONFLICTS

Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]
"""Bytes, or what shows itself as bytes."""


class Parsed(NamedTuple):
    r"""What some bytes held.

    Parameters
    ----------
    batch
        The rows of the lines that could be read.
    lines
        int64[n]: the line number of each row, counted from 1 over all that the reader was fed.
    errors
        The lines that could not be read.
    lines_read
        How many lines were finished: rows, errors and lines skipped (and, in delimited text, line ends inside
        quotes).
    conflicts
        How many values came in another kind than their field's, by its name; those of refused lines too.
    skipped
        The numbers of the lines that hold no example and are no error, where the format has such: blank
        lines, and comments.

    Examples
    --------
    >>> from nonzero import formats
    >>> found = formats.reader("vw").feed(b"1 | a\n\n2 | b\n0 | c d\n")
    >>> found.batch, found.lines.tolist(), [error.line for error in found.errors], found.skipped
    (Batch(2 examples, 3 nonzeros), [1, 4], [3], (2,))
    """

    batch: Batch
    lines: NDArray[np.int64]
    errors: tuple[LineError, ...]
    lines_read: int
    conflicts: Mapping[str, int] = NO_CONFLICTS
    skipped: tuple[int, ...] = ()

    @classmethod
    def of_error(cls, error: LineError, lines_read: int) -> Parsed:
        """Return what lines held that could not be read.

        Parameters
        ----------
        error
            What is wrong, and with which line.
        lines_read
            How many lines were finished.

        Returns
        -------
        Parsed
            Without a row.

        Examples
        --------
        >>> Parsed.of_error(LineError(3, "the line is empty"), lines_read=1).lines_read
        1
        """
        return cls(Batch.empty(), np.empty(0, np.int64), (error,), lines_read)

    @classmethod
    def concatenate(cls, parts: Sequence[Parsed]) -> Parsed:
        r"""Join what consecutive bytes held.

        Parameters
        ----------
        parts
            In their order. Conflicts are counted over all of a stream, and left out here.

        Returns
        -------
        Parsed
            Their rows, errors and skipped lines.

        Examples
        --------
        >>> from nonzero import formats
        >>> lines = formats.reader("vw")
        >>> Parsed.concatenate([lines.feed(b"1 | a\n"), lines.feed(b"0 | b\n")]).lines.tolist()
        [1, 2]
        """
        if len(parts) == 1:
            return parts[0]
        return cls(
            Batch.concatenate([part.batch for part in parts if len(part.batch)]),
            np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)]),
            tuple(error for part in parts for error in part.errors),
            sum(part.lines_read for part in parts),
            skipped=tuple(line for part in parts for line in part.skipped),
        )

    def without(self, refused: NDArray[np.bool_], reason: Callable[[int], str]) -> Parsed:
        r"""Make errors of some rows, so that each line is accounted for.

        Parameters
        ----------
        refused
            bool[n]: which rows.
        reason
            Returns what is wrong with a row, by its number.

        Returns
        -------
        Parsed
            The other rows, and one more error for each of these.

        Examples
        --------
        >>> import numpy as np
        >>> from nonzero import formats
        >>> found = formats.reader("vw").feed(b"1 | a\n0 | b\n")
        >>> found.without(np.array([False, True]), lambda row: "it is not wanted").errors
        (LineError(line=2, reason='it is not wanted'),)
        """
        if not refused.any():
            return self
        rows = np.flatnonzero(refused).tolist()
        errors = [LineError(int(self.lines[row]), reason(row)) for row in rows]
        return self._replace(
            batch=self.batch.select(~refused),
            lines=self.lines[~refused],
            errors=tuple(sorted((*self.errors, *errors))),
        )
