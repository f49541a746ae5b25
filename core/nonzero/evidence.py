# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""What the fold writes down for the diagnosis, and the new start that it makes after a change.

**Paired losses.** The lanes fall into two groups: the ordinary ones, whose rates shrink, and their
challengers, whose decaying accumulators keep their rates alive or whose rates are far larger. Every 64
examples, each group's loss over them is written down: that of its lanes mixed by the aggregating algorithm,
:math:`-S \ln \sum_l \pi_l e^{-\Delta L_l / S}`, which needs no more than the lanes' summed losses before and
after. The differences stand in blocks: a ring of the newest, and one that spans the whole stream in blocks of
doubling length. One example in 64, drawn by a hash of its number, says the same of each field: the leading
challenger's part of the margin in that field is put in the leading ordinary lane's place. (Pairing the
groups' predictions example by example instead cost a quarter of the speed.)

**A new start.** The difference is a log likelihood ratio, and its largest sum over the recent past (Page,
"Continuous Inspection Schemes", Biometrika 41, 1954) exceeds h in less than T e^-h of streams of T examples
that follow the ordinary lanes' probabilities. Past ``ln(8 (t + 1))`` the tastes that the ordinary lanes
learned are of the past, and they are too slow to learn others: all of them but one begin anew, from zero
weights and zero accumulators, as a model started now would. The one that goes on is the second best so far,
the witness: if the alarm was false little is lost, and the diagnosis speaks of it. To the mixture a lane is
whatever predicts under its number, so the bounds of its regret hold as they stand. The pass over the table's
touched rows is made at most once in 65,536 examples.

With 12 fields and 10^6 examples before an abrupt change, lanes of any fixed rate need several times the
examples that a fresh model needs to be within 2 % of the new optimum: slow ones are slow, and fast ones never
come that near (``tests/core/test_recovery.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.compiled import inlined, outlined, types
from nonzero.intrinsics import lane, like, load, store, total
from nonzero.lanes import exp, log, softplus
from nonzero.optimizers import AdaGrad, Rule
from nonzero.progressive import LARGEST_WEIGHT, LEARNED, POSITIVE, PREDICTED
from nonzero.progressive import LOSS as LOSS_SUM

__all__ = [
    "EVIDENCE",
    "Evidence",
    "comparable",
    "group_masks",
    "new_evidence",
    "observe_fields",
    "put_away",
    "read_clock",
    "watch",
]

BLOCKS: Final = 128
PIECE: Final = 64
"""Examples in a piece: what is added to the blocks at once."""
RECENT_PIECES: Final = 8
"""Pieces in a block of the ring: 512 examples."""
MAX_FIELDS: Final = 256
SAMPLE_SHIFT: Final = 26  # of a 32-bit hash, its top 6 bits: one example in 64
MEASURED_SHIFT: Final = 24  # its top 8 bits: the rates are measured on one example in 256
MEMORY = 1 - 1 / 2048  # what is left of a field's sums at each sample
CATCH_UP: Final = 50.0
SHORTEST_YOUTH: Final = 2**16
LONGEST_YOUTH: Final = 2**18

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
# Counters.
PIECES, PIECES_A_BLOCK, FIELDS, COMPARING, RESTARTS, LAST_RESTART, ARMED = range(7)
# The running sums of the change's detection, and the clock's first and last reading.
AHEAD, BEHIND, FIRST_CLOCK, LAST_CLOCK = range(4)
# Where the groups' masks stand: row, half.
ORDINARY, CHALLENGERS, AGED = (0, 0), (0, 1), (1, 0)

ONE = np.float32(1.0)
ZERO = np.float32(0.0)


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


EVIDENCE = types.NamedTuple(
    (
        types.int64[::1],
        types.float64[::1],
        types.float64[::1],
        types.float64[::1],
        types.float64[::1],
        types.float32[::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.int16[::1],
        types.uint16[::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
    ),
    Evidence,
)


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
        np.zeros((BLOCKS, SUMS)),
        np.zeros((BLOCKS, SUMS)),
        np.full(2**16, -1, np.int16),
        np.zeros(MAX_FIELDS, np.uint16),
        np.zeros((MAX_FIELDS, FIELD_SUMS)),
        np.zeros((MAX_FIELDS, 6)),
    )


def forget(evidence: Evidence) -> None:
    """Clear what was written down about the lanes: they have changed. The losses' history stays."""
    evidence.recent[:] = 0
    evidence.fields[:, SAMPLES : STALLED + 1] = 0
    evidence.fields[:, [FIRST_EXAMPLE, FIRST_TIME]] = evidence.fields[:, [LAST_EXAMPLE, LAST_TIME]]
    evidence.running[[AHEAD, BEHIND]] = 0


def group_masks(lanes: Sequence[Rule]) -> NDArray[np.float32]:
    """Return float32[2, 2 * lanes], 1 for a member: the ordinary lanes, their challengers; the diagnosed.

    Ordinary lanes shrink. Those of more than twice the shrinking lanes' median rate take so much longer to
    choke that they challenge the others, beside the lanes whose rates live. Lanes of other rules than AdaGrad
    are in neither group.
    """
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
    """Whether some AdaGrad lanes shrink their rates and others keep them alive."""
    live = {lane.decay < 1 for lane in lanes if isinstance(lane, AdaGrad)}
    return len(live) > 1


@inlined
def read_clock(evidence, clock):
    """Keep the clock's first and last reading, where it is given."""
    if clock >= 0:
        if evidence.running[FIRST_CLOCK] < 0.0:
            evidence.running[FIRST_CLOCK] = np.float64(clock)
        evidence.running[LAST_CLOCK] = np.float64(clock)


# -- the model as a whole ----------------------------------------------------------------------------------


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
def put_away(evidence, groups, shares, table, progress):
    """Write down a piece that is full, and follow whether the challengers are ahead."""
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
        evidence.shares[k] = shares.rows[0, k]
    add_to_blocks(evidence)
    watch(evidence, groups, table, lane_losses, (ordinary - challengers) / largest, progress.counts[LEARNED])


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


# -- a change ----------------------------------------------------------------------------------------------


@inlined
def watch(evidence, groups, table, lane_losses, lead, learned):
    """Follow how far the challengers are ahead; where that proves a change, start the ordinary lanes anew."""
    counters, running = evidence.counters, evidence.running
    if counters[ARMED]:
        running[AHEAD] = max(running[AHEAD] + lead, 0.0)
        if running[AHEAD] > np.float64(log(np.float32(8 * (learned + 1)))):
            begin_anew(evidence, groups, table, lane_losses, learned)
    else:
        running[BEHIND] = max(running[BEHIND] - lead, 0.0)
        age = learned - counters[LAST_RESTART]
        if age > LONGEST_YOUTH or (running[BEHIND] > CATCH_UP and age > SHORTEST_YOUTH):
            counters[ARMED] = 1
            running[AHEAD] = 0.0


@inlined
def second_best(groups, lane_losses):
    """The diagnosed lane with the second smallest loss so far."""
    best, second = -1, -1
    for k in range(lane_losses.size):
        if groups.rows[1, k] > ZERO:
            if best < 0 or lane_losses[k] < lane_losses[best]:
                best, second = k, best
            elif second < 0 or lane_losses[k] < lane_losses[second]:
                second = k
    return second if second >= 0 else best


@outlined
def begin_anew(evidence, groups, table, lane_losses, learned):
    """Start every ordinary lane anew but the witness; the intercept's weight stays."""
    counters, running = evidence.counters, evidence.running
    if counters[RESTARTS] == 0:
        witness = second_best(groups, lane_losses)
        for k in range(lane_losses.size):
            groups.rows[1, k] = ONE if k == witness else ZERO
    one = like(load(groups, 0, 0), ONE)
    kept = one - (load(groups, ORDINARY[0], ORDINARY[1]) - load(groups, AGED[0], AGED[1]))
    last = table.rows.shape[0] - 1
    for i in range(last):
        accumulators = load(table, i, 1)
        if total(accumulators) > ZERO:  # a row that was never touched stays the system's to give
            store(table, i, 0, load(table, i, 0) * kept)
            store(table, i, 1, accumulators * kept)
    store(table, last, 1, load(table, last, 1) * kept)
    counters[RESTARTS] += 1
    counters[LAST_RESTART] = learned
    counters[ARMED] = 0
    running[AHEAD] = 0.0
    running[BEHIND] = 0.0


# -- fields ------------------------------------------------------------------------------------------------


@inlined
def drawn(number, shift):
    """Whether an example's number is drawn, by a hash of it: one in 2^(32 - shift)."""
    return np.uint32(np.uint32(number) * np.uint32(2654435769)) >> np.uint32(shift) == np.uint32(0)


@inlined
def leading(groups, group, shares):
    """The lane of a group with the largest share."""
    members = load(groups, group[0], group[1])
    best = 0
    for k in range(groups.rows.shape[1] // 2):
        if lane(members, k) > ZERO and (lane(members, best) == ZERO or lane(shares, k) > lane(shares, best)):
            best = k
    return best


@inlined
def place_of(evidence, name, number, clock):
    """Where the sums of a field stand; -1 where there is no room for another."""
    place = np.intp(evidence.places[name])
    if place < 0 and evidence.counters[FIELDS] < MAX_FIELDS:
        place = np.intp(evidence.counters[FIELDS])
        evidence.counters[FIELDS] += 1
        evidence.places[name] = place
        evidence.names[place] = name
        evidence.fields[place, FIRST_EXAMPLE] = number
        evidence.fields[place, FIRST_TIME] = clock
    return place


@inlined
def rate_in(table, rates, i, k):
    """The effective learning rate of lane k at row i: eta / sqrt(G + epsilon)."""
    n = table.rows.shape[1] // 2
    return rates.rows[0, k] / np.sqrt(table.rows[i, n + k] + rates.rows[0, n + k])


@inlined
def observe_fields(  # noqa: C901 - one pass over the nonzeros for the parts, one for the fields
    evidence, groups, shares, rates, table, indptr, indices, values, value_mask, fields, field_mask, r, m,
    p, complement, label, s, number, clock,
):  # fmt: skip
    """Write down of each field of an example what the live lane would have made of it."""
    old, live = leading(groups, AGED, shares), leading(groups, CHALLENGERS, shares)
    n = table.rows.shape[1] // 2
    slots = np.uint32(table.rows.shape[0] - 2)
    lo, hi = indptr[r], indptr[r + 1]
    sign = -ONE if label > ZERO else ONE
    margin = lane(m, old)
    measuring = drawn(number, MEASURED_SHIFT)
    residual = -lane(complement, old) if label > ZERO else lane(p, old)
    for j in range(lo, hi):
        place = place_of(evidence, fields[np.uintp(j & field_mask)], number, clock)
        if place >= 0:
            i = np.intp(indices[np.uintp(j)] & slots)
            x = values[np.uintp(j & value_mask)]
            part = evidence.partial[place]
            part[0] += np.float64(table.rows[i, old] * x)
            part[1] += np.float64(table.rows[i, live] * x)
            part[2] += 1.0
            if measuring:
                part[3] += np.float64(rate_in(table, rates, i, old))
                part[4] += np.float64(rate_in(table, rates, i, live))
                g2 = (residual * x) * (residual * x)
                if g2 > ZERO and table.rows[i, n + old] + g2 == table.rows[i, n + old]:
                    part[5] += 1.0
    loss = np.float64(softplus(sign * margin))
    curvature = np.float64(lane(p, old)) * np.float64(lane(complement, old))
    for j in range(lo, hi):
        place = np.intp(evidence.places[fields[np.uintp(j & field_mask)]])
        if place >= 0 and evidence.partial[place, 2] > 0.0:
            part, sums = evidence.partial[place], evidence.fields[place]
            move = part[1] - part[0]
            if abs(move) < 0.5:
                # The loss to the second order; the third is below move^3 / 60.
                difference = -move * (np.float64(residual) + 0.5 * move * curvature)
            else:
                moved = min(max(np.float64(margin) + move, -50.0), 50.0)
                difference = loss - np.float64(softplus(sign * np.float32(moved)))
            difference *= np.float64(s)
            for k in range(SEEN, FIELD_VARIANCE + 1):
                sums[k] *= MEMORY
            sums[SAMPLES] += 1.0
            sums[SEEN] += 1.0
            sums[FIELD_DIFFERENCE] += difference
            sums[FIELD_DIFFERENCE2] += difference * difference
            sums[FIELD_RESIDUAL] += np.float64(residual)
            sums[FIELD_VARIANCE] += curvature
            if measuring:
                for k in range(MEASURED, STALLED + 1):
                    sums[k] *= MEMORY
                sums[MEASURED] += 1.0
                sums[RATE] += part[3] / part[2]
                sums[LIVE_RATE] += part[4] / part[2]
                sums[STALLED] += part[5] / part[2]
            sums[LAST_EXAMPLE] = number
            sums[LAST_TIME] = clock
            part[:] = 0.0
