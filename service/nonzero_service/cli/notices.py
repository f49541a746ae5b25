"""What a command says about its input: rejected lines, suspicious labels, and fields that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isclose
from typing import Final

from nonzero import Schema
from nonzero.diagnostics.unseen import nearest
from nonzero.errors import LineError
from nonzero.kernels.progress import EXAMPLES, POSITIVE, WEIGHT, Progress

_SHOWN: Final = 5
"""So many rejected lines, and so many fields, are named."""

_OF_LABELS: Final = ("the label ", "there is no label")
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
    """

    def __init__(self) -> None:
        self.count = 0
        self.for_label = 0

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
            if self.count <= _SHOWN:
                say(f"{name}, {what} {line}: {reason}")

    def finish(self, say: Callable[[str], None]) -> None:
        """Say how many there were beyond those that were named."""
        if self.count > _SHOWN:
            say(f"… and {self.count - _SHOWN:,} more lines like these: {self.count:,} in all")


def label_problem(seen: Progress, rejected: RejectedLines) -> str | None:
    """Return what seems wrong with the labels of a run; None where nothing does.

    Something is wrong where more than half of the rows were rejected for their labels. It is also wrong where
    all labels that were learned from are alike, of at least ten rows, or of fewer where others were rejected.
    """
    way_out = "say which label is a click (for csv: --positive VALUE), or give 0 and 1"
    examples, positive = int(seen.counts[EXAMPLES]), float(seen.sums[POSITIVE])
    rows = examples + rejected.count
    # Not quite alike, where they are what is left of sums of before.
    alike = positive == 0 or isclose(positive, float(seen.sums[WEIGHT]), rel_tol=1e-12)
    alike = alike and examples >= (1 if rejected.for_label else _TELLING)
    if 2 * rejected.for_label > rows or (alike and rejected.for_label):
        which = f", and all others are {int(positive > 0)}" if alike else ""
        return f"{rejected.for_label:,} of {rows:,} rows were refused for their label{which}; {way_out}"
    if alike:
        return f"the labels of all {examples:,} rows are {int(positive > 0)}; {way_out}"
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
