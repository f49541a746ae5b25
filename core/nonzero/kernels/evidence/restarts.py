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

With 12 fields and 10^6 examples before an abrupt change, lanes of any fixed rate need several times the
examples that a fresh model needs to be within 2 % of the new optimum: slow ones are slow, and fast ones never
come that near (``tests/core/test_recovery.py``).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.elementary import log
from nonzero.arithmetic.intrinsics import like, load, store, total
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.progress import LEARNED
from nonzero.kernels.rows import intercept_row
from nonzero.native import inlined, outlined

CATCH_UP: Final = 50.0
SHORTEST_YOUTH: Final = 2**16
LONGEST_YOUTH: Final = 2**18
ONE = np.float32(1.0)
ZERO = np.float32(0.0)


@inlined
def watch(state, lead):
    """Follow how far the challengers are ahead; where that proves a change, start the ordinary lanes anew."""
    counters, running = state.evidence.counters, state.evidence.running
    learned = state.progress.counts[LEARNED]
    if counters[ev.ARMED]:
        running[ev.AHEAD] = max(running[ev.AHEAD] + lead, 0.0)
        if running[ev.AHEAD] > np.float64(log(np.float32(8 * (learned + 1)))):
            begin_anew(state)
    else:
        running[ev.BEHIND] = max(running[ev.BEHIND] - lead, 0.0)
        age = learned - counters[ev.LAST_RESTART]
        if age > LONGEST_YOUTH or (running[ev.BEHIND] > CATCH_UP and age > SHORTEST_YOUTH):
            counters[ev.ARMED] = 1
            running[ev.AHEAD] = 0.0


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
def begin_anew(state):
    """Start every ordinary lane anew but the witness; the intercept's weight stays."""
    counters, running = state.evidence.counters, state.evidence.running
    groups, table, lane_losses = state.groups, state.table, state.progress.lane_losses
    if counters[ev.RESTARTS] == 0:
        witness = second_best(groups, lane_losses)
        for k in range(lane_losses.size):
            groups.rows[1, k] = ONE if k == witness else ZERO
    one = like(load(groups, 0, 0), ONE)
    kept = one - (load(groups, ev.ORDINARY[0], ev.ORDINARY[1]) - load(groups, ev.AGED[0], ev.AGED[1]))
    last = intercept_row(table)
    for i in range(last):
        accumulators = load(table, i, 1)
        if total(accumulators) > ZERO:  # a row that was never touched stays the system's to give
            store(table, i, 0, load(table, i, 0) * kept)
            store(table, i, 1, accumulators * kept)
    store(table, last, 1, load(table, last, 1) * kept)
    counters[ev.RESTARTS] += 1
    counters[ev.LAST_RESTART] = state.progress.counts[LEARNED]
    counters[ev.ARMED] = 0
    running[ev.AHEAD] = 0.0
    running[ev.BEHIND] = 0.0
