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

from nonzero.batches.hashing import NO_FIELD, field_of
from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.rules.optimizers import AdaGrad, Rule

__all__ = ["LEVEL", "VERDICTS", "diagnose", "verdict_of_fields"]

VERDICTS: Final = ("learning", "converged", "starved", "idle", "unknown")
LEVEL: Final = 0.05
"""How often any of all intervals ever shown may miss."""
WINDOWS: Final = (8, 32, 128)
"""Blocks of 512 examples."""
FALL: Final = 0.03
"""The fall of the loss while the stream doubles below which a model counts as converged."""
CENTRED: Final = 4.0
"""Standard errors within which a mean gradient counts as zero."""
FEWEST_SAMPLES: Final = 30
SILENCE: Final = 20.0
"""How many times its usual gap a field is unseen before it counts as idle."""
AN_HOUR: Final = 3_600_000
CHOKED: Final = 1.0
"""How many times larger than a choked rate its challenger's is at least."""

Array = NDArray[Any]


def diagnose(
    evidence: ev.Evidence,
    lanes: Sequence[Rule],
    aged: Array,
    shares: Array,
    learned: int,
    names: Iterable[str] = (),
    now_ms: int | None = None,
) -> dict[str, Any]:
    """Return the verdicts as JSON holds them: see :meth:`nonzero.LogisticRegression.diagnose`."""
    if not evidence.counters[ev.COMPARING]:
        return _unknown(learned, lanes)
    known = {field_of(name): name for name in names} | {NO_FIELD: "(direct indices)"}
    windows = _windows(evidence)
    rates = _rates(evidence, lanes, aged, shares)
    fall, fall_high = _fall(evidence.history, int(evidence.counters[ev.PIECES]))
    recent = evidence.recent.sum(axis=0)
    errors = float(recent[ev.RESIDUAL] / math.sqrt(recent[ev.RESIDUAL2])) if recent[ev.RESIDUAL2] else 0.0
    newest = windows[0] if windows else None
    starving = next((w for w in reversed(windows) if w["low"] > 0), None)
    starved = bool(starving and newest and newest["mean"] > 0 and _choked(rates))
    settled = newest is not None and fall_high is not None and fall_high < FALL and abs(errors) < CENTRED
    now = _now(evidence, now_ms)
    if _silent(evidence, now):
        verdict, reason = "idle", "no example has come for more than an hour and 20 times the usual gap"
    elif starved and starving:
        verdict = "starved"
        reason = (
            f"lanes whose rate is alive lose {starving['mean']:.2g} nats an example less "
            f"over the last {starving['examples']} examples"
        )
    elif settled:
        verdict = "converged"
        reason = (
            f"the loss falls by at most {fall_high:.1%} while the stream doubles; a live rate does no better"
        )
    else:
        verdict, reason = "learning", _why_learning(fall, errors, windows)
    fields = verdict_of_fields(
        evidence, known, learned, now, settled=verdict == "converged", start=rates["start"]
    )
    answer = {
        "verdict": verdict,
        "reason": reason,
        "examples": learned,
        "evidence": {
            "loss_difference": starving if starved else (windows[-1] if windows else None),
            "loss_fall_per_doubling": {"estimate": fall, "high": fall_high},
            "mean_gradient": {"standard_errors": errors},
            "learning_rate": rates,
            "half_life": _half_life(evidence, rates["now"], learned),
            "stalled_additions": _stalled(evidence),
            "gained": {
                "nats": float(recent[ev.GAINED]),
                "examples": int(recent[ev.COUNT]),
            },
            "new_starts": {
                "times": int(evidence.counters[ev.RESTARTS]),
                "last_at_example": int(evidence.counters[ev.LAST_RESTART]) or None,
            },
        },
        "fields": fields,
    }
    return answer | {"remedy": _remedy(answer, lanes, aged)}


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


# -- the model ---------------------------------------------------------------------------------------------


def half_width(level: float) -> float:
    """Return how many standard errors a normal interval of this two-sided level is wide, or a little more."""
    return math.sqrt(2 * math.log(2 / level))


def _windows(evidence: ev.Evidence) -> list[dict[str, Any]]:
    """Return the paired loss difference over the newest windows, the shortest first."""
    blocks = int(evidence.counters[ev.PIECES]) // ev.RECENT_PIECES
    if blocks < WINDOWS[0]:
        return []
    newest = (blocks - 1 - np.arange(min(blocks, ev.BLOCKS - 1))) % ev.BLOCKS
    z = half_width(LEVEL / (len(WINDOWS) * blocks * (blocks + 1)))
    windows = []
    for length in WINDOWS:
        sums = evidence.recent[newest[:length]].sum(axis=0)
        n = sums[ev.COUNT]
        if not n:
            continue
        mean, pieces = sums[ev.DIFFERENCE] / n, n / ev.PIECE
        error = math.sqrt(max(sums[ev.DIFFERENCE2] - sums[ev.DIFFERENCE] ** 2 / pieces, 0.0)) / n
        windows.append(
            {
                "mean": float(mean),
                "low": float(mean - z * error),
                "high": float(mean + z * error),
                "unit": "nats an example, ordinary lanes less challengers",
                "examples": int(n),
            }
        )
        if len(newest) < length:
            break
    return windows


