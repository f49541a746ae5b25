"""Points: the cumulative figures of a model at moments of its stream.

A row of the history is the difference of two points. So one that is lost, or was never kept, makes a row
longer, and the rows add up to the same figures.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.kernels.progress import EXAMPLES, LOSS, POSITIVE, PREDICTED, WEIGHT

LANES: Final = 8

POINT: Final = np.dtype(
    [
        ("check", "<u4"),
        ("number", "<u4"),
        ("width", "<i8"),
        ("position", "<i8"),
        ("begun", "<i8"),
        ("time", "<i8"),
        ("sequence", "<i8"),
        ("totals", "<f8", 5),
        ("shares", "<f4", LANES),
    ]
)
"""A point as it is kept: `check` is the CRC of what follows, `number` says which of its series it is."""

EXAMPLES_TOTAL, WEIGHT_TOTAL, CLICKS_TOTAL, PREDICTED_TOTAL, LOSS_TOTAL = range(5)

_LAYOUT: Final = struct.Struct("<I5q5d8f")
assert _LAYOUT.size + 4 == POINT.itemsize  # noqa: S101 - both say the same

Totals = tuple[float, float, float, float, float]
"""Examples, weight, clicks, weighted predictions, and weighted log losses in nats."""

NO_TOTALS: Final[Totals] = (0.0, 0.0, 0.0, 0.0, 0.0)

NO_SHARES: Final = (float("nan"),) * LANES


class Point(NamedTuple):
    """The cumulative figures of a model at a moment of its stream."""

    position: int
    """Of the journal: all rows up to it are in the figures, and perhaps a part of the next."""
    begun: int
    """When the first example came after the point before, in milliseconds since 1970."""
    time: int
    """When the last example in the figures had been learned from at the latest."""
    sequence: int
    """The model's."""
    totals: Totals
    """Since the history began."""
    shares: tuple[float, ...] = NO_SHARES

    def packed(self, number: int, width: int = 0) -> bytes:
        """Return it as it is kept, as a part of a series; `width` is what else is said of that."""
        said = _LAYOUT.pack(
            number, width, self.position, self.begun, self.time, self.sequence, *self.totals, *self.shares
        )
        return zlib.crc32(said).to_bytes(4, "little") + said


def point_of(kept: np.void) -> Point:
    """Return a point that is kept."""
    position, begun, time, sequence = (int(kept[name]) for name in ("position", "begun", "time", "sequence"))
    totals: Totals = tuple(kept["totals"].tolist())
    return Point(position, begun, time, sequence, totals, tuple(kept["shares"].tolist()))


def whole_of(kept: NDArray[np.void]) -> NDArray[np.void]:
    """Return those points that are as they were written: others were never, or were torn."""
    raw, size = kept.tobytes(), kept.itemsize
    checks = [zlib.crc32(raw[at + 4 : at + size]) for at in range(0, len(raw), size)]
    chosen: NDArray[np.void] = kept[kept["check"] == np.array(checks, np.uint32)]
    return chosen


def totals_of(model: LogisticRegression) -> Totals:
    """Return the cumulative figures of a model that is at rest."""
    seen = model.seen()
    sums = seen.sums.tolist()
    return float(seen.counts[EXAMPLES]), sums[WEIGHT], sums[POSITIVE], sums[PREDICTED], sums[LOSS]


def shares_of(model: LogisticRegression) -> tuple[float, ...]:
    """Return how much each lane counts, where there are several."""
    return tuple(model.shares.tolist()) if len(model.lanes) == LANES else NO_SHARES


def sum_of(one: Totals, other: Totals) -> Totals:
    """Return both figures together."""
    a, b, c, d, e = (x + y for x, y in zip(one, other, strict=True))
    return a, b, c, d, e


def difference_of(one: Totals, other: Totals) -> Totals:
    """Return the figures of one without those of the other."""
    a, b, c, d, e = (x - y for x, y in zip(one, other, strict=True))
    return a, b, c, d, e
