"""What a model had learned at one moment is what is saved, whatever it learns until that is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.streams import random_batch
from machine import resident
from nonzero import AdaGrad, Batch, LogisticRegression


@pytest.mark.parametrize("bits", [1, 6, 12, 19])
@pytest.mark.parametrize("optimizer", [None, AdaGrad(0.1)], ids=["eight lanes", "one lane"])
def test_it_is_the_model_of_its_moment(tmp_path: Path, bits: int, optimizer: AdaGrad | None) -> None:
    model = LogisticRegression(bits=bits, optimizer=optimizer, recalibrated=True)
    for seed in range(4):
        before = model.digest()
        packed = model.packed()
        assert packed.examples == model.examples
        model.save(tmp_path / "whole")
        model.learn(random_batch(seed, slots=1 << bits))
        packed.write(tmp_path / "packed")
        assert (tmp_path / "packed").read_bytes() == (tmp_path / "whole").read_bytes()
        packed.notes["position"] = seed
        packed.write(tmp_path / "packed")
        found = LogisticRegression.load(tmp_path / "packed")
        assert (found.digest(), found.notes) == (before, {"position": seed})
        assert model.notes == {}


def test_a_look_at_what_was_touched_takes_no_memory(tmp_path: Path) -> None:
    models = [LogisticRegression(bits=4) for _ in range(50)]
    batch = Batch.from_dicts([{"site": "a"}, {"hour": "b"}], labels=[1, 0])
    for model in models:
        model.learn(batch)
        model.save(tmp_path / f"{len(list(tmp_path.iterdir()))}")
    begun = resident()
    kept = [model.packed() for model in models]
    assert resident() - begun < len(models) * 100_000
    del kept
    begun = resident()
    loaded = [LogisticRegression.load(path) for path in tmp_path.iterdir()]
    assert resident() - begun < len(models) * 250_000  # its arrays would be 4 MB each
    assert {model.digest() for model in loaded} == {models[0].digest()}
