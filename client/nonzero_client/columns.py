"""Columns: what a call says of a table's columns that are no features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Final

from nonzero_client.errors import InputError

LABELS: Final = frozenset({"label", "click", "clicked", "target", "y"})
"""Names of columns that hold the label where none is named, in any case."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a call says of a table's columns; None: nothing.

    Parameters
    ----------
    label, weight, id, time
        The columns that hold these.
    positive
        The label that is a click, where all others are none.
    delimiter
        What stands between the columns of text.
    """

    label: str | None = None
    weight: str | None = None
    id: str | None = None
    time: str | None = None
    positive: str | None = None
    delimiter: str | None = None

    @property
    def query(self) -> dict[str, str]:
        """The parameters of a request's query that say so."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def members(self) -> dict[str, str]:
        """The member of an example that a column is, by the column's name."""
        named = (("label", self.label), ("weight", self.weight), ("id", self.id), ("time", self.time))
        return {column: member for member, column in named if column is not None}

    def refuse(self, why: str) -> None:
        """Refuse what was said where there are no columns.

        Raises
        ------
        InputError
            Where something was.
        """
        if self.query:
            raise InputError(f"{', '.join(self.query)} tell of the columns of a table, and {why}")

    def of_table(self, names: Sequence[str]) -> Columns:
        """Return the same with the column of the label, where it is called so.

        Raises
        ------
        InputError
            Where several are called so, two have one name, or one that is named is not there.
        """
        if self.delimiter is not None:
            raise InputError("delimiter is given, and no text; leave it out")
        check_columns(names, self.members)
        if self.label is not None:
            return self
        called = [name for name in names if name.lower() in LABELS and name not in self.members]
        if len(called) > 1:
            raise InputError(
                f"the columns {' and '.join(map(repr, called))} are called like a label, and one of them "
                "among the features would give it away; drop one, or say label="
            )
        return replace(self, label=called[0]) if called else self


def check_columns(names: Sequence[str], members: dict[str, str]) -> None:
    """Refuse two columns of one name, and columns that are named and not there.

    Raises
    ------
    InputError
        It names the nearest.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"there are two columns named {twice!r}; rename or drop one")
    for column, member in members.items():
        if column not in names:
            nearest = get_close_matches(column, names, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names[:20])}"
            raise InputError(f"there is no column {column!r} for the {member}; {hint}")
