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
    """Anything that Nonzero refuses or finds damaged."""


class InputError(NonzeroError, ValueError):
    """What the caller handed over cannot be used."""


class BatchError(InputError):
    """Rows that break the rules of a batch."""


class SettingsError(InputError):
    """A setting out of its range, or stored settings that differ from those expected."""


class LineError(NamedTuple):
    """One line (or row) that could not be read, and why."""

    line: int
    """Its number, counted from 1."""
    reason: str
    """What was wrong, with the value received."""


NAMED: Final = 5
"""Of many lines that could not be read, a message tells so many."""


def named(errors: Sequence[LineError], what: str) -> str:
    """Say what is wrong with the first of some lines, and how many more there are; `what` each is called."""
    told = "; ".join(f"{what} {error.line}: {error.reason}" for error in errors[:NAMED])
    return f"{told}; and {len(errors) - NAMED} more" if len(errors) > NAMED else told


class FormatError(InputError):
    """Bytes that are not what their format says.

    Parameters
    ----------
    message
        What was wrong, the value received, the way out.
    lines
        The lines that could not be read, where lines are to blame.
    """

    def __init__(self, message: str, lines: tuple[LineError, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class SnapshotError(NonzeroError):
    """A saved model that is damaged, or a file that is not one."""


class ReadOnlyError(NonzeroError):
    """A model was to change whose memory is another process's."""
