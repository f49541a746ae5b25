"""The remedy for lanes whose accumulators have choked their rates: make the accumulators smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.weights import intercept_lanes
from nonzero.errors import SettingsError
from nonzero.kernels.rules.optimizers import AdaGrad, Kalman, Rule

_ROWS: Final = 1 << 16
"""Rows of the table that are rescaled at once."""


def remedy_for(rates: Mapping[str, Any], lanes: Sequence[Rule], aged: NDArray[Any]) -> dict[str, Any]:
    """Return what would mend a starved model: smaller accumulators, as large as the live rate's."""
    factor = float(min(max((rates["now"] / rates["live"]) ** 2, 1e-6), 0.5))
    return {
        "action": "rescale",
        "factor": factor,
        "lanes": [k for k in range(len(lanes)) if aged[k]],
        "why": f"accumulators {1 / factor:.3g} times smaller give the shrinking lanes the live lanes' rate",
    }


def rescale(
    squares: NDArray[np.float32], lanes: Sequence[Rule], remedy: Mapping[str, Any], dry_run: bool
) -> dict[str, Any]:
    """Apply a remedy, or say what it would do: see :meth:`nonzero.LogisticRegression.apply_remedy`.

    Parameters
    ----------
    squares
        float32[slots + 1, lanes]: the table's accumulators, changed in place; or the rates of Kalman filters,
        which are made larger by as much.
    lanes
        Their rules.
    remedy
        ``{"action": "rescale", "factor": 0.01, "lanes": [0, 1]}``.
    dry_run
        Whether nothing is changed.

    Raises
    ------
    SettingsError
        For a remedy that is none, or of lanes that do not follow AdaGrad.
    """
    factor, chosen = _read(remedy, lanes)
    last, body = intercept_lanes(lanes), squares[:-1]
    changes = [
        {
            "lane": k,
            "rate_before": float(last[k].rates(squares[-1:, k])[0]),
            "rate_after": float(last[k].rates(_rescaled(last[k], squares[-1:, k], factor))[0]),
        }
        for k in chosen
    ]
    touched = int((squares[:, chosen].view(np.uint32) != 0).any(axis=1).sum())  # of filters they are bits
    if not dry_run:
        for k in chosen:
            for start in range(0, len(body), _ROWS):
                rows = body[start : start + _ROWS, k]
                rows[:] = _rescaled(lanes[k], rows, factor)
            squares[-1:, k] = _rescaled(last[k], squares[-1:, k], factor)
    return {"lanes": changes, "coordinates": touched, "applied": not dry_run}


def _rescaled(lane: Rule, kept: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return what a lane keeps of coordinates with accumulators smaller by a factor."""
    return lane.rescaled(kept, factor) if isinstance(lane, Kalman) else kept * np.float32(factor)


def _read(remedy: Mapping[str, Any], lanes: Sequence[Rule]) -> tuple[float, list[int]]:
    """Check a remedy; return its factor and lanes."""
    if remedy.get("action") != "rescale" or set(remedy) - {"action", "factor", "lanes", "why"}:
        raise SettingsError(
            f"the remedy is {dict(remedy)!r}; it must be 'rescale' with a 'factor' and 'lanes'"
        )
    possible = [k for k, lane in enumerate(lanes) if isinstance(lane, AdaGrad | Kalman)]
    factor, chosen = remedy.get("factor"), remedy.get("lanes", possible)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1:
        raise SettingsError(f"factor is {factor!r}; accumulators are made smaller by a factor from 0 to 1")
    if not possible:
        raise SettingsError(
            f"the model has no lane of AdaGrad; the weights of {lanes[0].name!r} are worked out from its "
            "accumulators, which cannot be rescaled alone"
        )
    if not isinstance(chosen, Sequence) or not all(
        isinstance(k, int) and not isinstance(k, bool) and k in possible for k in chosen
    ):
        raise SettingsError(f"lanes is {chosen!r}; the model's lanes of AdaGrad are {possible}")
    return float(factor), list(chosen)
