# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""Pieces of 64 examples: how the lanes fared, held against each other.

The lanes fall into two groups: the ordinary ones, whose rates shrink, and their
challengers, whose decaying accumulators keep their rates alive or whose rates are far larger. Every 64
examples, each group's loss over them is written down: that of its lanes mixed by the aggregating algorithm,
:math:`-S \ln \sum_l \pi_l e^{-\Delta L_l / S}`, which needs no more than the lanes' summed losses before and
after. The differences stand in blocks: a ring of the newest, and one that spans the whole stream in blocks of
doubling length. (Pairing the groups' predictions example by example instead
cost a quarter of the speed.)
"""

from __future__ import annotations

import numpy as np

from nonzero.arithmetic.elementary import exp, log
from nonzero.compiled import inlined, outlined
from nonzero.kernels.evidence.arrays import (
    AGED,
    BLOCKS,
    CHALLENGERS,
    CLICKS,
    CLICKS2,
    COUNT,
    DIFFERENCE,
    DIFFERENCE2,
    GAINED,
    LOSS,
    LOSS2,
    LOSS_CLICKS,
    ORDINARY,
    PIECE,
    PIECES,
    PIECES_A_BLOCK,
    RECENT_PIECES,
    RESIDUAL,
    RESIDUAL2,
    SUMS,
)
from nonzero.kernels.evidence.restarts import watch
from nonzero.validation.progressive import LARGEST_WEIGHT, POSITIVE, PREDICTED
from nonzero.validation.progressive import LOSS as LOSS_SUM

__all__ = ["record_piece"]

ZERO = np.float32(0.0)


@inlined
def group_loss(groups, group, evidence, lane_losses, largest):
    """The loss over a piece of a group's lanes, mixed by the shares that they had at its start."""
    row, half = group
    n = lane_losses.size
    least = np.inf
    for k in range(n):
        if groups.rows[row, half * n + k] > ZERO:
            least = min(least, lane_losses[k] - evidence.lane_losses[k])
    whole, left = ZERO, ZERO
    for k in range(n):
        if groups.rows[row, half * n + k] > ZERO:
            share = evidence.shares[k]
            more = (lane_losses[k] - evidence.lane_losses[k] - least) / largest
            whole += share
            left += share * exp(np.float32(-min(more, 80.0)))
    return least - largest * np.float64(log(left / whole))


@outlined
def record_piece(state):
    """Write down a piece that is full, and follow whether the challengers are ahead."""
    evidence, groups, progress = state.evidence, state.groups, state.progress
    piece, sums, lane_losses = evidence.piece, progress.sums, progress.lane_losses
    largest = sums[LARGEST_WEIGHT]
    aged = group_loss(groups, AGED, evidence, lane_losses, largest)
    challengers = group_loss(groups, CHALLENGERS, evidence, lane_losses, largest)
    ordinary = group_loss(groups, ORDINARY, evidence, lane_losses, largest)
    piece[COUNT] = np.float64(PIECE)
    piece[LOSS] = sums[LOSS_SUM] - evidence.before[LOSS_SUM]
    piece[CLICKS] = sums[POSITIVE] - evidence.before[POSITIVE]
    piece[RESIDUAL] = sums[PREDICTED] - evidence.before[PREDICTED] - piece[CLICKS]
    piece[DIFFERENCE] = aged - challengers
    piece[GAINED] = aged - piece[LOSS]
    piece[LOSS2] = piece[LOSS] * piece[LOSS]
    piece[CLICKS2] = piece[CLICKS] * piece[CLICKS]
    piece[LOSS_CLICKS] = piece[LOSS] * piece[CLICKS]
    piece[RESIDUAL2] = piece[RESIDUAL] * piece[RESIDUAL]
    piece[DIFFERENCE2] = piece[DIFFERENCE] * piece[DIFFERENCE]
    for k in range(sums.size):
        evidence.before[k] = sums[k]
    for k in range(lane_losses.size):
        evidence.lane_losses[k] = lane_losses[k]
        evidence.shares[k] = state.shares.rows[0, k]
    add_to_blocks(evidence)
    watch(state, (ordinary - challengers) / largest)


@inlined
def add_to_blocks(evidence):
    """Add the piece to the ring and to the history."""
    counters, piece = evidence.counters, evidence.piece
    pieces = counters[PIECES]
    block = np.intp(pieces // RECENT_PIECES % BLOCKS)
    if pieces % RECENT_PIECES == 0:
        evidence.recent[block, :] = 0.0
    long = pieces // counters[PIECES_A_BLOCK]
    if long == BLOCKS:
        for b in range(BLOCKS // 2):
            for k in range(SUMS):
                evidence.history[b, k] = evidence.history[2 * b, k] + evidence.history[2 * b + 1, k]
        evidence.history[BLOCKS // 2 :, :] = 0.0
        counters[PIECES_A_BLOCK] *= 2
        long = BLOCKS // 2
    for k in range(SUMS):
        evidence.recent[block, k] += piece[k]
        evidence.history[np.intp(long), k] += piece[k]
    counters[PIECES] += 1
