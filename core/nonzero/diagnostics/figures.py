"""The figures of a diagnosis, out of the evidence; :mod:`nonzero.diagnostics.diagnosis` judges them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.rules.optimizers import Kalman, Rule

LEVEL: Final = 0.05
"""How often any of all intervals ever shown may miss."""
WINDOWS: Final = (8, 32, 128)
"""Blocks of 512 examples."""
CENTRED: Final = 4.0
"""Standard errors within which a mean gradient counts as zero."""
SILENCE: Final = 20.0
"""How many times its usual gap a field is unseen before it counts as idle."""
AN_HOUR: Final = 3_600_000


Array = NDArray[Any]


def half_width(level: float) -> float:
    """Return how many standard errors a normal interval of this two-sided level is wide, or a little more."""
    return math.sqrt(2 * math.log(2 / level))


def windows(evidence: ev.Evidence) -> list[dict[str, Any]]:
    """Return the paired loss difference over the newest windows, the shortest first."""
    blocks = int(evidence.counters[ev.PIECES]) // ev.RECENT_PIECES
    if blocks < WINDOWS[0]:
        return []
    newest = (blocks - 1 - np.arange(min(blocks, ev.BLOCKS - 1))) % ev.BLOCKS
    z = half_width(LEVEL / (len(WINDOWS) * blocks * (blocks + 1)))
    found = []
    for length in WINDOWS:
        sums = evidence.recent[newest[:length]].sum(axis=0)
        n = sums[ev.COUNT]
        if not n:
            continue
        mean, pieces = sums[ev.DIFFERENCE] / n, n / ev.PIECE
        error = math.sqrt(max(sums[ev.DIFFERENCE2] - sums[ev.DIFFERENCE] ** 2 / pieces, 0.0)) / n
        found.append(
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
    return found


def loss_fall(history: Array, pieces: int) -> tuple[float | None, float | None]:
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


def learning_rates(
    evidence: ev.Evidence, lanes: Sequence[Rule], aged: Array, shares: Array
) -> dict[str, float | None]:
    """Return the leading shrinking lane's first rate, and its and the live lane's means over the samples."""
    old = max((k for k in range(len(lanes)) if aged[k]), key=lambda k: shares[k])
    first = 0 if isinstance(lanes[old], Kalman) else 0.25  # what is kept of a coordinate at its first touch
    sums = evidence.fields.sum(axis=0)
    seen = sums[ev.MEASURED]
    return {
        "start": float(lanes[old].rates(np.full(1, first, np.float32))[0]),
        "now": float(sums[ev.RATE] / seen) if seen else None,
        "live": float(sums[ev.LIVE_RATE] / seen) if seen else None,
    }


def is_choked(rates: Mapping[str, float | None]) -> bool:
    """Tell whether the live lane's rate is larger than that of the shrinking lane."""
    now, live = rates["now"], rates["live"]
    return now is not None and live is not None and live > now


def half_life(evidence: ev.Evidence, rate: float | None, learned: int) -> dict[str, float | None] | None:
    """Return after how many examples half of an error would remain, in a coordinate that all of them name."""
    sums = evidence.fields.sum(axis=0)
    if not rate or not sums[ev.FIELD_VARIANCE]:
        return None
    return lasting(math.log(2) / (rate * sums[ev.FIELD_VARIANCE] / sums[ev.SEEN]), evidence, learned)


def lasting(examples: float, evidence: ev.Evidence, learned: int) -> dict[str, float | None]:
    """Say how long so many examples take, at the mean traffic so far."""
    first, last = evidence.running[ev.FIRST_CLOCK], evidence.running[ev.LAST_CLOCK]
    hours = float(examples * (last - first) / learned / AN_HOUR) if last > first >= 0 else None
    return {"examples": float(examples), "hours": hours}


def stalled(evidence: ev.Evidence) -> float | None:
    """Return the share of the sampled additions to the accumulators that float32 lost."""
    sums = evidence.fields.sum(axis=0)
    return float(sums[ev.STALLED] / sums[ev.MEASURED]) if sums[ev.MEASURED] else None


def latest(evidence: ev.Evidence, now_ms: int | None) -> float | None:
    """Return the time that is told, else the clock's last reading, in ms; None where there is neither."""
    if now_ms is not None:
        return float(now_ms)
    return float(evidence.running[ev.LAST_CLOCK]) if evidence.running[ev.LAST_CLOCK] >= 0 else None


def is_silent(evidence: ev.Evidence, now: float | None) -> bool:
    """Tell whether no example has come for more than an hour and 20 times the usual gap."""
    first, last = evidence.running[ev.FIRST_CLOCK], evidence.running[ev.LAST_CLOCK]
    if now is None or last < 0:
        return False
    gap = (last - first) / max(int(evidence.counters[ev.PIECES]) * ev.PIECE, 1)
    return bool(now - last > max(AN_HOUR, SILENCE * gap))
