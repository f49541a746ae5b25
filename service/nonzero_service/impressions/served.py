"""How good the predictions were that were served, joined with what came of them; and whether labels come.

The model's own figures are of what it is taught: a negative at once and a click later, or clicks alone while
windows are open. These are of each impression once, by the probability that was answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero.kernels.progress import RECENT
from nonzero.statistics.progressive import describe_rows
from nonzero_service.impressions.segment import Segment
from nonzero_service.impressions.segments import Segments
from nonzero_service.impressions.states import CLICKS, is_one_of
from nonzero_service.impressions.store import ImpressionStore

MISSED_CLICKS: Final = 30.0
"""So many clicks that were predicted and of which none came are no chance."""

USUAL_GAPS: Final = 3.0
"""So many times the usual gap between labels is a silence."""

SHORTEST_SECONDS: Final = 60.0
"""No shorter silence is one."""


_NONE: Final = np.empty(0, np.float32)


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
        if store.arrivals.ripe_ms is not None:
            ripe_ms = min(ripe_ms, store.arrivals.ripe_ms)
        stop = store.segments.made_until(now_ms - round(ripe_ms))
        p, clicked = [_NONE], [np.empty(0, np.bool_)]
        for one, place in _places(store.segments, stop - RECENT, stop):
            p.append(one.probabilities[place])
            clicked.append(is_one_of(one.states[place], CLICKS))
    answered, came = np.concatenate(p), np.concatenate(clicked)
    answered = np.clip(answered, np.float32(1e-15), np.float32(1 - 1e-7))
    losses = -np.where(came, np.log(answered), np.log1p(-answered))
    rows = np.stack([answered, losses, came, np.ones(answered.size)], 1).astype(np.float32)
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
        seconds = max(now_ms - store.arrivals.last_ms, 0) / 1000
        places = _places(store.segments, store.arrivals.number, store.segments.next_number)
        predicted = sum(float(one.probabilities[place].sum(dtype=np.float64)) for one, place in places)
        gaps = sorted(store.arrivals.gaps)
    # The longest but one: an outage that is over is not usual.
    usual = gaps[-2] / 1000 if len(gaps) > 1 else store.rules.attribution_ms / 1000
    longest = max(SHORTEST_SECONDS, USUAL_GAPS * usual)
    return Silence(seconds, predicted, predicted >= MISSED_CLICKS and seconds >= longest)


def _places(segments: Segments, start: int, stop: int) -> Iterator[tuple[Segment, slice]]:
    """Yield where the impressions between two numbers stand in each segment."""
    for one in segments:
        yield one, slice(max(start - one.first, 0), max(min(stop - one.first, one.used), 0))
