"""Lines that could not be used: the first few are shown, all are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from nonzero import LogisticRegression
from nonzero.errors import LineError

__all__ = ["Rejects", "label_trouble"]

_SHOWN: Final = 5

_OF_LABELS: Final = ("the label ", "there is no label")
"""How every format begins a reason that is about the label."""

_TELLING: Final = 10
"""Fewer labels than this may well be alike."""


class Rejects:
    """The lines of a run that could not be used.

    Attributes
    ----------
    count
        How many there were.
    of_labels
        How many of them for their label.
    """

    def __init__(self) -> None:
        self.count = 0
        self.of_labels = 0

    def report(self, name: str, errors: Iterable[LineError], say: Callable[[str], None]) -> None:
        """Count lines of a file, and say the first few and why."""
        for line, reason in errors:
            self.count += 1
            self.of_labels += reason.startswith(_OF_LABELS)
            if self.count <= _SHOWN:
                say(f"{name}, line {line}: {reason}")

    def finish(self, say: Callable[[str], None]) -> None:
        """Say how many there were beyond those shown."""
        if self.count > _SHOWN:
            say(f"… and {self.count - _SHOWN:,} more lines like these: {self.count:,} in all")


def label_trouble(learner: LogisticRegression, rejects: Rejects) -> str | None:
    """Say what is wrong with the labels that were learned from; None where nothing seems to be.

    More than half of the rows were refused for theirs; or all that were learned from are alike, of ten rows
    or more, or of fewer where others were refused for theirs.
    """
    way_out = "say which label is a click (for csv: --positive VALUE), or give 0 and 1"
    rows = learner.examples + rejects.count
    positive = learner.clicks
    alike = positive in (0, learner.weight) and learner.examples >= (1 if rejects.of_labels else _TELLING)
    if 2 * rejects.of_labels > rows or (alike and rejects.of_labels):
        which = f", and all others are {int(positive > 0)}" if alike else ""
        return f"{rejects.of_labels:,} of {rows:,} rows were refused for their label{which}; {way_out}"
    if alike:
        return f"the labels of all {learner.examples:,} rows are {int(positive > 0)}; {way_out}"
    return None
