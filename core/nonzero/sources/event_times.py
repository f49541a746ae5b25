"""When an event was: the column that says it, and how its texts and numbers are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError, InputError, SettingsError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_roles import times_in
from nonzero.formats.arrow_values import cells_as_text
from nonzero.formats.numbers import number_of
from nonzero.formats.times import check_pattern

MS: Final = "ms"
SECONDS: Final = "s"
ISO: Final = "iso"

_FORMATS: Final = (MS, SECONDS, ISO)

_MILLISECONDS_FROM: Final = 1e11
"""Without a format, a number from here on is milliseconds: as such it is in 1973, as seconds in 5138."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LARGEST: Final = 10**18


class EventTime:
    """The column that holds an event's time, and its format.

    Parameters
    ----------
    column
        The column.
    format
        ``"ms"`` or ``"s"``: milliseconds or seconds since 1970 (or since anything: only differences count).
        ``"iso"``: ISO 8601. One with ``%`` in it: as ``datetime.strptime`` has it. What names no zone is UTC.
        None: numbers are seconds, or from 10**11 on milliseconds, and other texts ISO 8601.

    Attributes
    ----------
    met
        How texts and numbers were read: each format that was met.

    Raises
    ------
    SettingsError
        For another format.

    Examples
    --------
    >>> EventTime("at").milliseconds("2026-01-01T00:00:00.25Z")
    1767225600250
    >>> EventTime.of("at:%d.%m.%Y %H:%M").milliseconds("01.01.2026 01:00")
    1767229200000
    """

    def __init__(self, column: str, format: str | None = None) -> None:
        if format is not None and format not in _FORMATS and "%" not in format:
            raise SettingsError(
                f"the time's format is {format!r}; give {', '.join(_FORMATS)}, or one such as "
                "'%Y-%m-%d %H:%M:%S'"
            )
        if format is not None and format not in _FORMATS:
            check_pattern(format)
        self.column = column
        self.format = format
        self.met: set[str] = set()

    @classmethod
    def of(cls, text: str) -> EventTime:
        """Read ``COLUMN`` or ``COLUMN:FORMAT``.

        Parameters
        ----------
        text
            What an option was given.

        Raises
        ------
        SettingsError
            For a format that is none.
        """
        column, colon, form = text.partition(":")
        return cls(column, form if colon else None)

    def milliseconds(self, text: str) -> int:
        """Return the time that a text says, in milliseconds.

        Parameters
        ----------
        text
            A cell.

        Raises
        ------
        InputError
            Where it is no time of the format.
        """
        form = self.format
        try:
            if form in (None, MS, SECONDS):
                number = number_of(text.encode(), "the time")  # which takes no blanks and no 1_000
                form = form or (MS if abs(number) >= _MILLISECONDS_FROM else SECONDS)
                found = int(text) if form == MS and text.isdecimal() else round(number * _FACTORS[form])
            else:
                found = self._of_moment(text, form)
        except (ValueError, OverflowError) as error:
            if self.format is None:
                return self._of_iso(text)
            raise self._wrong(text) from error
        if abs(found) >= _LARGEST:
            raise self._wrong(text)
        self.met.add(str(form))
        return found

    def of_array(self, array: Any) -> tuple[NDArray[np.int64], dict[int, InputError]]:
        """Return int64[n], the times in a column of Arrow, and what is wrong with others, by row.

        Parameters
        ----------
        array
            A ``pyarrow.Array`` of timestamps or dates, which need no format, or of numbers or texts.
        """
        tests = import_arrow().types
        kind = array.type.value_type if tests.is_dictionary(array.type) else array.type
        if tests.is_date(kind) or tests.is_timestamp(kind):
            self.met.add("timestamps")
            times, wrong = times_in(array, self.column)
            for row in np.flatnonzero(times < 0).tolist():
                wrong.setdefault(row, InputError(f"the time {self.column!r} is missing"))
            return times, wrong
        times, wrong = np.zeros(len(array), np.int64), {}
        for row, cell in enumerate(cells_as_text(array, self.column)):
            try:
                times[row] = self.milliseconds(cell.decode())
            except InputError as error:
                wrong[row] = error
        return times, wrong

    def _of_iso(self, text: str) -> int:
        try:
            found = self._of_moment(text, ISO)
        except ValueError as error:
            raise self._wrong(text) from error
        self.met.add(ISO)
        return found

    def _of_moment(self, text: str, form: str) -> int:
        moment = datetime.fromisoformat(text) if form == ISO else datetime.strptime(text, form)  # noqa: DTZ007
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(milliseconds=1)

    def _wrong(self, text: str) -> InputError:
        shown = text if len(text) <= 40 else text[:40] + "..."
        what = "missing" if not text else f"{shown!r}"
        wanted = {
            None: "give a number, or ISO 8601, or say the format: --time COLUMN:FORMAT",
            MS: "give milliseconds",
            SECONDS: "give seconds",
            ISO: "give ISO 8601, such as 2026-01-31T12:00:00Z",
        }.get(self.format, f"give it as {self.format}")
        return InputError(f"the time {self.column!r} is {what}; {wanted}")


_FACTORS: Final = {MS: 1, SECONDS: 1000}


def check_column(column: str, columns: list[str], name: str) -> None:
    """Refuse a column that a file does not have.

    Raises
    ------
    FormatError
        It names those that it has.
    """
    if column not in columns:
        there = f"there are {', '.join(columns)}" if columns else "it is empty"
        raise FormatError(f"{name} has no column {column!r}; {there}")
