"""The exceptions that Nonzero raises.

::

    NonzeroError
    ├── InputError (ValueError)     what the caller handed over cannot be used
    │   ├── BatchError              rows that break the rules of a batch
    │   ├── FormatError             bytes that are not what their format says
    │   └── SettingsError           a setting out of its range, or settings that differ
    ├── ReadOnlyError               a model of another process's memory was to change
    └── SnapshotError               a saved model that is damaged, or not one

A message says what was wrong, the value received, and the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple


class NonzeroError(Exception):
    """Anything that Nonzero refuses or finds damaged: the root of its exceptions.

    Examples
    --------
    >>> from nonzero import LogisticRegression, NonzeroError
    >>> try:
    ...     LogisticRegression(bits=99)
    ... except NonzeroError as error:
    ...     print(error)
    bits is 99; a table has 2**bits slots, with bits a whole number from 1 to 30
    """


class InputError(NonzeroError, ValueError):
    """What the caller handed over cannot be used; a :class:`ValueError` too.

    Examples
    --------
    >>> from nonzero import BatchError, InputError
    >>> issubclass(InputError, ValueError), issubclass(BatchError, InputError)
    (True, True)
    """


class BatchError(InputError):
    """Rows that break the rules of a batch.

    Examples
    --------
    >>> from nonzero import Batch, BatchError
    >>> try:
    ...     Batch([0, 1], [7], values=[float("nan")])
    ... except BatchError as error:
    ...     print(str(error).partition(";")[0])
    row 0: the value nan is not a finite number of at most 1e+06 in magnitude
    """


class SettingsError(InputError):
    """A setting out of its range, or stored settings that differ from those expected.

    Examples
    --------
    >>> from nonzero import AdaGrad
    >>> AdaGrad(learning_rate=0)
    Traceback (most recent call last):
        ...
    nonzero.errors.SettingsError: learning_rate is 0; it must be from 1e-09 to 1000
    """


class LineError(NamedTuple):
    r"""One line (or row) that could not be read, and why.

    Parameters
    ----------
    line
        Its number, counted from 1.
    reason
        What was wrong, with the value received.

    Examples
    --------
    >>> from nonzero import formats
    >>> formats.reader("vw").feed(b"1 | a\n2 | a\n").errors[0].line
    2
    """

    line: int
    reason: str


NAMED: Final = 5
"""Of many lines that could not be read, a message tells so many."""


def named(errors: Sequence[LineError], what: str) -> str:
    """Say what is wrong with the first of some lines, and how many more there are; `what` each is called."""
    told = "; ".join(f"{what} {error.line}: {error.reason}" for error in errors[:NAMED])
    return f"{told}; and {len(errors) - NAMED} more" if len(errors) > NAMED else told


class FormatError(InputError):
    r"""Bytes that are not what their format says.

    Parameters
    ----------
    message
        What was wrong, the value received, the way out.
    lines
        The lines that could not be read, where lines are to blame; also an attribute.

    Examples
    --------
    >>> from nonzero import FormatError, formats
    >>> try:
    ...     formats.parse(b"1 | a\n2 | a\n3 | a\n", "vw")
    ... except FormatError as error:
    ...     print([line.line for line in error.lines])
    [2, 3]
    """

    def __init__(self, message: str, lines: tuple[LineError, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class SnapshotError(NonzeroError):
    """A saved model that is damaged, or a file that is not one.

    Examples
    --------
    >>> import tempfile
    >>> from nonzero import LogisticRegression, SnapshotError
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         LogisticRegression.load(file.name)
    ...     except SnapshotError:
    ...         print("no model")
    no model
    """


class ReadOnlyError(NonzeroError):
    """A model was to change whose memory is another process's.

    Examples
    --------
    >>> from nonzero import LogisticRegression, ReadOnlyError
    >>> writer = LogisticRegression(bits=8)
    >>> reader = LogisticRegression.attach(writer.share().descriptor)
    >>> try:
    ...     reader.learn_one({"site": "news"}, 1)
    ... except ReadOnlyError:
    ...     print("it can only be read")
    it can only be read
    """
