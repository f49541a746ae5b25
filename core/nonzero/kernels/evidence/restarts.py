# mypy: disable-error-code="no-untyped-def,no-untyped-call"
r"""A new start, where the challengers prove that tastes have changed.

The difference of the groups' losses is a log likelihood ratio, and its largest sum over the recent past
(Page, "Continuous Inspection Schemes", Biometrika 41, 1954) exceeds h in less than T e^-h of streams of T
examples that follow the ordinary lanes' probabilities. Past ``ln(8 (t + 1))`` the tastes that the ordinary
lanes learned are of the past, and they are too slow to learn others: all of them but one begin anew, from
zero weights and zero accumulators, as a model started now would. The one that goes on is the second best so
far, the witness: if the alarm was false little is lost, and the diagnosis speaks of it. To the mixture a lane
is whatever predicts under its number, so the bounds of its regret hold as they stand. The pass over the
table's touched rows is made at most once in 65,536 examples.

Lanes that are combined (:mod:`nonzero.kernels.newton`) begin anew all but the witness, and so does what
combines them. There the evidence of the gate is the sum that is watched: a block counts for no more than a
cap, so that a run of one label proves nothing, and 2.5 ln(8 (t + 1)) and seven caps prove a change.

With 12 fields and 10^6 examples before an abrupt change, lanes of any fixed rate need several times the
examples that a fresh model needs to be within 2 % of the new optimum: slow ones are slow, and fast ones never
come that near (``tests/core/test_recovery.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.arithmetic.elementary import exp, log
from nonzero.arithmetic.intrinsics import exclusive, load, maximum, store, total, where
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.newton import GATE_EVIDENCE, NUMBERS, cap_of, reset
from nonzero.kernels.progress import LEARNED
from nonzero.kernels.rows import intercept_row
from nonzero.kernels.rules.optimizers import PRIOR
from nonzero.native import inlined, outlined

CATCH_UP: Final = 50.0
SHORTEST_YOUTH: Final = 2**16
LONGEST_YOUTH: Final = 2**18
NOTHING, PROVEN, PROVEN_CAPS = np.float32(0.5), np.float32(2.5), np.float32(7.0)
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


class Restart(NamedTuple):
    """What proves a change, and what begins anew then.

    Parameters
    ----------
    watch
        ``(state, lead) -> None``: follow how far the challengers are ahead; where that proves a change, begin
        anew.
    follow
        ``(state, largest) -> None``: let the shares by which the groups' lanes are mixed follow a piece.
    """

    watch: Callable[..., Any]
    follow: Callable[..., Any]


@inlined
def watch(state, lead):
    """Follow how far the challengers are ahead; where that proves a change, start the ordinary lanes anew."""
    counters, running = state.evidence.counters, state.evidence.running
    learned = state.progress.counts[LEARNED]
    if counters[ev.ARMED]:
        running[ev.AHEAD] = max(running[ev.AHEAD] + lead, 0.0)
        if running[ev.AHEAD] > np.float64(log(np.float32(8 * (learned + 1)))):
            begin_anew(state)
            count_restart(state)
    else:
        running[ev.BEHIND] = max(running[ev.BEHIND] - lead, 0.0)
        age = learned - counters[ev.LAST_RESTART]
        if age > LONGEST_YOUTH or (running[ev.BEHIND] > CATCH_UP and age > SHORTEST_YOUTH):
            counters[ev.ARMED] = 1
            running[ev.AHEAD] = 0.0


@inlined
def watch_gate(state, lead):  # noqa: ARG001 - other lanes need it
    """Begin anew where the evidence of the gate proves a change; before, it must have been nothing."""
    counters, evidence = state.evidence.counters, state.shares.rows[NUMBERS, GATE_EVIDENCE]
    age = state.progress.counts[LEARNED] - counters[ev.LAST_RESTART]
    if counters[ev.ARMED]:
        if evidence > PROVEN * log(np.float32(8 * (age + 1))) + PROVEN_CAPS * cap_of(state.shares):
            begin_all_anew(state)
            count_restart(state)
    elif age > SHORTEST_YOUTH and evidence < NOTHING:
        counters[ev.ARMED] = 1


@inlined
def count_restart(state):
    """Write a new start down."""
    counters, running = state.evidence.counters, state.evidence.running
    counters[ev.RESTARTS] += 1
    counters[ev.LAST_RESTART] = state.progress.counts[LEARNED]
    counters[ev.ARMED] = 0
    running[ev.AHEAD] = 0.0
    running[ev.BEHIND] = 0.0


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


@inlined
def choose_witness(state):
    """Leave one lane to the diagnosis, which goes on at the first change and at all others."""
    groups, lane_losses = state.groups, state.progress.lane_losses
    if state.evidence.counters[ev.RESTARTS] == 0:
        witness = second_best(groups, lane_losses)
        for k in range(lane_losses.size):
            groups.rows[1, k] = ONE if k == witness else ZERO


@outlined
def begin_anew(state):
    """Start every ordinary lane anew but the witness; the intercept's weight stays."""
    groups, table = state.groups, state.table
    choose_witness(state)
    kept = ONE - (load(groups, ev.ORDINARY[0], ev.ORDINARY[1]) - load(groups, ev.AGED[0], ev.AGED[1]))
    last = intercept_row(table)
    for i in range(last):
        accumulators = load(table, i, 1)
        if total(accumulators) > ZERO:  # a row that was never touched stays the system's to give
            store(table, i, 0, load(table, i, 0) * kept)
            store(table, i, 1, accumulators * kept)
    store(table, last, 1, load(table, last, 1) * kept)


@outlined
def begin_all_anew(state):
    """Start every lane that keeps variances anew but the witness, and what combines them; intercepts stay."""
    table = state.table
    choose_witness(state)
    first = load(state.hyperparameters, PRIOR[0], PRIOR[1])
    kept = load(state.groups, ev.AGED[0], ev.AGED[1])
    last = intercept_row(table)
    for i in range(last):
        stored = load(table, i, 1)
        fallen = first - exclusive(stored, first)
        if total(maximum(fallen, ZERO - fallen)) > ZERO:
            store(table, i, 0, where(kept, load(table, i, 0), ZERO))
            store(table, i, 1, where(kept, stored, ZERO))
    store(table, last, 1, where(kept, load(table, last, 1), ZERO))
    reset(state.shares.rows)


@inlined
def take_shares(state, largest):  # noqa: ARG001 - what is combined needs it
    """Take the shares of the mixture."""
    for k in range(state.progress.lane_losses.size):
        state.evidence.shares[k] = state.shares.rows[0, k]


@inlined
def follow_losses(state, largest):
    """Move the shares as the aggregating algorithm does: the mixtures have other shares."""
    evidence, lane_losses = state.evidence, state.progress.lane_losses
    fewest, whole = np.inf, ZERO
    for k in range(8):
        fewest = min(fewest, lane_losses[k] - evidence.lane_losses[k])
    for k in range(8):
        more = (lane_losses[k] - evidence.lane_losses[k] - fewest) / largest
        evidence.shares[k] *= exp(np.float32(-min(more, 80.0)))
        whole += evidence.shares[k]
    alpha = ONE / np.float32(state.progress.counts[LEARNED] + 1)
    for k in range(8):
        evidence.shares[k] = evidence.shares[k] / whole * (ONE - alpha) + alpha * np.float32(0.125)


ORDINARY_LANES: Final = Restart(watch, take_shares)
ALL_LANES: Final = Restart(watch_gate, follow_losses)
"""Of lanes that are combined."""
