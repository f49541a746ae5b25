# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Fields: one example in 64, drawn by a hash of its number, is asked what a live lane would make of each.

The leading challenger's part of the margin in a field is put in the leading ordinary lane's place.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import lane, load
from nonzero.arithmetic.lanes import softplus
from nonzero.compiled import inlined
from nonzero.kernels.evidence import arrays as ev
from nonzero.rules.rows import slot, value

__all__ = ["SAMPLE_SHIFT", "drawn", "observe_fields"]

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
    if place < 0 and evidence.counters[ev.FIELDS] < ev.MAX_FIELDS:
        place = np.intp(evidence.counters[ev.FIELDS])
        evidence.counters[ev.FIELDS] += 1
        evidence.places[name] = place
        evidence.names[place] = name
        evidence.fields[place, ev.FIRST_EXAMPLE] = number
        evidence.fields[place, ev.FIRST_TIME] = clock
    return place


@inlined
def rate_in(table, rates, i, k):
    """The effective learning rate of lane k at row i: eta / sqrt(G + epsilon)."""
    n = np.uintp(table.rows.shape[1] // 2)
    return rates.rows[0, k] / np.sqrt(table.rows[i, n + k] + rates.rows[0, n + k])


@inlined
def add_part(evidence, place, table, rates, i, x, residual, old, live, measuring):
    """Add a nonzero to its field's part of the margin in two lanes, and to what their rates are there."""
    part = evidence.partial[place]
    part[0] += np.float64(table.rows[i, old] * x)
    part[1] += np.float64(table.rows[i, live] * x)
    part[2] += 1.0
    if measuring:
        part[3] += np.float64(rate_in(table, rates, i, old))
        part[4] += np.float64(rate_in(table, rates, i, live))
        g2 = (residual * x) * (residual * x)
        accumulator = table.rows[i, np.uintp(table.rows.shape[1] // 2) + old]
        if g2 > ZERO and accumulator + g2 == accumulator:
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


@inlined
def observe_fields(
    evidence, groups, shares, rates, table, rows, fields, field_mask,
    r, m, p, complement, label, s, number, clock,
):  # fmt: skip
    """Write down of each field of an example what the live lane would have made of it."""
    old, live = np.uintp(leading(groups, ev.AGED, shares)), np.uintp(leading(groups, ev.CHALLENGERS, shares))
    lo, hi = rows.indptr[r], rows.indptr[r + 1]
    measuring = drawn(number, MEASURED_SHIFT)
    residual = -lane(complement, old) if label > ZERO else lane(p, old)
    for j in range(lo, hi):
        place = place_of(evidence, fields[np.uintp(j & field_mask)], number, clock)
        if place >= 0:
            i = np.uintp(slot(rows, j))
            add_part(
                evidence, np.uintp(place), table, rates, i, value(rows, j), residual, old, live, measuring
            )
    sign, margin = -ONE if label > ZERO else ONE, lane(m, old)
    loss = np.float64(softplus(sign * margin))
    curvature = np.float64(lane(p, old)) * np.float64(lane(complement, old))
    for j in range(lo, hi):
        place = np.intp(evidence.places[fields[np.uintp(j & field_mask)]])
        if place >= 0 and evidence.partial[np.uintp(place), 2] > 0.0:
            part, sums = evidence.partial[np.uintp(place)], evidence.fields[np.uintp(place)]
            move = part[1] - part[0]
            if abs(move) < 0.5:
                # The loss to the second order; the third is below move^3 / 60.
                gained = -move * (np.float64(residual) + 0.5 * move * curvature)
            else:
                moved = min(max(np.float64(margin) + move, -50.0), 50.0)
                gained = loss - np.float64(softplus(sign * np.float32(moved)))
            count_field(part, sums, gained * np.float64(s), residual, curvature, measuring, number, clock)
