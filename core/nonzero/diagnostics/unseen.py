"""Unseen: fields that someone has named, an interaction or a slice, and no example has had."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import numpy as np

from nonzero.batches.batch import Batch
from nonzero.fields.hashing import field_of

ENOUGH: Final = 1000
"""After so many examples a field that has not come may be a slip of the pen."""

FEW: Final = 16
"""So many fields are looked for one by one, which is quicker than to write down all that came."""


class Unseen:
    """Fields that have not come so far.

    A batch knows a field by 16 bits: one that has those of another counts as seen with it, and has its
    products too.

    Parameters
    ----------
    fields
        The fields' names, and who names each.

    Attributes
    ----------
    examples
        How many were looked at.

    Examples
    --------
    >>> unseen = Unseen(fields_of(["site*hours"]))
    >>> unseen.look(Batch.from_dicts([{"site": "news", "hour": "9"}]))
    >>> unseen.left
    {'hours': 'the interaction site*hours'}
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.left = dict(fields)
        self.examples = 0

    def look(self, batch: Batch) -> None:
        """Look which of them a batch has."""
        self.examples += len(batch)
        if not self.left or batch.fields is None:
            return
        fields = batch.fields
        if len(self.left) <= FEW:
            left = {name: by for name, by in self.left.items() if not (fields == field_of(name)).any()}
        else:
            came = np.zeros(1 << 16, np.bool_)
            came[fields] = True
            left = {name: by for name, by in self.left.items() if not came[field_of(name)]}
        if len(left) < len(self.left):
            self.left = left  # another dict, not a smaller one: another thread may be reading it


def fields_of(interactions: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Return the fields of interactions, and the first that names each."""
    fields: dict[str, str] = {}
    for pair in interactions:
        for name in pair.split("*"):
            fields.setdefault(name, f"the interaction {pair}")
    return fields


def nearest(name: str, known: list[str]) -> str | None:
    """Return the known name that is most like another; None where none is."""
    return next(iter(get_close_matches(name, known, 1)), None)
