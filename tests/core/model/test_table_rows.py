"""A table whose rows stand in the order of their touch learns, predicts and is saved as any other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.scenarios import Stream
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, LogisticRegression
from nonzero.model import table as tables
from nonzero.model.table import Table

BITS = 14
"""So large a table has room for 4,096 rows that stand one behind the other."""

MODELS: dict[str, dict[str, Any]] = {
    "eight lanes": {},
    "version 1": {"version": 1},
    "version 2": {"version": 2},
    "mixed rules": {"optimizer": (AdaGrad(0.1), AdaGrad(0.3), FTRL(0.1), *[AdaGrad(0.05)] * 5)},
    "eight of a rule": {"optimizer": [FTRL(0.01 * k) for k in range(1, 9)]},
    "with a map": {"recalibrated": True},
    "products": {"interactions": ["a*b"]},
}


@pytest.fixture(autouse=True)
def small_tables_begin_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LARGE", 0)


def pair(**settings: Any) -> tuple[LogisticRegression, LogisticRegression]:
    """Return two new models: of the second each row stands where its slot is."""
    one, other = (LogisticRegression(bits=BITS, **settings) for _ in range(2))
    assert not one.rows.are_spread
    assert len(other.table.rows) == 2**BITS + 1
    assert other.rows.are_spread
    return one, other


def named_batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    rows = [{"a": f"a{rng.integers(9)}", "b": f"b{rng.integers(9)}", "c": rng.normal()} for _ in range(90)]
    return Batch.from_dicts(rows, labels=rng.integers(0, 2, 90))


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_it_is_the_same_model(settings: Any, tmp_path: Path) -> None:
    one, other = pair(**settings)
    for seed in range(4):
        for batch in (random_batch(seed, slots=2**BITS, n=100, weighted=True), named_batch(seed)):
            np.testing.assert_array_equal(one.predict(batch), other.predict(batch))
            np.testing.assert_array_equal(one.learn(batch, 10**12), other.learn(batch, 10**12))
    assert not one.rows.are_spread
    assert one.rows.table.places is not None
    assert 300 < one.rows.table.places.taken < 4096
    assert one.digest() == other.digest()
    np.testing.assert_array_equal(one.weights, other.weights)
    body = b'{"features": {"a": "a1", "b": "b2", "never": "seen"}}'
    assert one.predict_body(body) == other.predict_body(body)
    assert one.save(tmp_path / "one") == other.save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert not one.rows.are_spread
    read = LogisticRegression.load(tmp_path / "one")
    assert not read.rows.are_spread
    more = random_batch(9, slots=2**BITS, n=100)
    np.testing.assert_array_equal(read.learn(more), other.learn(more))
    one.learn(more)
    assert read.digest() == one.digest() == other.digest()
    example = random_batch(10, slots=2**BITS, n=1, most=9)
    np.testing.assert_array_equal(one.uncertainty(more), other.uncertainty(more))
    np.testing.assert_array_equal(one.explain(example).contributions, other.explain(example).contributions)
    np.testing.assert_array_equal(one.table.rows, other.table.rows)
    assert one.rows.are_spread
    assert one.digest() == other.digest()


def test_where_many_rows_are_touched_they_are_put_where_their_slots_are() -> None:
    one, other = pair()
    spread = []
    for seed in range(9):
        batch = random_batch(seed, slots=2**BITS, n=200)
        np.testing.assert_array_equal(one.learn(batch), other.learn(batch))
        spread.append(one.rows.are_spread)
    assert spread[0] is False
    assert spread[-1] is True
    assert one.digest() == other.digest()
    large, other = pair()  # one batch that names more than there is room for
    batch = random_batch(1, slots=2**BITS, n=3000)
    np.testing.assert_array_equal(large.learn(batch), other.learn(batch))
    assert large.digest() == other.digest()


def test_all_rows_of_a_small_table() -> None:
    one, other = (LogisticRegression(bits=4) for _ in range(2))
    assert not one.rows.are_spread
    other.table.take()
    for slot in range(16):
        batch = Batch([0, 1], [slot], labels=[slot % 2])
        np.testing.assert_array_equal(one.learn(batch), other.learn(batch))
        assert one.digest() == other.digest()
    assert one.rows.are_spread


def test_it_goes_on_when_lanes_begin_anew() -> None:
    one, other = pair()
    stream = Stream(1)
    while not one.restarts:
        batch = stream.batch(100)
        one.learn(batch)
        other.learn(batch)
        if one.examples == 90_000:
            stream.change()
        assert one.examples < 300_000
    assert not one.rows.are_spread
    assert one.digest() == other.digest()


def test_a_row_that_learned_nothing_is_not_touched() -> None:
    model = LogisticRegression(bits=BITS)
    model.learn(Batch([0, 2, 3], [7, 9, 11], labels=[1, 0], weights=[0, 1]))
    assert [some.tolist() for some in model.rows.touched().numbers()] == [[11, 2**BITS]]
    assert model.rows.table.places is not None
    assert model.rows.table.places.taken == 3


def test_rows_that_are_put_are_read_by_their_slots() -> None:
    rng = np.random.default_rng(1)
    slots = np.array([3, 64, 2**BITS - 1, 2**BITS])
    rows = rng.normal(size=(4, 16)).astype(np.float32)
    model = LogisticRegression(bits=BITS)
    model.rows.put(slots, rows)
    np.testing.assert_array_equal(model.rows.at(slots), rows)
    assert not model.rows.at(np.array([0, 1, 2, 65])).any()
    with pytest.raises(ValueError, match="spread the table"):
        model.rows.put(np.arange(100, 5000), np.zeros((4900, 16), np.float32))
    np.testing.assert_array_equal(model.table.rows[slots], rows)
    np.testing.assert_array_equal(model.rows.at(slots), rows)
    model.rows.clear()
    assert not model.table.rows.any()


def test_rows_have_no_slots_before_they_are_spread() -> None:
    table = Table(bits=4, lanes=8)
    with pytest.raises(ValueError, match="spread the table first"):
        table.rows  # noqa: B018 - it raises
    table.spread()
    assert table.rows.shape == (17, 16)


def test_whoever_predicts_while_rows_are_spread_reads_whole_numbers() -> None:
    """One learns until the rows are spread, one predicts, one asks for the table at any moment."""
    one, other = pair()
    batches = [random_batch(seed, slots=2**BITS, n=50) for seed in range(60)]
    ended, wrong = threading.Event(), list[Any]()

    def predict() -> None:
        while not ended.is_set():
            found = one.predict(batches[7])
            if not (np.isfinite(found).all() and (found > 0).all() and (found < 1).all()):
                wrong.append(found)

    def ask() -> None:
        while one.examples < 1000:
            pass
        wrong.extend([] if one.table.rows.shape == other.table.rows.shape else [one])

    threads = [threading.Thread(target=work) for work in (predict, ask)]
    for thread in threads:
        thread.start()
    for batch in batches:
        one.learn(batch)
        other.learn(batch)
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert one.rows.are_spread
    assert one.digest() == other.digest()
