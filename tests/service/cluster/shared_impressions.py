"""What became of each prediction with an id: by the rows that nodes share, and by what clients were told.

The rows name the impression of each example. So they tell what no total does: that none is missing or there
twice, where one kind of example may stand for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from checking import Operation
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.impressions.rows import Teaching, decode_row
from nonzero_service.impressions.states import CLICKS, ImpressionState
from nonzero_service.journal.chain import JournalRow


class Taught:
    """What rows say of impressions, each of which the hash of its id names.

    Parameters
    ----------
    rows
        All of them, of a model that learns from every negative and holds nothing.
    """

    def __init__(self, rows: Iterable[JournalRow]) -> None:
        self.kept: Counter[int] = Counter()
        """How often each was entered."""
        self.negatives: Counter[int] = Counter()
        """How many examples each was without a click."""
        self.clicks: Counter[int] = Counter()
        """How many it was as a click."""
        self.others = 0
        """Examples that were no impressions."""
        self.sequence = 0
        for row in rows:
            self._add(row)
            self.sequence = row.next_sequence

    def _add(self, row: JournalRow) -> None:
        assert row.kind not in ("held", "trip"), row.position
        if row.kind == "impression":
            said = decode_row(row.body)
            self.kept.update(said.hashes.tolist())
            if said.teaching == Teaching.NOW:
                self.negatives.update(said.hashes.tolist())
        elif row.kind == "joined":
            batch, references = decode_joined(row.body)
            known = references.known
            self.others += len(batch) - len(known)
            for name, state in zip(known.hashes.tolist(), known.states.tolist(), strict=True):
                (self.clicks if ImpressionState(state) in CLICKS else self.negatives)[name] += 1
        else:
            self.others += row.count


def check_impressions(rows: Iterable[JournalRow], operations: Sequence[Operation]) -> None:
    """Check that what was answered is among the rows, and what is there is there once.

    Parameters
    ----------
    rows
        All of them.
    operations
        What clients asked and were told; all labels are clicks, and none is waited for any more.
    """
    taught = Taught(rows)
    predicted = _told_by_id("predict", operations)
    labelled = _told_by_id("label", operations)
    names = list(predicted)
    hashes = dict(zip(names, hashes_of(Ids.of(names), np.arange(len(names))).tolist(), strict=True))
    for name, was_answered in predicted.items():
        kept = taught.kept[hashes[name]]
        assert kept == 1 or (kept == 0 and not was_answered), f"the prediction {name} is kept {kept} times"
        clicks = taught.clicks[hashes[name]]
        known = labelled.get(name)
        assert clicks == 1 or (clicks == 0 and not known), f"the label of {name} is learned {clicks} times"
        assert not clicks or known is not None, f"{name} is learned as a click, and was not labelled"
        negatives = taught.negatives[hashes[name]]
        assert negatives <= 1, f"the prediction {name} is learned from {negatives} times"
    assert set(taught.kept) <= set(hashes.values())
    assert set(taught.clicks) | set(taught.negatives) <= set(taught.kept)
    of_impressions = taught.clicks.total() + taught.negatives.total()
    assert taught.sequence == taught.others + of_impressions


def _told_by_id(kind: str, operations: Sequence[Operation]) -> dict[str, bool]:
    """Return of each id whether what was asked with it was taken: answered, or known already (409)."""
    told: dict[str, bool] = {}
    for one in operations:
        if one.kind == kind and one.key:
            told[one.key] = told.get(one.key, False) or one.is_answered or one.status == 409
    return told
