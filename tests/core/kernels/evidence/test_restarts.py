"""After an abrupt change late in a long stream, the default model is back as soon as a fresh one would be."""

from typing import Any

import numpy as np
import pytest

from core.scenarios import Stream
from nonzero import AdaGrad, LogisticRegression

CHUNK = 5_000
WITHIN = 1.02  # times the loss of the true chances


def log_loss(chances: Any, predicted: Any) -> Any:
    """The expected log loss of predictions where the true chances are known: no noise of labels."""
    return -(chances * np.log(predicted) + (1 - chances) * np.log1p(-predicted)).mean()


def examples_until_back(models: Any, stream: Any, most: Any) -> Any:
    """For each model, how many examples it takes until a chunk's loss is within 2 % of the optimum's."""
    back: Any = [None] * len(models)
    for done in range(CHUNK, most + 1, CHUNK):
        batch, chances = stream.draw_batch(CHUNK)
        for k, model in enumerate(models):
            p = model.learn(batch).astype(float)
            if back[k] is None and log_loss(chances, p) <= WITHIN * log_loss(chances, chances):
                back[k] = done
        if all(back):
            break
    return back


@pytest.mark.parametrize("fields", [None, [0, 3, 7, 10]], ids=["all tastes change", "some do"])
def test_the_default_is_back_as_soon_as_a_fresh_model(fields: Any) -> None:
    stream = Stream(0, [10, 20, 30, 40] * 3)
    model = LogisticRegression(bits=12)
    for _ in range(3):
        model.learn(stream.batch(100_000))
    stream.change(fields)
    back, fresh = examples_until_back([model, LogisticRegression(bits=12)], stream, 150_000)
    assert back <= 1.5 * fresh


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1], ids=["all", "half", "a tenth"])
def test_recovery_late_in_a_long_stream(seed: Any, share: Any, figure: Any) -> None:
    stream = Stream(100 + seed)
    model, one_lane = LogisticRegression(bits=12), LogisticRegression(bits=12, optimizer=AdaGrad(0.15, 0.1))
    for _ in range(10):
        batch = stream.batch(100_000)
        model.learn(batch)
        one_lane.learn(batch)
    for f, taste in enumerate(stream.tastes):
        changed = stream.rng.random(taste.size) < share
        stream.tastes[f] = np.where(changed, stream.draw(taste.size), taste)
    fresh = LogisticRegression(bits=12)
    back, anew, single = examples_until_back([model, fresh, one_lane], stream, 400_000)
    figure(
        f"{share:.0%} of the tastes change after 10^6 examples (stream {seed}): examples until it is back",
        "1.5 times a fresh model's",
        f"{back:,}; a fresh model {anew:,}; one lane {f'{single:,}' if single else 'more than 400,000'}",
    )
    assert back <= 1.5 * anew
    # Where a tenth changes, most of what a lane knows stays true, and one lane may be as soon.
    assert share < 0.5 or single is None or single > back


def test_a_new_start_clears_what_it_should() -> None:
    """All ordinary lanes but the witness lose weights and accumulators; their challengers keep them."""
    kept = lanes_kept(LogisticRegression(bits=8, version=2))
    assert kept[4:].all()
    assert kept[:4].sum() == 1


def test_a_new_start_of_combined_lanes_leaves_the_witness_alone() -> None:
    model = LogisticRegression(bits=8)
    kept = lanes_kept(model)
    assert kept[:5].sum() == kept.sum() == 1
    # The piece's last example is learned after the new start: it names three features.
    stored = model.table.accumulators[:-1, ~kept].view(np.uint32)  # bits, not numbers
    assert stored.any(axis=1).sum() <= 3
    fresh = LogisticRegression(bits=8)
    np.testing.assert_array_equal(model._state.shares, fresh._state.shares)


def lanes_kept(model: LogisticRegression) -> Any:
    """Let tastes turn around after 400,000 examples; return which lanes kept their weights then."""
    stream = Stream(1, [10, 20, 30])
    for _ in range(4):
        model.learn(stream.batch(100_000))
    before = model.restarts
    stream.tastes = [-3 * taste for taste in stream.tastes]
    while model.restarts == before:
        weights = model.table.weights.copy()
        model.learn(stream.batch(64))
        assert model.examples < 420_000
    norms = np.abs(model.table.weights[:-1]).sum(axis=0)
    return norms > 0.5 * np.abs(weights[:-1]).sum(axis=0)


def test_a_steady_stream_has_no_new_start() -> None:
    stream = Stream(2)
    model = LogisticRegression(bits=12)
    for _ in range(4):
        model.learn(stream.batch(100_000))
    assert model.diagnose()["evidence"]["new_starts"] == {"times": 0, "last_at_example": None}
