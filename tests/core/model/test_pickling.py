"""Copies and pickles: the same model, to the digest, in memory of its own."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest

from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, BatchError, LogisticRegression, formats


def by_pickle(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))


def by_joblib(model: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": by_pickle,
    "joblib": by_joblib,
}
MODELS: dict[str, dict[str, Any]] = {
    "eight lanes": {"recalibrated": True},
    "one lane": {"optimizer": AdaGrad(0.2), "interactions": ["site*hour"]},
    "ftrl": {"optimizer": FTRL(0.1)},
    "version 1": {"version": 1},
}


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copy_is_the_model_and_learns_apart(way: Any, settings: Any) -> None:
    model = LogisticRegression(bits=8, **settings)
    model.learn(random_batch(1))
    model.notes = {"from": "a test"}
    model.recalibrating = False
    other = way(model)
    digest, more = model.digest(), random_batch(2)
    assert other.digest() == digest
    assert other.notes == model.notes
    assert other.recalibrating is False
    np.testing.assert_array_equal(other.predict(more), model.predict(more))
    learned = other.learn(more)
    assert model.digest() == digest
    np.testing.assert_array_equal(learned, model.learn(more))
    assert other.digest() == model.digest()


@pytest.mark.parametrize("learned", [10, 5000])
def test_a_pickle_takes_room_in_proportion_to_what_was_touched(learned: int) -> None:
    model = LogisticRegression(bits=22)
    rows = Batch.from_dicts(({"k": str(k)} for k in range(learned)), np.arange(learned) % 2)
    model.learn(rows)
    data = pickle.dumps(model)
    assert len(data) < 60_000 + 100 * learned  # a row of 64 bytes and where it stands, and what was predicted
    other = pickle.loads(data)
    assert other.digest() == model.digest()
    np.testing.assert_array_equal(other.learn(rows), model.learn(rows))
    assert other.digest() == model.digest()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copy_of_a_shared_model_is_its_own(way: Any) -> None:
    model = LogisticRegression(bits=8)
    model.learn(random_batch(1))
    reader = LogisticRegression.attach(model.share().descriptor)
    for one in (model, reader):
        other = way(one)
        assert other.shared is None
        other.learn(random_batch(2))
        assert other.examples > model.examples


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_batches_are_copied_too(way: Any) -> None:
    batch = Batch.from_dicts([{"site": "news", "bid": 0.5}, {"tags": ["a", "b"]}], labels=[1, 0])
    other = way(batch)
    first, second = LogisticRegression(bits=8), LogisticRegression(bits=8)
    first.learn(batch)
    second.learn(other)
    assert first.digest() == second.digest()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "batch",
    [
        Batch([0, 2, 2], [7, 8], [0.5, 2], [1, float("nan")], [3, 0], [1, 2], ["imp-1", None], [5, -1]),
        formats.parse(b"1 2 'imp-1 |site news |bid:0.5 b\n0 | x y\n", "vw"),
        Batch.empty(),
    ],
    ids=["made", "parsed", "empty"],
)
def test_a_batch_is_copied_whole_and_cannot_be_written_to(way: Any, batch: Batch) -> None:
    """Kernels go by its arrays: who could write into a copy could have them read what is not theirs."""
    other = way(batch)
    for name, column in vars(batch).items():
        copied = getattr(other, name)
        if isinstance(column, np.ndarray):
            np.testing.assert_array_equal(copied, column)
            assert copied.dtype == column.dtype
            assert not copied.flags.writeable, name
        else:
            assert copied == column, name


def test_a_pickle_of_a_batch_is_checked() -> None:
    """Whoever changes one is told where it is read."""
    data = pickle.dumps(Batch([0, 1], [7]))
    wrong = data.replace(np.array([0, 1]).tobytes(), np.array([0, 9]).tobytes())
    assert wrong != data
    with pytest.raises(BatchError, match="expected"):
        pickle.loads(wrong)


def test_what_cannot_be_had_back_is_refused_when_it_is_dumped() -> None:
    model = LogisticRegression(bits=8)
    model.notes["of who saves it"] = threading.Lock()
    for thing in (model, formats.reader("vw")):
        for dump in (pickle.dumps, lambda thing: joblib.dump(thing, io.BytesIO())):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match=r"pickle"):
                dump(thing)


def test_a_copy_that_is_made_while_a_thread_learns_is_of_one_moment() -> None:
    model, chunk = LogisticRegression(bits=12), random_batch(3, n=500)
    digests = set()
    replay = LogisticRegression(bits=12)
    for _ in range(41):
        digests.add(replay.digest())
        replay.learn(chunk)
    learner = threading.Thread(target=lambda: [model.learn(chunk) for _ in range(40)])
    learner.start()
    copies = []
    while learner.is_alive():
        copies.append(copy.copy(model))
    learner.join()
    assert {one.digest() for one in copies} <= digests


def test_threads_that_learn_at_once_learn_one_after_another() -> None:
    model, chunk = LogisticRegression(bits=12), random_batch(4, n=200)
    threads = [threading.Thread(target=lambda: [model.learn(chunk) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replay = LogisticRegression(bits=12)
    for _ in range(100):
        replay.learn(chunk)
    assert model.digest() == replay.digest()