def _fall(history: Array, pieces: int) -> tuple[float | None, float | None]:
    """Return how much the loss fell from the stream's second quarter to its second half, and an upper bound.

    Both as a share of the loss; the bound is one-sided, at 95 %. What the click rate's own ups and downs
    contribute is taken out by regression on the labels.
    """
    used = history[history[:, ev.COUNT] > 0]
    if pieces < 64 or len(used) < 32:
        return None, None
    ends = np.cumsum(used[:, ev.COUNT])
    quarter, half = np.searchsorted(ends, [ends[-1] / 4, ends[-1] / 2], side="right")
    total = used.sum(axis=0)
    loss, clicks = total[ev.LOSS], total[ev.CLICKS]
    n = total[ev.COUNT] / ev.PIECE
    spread = total[ev.CLICKS2] / n - (clicks / n) ** 2
    slope = (total[ev.LOSS_CLICKS] / n - loss * clicks / n**2) / spread if spread > 0 else 0.0
    before, after = used[quarter:half].sum(axis=0), used[half:].sum(axis=0)
    adjusted = [
        (part[ev.LOSS] - slope * (part[ev.CLICKS] - clicks / total[ev.COUNT] * part[ev.COUNT]))
        / part[ev.COUNT]
        for part in (before, after)
    ]
    variance = max(total[ev.LOSS2] / n - (loss / n) ** 2 - slope**2 * spread, 0.0) / ev.PIECE
    error = math.sqrt(variance * (1 / before[ev.COUNT] + 1 / after[ev.COUNT]))
    fall = adjusted[0] - adjusted[1]
    level = max(adjusted[1], 1e-12)
    return float(fall / level), float((fall + 1.645 * error) / level)


def _rates(
    evidence: ev.Evidence, lanes: Sequence[Rule], aged: Array, shares: Array
) -> dict[str, float | None]:
    """Return the leading shrinking lane's first rate, and its and the live lane's means over the samples."""
    old = max((k for k in range(len(lanes)) if aged[k]), key=lambda k: shares[k])
    sums = evidence.fields.sum(axis=0)
    seen = sums[ev.MEASURED]
    return {
        "start": float(lanes[old].rates(np.full(1, 0.25, np.float32))[0]),
        "now": float(sums[ev.RATE] / seen) if seen else None,
        "live": float(sums[ev.LIVE_RATE] / seen) if seen else None,
    }


def _choked(rates: Mapping[str, float | None]) -> bool:
    now, live = rates["now"], rates["live"]
    return now is not None and live is not None and live > CHOKED * now


def _half_life(evidence: ev.Evidence, rate: float | None, learned: int) -> dict[str, float | None] | None:
    """Return after how many examples half of an error would remain, in a coordinate that all of them name."""
    sums = evidence.fields.sum(axis=0)
    if not rate or not sums[ev.FIELD_VARIANCE]:
        return None
    return _lasting(math.log(2) / (rate * sums[ev.FIELD_VARIANCE] / sums[ev.SEEN]), evidence, learned)


def _lasting(examples: float, evidence: ev.Evidence, learned: int) -> dict[str, float | None]:
    """Say how long so many examples take, at the mean traffic so far."""
    first, last = evidence.running[ev.FIRST_CLOCK], evidence.running[ev.LAST_CLOCK]
    hours = float(examples * (last - first) / learned / AN_HOUR) if last > first >= 0 else None
    return {"examples": float(examples), "hours": hours}


def _stalled(evidence: ev.Evidence) -> float | None:
    """Return the share of the sampled additions to the accumulators that float32 lost."""
    sums = evidence.fields.sum(axis=0)
    return float(sums[ev.STALLED] / sums[ev.MEASURED]) if sums[ev.MEASURED] else None


def _now(evidence: ev.Evidence, now_ms: int | None) -> float | None:
    if now_ms is not None:
        return float(now_ms)
    return float(evidence.running[ev.LAST_CLOCK]) if evidence.running[ev.LAST_CLOCK] >= 0 else None


