# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Fields: one example in 64, drawn by a hash of its number, is asked what a live lane would make of each.

The leading challenger's part of the margin in a field is put in the leading ordinary lane's place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import softplus
from nonzero.arithmetic.intrinsics import exclusive, lane, load
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.progress import LEARNED
from nonzero.kernels.rows import slot, value
from nonzero.kernels.rules.interface import residual
from nonzero.kernels.rules.optimizers import CURVATURE, FISHER, GRADIENT, PRIOR
from nonzero.native import inlined, outlined

SAMPLE_SHIFT: Final = 26  # of a 32-bit hash, its top 6 bits: one example in 64
MEASURED_SHIFT: Final = 24  # its top 8 bits: the rates are measured on one example in 256
MEMORY = 1 - 1 / 2048  # what is left of a field's sums at each sample
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


@inlined
def drawn(number, shift):
    """Whether an example's number is drawn, by a hash of it: one in 2^(32 - shift)."""
    return np.uint32(np.uint32(number) * np.uint32(2654435769)) >> np.uint32(shift) == np.uint32(0)


@inlined
def place_of(evidence, name, number, clock):
    """Where the sums of a field stand; -1 where there is no room for another."""
    place = np.intp(evidence.places[name])
    if place < 0 and evidence.counters[ev.FIELDS] < ev.MAX_FIELDS:
        place = np.intp(evidence.counters[ev.FIELDS])
        evidence.counters[ev.FIELDS] += 1
        evidence.places[name] = place
        evidence.names[place] = name
        evidence.fields[place, ev.FIRST_EXAMPLE] = number
        evidence.fields[place, ev.FIRST_TIME] = clock
    return place


class KeptNumbers(NamedTuple):
    """What lanes keep of a coordinate beside its weight, as fields are told of it.

    Parameters
    ----------
    rate
        ``(state, i, lane) -> float32``: the effective learning rate of a lane at row i.
    share
        ``(state, lane) -> float32``: how much a lane counts.
    stalls
        ``(state, i, lane, gradient, x, example) -> bool``: whether float32 loses what an example adds to it,
        `gradient` being the lane's p - y.
    """

    rate: Callable[..., Any]
    share: Callable[..., Any]
    stalls: Callable[..., Any]


