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
    """What some bytes held."""

    batch: Batch
    """The rows of the lines that could be read."""
    lines: NDArray[np.int64]
    """int64[n]: the line number of each row, counted from 1 over all that the reader was fed."""
    errors: tuple[LineError, ...]
    """The lines that could not be read."""
    lines_read: int
    """How many lines were finished: rows, errors and lines skipped (and, in delimited text, line ends inside
    quotes)."""
    conflicts: Mapping[str, int] = NO_CONFLICTS
    """How many values came in another kind than their field's, by its name; those of refused lines too."""
    skipped: tuple[int, ...] = ()
    """The numbers of the lines that hold no example and are no error, where the format has such: blank lines,
    and comments."""

    @classmethod
    def of_error(cls, error: LineError, lines_read: int) -> Parsed:
        """Return what lines held that could not be read."""
        return cls(Batch.empty(), np.empty(0, np.int64), (error,), lines_read)

    @classmethod
    def concatenate(cls, parts: Sequence[Parsed]) -> Parsed:
        """Join what consecutive bytes held; conflicts are those of all of them, and left out here."""
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
        """Make errors of some rows, so that each line is accounted for.

        Parameters
        ----------
        refused
            bool[n]: which rows.
        reason
            Returns what is wrong with a row, by its number.
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
