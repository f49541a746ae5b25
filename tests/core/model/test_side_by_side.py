"""Models that learn side by side come to the bits that each would come to alone."""

from __future__ import annotations

import threading

import pytest

from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, LogisticRegression, ReadOnlyError
from nonzero.model.side_by_side import SideBySide


def models() -> list[LogisticRegression]:
    return [
        LogisticRegression(bits=8),
        LogisticRegression(bits=6, optimizer=AdaGrad(0.3)),
        LogisticRegression(bits=7, optimizer=FTRL(alpha=0.1, l1=1)),
        LogisticRegression(bits=8, interactions=["a*b"]),
        LogisticRegression(bits=8, optimizer=AdaGrad(0.3), scaled=True),
    ]


def stream() -> list[Batch]:
    return [random_batch(seed, n=50 + seed, weighted=True) for seed in range(20)]


@pytest.mark.parametrize("turn", [0, 1000, 2**30])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_each_comes_to_the_digest_that_it_has_alone(threads: int, turn: int) -> None:
    alone = models()
    for batch in stream():
        for model in alone:
            model.learn(batch)
    together = models()
    with SideBySide(together, threads, turn) as several:
        for batch in stream():
            several.learn([batch] * len(together))
        several.finish()
    assert [model.digest() for model in together] == [model.digest() for model in alone]
    assert all(seconds > 0 for seconds in several.seconds)


def test_each_has_its_own_batch() -> None:
    together, batches = models()[:3], stream()[:3]
    with SideBySide(together, threads=2) as several:
        several.learn(batches)
        several.finish()
    assert [model.examples for model in together] == [len(batch) for batch in batches]


def test_an_error_is_raised_where_learn_was_called_and_the_threads_end() -> None:
    before = threading.active_count()
    writer = LogisticRegression(bits=6)
    reader = LogisticRegression.attach(writer.share().descriptor)
    others = models()[:2]
    with SideBySide([others[0], reader, others[1]], threads=3) as several:
        assert threading.active_count() == before + 2
        several.learn([random_batch(1)] * 3)
        with pytest.raises(ReadOnlyError):
            several.finish()
        assert [model.examples for model in others] == [500, 500]  # the others have learned
    assert threading.active_count() == before


def test_one_model_learns_at_once_and_several_when_a_turn_is_full() -> None:
    batch = random_batch(1, n=100)
    alone = LogisticRegression(bits=6)
    with SideBySide([alone], threads=2) as one:
        one.learn([batch])
        assert alone.examples == 100
    pair = models()[:2]
    with SideBySide(pair, threads=2, turn=2 * (batch.nnz + 100)) as several:
        several.learn([batch] * 2)
        assert [model.examples for model in pair] == [0, 0]
        several.learn([batch] * 2)
        assert [model.examples for model in pair] == [200, 200]
