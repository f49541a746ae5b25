"""The times of impressions, mended where the clock that they were stamped with has been set back since."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mend(times: NDArray[np.int64], latest: int, by: int = 0) -> None:
    """Make times, in the order in which they were given, that never go back, in place.

    Impressions are kept in the order in which they were made, so one with a later time than the next one was
    stamped by a clock that was ahead. It is taken back, and with it those before it that are as late, by as
    much as it was ahead of the next: their distances stay. A single one that is earlier than its neighbours
    is damaged, and takes nothing back.

    Parameters
    ----------
    times
        int64[n]: in milliseconds since 1970.
    latest
        What the last one is at most.
    by
        By how much the clock was set back, where that is known; else late ones end at `latest`.
    """
    if not times.size:
        return
    before, after = times[:-1], np.append(times[2:], latest)
    dips = np.flatnonzero((times[1:] < before) & (after >= before)) + 1
    times[dips] = times[dips - 1]
    end = times.size - 1
    for last in [*np.flatnonzero(np.diff(times) < 0).tolist(), end]:
        bound = latest if last == end else int(times[last + 1])
        ahead = int(times[last]) - bound
        if ahead > 0:
            ahead = by if by and last == end else ahead
            part = times[: last + 1]
            late = part > bound
            part[late] = np.minimum(part[late] - ahead, bound)
    np.maximum.accumulate(times, out=times)
