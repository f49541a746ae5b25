"""A copy that is made while the model learns on is the model as it was when the copy was begun."""

from __future__ import annotations

from typing import Any

import pytest

from core.scenarios import Stream
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, LogisticRegression
from nonzero.model import table
from nonzero.model.gradual_copy import GradualCopy, spare_for

BITS = 17
"""One lane of so many slots is half a step's bytes, eight are four steps'."""


@pytest.fixture(params=[table.LARGE, 0], ids=["spread", "one behind the other"], autouse=True)
def largest_spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How the copy's rows stand, as far as there are few."""
    monkeypatch.setattr(table, "LARGE", request.param)
    return int(request.param)


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": AdaGrad(0.1)}, {"optimizer": FTRL(0.1)}, {"recalibrated": True}, {"bits": 2}],
    ids=["eight lanes", "one lane", "another rule", "with a map", "less than a block"],
)
def test_it_is_of_when_it_was_begun(settings: Any) -> None:
    model, into = (LogisticRegression(**{"bits": BITS} | settings) for _ in range(2))
    slots = model.table.slots
    model.learn(random_batch(1, slots=slots))
    model.notes["position"] = 7
    digest = model.digest()
    into.learn(random_batch(2, slots=slots))  # what is there already is no part of it
    copy = GradualCopy(model, into)
    seed = 3
    while not copy.is_whole:
        batch = random_batch(seed, n=seed, slots=slots)
        copy.before(batch)
        model.learn(batch)
        copy.step()
        seed += 1
    assert copy.into.digest() == digest != model.digest()
    assert copy.into.notes == {"position": 7}


def test_a_spare_has_the_memory_of_the_touched_rows_and_is_spread_where_there_are_more(
    largest_spread: int,
) -> None:
    model = LogisticRegression(bits=12)
    model.learn(random_batch(1, slots=4096, n=100))
    assert spare_for(model).rows.are_spread == bool(largest_spread)
    copy = GradualCopy(model, spare_for(model))
    for seed in range(9):  # more than a fourth of all rows, but after the copy was begun
        batch = random_batch(seed, slots=4096)
        copy.before(batch)
        model.learn(batch)
    copy.begin()
    copy.finish()
    assert copy.into.digest() == model.digest()
    assert copy.into.rows.are_spread
    assert spare_for(model).rows.are_spread


def test_products_of_features_are_copied_in_time_too() -> None:
    model, into = (LogisticRegression(bits=BITS, interactions=["a*b"]) for _ in range(2))
    copy, digest = GradualCopy(model, into), model.digest()
    batch = Batch.from_dicts([{"a": f"a{j % 50}", "b": f"b{j}"} for j in range(200)], [1] * 200)
    copy.before(batch)
    model.learn(batch)
    copy.finish()
    assert into.digest() == digest != model.digest()


def test_it_begins_anew_when_lanes_do() -> None:
    """That changes the whole table at once, at a moment that nobody knows before."""
    model, into = LogisticRegression(bits=12), LogisticRegression(bits=12)
    stream = Stream(1)
    model.learn(stream.batch(100_000))
    stream.change()
    copy = GradualCopy(model, into)
    while not copy.is_lost:
        batch = stream.batch(5000)
        copy.before(batch)
        model.learn(batch)
        assert model.examples < 300_000
    copy.begin()
    copy.finish()
    assert not copy.is_lost
    assert into.digest() == model.digest()
