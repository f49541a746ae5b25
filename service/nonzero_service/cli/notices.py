"""What a command says about its input: rejected lines, suspicious labels, and fields that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isclose
from typing import Final

from nonzero import Schema
from nonzero.diagnostics.unseen import nearest
from nonzero.errors import LineError

_SHOWN: Final = 5
"""So many rejected lines, and so many fields, are named."""

_NO_LABEL: Final = "there is no label"
_OF_LABELS: Final = ("the label ", _NO_LABEL)
"""How every format begins a reason that is about the label."""

_TELLING: Final = 10
"""Fewer labels than this may be alike by chance."""


class RejectedLines:
    """Counts the lines that could not be used, and names the first few.

    Attributes
    ----------
    count
        How many there were.
    for_label
        How many of them were rejected for their label.
    without_label
        How many of these had none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.for_label = 0
        self.without_label = 0

    def report(
        self, name: str, errors: Iterable[LineError], say: Callable[[str], None], what: str = "line"
    ) -> None:
        """Count lines, and name them while they are among the first.

        Parameters
        ----------
        name
            The file's name.
        errors
            Its lines that could not be used.
        say
            Prints a line.
        what
            What they are called: a rows file has rows.
        """
        for line, reason in errors:
            self.count += 1
            self.for_label += reason.startswith(_OF_LABELS)
            self.without_label += reason.startswith(_NO_LABEL)
            if self.count <= _SHOWN:
                say(f"{name}, {what} {line}: {reason}")

    def finish(self, say: Callable[[str], None]) -> None:
        """Say how many there were beyond those that were named."""
        if self.count > _SHOWN:
            say(f"… and {self.count - _SHOWN:,} more lines like these: {self.count:,} in all")


def label_problem(examples: int, clicks: float, weight: float, rejected: RejectedLines) -> str | None:
    """Return what seems wrong with the labels of a run; None where nothing does.

    Something is wrong where more than half of the rows were rejected for their labels. It is also wrong where
    all labels that were used are alike, of at least ten rows, or of fewer where others were rejected.

    Parameters
    ----------
    examples
        How many rows were used.
    clicks, weight
        The summed importance weight of the clicks among them, and of all.
    rejected
        The other rows.
    """
    way_out = "say which label is a click (of a table: --positive VALUE), or give 0 and 1"
    # Where some rows have a label, its column was found.
    if not examples and rejected.without_label == rejected.for_label:
        way_out = "say which column has it (of a table: --label COLUMN), or give 0 and 1"
    rows = examples + rejected.count
    # Not quite alike, where they are what is left of sums of before.
    alike = clicks == 0 or isclose(clicks, weight, rel_tol=1e-12)
    alike = alike and examples >= (1 if rejected.for_label else _TELLING)
    if 2 * rejected.for_label > rows or (alike and rejected.for_label):
        which = f", and all others are {int(clicks > 0)}" if alike else ""
        return f"{rejected.for_label:,} of {rows:,} rows were refused for their label{which}; {way_out}"
    if alike:
        return f"the labels of all {examples:,} rows are {int(clicks > 0)}; {way_out}"
    return None


def conflict_lines(schema: Schema) -> Iterator[str]:
    """Yield a line about values that contradicted the schema they were read by, if there were any."""
    counts = schema.conflicts.counts()
    if not counts:
        return
    most = sorted(counts.items(), key=lambda one: -one[1])
    named = ", ".join(f"{name} {count:,}" for name, count in most[:_SHOWN])
    more = f" and {len(most) - _SHOWN} more fields" if len(most) > _SHOWN else ""
    total = sum(counts.values())
    values = f"{total:,} values are" if total > 1 else "1 value is"
    yield f"{values} of another kind than their field: {named}{more}; say in a schema what each field is"


def unseen_lines(left: Mapping[str, str], known: list[str]) -> Iterator[str]:
    """Yield a line for each field that an option named and no example had.

    Parameters
    ----------
    left
        The fields, and who names each, as :attr:`nonzero.diagnostics.unseen.Unseen.left`.
    known
        Names of fields that came.
    """
    for name, named_by in left.items():
        near = nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        yield f"no example has the field {name!r} of {named_by}{hint}"
