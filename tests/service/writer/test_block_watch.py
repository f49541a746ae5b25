"""No weight and no length of an example hides a jump, and what is usual outlives a discard and a start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero_service.writer.breaker import Bounds, Breaker
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared

Array = NDArray[Any]
CALM = 20_000
JUMP = 3000


def stream(labels: Array, weights: Array | None = None, first: int = 0) -> Batch:
    """Make examples of one feature of 50, which says nothing."""
    n = labels.size
    return Batch(np.arange(n + 1), first + np.arange(n) % 50, labels=labels, weights=weights)


def clicks(n: int, rate: float, seed: int = 1) -> Array:
    return np.random.default_rng([n, seed]).random(n) < rate


def admitted(breaker: Breaker, batch: Batch, size: int = 1000) -> tuple[int, dict[str, Any] | None]:
    """Give a breaker a batch in pieces; return how many it admitted, and why no more."""
    for start in range(0, len(batch), size):
        count, reason = breaker.admit(batch.rows(start, min(start + size, len(batch))))
        if reason is not None:
            return start + count, reason
    return len(batch), None


def new(model: LogisticRegression | None = None) -> Breaker:
    return Breaker(model or LogisticRegression(8), Bounds())


def taught(*batches: Batch) -> LogisticRegression:
    model = LogisticRegression(12, AdaGrad(0.1))
    for batch in batches:
        model.learn(batch)
    return model


# -- weights that hide, or make, a jump ---------------------------------------------------------------------

RNG = np.random.default_rng(5)
PLACE = np.arange(JUMP)

ALL_ONES: dict[str, Array] = {
    "as they are": np.ones(JUMP),
    "tiny": np.full(JUMP, 1e-6),
    "a heavy one in each block": np.where(PLACE % 250 == 0, 1e3, 1),
    "heavier": np.where(PLACE % 250 == 0, 1e6, 1),
    "a heavy tail": np.minimum(np.exp(3 * RNG.normal(size=JUMP)), 1e6),
    "alternating": np.where(PLACE % 2 == 0, 1e-6, 1e6),
    "alternating blocks": np.where(PLACE // 250 % 2 == 0, 1e-6, 1e6),
    "of every size": np.float32(10.0) ** np.linspace(-44, 6, JUMP, dtype=np.float32),
    "ever heavier": np.minimum(1.01**PLACE, 1e6),
}


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("hidden", ["nothing", "a heavy 0", "heavy of both labels"])
@pytest.mark.parametrize("weights", ALL_ONES)
def test_weights_do_not_hide_labels_that_are_all_1(weights: str, hidden: str, rate: float) -> None:
    labels, heavy = np.ones(JUMP), ALL_ONES[weights].copy()
    if hidden != "nothing":
        labels[::250], heavy[::250] = 0, 1e6
    if hidden == "heavy of both labels":
        heavy[125::250] = 1e6
    breaker = new()
    assert admitted(breaker, stream(clicks(CALM, rate))) == (CALM, None)
    count, reason = admitted(breaker, stream(labels, heavy))
    assert reason is not None
    assert reason["figure"] in ("click_rate", "click_weight")
    assert count <= 2000


IN_EACH, IN_1000 = PLACE % 250 == 7, PLACE % 1000 == 7

HEAVY: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "a heavy click in each block": lambda y: (y | IN_EACH, np.where(IN_EACH, 1e6, 1)),
    "a click of 1,000 in each block": lambda y: (y | IN_EACH, np.where(IN_EACH, 1e3, 1)),
    "a heavy click in a thousand": lambda y: (y | IN_1000, np.where(IN_1000, 1e6, 1)),
    "a heavy 0 in each block": lambda y: (y & ~IN_EACH, np.where(IN_EACH, 1e6, 1)),
    "all but clicks are tiny": lambda y: (y, np.where(y, 1, 1e-6)),
    "all clicks weigh ten": lambda y: (y, np.where(y, 10, 1)),
}


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("attack", HEAVY)
def test_weight_alone_is_a_jump_at_the_same_click_rate(attack: str, rate: float) -> None:
    breaker = new()
    assert admitted(breaker, stream(clicks(CALM, rate))) == (CALM, None)
    labels, weights = HEAVY[attack](clicks(JUMP, rate, seed=2))
    count, reason = admitted(breaker, stream(labels, weights))
    assert reason is not None
    assert reason["figure"] == "click_weight"
    assert count <= 2000


def test_what_weighs_nothing_hides_nothing() -> None:
    """Nothing is learned from it: its labels do not count, nor does it take the place of others."""
    breaker = new()
    weights = np.where(np.arange(CALM) % 10 == 0, 1, 0)
    labels = clicks(CALM, 0.05)
    other = np.where(weights == 0, np.arange(CALM) // 5000 % 2, labels)  # all 0, then all 1, in turn
    assert admitted(breaker, stream(other, weights)) == (CALM, None)
    assert admitted(breaker, stream(labels)) == (CALM, None)
    hiding = np.where(PLACE % 10 == 0, 1, 0)
    count, reason = admitted(breaker, stream(hiding, hiding))
    assert reason is not None
    assert count <= 10 * 250
    assert hiding[count - 1] == 1


def test_weights_of_a_ramp_do_not_blind_it() -> None:
    n = 200_000
    weights = np.where(np.arange(n) % 250 == 0, np.minimum(1.02 ** (np.arange(n) // 250), 1e6), 1)
    breaker = new()
    labels = clicks(n, 0.05) & (np.arange(n) % 250 != 0)
    admitted(breaker, stream(labels, weights))
    breaker.forget("click_weight")
    ones = (PLACE % 250 != 0).astype(float)
    count, reason = admitted(breaker, stream(ones, np.where(ones == 1, 1, 1e6)))
    assert reason is not None
    assert count <= 2000


LEGITIMATE: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "thinned to a tenth": lambda y, _: np.where(y, 1, 10),
    "thinned to a thousandth": lambda y, _: np.where(y, 1, 1000),
    "corrections": lambda y, rng: np.where(
        y & (rng.random(y.size) < 0.2), 1 + 100 * rng.beta(0.5, 5, y.size), 1
    ),
    "values": lambda y, rng: np.where(y, np.minimum(np.exp(2 * rng.normal(size=y.size)), 1e6), 1),
    "a heavy tail": lambda y, rng: np.minimum(np.exp(2 * rng.normal(size=y.size)), 1e6),
    "a heavier tail": lambda y, rng: np.minimum(1 + rng.pareto(1, y.size), 1e6),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("rate", [0.0005, 0.005, 0.05, 0.3])
@pytest.mark.parametrize("scheme", LEGITIMATE)
def test_a_stream_that_stays_as_it_is_does_not_trip_by_its_weights(scheme: str, rate: float) -> None:
    rng, labels = np.random.default_rng(8), clicks(500_000, rate)
    weights = LEGITIMATE[scheme](labels, rng)
    assert admitted(new(), stream(labels, weights), 50_000) == (500_000, None)


def test_chance_does_not_trip_it_where_clicks_are_rare() -> None:
    """Of a thousand examples with half a click to be expected, five have one now and then."""
    labels = np.random.default_rng(1).random(4_000_000) < 0.0005
    assert admitted(new(), stream(labels), 100_000) == (4_000_000, None)


# -- the other figures --------------------------------------------------------------------------------------


def test_one_long_example_does_not_hide_that_all_others_have_unseen_features() -> None:
    calm, model = stream(clicks(CALM, 0.1)), LogisticRegression(16, AdaGrad(0.1))
    breaker = new(model)
    for start in range(0, CALM, 1000):
        part = calm.rows(start, start + 1000)
        assert breaker.admit(part)[1] is None
        model.learn(part)
    lengths = np.where(PLACE % 50 == 0, 1000, 1)
    indices = np.concatenate([np.arange(n) % 50 if n > 1 else [5000 + r] for r, n in enumerate(lengths)])
    strange = Batch(np.concatenate([[0], np.cumsum(lengths)]), indices, labels=clicks(JUMP, 0.1))
    count, reason = admitted(breaker, strange)
    assert reason is not None
    assert reason["figure"] == "unseen_features"
    assert count <= 2000


@pytest.mark.parametrize("heavy", [1.0, 1e6])
def test_one_heavy_example_does_not_hide_that_all_others_are_predicted_wrongly(heavy: float) -> None:
    def sharp(n: int, turned: bool) -> Batch:
        which = np.arange(n) % 2
        labels = (np.random.default_rng(n).random(n) < np.where(which, 0.97, 0.03)) ^ turned
        weights = np.where(np.arange(n) % 50 == 0, heavy, 1) if turned else np.ones(n)
        labels[(np.arange(n) % 50 == 0) & turned] = False  # as it was
        return Batch(np.arange(n + 1), which, labels=labels, weights=weights)

    breaker = new(taught(sharp(CALM, False)))
    count, reason = admitted(breaker, sharp(JUMP, True))
    assert reason is not None
    assert reason["figure"] in ("log_loss", "click_weight")
    assert count <= 2000


# -- what is usual ------------------------------------------------------------------------------------------


def test_what_could_not_be_journalled_leaves_the_usual_as_it_was() -> None:
    pause = PauseState(new())
    for part in (stream(clicks(CALM, 0.05)), *[stream(np.ones(JUMP))] * 5):
        group = GroupRows([Prepared(part)], pause, 0)
        group.failed()
    assert group.came[0] is not None
    assert group.came[0].examples <= 2000
    kinds = [entry.kind for entry in GroupRows([Prepared(part)], pause, 0).entries()]
    assert kinds == ["batch", "trip", "held"]


def test_after_a_discard_the_usual_rate_is_that_of_before() -> None:
    breaker = new()
    admitted(breaker, stream(clicks(CALM, 0.05)))
    for _ in range(10):
        count, reason = admitted(breaker, stream(clicks(JUMP, 0.4)))
        assert reason is not None
        assert count <= 2000
        assert reason["before"] == pytest.approx(0.05, abs=0.01)
        breaker.forget("click_rate")


@pytest.mark.parametrize("leaked", [0, 250, 1000, 2000])
def test_a_start_knows_what_was_usual_and_not_the_jump_that_tripped(leaked: int) -> None:
    calm, jump = stream(clicks(CALM, 0.05)), stream(np.ones(JUMP))
    model = taught(calm, jump.rows(0, leaked))
    count, reason = admitted(new(model), stream(clicks(JUMP, 0.4)))
    assert reason is not None
    assert count <= 2000
    assert reason["before"] == pytest.approx(0.05, abs=0.01)


def test_a_start_takes_for_usual_what_was_applied() -> None:
    calm, other = stream(clicks(CALM, 0.05)), stream(clicks(13_000, 0.4))
    breaker = new(taught(calm, other))
    assert admitted(breaker, stream(clicks(CALM, 0.4, seed=3))) == (CALM, None)
    count, reason = admitted(breaker, stream(clicks(JUMP, 0.05, seed=3)))
    assert reason is not None
    assert count <= 2000


def test_what_a_model_learned_elsewhere_is_not_what_is_usual_here() -> None:
    model = taught(stream(clicks(CALM, 0.5)))
    breaker = Breaker(model, Bounds(), since=model.examples)
    assert admitted(breaker, stream(clicks(CALM, 0.05))) == (CALM, None)


def test_a_start_after_much_takes_the_last_of_it() -> None:
    model = taught(stream(clicks(110_000, 0.3)), stream(clicks(60_000, 0.05)))
    count, reason = admitted(new(model), stream(clicks(JUMP, 0.3, seed=3)))
    assert reason is not None
    assert reason["before"] == pytest.approx(0.05, abs=0.01)
    assert count <= 2000
