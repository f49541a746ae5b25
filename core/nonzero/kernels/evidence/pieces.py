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
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.progress import LARGEST_WEIGHT, POSITIVE, PREDICTED
from nonzero.kernels.progress import LOSS as LOSS_SUM
from nonzero.native import inlined, outlined

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
def record_piece(state, restart):
    """Write down a piece that is full, and follow whether the challengers are ahead."""
    evidence, groups, progress = state.evidence, state.groups, state.progress
    piece, sums, lane_losses = evidence.piece, progress.sums, progress.lane_losses
    largest = sums[LARGEST_WEIGHT]
    aged = group_loss(groups, ev.AGED, evidence, lane_losses, largest)
    challengers = group_loss(groups, ev.CHALLENGERS, evidence, lane_losses, largest)
    ordinary = group_loss(groups, ev.ORDINARY, evidence, lane_losses, largest)
    piece[ev.COUNT] = np.float64(ev.PIECE)
    piece[ev.LOSS] = sums[LOSS_SUM] - evidence.before[LOSS_SUM]
    piece[ev.CLICKS] = sums[POSITIVE] - evidence.before[POSITIVE]
    piece[ev.RESIDUAL] = sums[PREDICTED] - evidence.before[PREDICTED] - piece[ev.CLICKS]
    piece[ev.DIFFERENCE] = aged - challengers
    piece[ev.GAINED] = aged - piece[ev.LOSS]
    piece[ev.LOSS2] = piece[ev.LOSS] * piece[ev.LOSS]
    piece[ev.CLICKS2] = piece[ev.CLICKS] * piece[ev.CLICKS]
    piece[ev.LOSS_CLICKS] = piece[ev.LOSS] * piece[ev.CLICKS]
    piece[ev.RESIDUAL2] = piece[ev.RESIDUAL] * piece[ev.RESIDUAL]
    piece[ev.DIFFERENCE2] = piece[ev.DIFFERENCE] * piece[ev.DIFFERENCE]
    for k in range(sums.size):
        evidence.before[k] = sums[k]
    restart.follow(state, largest)
    for k in range(lane_losses.size):
        evidence.lane_losses[k] = lane_losses[k]
    add_to_blocks(evidence)
    restart.watch(state, (ordinary - challengers) / largest)


@inlined
def add_to_blocks(evidence):
    """Add the piece to the ring and to the history."""
    counters, piece = evidence.counters, evidence.piece
    pieces = counters[ev.PIECES]
    block = np.intp(pieces // ev.RECENT_PIECES % ev.BLOCKS)
    if pieces % ev.RECENT_PIECES == 0:
        evidence.recent[block, :] = 0.0
    long = pieces // counters[ev.PIECES_A_BLOCK]
    if long == ev.BLOCKS:
        for b in range(ev.BLOCKS // 2):
            for k in range(ev.SUMS):
                evidence.history[b, k] = evidence.history[2 * b, k] + evidence.history[2 * b + 1, k]
        evidence.history[ev.BLOCKS // 2 :, :] = 0.0
        counters[ev.PIECES_A_BLOCK] *= 2
        long = ev.BLOCKS // 2
    for k in range(ev.SUMS):
        evidence.recent[block, k] += piece[k]
        evidence.history[np.intp(long), k] += piece[k]
    counters[ev.PIECES] += 1
