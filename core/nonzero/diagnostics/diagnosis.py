"""Converged, learning or starved: what the fold wrote down (:mod:`nonzero.kernels.evidence`), read.

The verdict is on the ordinary lanes, whose rates shrink (after a new start: on the witness among them), for
the model and for each field:

========= ==================================================================================================
learning  the progressive loss still falls, or it is too early to tell
converged a learner whose rate is alive does no better, the gradients are centred on zero, and the loss falls
          by less than 3 % while the stream doubles
starved   the accumulators have choked the rates: a learner whose rate is alive does measurably better
idle      not seen lately, by the examples seen since, or by the journal's clock
unknown   there is nothing to compare: the model lacks a lane whose rate shrinks or one whose rate is alive
========= ==================================================================================================

**Intervals that may be looked at any time.** The mean of the paired loss difference is stated for windows of
the newest 8, 32 and 128 blocks of 512 examples, with an interval that is asymptotically normal in the sum
of a window's pieces of 64 examples, at level ``0.05 / (3 m (m + 1))`` at the m-th block. These levels add up
to 0.05 over all blocks and windows: with 95 % probability no interval that was ever to be seen misses
(a union bound over looks; for the normal limit under optional looking: Waudby-Smith et al., "Time-uniform
central limit theory and asymptotic confidence sequences", Annals of Statistics 2024). Fields are looked at
by samples, likewise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.fields import verdict_of_fields
from nonzero.diagnostics.figures import (
    CENTRED,
    half_life,
    is_choked,
    is_silent,
    latest,
    learning_rates,
    loss_fall,
    stalled,
    windows,
)
from nonzero.diagnostics.remedy import remedy_for
from nonzero.fields.hashing import NO_FIELD, field_of
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.rules.optimizers import AdaGrad, Rule

FALL: Final = 0.03
"""The fall of the loss while the stream doubles below which a model counts as converged."""


def diagnose(
    evidence: ev.Evidence,
    lanes: Sequence[Rule],
    aged: NDArray[np.float32],
    shares: NDArray[np.float32],
    learned: int,
    names: Iterable[str] = (),
    now_ms: int | None = None,
) -> dict[str, Any]:
    """Return the verdicts as JSON holds them: see :meth:`nonzero.LogisticRegression.diagnose`."""
    if not evidence.counters[ev.COMPARING]:
        return _unknown(learned, lanes)
    known = {field_of(name): name for name in names} | {NO_FIELD: "(direct indices)"}
    compared = windows(evidence)
    rates = learning_rates(evidence, lanes, aged, shares)
    fall, fall_high = loss_fall(evidence.history, int(evidence.counters[ev.PIECES]))
    recent = evidence.recent.sum(axis=0)
    errors = float(recent[ev.RESIDUAL] / math.sqrt(recent[ev.RESIDUAL2])) if recent[ev.RESIDUAL2] else 0.0
    newest = compared[0] if compared else None
    starving = next((w for w in reversed(compared) if w["low"] > 0), None)
    starved = bool(starving and newest and newest["mean"] > 0 and is_choked(rates))
    settled = newest is not None and fall_high is not None and fall_high < FALL and abs(errors) < CENTRED
    now = latest(evidence, now_ms)
    if is_silent(evidence, now):
        verdict, reason = "idle", "no example has come for more than an hour and 20 times the usual gap"
    elif starved and starving:
        verdict = "starved"
        reason = (
            f"lanes whose rate is alive lose {starving['mean']:.2g} nats an example less "
            f"over the last {starving['examples']} examples"
        )
    elif settled:
        verdict = "converged"
        falls = (
            f"by at most {fall_high:.1%} while the stream doubles"
            if fall_high and fall_high > 0
            else "no more"
        )
        reason = f"the loss falls {falls}; learners whose rate stays large do no better"
    else:
        verdict, reason = "learning", _why_learning(fall, errors, compared)
    fields = verdict_of_fields(
        evidence, known, learned, now, settled=verdict == "converged", start=rates["start"]
    )
    answer = {
        "verdict": verdict,
        "reason": reason,
        "examples": learned,
        "evidence": {
            "loss_difference": starving if starved else (compared[-1] if compared else None),
            "loss_fall_per_doubling": {"estimate": fall, "high": fall_high},
            "mean_gradient": {"standard_errors": errors},
            "learning_rate": rates,
            "half_life": half_life(evidence, rates["now"], learned),
            "stalled_additions": stalled(evidence),
            "gained": {"nats": float(recent[ev.GAINED]), "examples": int(recent[ev.COUNT])},
            "new_starts": {
                "times": int(evidence.counters[ev.RESTARTS]),
                "last_at_example": int(evidence.counters[ev.LAST_RESTART]) or None,
            },
        },
        "fields": fields,
    }
    return answer | {"remedy": remedy_for(rates, lanes, aged) if verdict == "starved" else None}


def _unknown(learned: int, lanes: Sequence[Rule]) -> dict[str, Any]:
    setting = "learning_rate" if all(isinstance(lane, AdaGrad) for lane in lanes) else "optimizer"
    return {
        "verdict": "unknown",
        "reason": "there is no lane to compare with: one rule alone does not show whether learning stopped "
        "because it is done or because the accumulators are large",
        "examples": learned,
        "evidence": {},
        "fields": {},
        "remedy": {"setting": {setting: "auto"}, "why": "eight lanes, some of which keep their rate"},
    }


def _why_learning(fall: float | None, errors: float, windows: Sequence[Mapping[str, Any]]) -> str:
    if not windows or fall is None:
        return "there are too few examples to tell"
    if abs(errors) >= CENTRED:
        return f"predictions are off by {abs(errors):.1f} standard errors in the mean"
    return f"the loss fell by about {fall:.1%} while the stream doubled last; whether it still does is open"
