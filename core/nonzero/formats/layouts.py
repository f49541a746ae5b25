"""Layouts: what is known beforehand of the columns of a table that has a name of its own.

A layout can make features of a column's value, where the value as it stands says little:

- A **count** becomes a category, its bucket. Counts have long tails: as categories their values are too many,
  and as numbers a few of them drown all others (:mod:`nonzero.formats.buckets`).
- An **hour**, written as YYMMDDHH, becomes the hour of the day (0 to 23) and the day of the week (1, which is
  Monday, to 7), and is the example's time.

The features have field names of their own. Where a column's name were that of its features, a table that is
read as it stands, or a JSON example with the raw count, would silently be something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError
from nonzero.fields.hashing import index_of
from nonzero.formats.calendars import HOUR_SIZE
from nonzero.formats.numbers import WHOLE, shown


@dataclass(frozen=True)
class TableLayout:
    """What is known of a table's columns.

    Parameters
    ----------
    columns
        The names of all columns, where the file has no header; nothing where it has one.
    delimiter
        What stands between them; nothing where the header tells it.
    buckets
        The columns of counts, and the field of each one's bucket.
    hours
        The columns of hours, and the fields of the hour of the day and of the day of the week.
    ignored
        Columns that are left out.
    """

    columns: tuple[str, ...] = ()
    delimiter: bytes = b""
    buckets: Mapping[str, str] = field(default_factory=dict)
    hours: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()

    @property
    def is_closed(self) -> bool:
        """Whether its fields are all that there are: a model of them refuses others."""
        return bool(self.buckets or self.hours)

    def fields_of(self, column: str) -> tuple[str, ...] | None:
        """Return the fields of the features that are made of a column; None where it is its own field."""
        if column in self.ignored:
            return ()
        if column in self.buckets:
            return (self.buckets[column],)
        return self.hours.get(column)


def hour_of(text: bytes, column: str) -> tuple[int, int, int]:
    """Return the hour of the day, the day of the week, and the time in milliseconds, of YYMMDDHH.

    Raises
    ------
    InputError
        Where the text is none.

    Examples
    --------
    >>> hour_of(b"14102113", "hour")
    (13, 2, 1413896400000)
    """
    try:
        if len(text) != HOUR_SIZE or not WHOLE.fullmatch(text):
            raise ValueError(text)
        year, month, day, hour = (int(text[j : j + 2]) for j in range(0, HOUR_SIZE, 2))
        moment = datetime(2000 + year, month, day, hour, tzinfo=UTC)
    except ValueError as error:
        raise InputError(
            f"the value {shown(text)} of the column {column!r} is not an hour, written as YYMMDDHH"
        ) from error
    return hour, moment.isoweekday(), int(moment.timestamp()) * 1000


def hour_indices(hour: str, day: str) -> NDArray[np.uint32]:
    """Return uint32[32]: the indices of the features of 24 hours, and from the 25th on of days 0 to 7."""
    found = [*(index_of(f"{hour}={n}") for n in range(24)), *(index_of(f"{day}={n}") for n in range(8))]
    return np.array(found, np.uint32)