@inlined
def rate_of_accumulator(state, i, k):
    """The rate eta / sqrt(G + epsilon)."""
    table, hyperparameters = state.table, state.hyperparameters
    n = np.uintp(table.rows.shape[1] // 2)
    return hyperparameters.rows[0, k] / np.sqrt(table.rows[i, n + k] + hyperparameters.rows[0, n + k])


@inlined
def accumulator_stalls(state, i, k, gradient, x, example):  # noqa: ARG001 - a variance needs it
    """Whether G + g^2 is G."""
    g2 = (gradient * x) * (gradient * x)
    accumulator = state.table.rows[i, np.uintp(state.table.rows.shape[1] // 2) + k]
    return g2 > ZERO and accumulator + g2 == accumulator


@inlined
def rate_of_variance(state, i, k):
    """The variance itself."""
    return exclusive(state.table.rows[i, np.uintp(8) + k], state.hyperparameters.rows[PRIOR[0], k])


@inlined
def variance_stalls(state, i, k, gradient, x, example):
    """Whether 1 + 2 z is 1."""
    numbers, v = state.hyperparameters.rows, rate_of_variance(state, i, k)
    h = max(
        lane(example.click, k) * lane(example.none, k),
        numbers[FISHER[0], np.uintp(8) + k] * (gradient * gradient),
    )
    fall = numbers[GRADIENT[0], np.uintp(8) + k] * (gradient * gradient) * v
    z = (fall + numbers[CURVATURE[0], k] * h) * v * (x * x)
    return z > ZERO and z + z + ONE == ONE


@inlined
def share_of_mixture(state, k):
    """That of the mixture."""
    return state.shares.rows[0, k]


@inlined
def share_of_evidence(state, k):
    """That which the lane has by its losses: the mixtures have other shares."""
    return state.evidence.shares[k]


ACCUMULATORS: Final = KeptNumbers(rate_of_accumulator, share_of_mixture, accumulator_stalls)
VARIANCES: Final = KeptNumbers(rate_of_variance, share_of_evidence, variance_stalls)


@inlined
def leading(kept, state, group):
    """The lane of a group with the largest share."""
    groups = state.groups
    members = load(groups, group[0], group[1])
    best = 0
    for k in range(groups.rows.shape[1] // 2):
        if lane(members, k) > ZERO and (
            lane(members, best) == ZERO or kept.share(state, k) > kept.share(state, best)
        ):
            best = k
    return best


@inlined
def add_part(kept, state, place, i, x, gradient, old, live, measuring, example):
    """Add a nonzero to its field's part of the margin in two lanes, and to what their rates are there."""
    part, table = state.evidence.partial[place], state.table
    part[0] += np.float64(table.rows[i, old] * x)
    part[1] += np.float64(table.rows[i, live] * x)
    part[2] += 1.0
    if measuring:
        part[3] += np.float64(kept.rate(state, i, old))
        part[4] += np.float64(kept.rate(state, i, live))
        if kept.stalls(state, i, old, gradient, x, example):
            part[5] += 1.0


@inlined
def count_field(part, sums, gained, residual, curvature, measuring, number, clock):
    """Add to a field's sums what the live lane gained by it on an example, and forget its part."""
    for k in range(ev.SEEN, ev.FIELD_VARIANCE + 1):
        sums[np.uintp(k)] *= MEMORY
    sums[ev.SAMPLES] += 1.0
    sums[ev.SEEN] += 1.0
    sums[ev.FIELD_DIFFERENCE] += gained
    sums[ev.FIELD_DIFFERENCE2] += gained * gained
    sums[ev.FIELD_RESIDUAL] += np.float64(residual)
    sums[ev.FIELD_VARIANCE] += curvature
    if measuring:
        for k in range(ev.MEASURED, ev.STALLED + 1):
            sums[np.uintp(k)] *= MEMORY
        sums[ev.MEASURED] += 1.0
        sums[ev.RATE] += part[3] / part[2]
        sums[ev.LIVE_RATE] += part[4] / part[2]
        sums[ev.STALLED] += part[5] / part[2]
    sums[ev.LAST_EXAMPLE] = number
    sums[ev.LAST_TIME] = clock
    for k in range(ev.PARTS):
        part[np.uintp(k)] = 0.0


@outlined
def observe_fields(kept, rows, state, call, example):
    """Write down of each field of an example what the live lane would have made of it."""
    evidence, r = state.evidence, example.row
    number = state.progress.counts[LEARNED]
    old = np.uintp(leading(kept, state, ev.AGED))
    live = np.uintp(leading(kept, state, ev.CHALLENGERS))
    lo, hi = rows.indptr[r], rows.indptr[r + 1]
    measuring = drawn(number, MEASURED_SHIFT)
    gradient = lane(residual(example), old)
    for j in range(lo, hi):
        place = place_of(evidence, rows.fields[np.uintp(j & rows.field_mask)], number, call.clock)
        if place >= 0:
            i = np.uintp(slot(rows, state.table, j))
            x = value(rows, j)
            add_part(kept, state, np.uintp(place), i, x, gradient, old, live, measuring, example)
    sign, margin = -ONE if example.label > ZERO else ONE, lane(example.margin, old)
    loss = np.float64(softplus(sign * margin))
    curvature = np.float64(lane(example.click, old)) * np.float64(lane(example.none, old))
    for j in range(lo, hi):
        place = np.intp(evidence.places[rows.fields[np.uintp(j & rows.field_mask)]])
        if place >= 0 and evidence.partial[np.uintp(place), 2] > 0.0:
            part, sums = evidence.partial[np.uintp(place)], evidence.fields[np.uintp(place)]
            move = part[1] - part[0]
            if abs(move) < 0.5:
                # The loss to the second order; the third is below move^3 / 60.
                gained = -move * (np.float64(gradient) + 0.5 * move * curvature)
            else:
                moved = min(max(np.float64(margin) + move, -50.0), 50.0)
                gained = loss - np.float64(softplus(sign * np.float32(moved)))
            gained *= np.float64(example.weight)
            count_field(part, sums, gained, gradient, curvature, measuring, number, call.clock)
