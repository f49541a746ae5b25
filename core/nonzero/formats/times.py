# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The time of an example, written as text: milliseconds, seconds, ISO 8601, or a pattern of ``strptime``.

Compiled code reads numbers, ISO 8601 in UTC, and patterns of two or four digits (``%Y %y %m %d %H %M %S``).
Everything else is left to Python, which reads it rightly and some hundred times as slowly.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import byte_at
from nonzero.batches.limits import MAX_TIME
from nonzero.errors import InputError, SettingsError
from nonzero.formats.numbers import WHOLE, number_of, scan_digits, scan_number, shown
from nonzero.native import inlined

# How a time is read: the first byte of what compiled code is told.
NEVER, MILLISECONDS, SECONDS, ISO, PATTERN, GUESSED = range(6)

_MODES: Final = {"ms": MILLISECONDS, "s": SECONDS, "iso": ISO, None: GUESSED}
_ISO_PATTERN: Final = "%Y-%m-%dT%H:%M:%S"
_DATE_ENDS: Final = 6
"""Where in what compiled code is told a date of ISO 8601 has ended, which may stand alone."""

EARLIEST_GUESS: Final = 10**11
"""A number below it is taken for seconds where nobody said what it is: as milliseconds it is before 1973."""

_MOST_SECONDS: Final = 1e12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_DIRECTIVE: Final = 0x80
"""Added to a directive's letter, to tell it from text."""
_DIGITS: Final = {letter: 4 if letter == "Y" else 2 for letter in "YymdHMS"}

YEAR: Final = _DIRECTIVE + ord("Y")
SHORT_YEAR: Final = _DIRECTIVE + ord("y")
MONTH: Final = _DIRECTIVE + ord("m")
DAY: Final = _DIRECTIVE + ord("d")
HOUR: Final = _DIRECTIVE + ord("H")
MINUTE: Final = _DIRECTIVE + ord("M")
SECOND: Final = _DIRECTIVE + ord("S")
LETTER_T: Final = ord("T")
LETTER_Z: Final = ord("Z")
POINT: Final = ord(".")
SPACE: Final = ord(" ")


class TimeFormat:
    """How a column of times is written.

    Parameters
    ----------
    text
        ``"ms"`` or ``"s"`` since 1970, ``"iso"`` (ISO 8601), or a pattern of :meth:`datetime.strptime`. None:
        whole numbers are milliseconds, and all else is ISO 8601. A time without a zone is UTC.

    Attributes
    ----------
    told
        What compiled code is told: the way of reading, then a pattern's text and directives.

    Raises
    ------
    SettingsError
        For any other text.

    Examples
    --------
    >>> TimeFormat("%y%m%d%H").read(b"14102100")
    1413849600000
    >>> TimeFormat().read(b"2014-10-21T00:00:00Z")
    1413849600000
    """

    def __init__(self, text: str | None = None) -> None:
        if text not in _MODES and "%" not in text:
            raise SettingsError(
                f"the format of times is {text!r}; give ms, s, iso, or a pattern of strptime, such as "
                "'%Y-%m-%d %H:%M:%S'"
            )
        self.text = text
        self._mode = _MODES.get(text, PATTERN)
        self.told = bytes([self._mode])
        if self._mode in (ISO, GUESSED, PATTERN):
            told = _told(_ISO_PATTERN if self._mode != PATTERN or text is None else text)
            self.told = bytes([NEVER]) if told is None else self.told + told
        if self._mode == PATTERN:
            _check_pattern(str(text))

    def read(self, text: bytes) -> int:
        """Read one, as milliseconds since 1970.

        Raises
        ------
        InputError
            Where it is none, or before 1970.
        """
        if self._mode in (MILLISECONDS, GUESSED) and WHOLE.fullmatch(text):
            time = int(text)
            if self._mode == GUESSED and time < EARLIEST_GUESS:
                raise InputError(
                    f"the time {shown(text)} may be seconds since 1970, or milliseconds before 1973; say which "
                    "it is: --time COLUMN:s, or COLUMN:ms"
                )
        elif self._mode == MILLISECONDS:
            raise InputError(f"the time {shown(text)} is not a whole number of milliseconds since 1970")
        elif self._mode == SECONDS:
            seconds = number_of(text, "the time")
            time = math.floor(seconds * 1000 + 0.5) if abs(seconds) < _MOST_SECONDS else MAX_TIME
        else:
            time = self._by_calendar(text)
        if not 0 <= time < MAX_TIME:
            raise InputError(f"the time {shown(text)} is not from 1970 on, or beyond 10**18 milliseconds")
        return time

    def _by_calendar(self, text: bytes) -> int:
        try:
            written = text.decode()
            if self._mode == PATTERN:
                moment = datetime.strptime(written, str(self.text))  # noqa: DTZ007 - without a zone it is UTC
            else:
                moment = datetime.fromisoformat(written)
        except ValueError as error:
            what = f"as {self.text!r} says" if self._mode == PATTERN else "in ISO 8601"
            raise InputError(f"the time {shown(text)} is not written {what}") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MILLISECOND


