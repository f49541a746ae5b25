"""Rows: what the history tells of each second, minute, hour, day or block of examples."""

from __future__ import annotations

from math import log
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.history.clock_steps import STEPS
from nonzero_service.history.events import Event
from nonzero_service.history.history import History
from nonzero_service.history.recent_seconds import SECOND, SECONDS
from nonzero_service.history.step_records import StepRecords

EVER: Final = 1 << 62
"""A time that never comes."""

MOST: Final = 1500
"""So many rows at most are told where nobody says of which step."""

CLOCK_STEPS: Final = {"second": SECOND, **STEPS}
NAMES: Final = (*CLOCK_STEPS, "examples")


class Asked(NamedTuple):
    """Which part of a history is asked for."""

    start: int | None
    end: int | None
    step: str | None


def described(history: History, asked: Asked, now_ms: int) -> dict[str, Any]:
    """Return the rows and events that are asked for, as JSON holds them.

    To be asked after :meth:`~nonzero_service.history.history.History.capture`. From any thread.
    """
    end = now_ms + 1 if asked.end is None else asked.end
    step, records = _chosen(history, asked, end, now_ms)
    # A clock that was set back makes rows that are not in the order of their times, and later than now.
    after = -EVER if asked.start is None else asked.start
    if step == "second":
        after = max(after, now_ms - SECONDS * SECOND)
    rows = _rows(records, CLOCK_STEPS.get(step), after, EVER if asked.end is None else asked.end)
    start = asked.start
    if start is None:
        start = min([row["time"] for row in rows] or [min(history.began_ms, end - 1)])
    if asked.end is None:
        end = max([row["end"] for row in rows] + [end])
    events = [
        one for one in records.events if step == "examples" or asked.start is None or start <= one.time < end
    ]
    return {
        "step": step,
        "from": start,
        "to": end,
        "rows": rows,
        "events": [_event(one) for one in events if asked.end is None or one.time < end],
    }


def _chosen(history: History, asked: Asked, end: int, now_ms: int) -> tuple[str, StepRecords]:
    """Return the step that is asked for, or the finest of which few rows cover what is asked for."""
    if asked.step is not None:
        return asked.step, history.records(asked.step)
    start = history.began_ms if asked.start is None else max(asked.start, history.began_ms)
    for step, width in CLOCK_STEPS.items():
        if step == "second" and start < now_ms - SECONDS * SECOND:
            continue
        if (end - start) / width <= MOST or step == "day":
            records = history.records(step)
            if records.since <= start or step == "day":
                break
    return step, records


def _rows(records: StepRecords, width: int | None, after: int, before: int) -> list[dict[str, Any]]:
    """Return the rows that end after a time and begin before another."""
    points = records.points
    counted = np.diff(points["totals"], axis=0, prepend=[records.before])
    times, ends = points["begun"], points["time"]
    if width is not None:
        times = points["time"] // width * width
        ends = times + width
    wanted = (counted[:, 0] > 0) & (ends > after) & (times < before)
    columns = zip(
        times[wanted].tolist(),
        ends[wanted].tolist(),
        counted[wanted].tolist(),
        points["shares"][wanted],
        points["sequence"][wanted].tolist(),
        strict=True,
    )
    return [_row(*column) for column in columns]


def _row(
    time: int, end: int, counted: list[float], shares: NDArray[np.float32], sequence: int
) -> dict[str, Any]:
    examples, weight, clicks, predicted, loss = counted
    has = weight > 0
    rate = min(max(clicks / weight, 0.0), 1.0) if has else 0.0
    base = sum(part * log(1 / part) for part in (rate, 1 - rate) if part > 0)
    mean = loss / weight if has else None
    return {
        "time": time,
        "end": max(end, time + 1),
        "examples": int(examples),
        "weight": weight,
        "clicks": clicks,
        "predicted": predicted,
        "click_rate": rate if has else None,
        "predicted_rate": predicted / weight if has else None,
        "log_loss": mean,
        "base_log_loss": base if has else None,
        "normalized_entropy": mean / base if mean is not None and base > 0 else None,
        "calibration": predicted / clicks if clicks > 0 else None,
        "shares": None if np.isnan(shares[0]) else [round(float(share), 6) for share in shares],
        "sequence": sequence,
    }


def _event(event: Event) -> dict[str, Any]:
    return {"time": event.time, "sequence": event.sequence, "kind": event.kind, "text": event.text}
