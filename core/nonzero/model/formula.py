"""What predictions are made of beside the table: numbers that any reader can go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.newton import FREE_ODDS, INPUTS, NUMBERS, ODDS, OPEN, SHARES, WEIGHTS
from nonzero.kernels.rules.optimizers import Rule
from nonzero.kernels.scales import Scales
from nonzero.model.learned_state import LearnedState
from nonzero.statistics.recalibration import OFFSET, SLOPE


@dataclass(frozen=True)
class TwoAnswers:
    """How eight lanes become two answers, one of which is given (:mod:`nonzero.kernels.newton`).

    Parameters
    ----------
    plain_shares
        float32[8]: the shares of the plain lanes in their mixture; 0 of the others.
    regression
        float32[14]: the weights of the regression over the lanes.
    free_odds, restricted_odds
        The odds of the regression's share in either answer.
    is_open
        Whether the free answer is given.
    """

    plain_shares: NDArray[np.float32]
    regression: NDArray[np.float32]
    free_odds: float
    restricted_odds: float
    is_open: bool


@dataclass(frozen=True)
class Formula:
    """What a model's predictions are made of, beside its table: ``LogisticRegression.formula`` returns it.

    Parameters
    ----------
    lanes
        The rules by which the table keeps its numbers: one, or eight.
    learned
        How many examples were learned from.
    shares
        float32[lanes]: those of the mixture of all lanes.
    answers
        None where the mixture is what is answered.
    averaging
        float32[lanes]: by how much a lane's log-odds move those of the prediction, about.
    scales
        float64[65536]: what values are divided by, the root mean square of each field; 0 where no value of
        the field has come. None where values are taken as they are.
    map
        Slope and offset of what recalibrates predictions, in log-odds. None where nothing does.
    """

    lanes: tuple[Rule, ...]
    learned: int
    shares: NDArray[np.float32]
    answers: TwoAnswers | None
    averaging: NDArray[np.float32]
    scales: NDArray[np.float64] | None
    map: tuple[float, float] | None


def formula_of(state: LearnedState, lanes: Sequence[Rule], recalibrating: bool) -> Formula:
    """Return a copy of what predictions are made of.

    Parameters
    ----------
    state
        What the model has learned.
    lanes
        The rules by which its table keeps its numbers.
    recalibrating
        Whether predictions are put through the map, where there is one.
    """
    n, rows = len(lanes), state.shares
    learned_map = state.recalibration if recalibrating else None
    slope_offset = None if learned_map is None else learned_map.parameters.tolist()
    return Formula(
        tuple(lanes),
        state.learned,
        rows[SHARES, :n].copy(),
        _answers_of(rows) if state.combined else None,
        np.asarray(state.averaging, np.float32),
        None if state.scales is None else _roots(state.scales),
        None if slope_offset is None else (slope_offset[SLOPE], slope_offset[OFFSET]),
    )


def _answers_of(rows: NDArray[np.float32]) -> TwoAnswers:
    numbers = rows[NUMBERS].tolist()
    return TwoAnswers(
        rows[SHARES, 8:].copy(),
        rows[WEIGHTS, :INPUTS].copy(),
        numbers[FREE_ODDS],
        numbers[ODDS],
        numbers[OPEN] > 0,
    )


def _roots(scales: Scales) -> NDArray[np.float64]:
    counted = scales.counts > 0
    roots = np.zeros(scales.counts.size)
    roots[counted] = np.sqrt(scales.squares[counted] / scales.counts[counted])
    return roots
