"""Events: whole rows of impressions or clicks, each with the hash of its id and its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError, LineError
from nonzero.formats.times import TimeColumn
from nonzero.sources.files import Source


class Events(NamedTuple):
    """Some events of a file, in its order."""

    table: Any
    """A ``pyarrow.Table`` of whole rows."""
    hashes: NDArray[np.uint64]
    """uint64[n]: XXH3 of their ids."""
    times: NDArray[np.int64]
    """int64[n]: in milliseconds."""
    errors: tuple[LineError, ...]
    """The lines that are none."""


class EventFile(ABC):
    """A file of events.

    Parameters
    ----------
    source
        The file.
    id
        The column that holds the id of an impression.
    time
        That of the time.
    """

    def __init__(self, source: Source, id: str, time: TimeColumn) -> None:
        self.source = source
        self.id = id
        self.time = time

    @abstractmethod
    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time.

        Raises
        ------
        FormatError
            Where the file is damaged.
        """


def check_column(column: str, columns: Sequence[str], name: str) -> None:
    """Refuse a column that a file does not have.

    Parameters
    ----------
    column
        The column.
    columns
        Those that it has.
    name
        The file's.

    Raises
    ------
    FormatError
        It names those that it has.
    """
    if column not in columns:
        raise FormatError(f"{name} has no column {column!r}; there are {', '.join(columns)}")
