"""The time of an example, written as text: milliseconds, seconds, ISO 8601, or a pattern of ``strptime``.

Compiled code reads numbers, ISO 8601 in UTC, and patterns of two or four digits (``%Y %y %m %d %H %M %S``).
Everything else is left to Python, which reads it rightly and some hundred times as slowly.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from nonzero.batches.limits import MAX_TIME
from nonzero.errors import InputError, SettingsError
from nonzero.formats.calendars import (
    DIRECTIVE,
    EARLIEST_GUESS,
    GUESSED,
    ISO,
    MILLISECONDS,
    MOST_SECONDS,
    NEVER,
    PATTERN,
    SECONDS,
)
from nonzero.formats.numbers import WHOLE, number_of, shown

_MODES: Final = {"ms": MILLISECONDS, "s": SECONDS, "iso": ISO, "auto": GUESSED, None: GUESSED}
_ISO_PATTERN: Final = "%Y-%m-%dT%H:%M:%S"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST: Final = 255
"""A pattern has so many characters at most: a message about a row repeats it."""
_DIGITS: Final = "YymdHMS"
"""The directives that compiled code knows."""


class TimeFormat:
    """How a column of times is written.

    Parameters
    ----------
    text
        ``"ms"`` or ``"s"`` since 1970, ``"iso"`` (ISO 8601), or a pattern of :meth:`datetime.strptime`. None,
        or ``"auto"``: whole numbers are milliseconds, and all else is ISO 8601. A time without a zone is UTC.

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
        if text is not None and text not in _MODES and "%" not in text:
            raise SettingsError(
                f"the format of times is {text!r}; give ms, s, iso, or a pattern of strptime, such as "
                "'%Y-%m-%d %H:%M:%S'"
            )
        self.text = text
        self._mode = _MODES.get(text, PATTERN)
        if self._mode == PATTERN:
            check_pattern(str(text))
            _check_year(str(text))
        self.told = bytes([self._mode])
        if self._mode in (ISO, GUESSED, PATTERN):
            told = _told(_ISO_PATTERN if self._mode != PATTERN or text is None else text)
            self.told = bytes([NEVER]) if told is None else self.told + told

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
                    f"the time {shown(text)} may be seconds since 1970, or milliseconds before 1973; say "
                    "which it is: --time COLUMN:s, or COLUMN:ms"
                )
        elif self._mode == MILLISECONDS:
            raise InputError(f"the time {shown(text)} is not a whole number of milliseconds since 1970")
        elif self._mode == SECONDS:
            seconds = number_of(text, "the time")
            time = math.floor(seconds * 1000 + 0.5) if abs(seconds) < MOST_SECONDS else MAX_TIME
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


class TimeColumn:
    """A column of times, and how they are written.

    Parameters
    ----------
    name
        The column.
    format
        As :class:`TimeFormat` has it.

    Raises
    ------
    SettingsError
        For a format that is none.

    Examples
    --------
    >>> column = TimeColumn.of("at:%d.%m.%Y %H:%M")
    >>> column.name, column.format.read(b"01.01.2026 01:00")
    ('at', 1767229200000)
    """

    def __init__(self, name: str, format: str | None = None) -> None:
        self.name = name
        self.format = TimeFormat(format)

    @classmethod
    def of(cls, text: str) -> TimeColumn:
        """Read ``COLUMN`` or ``COLUMN:FORMAT``, as the option ``--time`` has it.

        Parameters
        ----------
        text
            What the option was given.

        Raises
        ------
        SettingsError
            For a format that is none.
        """
        return cls(*split_column(text))


def split_column(text: str) -> tuple[str, str | None]:
    """Return the column and the format of ``COLUMN`` or ``COLUMN:FORMAT``; None where it names none.

    Parameters
    ----------
    text
        What an option was given.

    Examples
    --------
    >>> split_column("at:%H:%M"), split_column("at")
    (('at', '%H:%M'), ('at', None))
    """
    name, _, form = text.partition(":")
    return name, form or None


def _told(pattern: str) -> bytes | None:
    """Write a pattern as compiled code takes it; None where it must be left to Python."""
    told = bytearray()
    letters = iter(pattern)
    for letter in letters:
        if not letter.isascii():
            return None
        if letter != "%":
            told.append(ord(letter))
        elif (directive := next(letters)) in _DIGITS:
            told.append(DIRECTIVE + ord(directive))
        elif directive == "%":
            told.append(ord("%"))
        else:
            return None
    twice = any(told.count(byte) > 1 for byte in told if byte >= DIRECTIVE)
    return None if twice else bytes(told)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that strptime does not know, which it tells only when it is used.

    Parameters
    ----------
    pattern
        Of :meth:`datetime.strptime`.

    Raises
    ------
    SettingsError
        Also for one that is long.

    Examples
    --------
    >>> check_pattern("%d.%m.%Y")
    >>> check_pattern("%Y %Y")
    Traceback (most recent call last):
    nonzero.errors.SettingsError: the format of times is '%Y %Y', which is no pattern of strptime: ...
    """
    if len(pattern) > _LONGEST:
        raise SettingsError(
            f"the format of times, {pattern[:40]!r}..., has {len(pattern):,} characters; "
            f"give at most {_LONGEST}"
        )
    try:
        datetime.strptime("", pattern)  # noqa: DTZ007 - nothing is read
    except (ValueError, IndexError, re.error) as error:  # a directive that stands twice is one of the last
        if not str(error).startswith("time data ''"):
            raise SettingsError(
                f"the format of times is {pattern!r}, which is no pattern of strptime: {error}"
            ) from error


def _check_year(pattern: str) -> None:
    if not any(directive in pattern for directive in ("%Y", "%y", "%G", "%c", "%x")):
        raise SettingsError(f"the format of times is {pattern!r}, which has no year; give one, such as %Y")
