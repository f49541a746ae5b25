# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""What is written down: the arrays, their columns, and which lanes are held against which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import untouched
from nonzero.kernels.rules.optimizers import AdaGrad, Rule, is_combined
from nonzero.native import inlined, types

BLOCKS: Final = 128
PIECE: Final = 64
"""Examples in a piece: what is added to the blocks at once."""
RECENT_PIECES: Final = 8
"""Pieces in a block of the ring: 512 examples."""
MAX_FIELDS: Final = 256

# What is summed over pieces: sums over a piece's examples, and their squares and products.
COUNT, LOSS, CLICKS, RESIDUAL, DIFFERENCE, GAINED = range(6)
LOSS2, CLICKS2, LOSS_CLICKS, RESIDUAL2, DIFFERENCE2 = range(6, 11)
SUMS: Final = 11
# What is kept of each field.
(
    SAMPLES,
    SEEN,
    FIELD_DIFFERENCE,
    FIELD_DIFFERENCE2,
    FIELD_RESIDUAL,
    FIELD_VARIANCE,
    MEASURED,
    RATE,
    LIVE_RATE,
    STALLED,
    FIRST_EXAMPLE,
    LAST_EXAMPLE,
    FIRST_TIME,
    LAST_TIME,
) = range(14)
FIELD_SUMS: Final = 14
PARTS: Final = 6
"""What is summed over the nonzeros of a field while an example is asked."""
# Counters.
PIECES, PIECES_A_BLOCK, FIELDS, COMPARING, RESTARTS, LAST_RESTART, ARMED = range(7)
# The running sums of the change's detection, and the clock's first and last reading.
AHEAD, BEHIND, FIRST_CLOCK, LAST_CLOCK = range(4)
PLAIN_LANES: Final = 5
"""The first lanes, where lanes are combined: the restricted answer is made of them."""
# Where the groups' masks stand: row, half.
ORDINARY, CHALLENGERS, AGED = (0, 0), (0, 1), (1, 0)


class Evidence(NamedTuple):
    """What was written down.

    Parameters
    ----------
    counters
        int64[7]: see the names above.
    running
        float64[4]: how far the challengers are ahead in the running test for a change, how far behind in the
        one for having caught up, in nats, and the clock's first and last reading (ms; -1: none).
    piece
        float64[11]: the sums over the last piece of 64 examples.
    before
        float64[5]: the progress's sums when the last piece was full.
    lane_losses, shares
        float64[lanes], float32[lanes]: the lanes' summed losses and shares then.
    recent
        float64[128, 11]: the sums over the last blocks of 512 examples, a ring.
    history
        float64[128, 11]: over blocks that span the whole stream; when all are full, pairs are merged.
    places
        int16[65536]: where a field's sums stand, -1 for a field that has none.
    names
        uint16[256]: the fields in the order in which they were first sampled; later ones are not kept.
    fields
        float64[256, 14]: each field's sums, the older samples fading.
    partial
        float64[256, 6]: zero but while an example is sampled.
    """

    counters: NDArray[np.int64]
    running: NDArray[np.float64]
    piece: NDArray[np.float64]
    before: NDArray[np.float64]
    lane_losses: NDArray[np.float64]
    shares: NDArray[np.float32]
    recent: NDArray[np.float64]
    history: NDArray[np.float64]
    places: NDArray[np.int16]
    names: NDArray[np.uint16]
    fields: NDArray[np.float64]
    partial: NDArray[np.float64]


def without_clock(evidence: Evidence) -> dict[str, NDArray[Any]]:
    """Return the arrays by name without the clock's readings: one stream gives the same at any time."""
    untimed = [column for column in range(evidence.fields.shape[1]) if column not in (FIRST_TIME, LAST_TIME)]
    return {
        **evidence._asdict(),
        "running": evidence.running[:FIRST_CLOCK],
        "fields": evidence.fields[:, untimed],
    }


def new_evidence(lanes: int, comparing: bool) -> Evidence:
    """Return the evidence of a model that has seen nothing; `comparing`: it has lanes of both groups."""
    forms = (BLOCKS, SUMS), (BLOCKS, SUMS), (MAX_FIELDS, FIELD_SUMS), (MAX_FIELDS, PARTS)
    recent, history, fields, partial = untouched.several(forms)
    counters = np.zeros(7, np.int64)
    counters[PIECES_A_BLOCK] = 1
    counters[COMPARING] = comparing
    return Evidence(
        counters,
        np.array([0.0, 0.0, -1.0, -1.0]),
        np.zeros(SUMS),
        np.zeros(5),
        np.zeros(lanes),
        np.full(lanes, 1 / lanes, np.float32),
        recent,
        history,
        untouched.minus_ones(2**16, np.int16),
        np.zeros(MAX_FIELDS, np.uint16),
        fields,
        partial,
    )


EVIDENCE: Final = types.like(new_evidence(8, comparing=False))


def forget(evidence: Evidence) -> None:
    """Clear what was written down about the lanes: they have changed. The losses' history stays."""
    evidence.recent[:] = 0
    evidence.fields[:, SAMPLES : STALLED + 1] = 0
    evidence.fields[:, [FIRST_EXAMPLE, FIRST_TIME]] = evidence.fields[:, [LAST_EXAMPLE, LAST_TIME]]
    evidence.running[[AHEAD, BEHIND]] = 0


def group_masks(lanes: Sequence[Rule]) -> NDArray[np.float32]:
    """Return float32[2, 2 * lanes], 1 for a member: ordinary, their challengers; the diagnosed, none.

    Ordinary lanes are lanes whose rates shrink. Their challengers are the lanes whose rates stay alive, and
    shrinking lanes of more than twice the median rate: their rates take much longer to become too small.
    Lanes of other rules than AdaGrad are in neither group. Among Kalman filters, the plain ones
    are ordinary, and the others are their challengers (:mod:`nonzero.kernels.newton`).
    """
    if is_combined(lanes):
        ordinary = np.arange(len(lanes)) < PLAIN_LANES
        challengers = ~ordinary
    else:
        adagrad = np.array([isinstance(lane, AdaGrad) for lane in lanes])
        live = np.array([isinstance(lane, AdaGrad) and lane.decay < 1 for lane in lanes])
        eta = np.array([lane.learning_rate if isinstance(lane, AdaGrad) else 0.0 for lane in lanes])
        shrinking = adagrad & ~live
        ordinary = shrinking & (eta <= 2 * _median(eta[shrinking])) if shrinking.any() else shrinking
        challengers = adagrad & ~ordinary
    masks = [np.concatenate([ordinary, challengers]), np.concatenate([ordinary, np.zeros_like(ordinary)])]
    return np.stack(masks).astype(np.float32)


def _median(rates: NDArray[np.float64]) -> np.float64:
    """Return the median; numpy's own imports its masked arrays first, a tenth of a command's start."""
    rates = np.sort(rates)
    middle: np.float64 = (rates[(rates.size - 1) // 2] + rates[rates.size // 2]) / 2
    return middle


def comparable(lanes: Sequence[Rule]) -> bool:
    """Whether some lanes of AdaGrad, or Kalman filters, shrink their rates and others keep them alive."""
    live = {lane.decay < 1 for lane in lanes if isinstance(lane, AdaGrad)}
    return len(live) > 1 or is_combined(lanes)


@inlined
def read_clock(evidence, clock):
    """Keep the clock's first and last reading, where it is given."""
    if clock >= 0:
        if evidence.running[FIRST_CLOCK] < 0.0:
            evidence.running[FIRST_CLOCK] = np.float64(clock)
        evidence.running[LAST_CLOCK] = np.float64(clock)
