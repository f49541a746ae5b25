# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Layouts: what is known beforehand of the columns of a table that has a name of its own.

A layout can make features of a column's value, where the value as it stands says little:

- A **count** becomes a category, its bucket. Counts have long tails: as categories their values are too many,
  and as numbers a few of them drown all others. Up to 2 a count is its own bucket; above it is
  ``2 + floor(ln(count) ** 2)``, so that 3, 4 and 5 to 6 are told apart, and 1,000 and 1,050 are not.
- An **hour**, written as YYMMDDHH, becomes the hour of the day (0 to 23) and the day of the week (1, which is
  Monday, to 7), and is the example's time.

The features have field names of their own. Where a column's name were that of its features, a table that is
read as it stands, or a JSON example with the raw count, would silently be something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import byte_at
from nonzero.errors import InputError
from nonzero.fields.hashing import index_of
from nonzero.formats.numbers import WHOLE, scan_digits, shown
from nonzero.formats.times import days_from_civil, days_in_month
from nonzero.native import inlined

_COUNT: Final = re.compile(rb"-?\d{1,18}")
_LAST_OWN: Final = 2
"""The largest count that is its own bucket."""

_LOWEST: Final = -8
"""Compiled code reads counts from here on."""

_HIGHEST: Final = 2**31
"""And below this."""

_HOUR_SIZE: Final = 8


@dataclass(frozen=True)
class Layout:
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


def bucket_of(text: bytes, column: str) -> int:
    """Return the bucket of a count.

    Raises
    ------
    InputError
        Where the text is no whole number of at most 18 digits.

    Examples
    --------
    >>> [bucket_of(text, "I1") for text in (b"-1", b"0", b"2", b"3", b"4", b"5", b"1000")]
    [-1, 0, 2, 3, 3, 4, 49]
    """
    if not _COUNT.fullmatch(text):
        raise InputError(f"the value {shown(text)} of the column {column!r} is not a whole number")
    count = int(text)
    return count if count <= _LAST_OWN else _LAST_OWN + math.floor(math.log(count) ** 2)


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
        if len(text) != _HOUR_SIZE or not WHOLE.fullmatch(text):
            raise ValueError(text)
        year, month, day, hour = (int(text[j : j + 2]) for j in range(0, _HOUR_SIZE, 2))
        moment = datetime(2000 + year, month, day, hour, tzinfo=UTC)
    except ValueError as error:
        raise InputError(
            f"the value {shown(text)} of the column {column!r} is not an hour, written as YYMMDDHH"
        ) from error
    return hour, moment.isoweekday(), int(moment.timestamp()) * 1000


_BUCKETS: Final = _LAST_OWN + math.floor(math.log(_HIGHEST) ** 2)


def _firsts() -> NDArray[np.int64]:
    """Return int64[n]: the first count of each bucket from that of 3 on; some buckets are empty."""
    first = [max(3, math.ceil(math.exp(math.sqrt(k)))) for k in range(1, _BUCKETS - _LAST_OWN + 1)]
    return np.array(first, np.int64)


FIRSTS: Final = _firsts()
STEPS: Final = 1 << (FIRSTS.size - 1).bit_length()
FEW: Final = 1024
FEW_BUCKETS: Final = np.array([bucket_of(b"%d" % count, "") for count in range(FEW)], np.int16)
"""Of small counts, which are the most, the bucket is looked up."""

LOWEST: Final = _LOWEST
HIGHEST: Final = _HIGHEST
MINUS: Final = ord("-")


def bucket_indices(name: str) -> NDArray[np.uint32]:
    """Return uint32[n]: the index of the feature of each bucket of a field, from that of -8 on."""
    found = [index_of(f"{name}={bucket}") for bucket in range(_LOWEST, _BUCKETS + 1)]
    return np.array(found, np.uint32)


def hour_indices(hour: str, day: str) -> NDArray[np.uint32]:
    """Return uint32[32]: the indices of the features of 24 hours, and from the 25th on of days 0 to 7."""
    found = [*(index_of(f"{hour}={n}") for n in range(24)), *(index_of(f"{day}={n}") for n in range(8))]
    return np.array(found, np.uint32)


@inlined
def read_count(text, start, stop):
    """Read a count; return the place of its bucket in :func:`bucket_indices`, and whether it was read."""
    negative = byte_at(text, start) == MINUS
    first = start + negative
    mantissa, j = scan_digits(text, first, np.uint64(0))
    read = j == stop and j > first and j - first <= 10
    count = np.int64(mantissa) if read else np.int64(0)
    count = -count if negative else count
    read = read and count >= LOWEST and count < HIGHEST
    if count < FEW:
        bucket = count if count <= _LAST_OWN else np.int64(FEW_BUCKETS[np.uintp(count)])
        return bucket - LOWEST, read
    k = 0
    step = STEPS
    while step > 0:  # how many buckets begin at this count or before
        if k + step <= FIRSTS.size and FIRSTS[np.uintp(k + step - 1)] <= count:
            k += step
        step >>= 1
    return _LAST_OWN + k - LOWEST, read


@inlined
def two_digits(text, j):
    """Read two digits; 100 or more where they are none."""
    tens = np.uint8(byte_at(text, j) - np.uint8(48))
    ones = np.uint8(byte_at(text, j + 1) - np.uint8(48))
    ok = tens < np.uint8(10) and ones < np.uint8(10)
    return np.int64(tens) * 10 + np.int64(ones) if ok else np.int64(100)


@inlined
def read_hour(text, start, stop):
    """Read an hour of YYMMDDHH: the hour, the day of the week, the time, and whether it was read."""
    year, month = two_digits(text, start), two_digits(text, start + 2)
    day, hour = two_digits(text, start + 4), two_digits(text, start + 6)
    read = stop - start == _HOUR_SIZE and year < 100 and month >= 1 and month <= 12
    read = read and day >= 1 and day <= days_in_month(2000 + year, month) and hour < 24
    days = days_from_civil(2000 + year, month, day)
    weekday = (days + 3) % 7 + 1
    return hour, weekday, (days * 24 + hour) * 3_600_000, read