def _silent(evidence: ev.Evidence, now: float | None) -> bool:
    first, last = evidence.running[ev.FIRST_CLOCK], evidence.running[ev.LAST_CLOCK]
    if now is None or last < 0:
        return False
    gap = (last - first) / max(int(evidence.counters[ev.PIECES]) * ev.PIECE, 1)
    return bool(now - last > max(AN_HOUR, SILENCE * gap))


# -- fields ------------------------------------------------------------------------------------------------


def verdict_of_fields(
    evidence: ev.Evidence,
    names: Mapping[int, str],
    learned: int,
    now: float | None,
    settled: bool,
    start: float | None,
) -> dict[str, Any]:
    """Return each field's verdict and evidence by its name, or its number where the name is not known."""
    count = int(evidence.counters[ev.FIELDS])
    answer = {}
    for place in range(count):
        number = int(evidence.names[place])
        found = _field(evidence.fields[place], count, learned, now, settled)
        if found.get("learning_rate"):
            found["learning_rate"] = {"start": start} | found["learning_rate"]
        if found.get("half_life"):
            found["half_life"] = _lasting(found["half_life"], evidence, learned)
        answer[names.get(number, f"field {number}")] = found
    return answer


def _field(sums: Array, fields: int, learned: int, now: float | None, settled: bool) -> dict[str, Any]:
    samples, n = sums[ev.SAMPLES], sums[ev.SEEN]
    if not samples:
        return {"verdict": "learning"}
    mean = sums[ev.FIELD_DIFFERENCE] / n
    error = math.sqrt(max(sums[ev.FIELD_DIFFERENCE2] / n - mean**2, 0.0) / n)
    z = half_width(LEVEL / (fields * samples * (samples + 1)))
    residual = (
        sums[ev.FIELD_RESIDUAL] / math.sqrt(sums[ev.FIELD_VARIANCE]) if sums[ev.FIELD_VARIANCE] else 0.0
    )
    measured = sums[ev.MEASURED]
    rate, live = (sums[ev.RATE] / measured, sums[ev.LIVE_RATE] / measured) if measured else (0.0, 0.0)
    shrinking = rate * sums[ev.FIELD_VARIANCE] / n
    touches = math.log(2) / shrinking if shrinking else None
    gap = (sums[ev.LAST_EXAMPLE] - sums[ev.FIRST_EXAMPLE]) / max(samples - 1, 1)
    if _is_idle(sums, gap, learned, now):
        verdict = "idle"
    elif samples < FEWEST_SAMPLES:
        verdict = "learning"
    elif mean - z * error > 0 and live > CHOKED * rate:
        verdict = "starved"
    else:
        verdict = "converged" if settled and abs(residual) < CENTRED else "learning"
    return {
        "verdict": verdict,
        "loss_difference": {
            "mean": float(mean),
            "low": float(mean - z * error),
            "high": float(mean + z * error),
            "unit": "nats an example that names the field",
            "samples": int(samples),
        },
        "mean_gradient": {"standard_errors": float(residual)},
        "learning_rate": {"now": float(rate), "live": float(live)} if measured else None,
        "half_life": touches * max(gap / ev.PIECE, 1.0) if touches else None,
        "stalled_additions": float(sums[ev.STALLED] / measured) if measured else None,
        "last_seen": {
            "examples_ago": int(learned - sums[ev.LAST_EXAMPLE]),
            "time_ms": int(sums[ev.LAST_TIME]) if sums[ev.LAST_TIME] >= 0 else None,
        },
    }


def _is_idle(sums: Array, gap: float, learned: int, now: float | None) -> bool:
    if learned - sums[ev.LAST_EXAMPLE] > SILENCE * max(gap, ev.PIECE):
        return True
    if now is None or sums[ev.LAST_TIME] < 0:
        return False
    usual = (sums[ev.LAST_TIME] - sums[ev.FIRST_TIME]) / max(sums[ev.SAMPLES] - 1, 1)
    return bool(now - sums[ev.LAST_TIME] > max(AN_HOUR, SILENCE * usual))


# -- the remedy --------------------------------------------------------------------------------------------


def _remedy(answer: Mapping[str, Any], lanes: Sequence[Rule], aged: Array) -> dict[str, Any] | None:
    """Return what would mend a starved model: smaller accumulators, as large as the live rate's."""
    if answer["verdict"] != "starved":
        return None
    rates = answer["evidence"]["learning_rate"]
    factor = float(min(max((rates["now"] / rates["live"]) ** 2, 1e-6), 0.5))
    return {
        "action": "rescale",
        "factor": factor,
        "lanes": [k for k in range(len(lanes)) if aged[k]],
        "why": f"accumulators {1 / factor:.3g} times smaller give the shrinking lanes the live lanes' rate",
    }
