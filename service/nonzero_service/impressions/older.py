"""The impressions of releases before 0.2, which stood in files of their own beside the journal.

::

    impressions/
        00000000000000000000.rows      records, one after another, from the impression of that number on
        00000000000000000000.states    one byte a record: what has become of it

A start takes them over into the journal, and removes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from nonzero_service.impressions.joined import References
from nonzero_service.impressions.rows import ImpressionRow, Teaching
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.unpacking import walked

NAME: Final = re.compile(r"(\d{20})\.rows")

PIECE: Final = 1 << 20
"""So many words become one row of the journal, about."""

LONGEST_MS: Final = 60_000
"""So far apart the impressions of one row may have been predicted: a row has one time."""


class OlderImpressions(NamedTuple):
    """Some impressions, and what had become of them."""

    row: ImpressionRow
    references: References
    """Those of which something was known."""


def older_impressions(directory: Path) -> Iterator[OlderImpressions]:
    """Yield the impressions of a model's directory, in order; none, where there is no such directory.

    Raises
    ------
    OSError
        Where a file cannot be read.
    """
    for path in older_files(directory):
        words = np.fromfile(path, np.uint32)
        found = walked(words, words.size)
        states = np.full(found.stops.size, ImpressionState.PENDING, np.uint8)
        with suppress(FileNotFoundError):
            stored = np.fromfile(path.with_suffix(".states"), np.uint8, states.size)
            known = np.isin(stored, list(ImpressionState))
            states[: stored.size] = np.where(known, stored, ImpressionState.DAMAGED)
        number, start, n = int(path.stem), 0, states.size
        while start < n:
            before = int(found.stops[start - 1]) if start else 0
            stop = int(found.stops.searchsorted(before + PIECE, "right"))
            near = int((np.maximum.accumulate(found.times[start:]) <= found.times[start] + LONGEST_MS).sum())
            stop = min(max(stop, start + 1), start + max(near, 1), n)
            row = ImpressionRow(
                number + start,
                1.0,
                Teaching.LATER,
                words[before : int(found.stops[stop - 1])],
                found.stops[start:stop] - before,
                found.hashes[start:stop],
            )
            chosen = np.flatnonzero(states[start:stop] != ImpressionState.PENDING)
            yield OlderImpressions(
                row, References(row.numbers[chosen], row.hashes[chosen], states[start:stop][chosen])
            )
            start = stop


def older_files(directory: Path) -> list[Path]:
    """Return the files of records of a model's directory, in the order of their impressions."""
    place = directory / "impressions"
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if NAME.fullmatch(path.name))


def remove_older(directory: Path) -> None:
    """Remove the files, and their directory where nothing else is in it.

    Raises
    ------
    OSError
        Where the disk refuses.
    """
    for path in older_files(directory):
        path.with_suffix(".states").unlink(missing_ok=True)
        path.unlink()
    with suppress(OSError):
        (directory / "impressions").rmdir()