def _told(pattern: str) -> bytes | None:
    """Write a pattern as compiled code takes it; None where it must be left to Python."""
    told = bytearray()
    letters = iter(pattern)
    for letter in letters:
        if not letter.isascii():
            return None
        if letter != "%":
            told.append(ord(letter))
        elif (directive := next(letters, "")) in _DIGITS:
            told.append(_DIRECTIVE + ord(directive))
        elif directive == "%":
            told.append(ord("%"))
        else:
            return None
    twice = any(told.count(byte) > 1 for byte in told if byte >= _DIRECTIVE)
    return None if twice else bytes(told)


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern that strptime does not know (it tells when it is first used), or one without a year."""
    if not any(directive in pattern for directive in ("%Y", "%y", "%G", "%c", "%x")):
        raise SettingsError(f"the format of times is {pattern!r}, which has no year; give one, such as %Y")
    try:
        datetime.strptime("", pattern)  # noqa: DTZ007 - nothing is read
    except ValueError as error:
        if "format" in str(error) and "does not match" not in str(error):
            raise SettingsError(
                f"the format of times is {pattern!r}, which is no pattern of strptime: {error}"
            ) from error


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
def read_calendar(text, start, stop, told):
    """Read a time by a pattern, in milliseconds; and whether it was read."""
    year, month, day = np.int64(1900), np.int64(1), np.int64(1)
    hour, minute, second, fraction = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    is_iso = told[0] != PATTERN
    read = True
    j = start
    for i in range(1, told.size):
        what = told[i]
        if is_iso and i == _DATE_ENDS and j == stop:
            break
        if what < _DIRECTIVE:
            byte = byte_at(text, j)
            read = read and (byte == what or (is_iso and what == LETTER_T and byte == SPACE))
            j += 1
            continue
        number = np.int64(0)
        for _ in range(4 if what == YEAR else 2):
            digit = np.uint8(byte_at(text, j) - np.uint8(48))
            read = read and digit < np.uint8(10)
            number = number * 10 + np.int64(digit)
            j += 1
        if what == YEAR:
            year = number
        elif what == SHORT_YEAR:
            year = number + (2000 if number < 69 else 1900)
        elif what == MONTH:
            month = number
        elif what == DAY:
            day = number
        elif what == HOUR:
            hour = number
        elif what == MINUTE:
            minute = number
        else:
            second = number
        if j > stop or not read:
            return np.int64(-1), False
    if is_iso and j < stop and byte_at(text, j) == POINT:
        places = 0
        j += 1
        while j < stop and np.uint8(byte_at(text, j) - np.uint8(48)) < np.uint8(10):
            if places < 3:
                fraction = fraction * 10 + np.int64(np.uint8(byte_at(text, j) - np.uint8(48)))
            places += 1
            j += 1
        read = read and places > 0
        for _ in range(places, 3):
            fraction *= 10
    if is_iso and j < stop and byte_at(text, j) == LETTER_Z and j > start + 10:
        j += 1
    read = read and j == stop and month >= 1 and month <= 12
    read = read and day >= 1 and day <= days_in_month(year, month)
    read = read and hour < 24 and minute < 60 and second < 60
    seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return seconds * 1000 + fraction, read and seconds >= 0


@inlined
def read_time(text, start, stop, told):
    """Read a cell that is a time, in milliseconds; and whether it was read."""
    mode = told[0]
    if mode == NEVER:
        return np.int64(-1), False
    mantissa, j = scan_digits(text, start, np.uint64(0))
    whole = j == stop and stop - start <= 18
    if mode == SECONDS:
        number, after, read = scan_number(text, start)
        read = read and after == stop and number >= 0 and number < _MOST_SECONDS
        return np.int64(np.floor(number * 1000 + 0.5)) if read else np.int64(-1), read
    if mode == MILLISECONDS or (mode == GUESSED and j == stop):
        return np.int64(mantissa), whole and (mode == MILLISECONDS or mantissa >= np.uint64(EARLIEST_GUESS))
    return read_calendar(text, start, stop, told)
