"""The learned state: every array that learning writes, under the name by which it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.evidence.arrays import (
    FIELDS,
    Evidence,
    comparable,
    group_masks,
    new_evidence,
    without_clock,
)
from nonzero.kernels.mixture import new_shares
from nonzero.kernels.newton import lane_weights, mixture_shares, new_newton_shares
from nonzero.kernels.progress import EXAMPLES, LEARNED, RECENT, Progress, new_progress
from nonzero.kernels.rules.optimizers import is_combined
from nonzero.kernels.scales import Scales, new_scales
from nonzero.model.settings import ModelSettings
from nonzero.model.table import Table
from nonzero.model.table_rows import TableRows
from nonzero.persistence.pages import in_pages
from nonzero.persistence.rows import LINE, ArrayRows
from nonzero.persistence.snapshot import Arrays
from nonzero.statistics.recalibration import Recalibration, new_recalibration

_PREFIXES: Final = {
    "progress": "",
    "evidence": "evidence_",
    "scales": "scale_",
    "recalibration": "recalibration_",
}
"""The tuples of arrays, and what the names begin with under which their arrays are kept."""

SMALL: Final = 1 << 12
"""Bytes of the largest array that is saved whole, not by its touched rows."""

_FILLED: Final = {"evidence_places": -1}
"""The arrays of which a new model's numbers are not 0."""


class LearnedState:
    """What a model has learned so far.

    Parameters
    ----------
    settings
        The model's.

    Attributes
    ----------
    table
        Weights and accumulators.
    shares
        float32[1, 2 * lanes]: how much each lane counts in the mixture; float32[19, 16] where lanes are
        combined by :mod:`nonzero.kernels.newton`.
    groups
        float32[2, 2 * lanes]: which lanes the diagnosis holds against which.
    progress, evidence
        The progressive validation, and what is written down for the diagnosis.
    scales, recalibration
        None where there are none.
    """

    def __init__(self, settings: ModelSettings) -> None:
        lanes, n = settings.kept, len(settings.lanes)
        self.table = Table(settings.bits, n)
        self.shares = in_pages(new_newton_shares() if is_combined(lanes) else new_shares(n))
        self.groups = in_pages(group_masks(lanes))
        self.progress: Progress = new_progress(n)
        self.evidence: Evidence = new_evidence(n, comparing=n > 1 and comparable(lanes))
        scales = new_scales(recovering=settings.recovering) if settings.scaled else None
        self.scales: Scales | None = scales
        self.recalibration: Recalibration | None = new_recalibration() if settings.recalibrated else None

    @property
    def examples(self) -> int:
        """The number of examples learned from, those of importance weight 0 included."""
        return int(self.progress.counts[EXAMPLES])

    @property
    def learned(self) -> int:
        """The number of examples learned from, without those of importance weight 0."""
        return int(self.progress.counts[LEARNED])

    @property
    def combined(self) -> bool:
        """Whether lanes are combined by :mod:`nonzero.kernels.newton`."""
        return len(self.shares) > 1

    @property
    def mixture(self) -> NDArray[np.float32]:
        """float32[lanes]: the lanes' shares in the mixture that is in use; they sum to 1."""
        shares = mixture_shares(self.shares) if self.combined else self.shares[0, : self.table.lanes]
        return shares / np.float32(shares.sum())

    @property
    def averaging(self) -> NDArray[np.float32]:
        """float32[lanes]: by how much a lane's log-odds move those of the prediction, about."""
        return lane_weights(self.shares) if self.combined else self.mixture

    @property
    def standing(self) -> NDArray[np.float32]:
        """float32[lanes]: the shares that lanes have by their losses alone, whatever the gate says."""
        return self.evidence.shares if self.combined else self.mixture

    def _tuples(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the tuples of arrays that there are: attribute, prefix and tuple."""
        for attribute, prefix in _PREFIXES.items():
            if (found := getattr(self, attribute)) is not None:
                yield attribute, prefix, found

    def beside_table(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name, but for the table."""
        arrays = {"shares": self.shares, "groups": self.groups}
        for _, prefix, found in self._tuples():
            arrays |= _named(prefix, found._asdict())
        return arrays

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name.

        Raises
        ------
        ValueError
            Where the table's rows do not stand where their slots are.
        """
        return {"table": self.table.rows, **self.beside_table()}

    def timeless(self) -> Arrays:
        """Return every array by its name, without the clock's readings."""
        timed = _named(_PREFIXES["evidence"], without_clock(self.evidence))
        return {"table": TableRows(self.table), **self.beside_table(), **timed}

    def kept(self) -> Arrays:
        """Return every array by its name as it is saved: the larger ones by their touched rows."""
        fields = self.evidence.names[: self.evidence.counters[FIELDS]]
        among: dict[str, NDArray[np.uint32] | int] = {
            "recent": min(self.examples, RECENT),
            "evidence_places": np.unique(fields.astype(np.uint32) // (LINE // 2)),
        }
        beside = {
            name: array if array.nbytes <= SMALL else ArrayRows(array, _FILLED.get(name, 0), among.get(name))
            for name, array in self.beside_table().items()
        }
        return {"table": TableRows(self.table), **beside}

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
        self.shares, self.groups = arrays["shares"], arrays["groups"]
        for attribute, prefix, old in [*self._tuples()]:
            moved = {name: arrays[f"{prefix}{name}"] for name, array in old._asdict().items() if array.size}
            setattr(self, attribute, old._replace(**moved))

    def copy_from(self, other: LearnedState, *, slots: bool = True) -> None:
        """Take over the numbers of a state of the same form; the table's slots only with `slots`."""
        mine = self.beside_table()
        for name, array in other.beside_table().items():
            np.copyto(mine[name], array)
        if slots:
            np.copyto(self.table.rows, other.table.rows)
        else:
            self.table.memory[-1] = other.table.memory[-1]


def _named(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays by their names; those without numbers are kept nowhere."""
    return {f"{prefix}{name}": array for name, array in arrays.items() if array.size}
