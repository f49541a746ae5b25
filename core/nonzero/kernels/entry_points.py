# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled kernels that learn and predict, and which of them serve a model.

A new rule needs two kernels here, for one lane of it, and their line in `_ONE_LANE`. Eight lanes have kernels
of their own only for AdaGrad and for the Kalman filter, the default ones; any other eight are
:mod:`nonzero.kernels.rules.mixed`. A new way to mix is another :class:`~nonzero.kernels.pending.Mixer`. The
default lanes are those of a model's version, so that stored models go on by the kernels of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from nonzero.errors import SettingsError
from nonzero.kernels.learning import EIGHT_LANES, EIGHT_VARIANCES, ONE_LANE, Learner, learn, predict
from nonzero.kernels.newton import NEWTON
from nonzero.kernels.pending import VOVK
from nonzero.kernels.rules.adagrad import ADAGRAD
from nonzero.kernels.rules.kalman import KALMAN
from nonzero.kernels.rules.leader import LEADER
from nonzero.kernels.rules.mixed import FAMILIES, MIXED
from nonzero.kernels.rules.optimizers import Rule
from nonzero.kernels.tuples import BATCH_ROWS, FLOATS, LEARN_CALL, LEARN_STATE, PREDICT_STATE
from nonzero.native import kernel, types

LEARN = {n: types.void(BATCH_ROWS, state, LEARN_CALL) for n, state in LEARN_STATE.items()}
PREDICT = {n: types.void(BATCH_ROWS, state, FLOATS) for n, state in PREDICT_STATE.items()}

ONE_ADAGRAD: Final = Learner(ADAGRAD, ONE_LANE, VOVK)
EIGHT_ADAGRAD: Final = Learner(ADAGRAD, EIGHT_LANES, VOVK)
ONE_LEADER: Final = Learner(LEADER, ONE_LANE, VOVK)
EIGHT_KALMAN: Final = Learner(KALMAN, EIGHT_VARIANCES, NEWTON)
EIGHT_MIXED: Final = Learner(MIXED, EIGHT_LANES, VOVK)


@kernel(LEARN[1])
def learn_one_adagrad(rows, state, call):
    """Learn with one lane of AdaGrad."""
    learn(ONE_ADAGRAD, rows, state, call)


@kernel(LEARN[8])
def learn_eight_adagrad(rows, state, call):
    """Learn with eight lanes of AdaGrad."""
    learn(EIGHT_ADAGRAD, rows, state, call)


@kernel(PREDICT[1])
def predict_one_adagrad(rows, state, out):
    """Predict with one lane of AdaGrad."""
    predict(ONE_ADAGRAD, rows, state, out)


@kernel(PREDICT[8])
def predict_eight_adagrad(rows, state, out):
    """Predict with eight lanes of AdaGrad."""
    predict(EIGHT_ADAGRAD, rows, state, out)


@kernel(LEARN[1])
def learn_one_leader(rows, state, call):
    """Learn with one lane of FTRL or dual averaging."""
    learn(ONE_LEADER, rows, state, call)


@kernel(LEARN[8])
def learn_eight_mixed(rows, state, call):
    """Learn with eight lanes of any rules."""
    learn(EIGHT_MIXED, rows, state, call)


@kernel(PREDICT[1])
def predict_one_leader(rows, state, out):
    """Predict with one lane of FTRL or dual averaging."""
    predict(ONE_LEADER, rows, state, out)


@kernel(PREDICT[8])
def predict_eight_mixed(rows, state, out):
    """Predict with eight lanes of any rules."""
    predict(EIGHT_MIXED, rows, state, out)


@kernel(LEARN[8])
def learn_eight_kalman(rows, state, call):
    """Learn with eight lanes of the Kalman filter, or of AdaGrad that keeps its rate."""
    learn(EIGHT_KALMAN, rows, state, call)


@kernel(PREDICT[8])
def predict_eight_kalman(rows, state, out):
    """Predict with eight lanes of the Kalman filter, or of AdaGrad that keeps its rate."""
    predict(EIGHT_KALMAN, rows, state, out)


class Kernels(NamedTuple):
    """The kernel that learns, and the one that predicts."""

    learn: Callable[..., None]
    predict: Callable[..., None]


_ONE_LANE: Final = {
    "adagrad": Kernels(learn_one_adagrad, predict_one_adagrad),
    "leader": Kernels(learn_one_leader, predict_one_leader),
}
"""Of each family of rules."""


def kernels_for(lanes: Sequence[Rule]) -> Kernels:
    """Return the kernels of a model.

    Parameters
    ----------
    lanes
        The rules by which its table keeps its numbers: one, or eight.

    Raises
    ------
    SettingsError
        For lanes of a family that no kernel knows.
    """
    families = {lane.family for lane in lanes}
    if len(lanes) > 1 and families == {"kalman"}:
        return Kernels(learn_eight_kalman, predict_eight_kalman)
    known: Collection[str] = _ONE_LANE.keys() if len(lanes) == 1 else FAMILIES
    if unknown := families.difference(known):
        raise SettingsError(
            f"no kernel of {len(lanes)} lanes knows the family {min(unknown)!r}, only {', '.join(known)}; "
            f"{'entry_points.py' if len(lanes) == 1 else 'rules/mixed.py'} in nonzero/kernels is to learn it"
        )
    if len(lanes) == 1:
        return _ONE_LANE[families.pop()]
    if families == {"adagrad"}:
        return Kernels(learn_eight_adagrad, predict_eight_adagrad)
    return Kernels(learn_eight_mixed, predict_eight_mixed)
