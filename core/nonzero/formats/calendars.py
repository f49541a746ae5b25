# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The compiled readers of times and hours: numbers, ISO 8601 in UTC, and patterns of two or four digits."""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import byte_at
from nonzero.formats.numbers import scan_digits, scan_number
from nonzero.native import inlined, outlined

# How a time is read: the first byte of what compiled code is told.
NEVER, MILLISECONDS, SECONDS, ISO, PATTERN, GUESSED = range(6)

DIRECTIVE: Final = 0x80
"""Added to a directive's letter, to tell it from text."""
YEAR: Final = DIRECTIVE + ord("Y")
SHORT_YEAR: Final = DIRECTIVE + ord("y")
MONTH: Final = DIRECTIVE + ord("m")
DAY: Final = DIRECTIVE + ord("d")
HOUR: Final = DIRECTIVE + ord("H")
MINUTE: Final = DIRECTIVE + ord("M")
SECOND: Final = DIRECTIVE + ord("S")

DATE_ENDS: Final = 6
"""Where in what compiled code is told of ISO 8601 a date has ended, which may stand alone."""

EARLIEST_GUESS: Final = 10**11
"""A number below it is taken for seconds where nobody said what it is: as milliseconds it is before 1973."""

ISO_DATE: Final = len("2014-10-21")
MOST_SECONDS: Final = 1e12
HOUR_SIZE: Final = 8
LETTER_T: Final = ord("T")
LETTER_Z: Final = ord("Z")
POINT: Final = ord(".")
SPACE: Final = ord(" ")


@inlined
def days_from_civil(year, month, day):
    """Return the days from 1970-01-01 to a day of the Gregorian calendar.

    Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil; for years from 0 on.
    """
    y = year - (month <= 2)
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@inlined
def days_in_month(year, month):
    """Return how many days a month has."""
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    short = month == 4 or month == 6 or month == 9 or month == 11
    return (28 + leap) if month == 2 else 31 - short


@inlined
def put_part(parts, what, number):
    """Return year, month, day, hour, minute and second with the part that a directive names."""
    year, month, day, hour, minute, second = parts
    if what == SHORT_YEAR:
        year = number + (2000 if number < 69 else 1900)
    return (
        number if what == YEAR else year,
        number if what == MONTH else month,
        number if what == DAY else day,
        number if what == HOUR else hour,
        number if what == MINUTE else minute,
        number if what == SECOND else second,
    )


@inlined
def read_digits(text, j, count):
    """Read so many digits; -1 where one of them is none."""
    number = np.int64(0)
    for i in range(count):
        digit = np.uint8(byte_at(text, j + i) - np.uint8(48))
        number = number * 10 + np.int64(digit) if digit < np.uint8(10) and number >= 0 else np.int64(-1)
    return number


@inlined
def read_fraction(text, j, stop):
    """Read the fraction of a second, in milliseconds, and a Z, which may stand at `j`; and where they end.

    Where there is a point and no digit, they end before it.
    """
    fraction = np.int64(0)
    if j + 1 < stop and byte_at(text, j) == POINT and read_digits(text, j + 1, 1) >= 0:
        j += 1
        worth = np.int64(100)
        while j < stop and read_digits(text, j, 1) >= 0:
            fraction += worth * read_digits(text, j, 1)
            worth //= 10
            j += 1
    return fraction, j + (j < stop and byte_at(text, j) == LETTER_Z)


@inlined
def time_of(parts, fraction):
    """Return year, month, day, hour, minute and second in milliseconds since 1970; -1 where they are none."""
    year, month, day, hour, minute, second = parts
    there = month >= 1 and month <= 12 and day >= 1 and day <= days_in_month(year, month)
    there = there and hour < 24 and minute < 60 and second < 60 and year >= 1970
    seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return seconds * 1000 + fraction if there else np.int64(-1)


@inlined
def read_calendar(text, start, stop, told):
    """Read a time by a pattern, in milliseconds; and whether it was read."""
    zero, one = np.int64(0), np.int64(1)
    parts = (np.int64(1900), one, one, zero, zero, zero)
    is_iso = told[0] != PATTERN
    fraction = zero
    j = start
    for i in range(1, told.size):
        what = told[i]
        if is_iso and i == DATE_ENDS and j == stop:
            break
        if what < DIRECTIVE:
            byte = byte_at(text, j)
            if j >= stop or not (byte == what or (is_iso and what == LETTER_T and byte == SPACE)):
                return np.int64(-1), False
            j += 1
            continue
        size = 4 if what == YEAR else 2
        number = read_digits(text, j, size)
        j += size
        if number < 0 or j > stop:
            return np.int64(-1), False
        parts = put_part(parts, what, number)
    if is_iso and j > start + ISO_DATE:
        fraction, j = read_fraction(text, j, stop)
    time = time_of(parts, fraction)
    return time, time >= 0 and j == stop


@outlined
def read_time(text, start, stop, told):
    """Read a cell that is a time, in milliseconds; and whether it was read."""
    mode = told[0]
    if mode == NEVER:
        return np.int64(-1), False
    mantissa, j = scan_digits(text, start, np.uint64(0))
    whole = j == stop and stop - start <= 18
    if mode == SECONDS:
        number, after, read = scan_number(text, start)
        read = read and after == stop and number >= 0 and number < MOST_SECONDS
        return np.int64(np.floor(number * 1000 + 0.5)) if read else np.int64(-1), read
    if mode == MILLISECONDS or (mode == GUESSED and j == stop):
        return np.int64(mantissa), whole and (mode == MILLISECONDS or mantissa >= np.uint64(EARLIEST_GUESS))
    return read_calendar(text, start, stop, told)


@outlined
def read_hour(text, start, stop):
    """Read an hour of YYMMDDHH: the hour, the day of the week, the time, and whether it was read."""
    zero = np.int64(0)
    year, month = read_digits(text, start, 2), read_digits(text, start + 2, 2)
    day, hour = read_digits(text, start + 4, 2), read_digits(text, start + 6, 2)
    whole = stop - start == HOUR_SIZE and min(year, hour) >= 0
    time = time_of((2000 + year, month, day, hour, zero, zero), zero) if whole else np.int64(-1)
    weekday = (time // 86_400_000 + 3) % 7 + 1
    return hour, weekday, time, time >= 0
