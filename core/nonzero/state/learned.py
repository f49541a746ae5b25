"""The learned state: every array that learning writes, under the name by which it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import EightLanes, OneLane
from nonzero.features.scales import Scales, new_scales
from nonzero.kernels.evidence.arrays import Evidence, comparable, group_masks, new_evidence, without_clock
from nonzero.kernels.progress import EXAMPLES, LEARNED, Progress, new_progress
from nonzero.rules.optimizers import Rule
from nonzero.state.pages import allocate
from nonzero.state.table import Table, as_lanes
from nonzero.statistics.recalibration import Recalibration, new_recalibration

__all__ = ["State"]


class State:
    """What a model has learned so far.

    Parameters
    ----------
    bits
        log2 of the number of slots.
    lanes
        1 or 8 rules.
    scaled
        Whether the scales of values are learned.
    recalibrated
        Whether a map of the predictions is.
    recovering
        Whether a field's scale recovers where later values contradict its beginning.

    Attributes
    ----------
    table
        Weights and accumulators.
    rows, shares, groups
        The table's rows; float32[1, 2 * lanes], how much each lane counts in the mixture; and which lanes the
        diagnosis holds against which: as kernels take them.
    progress, evidence
        The progressive validation, and what is written down for the diagnosis.
    scales, recalibration
        None where there are none.
    """

    def __init__(
        self, bits: int, lanes: Sequence[Rule], scaled: bool, recalibrated: bool, *, recovering: bool
    ) -> None:
        n = len(lanes)
        self.table = Table(bits, n)
        shares, groups = allocate(1, 2 * n), allocate(2, 2 * n)
        shares[0, :n] = 1 / n
        groups[:] = group_masks(lanes)
        self.rows: OneLane | EightLanes = as_lanes(self.table.rows)
        self.shares: OneLane | EightLanes = as_lanes(shares)
        self.groups: OneLane | EightLanes = as_lanes(groups)
        self.progress: Progress = new_progress(n)
        self.evidence: Evidence = new_evidence(n, comparing=n > 1 and comparable(lanes))
        self.scales: Scales | None = new_scales(recovering=recovering) if scaled else None
        self.recalibration: Recalibration | None = new_recalibration() if recalibrated else None

    @property
    def examples(self) -> int:
        """The number of examples learned from, those of importance weight 0 included."""
        return int(self.progress.counts[EXAMPLES])

    @property
    def learned(self) -> int:
        """The number of examples learned from, without those of importance weight 0."""
        return int(self.progress.counts[LEARNED])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name."""
        arrays = {"table": self.rows.rows, "shares": self.shares.rows, "groups": self.groups.rows}
        arrays |= self.progress._asdict()
        arrays |= _named("evidence", self.evidence._asdict())
        if self.scales is not None:
            scales = self.scales._asdict()
            arrays |= _named("scale", {name: array for name, array in scales.items() if array.size})
        if self.recalibration is not None:
            arrays |= _named("recalibration", self.recalibration._asdict())
        return arrays

    def timeless(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name, without the clock's readings."""
        return self.arrays() | _named("evidence", without_clock(self.evidence))

    def use(self, arrays: Mapping[str, NDArray[Any]], *, readable_only: bool = False) -> None:
        """Keep what is learned in these arrays, by their names, from now on.

        Parameters
        ----------
        arrays
            As :meth:`arrays` gives them.
        readable_only
            Whether a write to them would end the process.
        """
        self.table.use(arrays["table"], readable_only=readable_only)
        self.rows = as_lanes(arrays["table"])
        self.shares, self.groups = as_lanes(arrays["shares"]), as_lanes(arrays["groups"])
        self.progress = Progress(*(arrays[name] for name in Progress._fields))
        self.evidence = Evidence(*(arrays[f"evidence_{name}"] for name in Evidence._fields))
        if self.scales is not None:
            kept = self.scales._asdict()
            self.scales = Scales(*(arrays.get(f"scale_{name}", kept[name]) for name in Scales._fields))
        if self.recalibration is not None:
            self.recalibration = Recalibration(
                *(arrays[f"recalibration_{name}"] for name in Recalibration._fields)
            )

    def copy_from(self, other: State, *, slots: bool = True) -> None:
        """Take over the numbers of a state of the same form; the table's slots only with `slots`."""
        mine = self.arrays()
        for name, array in other.arrays().items():
            first = 0 if slots or name != "table" else self.table.slots
            np.copyto(mine[name][first:], array[first:])


def _named(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{name}": array for name, array in arrays.items()}
