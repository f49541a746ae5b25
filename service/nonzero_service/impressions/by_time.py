"""Impressions of a topic by when they were made: a row of the journal has one time for all that it holds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.packing import PredictedRows


def parts_by_time(predictions: PredictedRows, times: NDArray[np.int64], span_ms: int) -> list[PredictedRows]:
    """Return predictions in parts of which each is of one time, its last, and lasts no longer than a span.

    They are in the order of their times: those of several partitions come one partition after another.

    Parameters
    ----------
    predictions
        The predictions.
    times
        int64[k]: when each of their `rows` was made, in milliseconds since 1970.
    span_ms
        The span.
    """
    if not times.size:
        return [predictions]
    order = np.argsort(times, kind="stable")
    latest = times[order]
    spans = (latest - latest[0]) // max(span_ms, 1)
    cuts = [0, *(np.flatnonzero(np.diff(spans)) + 1).tolist(), latest.size]
    predictions = predictions._replace(
        rows=predictions.rows[order], hashes=predictions.hashes[order], fresh=predictions.fresh[order]
    )
    return [
        predictions.part(start, stop)._replace(time_ms=int(latest[stop - 1]))
        for start, stop in pairwise(cuts)
    ]
