"""How good the predictions were that were served, joined with what came of them; and whether labels come.

The model's own figures are of what it is taught: a negative at once and a click later, or clicks alone while
windows are open. These are of each impression once, by the probability that was answered.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.progress import RECENT
from nonzero.statistics.progressive import describe_rows
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import CLICKS, is_one_of
from nonzero_service.impressions.store import ENOUGH_DELAYS, RIPE, ImpressionStore

MISSED_CLICKS: Final = 30.0
"""So many clicks that were predicted and of which none came are no chance."""

USUAL_GAPS: Final = 3.0
"""So many times the usual gap between labels is a silence."""

SHORTEST_SECONDS: Final = 60.0
"""No shorter silence is one."""


class Silence(NamedTuple):
    """How long no label has come."""

    seconds: float
    predicted_clicks: float
    """The clicks that were predicted since."""
    is_outage: bool
    """Whether that is beyond chance, and longer than usual."""


def served_figures(store: ImpressionStore, now_ms: int) -> dict[str, Any]:
    """Return how good the predictions were that were answered, once for each impression.

    Parameters
    ----------
    store
        The impressions.
    now_ms
        The journal's clock.

    Returns
    -------
    dict
        As :func:`~nonzero.statistics.progressive.describe_rows`, of the last 100,000 impressions whose clicks
        have come, mostly: those that are older than three times the mean delay of a label, or whose window
        has ended. Under ``ripe_seconds`` how old that is.
    """
    with store.lock:
        ripe_ms = float(store.rules.attribution_ms)
        if store.delays_told >= ENOUGH_DELAYS:
            ripe_ms = min(ripe_ms, RIPE * store.mean_delay_ms)
        stop = store.segments.made_until(now_ms - round(ripe_ms))
        p, clicked = _answered(store.segments, stop - RECENT, stop)
    p = np.clip(p, np.float32(1e-15), np.float32(1 - 1e-7))
    losses = -np.where(clicked, np.log(p), np.log1p(-p))
    rows = np.stack([p, losses, clicked, np.ones(p.size)], 1).astype(np.float32)
    return describe_rows(rows) | {"ripe_seconds": ripe_ms / 1000}


def silence_of(store: ImpressionStore, now_ms: int) -> Silence:
    """Return how long no label has come, and what was predicted meanwhile.

    Parameters
    ----------
    store
        The impressions.
    now_ms
        The journal's clock.
    """
    with store.lock:
        seconds = max(now_ms - store.label_ms, 0) / 1000
        p, _ = _answered(store.segments, store.label_number, store.next_number)
        gaps = sorted(store.gaps)
    predicted = float(p.sum(dtype=np.float64))
    # The longest but one: an outage that is over is not usual.
    usual = gaps[-2] / 1000 if len(gaps) > 1 else store.rules.attribution_ms / 1000
    longest = max(SHORTEST_SECONDS, USUAL_GAPS * usual)
    return Silence(seconds, predicted, predicted >= MISSED_CLICKS and seconds >= longest)


def _answered(segments: Segments, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return what was answered of the impressions between two numbers, and which were clicked."""
    p, clicked = [np.empty(0, np.float32)], [np.empty(0, np.bool_)]
    for one in segments:
        place = slice(max(start - one.first, 0), max(min(stop - one.first, one.used), 0))
        p.append(one.probabilities[place])
        clicked.append(is_one_of(one.states[place], CLICKS))
    return np.concatenate(p), np.concatenate(clicked)
