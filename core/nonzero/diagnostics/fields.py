"""The verdict on each field, by one example in 64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from nonzero.diagnostics.figures import AN_HOUR, CENTRED, LEVEL, SILENCE, Array, half_width, lasting
from nonzero.kernels.evidence import arrays as ev

FEWEST_SAMPLES: Final = 30


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
            found["half_life"] = lasting(found["half_life"], evidence, learned)
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
    elif mean - z * error > 0 and live > rate:
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
