"""What several readers find in the same lines of the same files, brought together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import LineError

_LINE_BITS: Final = 40

LAST_LINE: Final = (1 << _LINE_BITS) - 1
"""Stands for the last line of a file."""

END: Final = 2**63 - 1
"""Behind the last line of the last file."""


def key_of(file: int, line: int) -> int:
    """Return a number for a line of one of several files, which grows with file and line."""
    return file << _LINE_BITS | line


def line_of(key: int) -> tuple[int, int]:
    """Return the file and the line that a number stands for."""
    return key >> _LINE_BITS, key & LAST_LINE


class LinePart(NamedTuple):
    """What a reader found in some lines."""

    keys: NDArray[np.int64]
    """int64[n]: the line of each row, by :func:`key_of`, in order."""
    columns: tuple[NDArray[Any], ...]
    """What was found; the last axis of each has n items."""
    errors: tuple[LineError, ...]
    """The lines that could not be read, by the same numbers, in order."""
    upto: int
    """All lines up to this one are in this part, or in those before."""

    def split(self, key: int) -> tuple[LinePart, LinePart]:
        """Return what is of the lines up to one, and the rest."""
        rows = int(np.searchsorted(self.keys, key, side="right"))
        errors = sum(error.line <= key for error in self.errors)
        return (
            LinePart(
                self.keys[:rows],
                tuple(column[..., :rows] for column in self.columns),
                self.errors[:errors],
                min(key, self.upto),
            ),
            LinePart(
                self.keys[rows:],
                tuple(column[..., rows:] for column in self.columns),
                self.errors[errors:],
                self.upto,
            ),
        )

    def select(self, chosen: NDArray[np.bool_]) -> LinePart:
        """Return it with some of its rows."""
        return self._replace(
            keys=self.keys[chosen], columns=tuple(column[..., chosen] for column in self.columns)
        )


class LineStream:
    """The parts of one reader, handed out up to a line.

    Parameters
    ----------
    parts
        Them, in order.
    """

    def __init__(self, parts: Iterator[LinePart]) -> None:
        self._parts = parts
        self._held: list[LinePart] = []

    def until(self, key: int) -> LinePart | None:
        """Return what is of the lines up to one, and was not returned before; None where there is nothing.

        Parameters
        ----------
        key
            The line, by :func:`key_of`.
        """
        while not self._held or self._held[-1].upto < key:
            more = next(self._parts, None)
            if more is None:
                break
            self._held.append(more)
        if not self._held:
            return None
        taken, rest = _joined(self._held).split(key)
        self._held = [rest]
        return taken


def _joined(parts: Sequence[LinePart]) -> LinePart:
    if len(parts) == 1:
        return parts[0]
    return LinePart(
        np.concatenate([part.keys for part in parts]),
        tuple(
            np.concatenate(columns, axis=-1)
            for columns in zip(*(part.columns for part in parts), strict=True)
        ),
        tuple(error for part in parts for error in part.errors),
        parts[-1].upto,
    )


class Aligned(NamedTuple):
    """What several readers found in the same lines."""

    parts: list[LinePart]
    """That of each, with rows of the same lines."""
    errors: list[LineError]
    """The lines that any of them could not read, each once, in order."""
    alone: int
    """How many rows are left out because another reader has none of their line."""


def aligned(streams: Sequence[Iterator[LinePart]]) -> Iterator[Aligned]:
    """Yield what readers found, a part of the first one at a time.

    Parameters
    ----------
    streams
        The parts of each reader. At most one part more of each is held than is used.
    """
    first, *others = streams
    waiting = [LineStream(other) for other in others]
    for part in first:
        yield _matched([part, *(one.until(part.upto) or _nothing(part) for one in waiting)])
    rest = [found for one in waiting if (found := one.until(END)) is not None]
    if rest:
        yield _matched([_nothing(rest[0]), *rest])


def _nothing(part: LinePart) -> LinePart:
    return part.select(np.zeros(part.keys.size, np.bool_))._replace(errors=())


def _matched(parts: Sequence[LinePart]) -> Aligned:
    keys = parts[0].keys
    for part in parts[1:]:
        if not np.array_equal(keys, part.keys):
            keys = keys[np.isin(keys, part.keys, assume_unique=True)]
    alone = len(np.unique(np.concatenate([part.keys for part in parts]))) - keys.size if len(parts) > 1 else 0
    found = [
        part if part.keys.size == keys.size else part.select(np.isin(part.keys, keys, assume_unique=True))
        for part in parts
    ]
    errors = {error.line: error for part in reversed(parts) for error in part.errors}
    return Aligned(found, [errors[line] for line in sorted(errors)], int(alone))
