"""LogisticRegression: the model's laws, its settings, saving and loading."""

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, Batch, BatchError, LogisticRegression, SettingsError, SnapshotError
from nonzero.formats.json_bodies import parse_body
from nonzero.native.loading import usable_targets
from nonzero.persistence import snapshot

OPTIMIZERS = {"one lane": AdaGrad(0.2), "eight lanes": None}

# A fixed stream's state, after 3,000 examples, to the bit, by the rules of release 0.1 and of version 3:
# stored models go on by them. Whoever changes the arithmetic changes these, knowingly.
PINNED = {
    "one lane": "0fb397f53dda652b60479913c35be199",
    "eight lanes": "4e4318d1393d96adbdf221bd06c024df",
    "combined lanes": "2600a9687512c857b5da37f9fad522b4",
}
PIN_SCRIPT = """
from core.streams import random_batch
from nonzero import AdaGrad, LogisticRegression
for optimizer in (AdaGrad(0.2), None):
    model = LogisticRegression(bits=8, optimizer=optimizer, version=1, namespace_separator="^")
    model.learn(random_batch(11, n=3000, slots=256, most=20, weighted=True))
    print(model.digest())
model = LogisticRegression(bits=8, version=3)
model.learn(random_batch(12, n=3000, slots=256, most=20, weighted=True))
print(model.digest())
"""


@pytest.mark.parametrize("kernels", [*usable_targets(), "checked"])
def test_a_fixed_stream_has_a_pinned_digest_on_any_cpu(kernels: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NONZERO_KERNELS": kernels}
    result = subprocess.run(
        [sys.executable, "-c", PIN_SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == list(PINNED.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
class TestLaws:
    def test_the_input_is_left_unchanged(self, optimizer: Any) -> None:
        batch = random_batch(1, weighted=True)
        arrays: list[Any] = [
            batch.indptr,
            batch.indices,
            batch.explicit_values(),
            batch.labels,
            batch.weights,
        ]
        copies = [array.tobytes() for array in arrays]
        LogisticRegression(bits=6, optimizer=optimizer).learn(batch)
        assert [array.tobytes() for array in arrays] == copies

    def test_the_order_of_features_does_not_matter(self, optimizer: Any) -> None:
        model = LogisticRegression(bits=6, optimizer=optimizer)
        model.learn(random_batch(2))
        slots, values = [3, 9, 1, 40, 22], [0.5, -1, 2, 1, 1]
        forward, backward = (model.predict(Batch([0, 5], slots[::o], values[::o]))[0] for o in (1, -1))
        assert forward == pytest.approx(backward, rel=1e-6)

    def test_unseen_features_are_fine(self, optimizer: Any) -> None:
        """Lanes that are combined know that they are unsure of it, which in the end may count."""
        model = LogisticRegression(bits=16, optimizer=optimizer)
        model.learn_one({"site": "news"}, 1)
        assert model.predict_one({"never": "seen"}) == pytest.approx(model.predict_one({}), abs=0.01)

    def test_one_by_one_equals_the_batch(self, optimizer: Any) -> None:
        rows = [{"site": f"s{k % 7}", "bid": k / 10, "tags": ["a", f"t{k % 3}"]} for k in range(50)]
        labels = [k % 3 == 0 for k in range(50)]
        whole, single = (LogisticRegression(bits=12, optimizer=optimizer) for _ in range(2))
        p = whole.learn(Batch.from_dicts(rows, labels))
        q = [single.learn_one(row, label) for row, label in zip(rows, labels, strict=True)]
        np.testing.assert_array_equal(p, np.array(q, np.float32))
        assert whole.digest() == single.digest()

    def test_it_learns(self, optimizer: Any) -> None:
        model = LogisticRegression(bits=12, optimizer=optimizer)
        for _ in range(60):
            model.learn_one({"site": "news"}, 1)
            model.learn_one({"site": "blog"}, 0)
        assert model.predict_one({"site": "news"}) > 0.8
        assert model.predict_one({"site": "blog"}) < 0.2

    def test_save_and_load(self, optimizer: Any, tmp_path: Any) -> None:
        model = LogisticRegression(bits=6, optimizer=optimizer)
        model.learn(random_batch(3))
        model.save(tmp_path / "m.safetensors")
        again = LogisticRegression.load(tmp_path / "m.safetensors", bits=6, optimizer=optimizer)
        assert again.digest() == model.digest()
        assert again.metrics() == model.metrics()
        more = random_batch(4)
        np.testing.assert_array_equal(again.learn(more), model.learn(more))
        assert again.digest() == model.digest()

    def test_explanations_add_up(self, optimizer: Any) -> None:
        model = LogisticRegression(bits=6, optimizer=optimizer)
        model.learn(random_batch(5))
        batch = Batch([0, 3], [1, 2, 2], [1.0, -2.0, 0.5])
        explanation = model.explain(batch)
        log_odds = explanation.contributions.sum() + explanation.intercept + explanation.mixing
        assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(explanation.probability, rel=1e-5)
        np.testing.assert_allclose(
            explanation.contributions, model.weights[[1, 2, 2]] * model.scaled_values(batch), rtol=1e-5
        )
        assert explanation.probability == model.predict(batch)[0]

    def test_refused_batches_teach_nothing(self, optimizer: Any) -> None:
        model = LogisticRegression(bits=3, optimizer=optimizer)
        digest = model.digest()
        with pytest.raises(BatchError, match="row 1 has no label"):
            model.learn(Batch([0, 1, 2], [1, 2], None, [1, np.nan]))
        with pytest.raises(BatchError, match=r"row 1: index 8 is outside the table of 2\*\*3"):
            model.learn(Batch([0, 1, 2], [1, 8], None, [1, 1]))
        with pytest.raises(BatchError, match="index 8"):
            model.predict(Batch([0, 1], [8]))
        assert model.digest() == digest


def test_a_single_lane_explanation_needs_no_mixing() -> None:
    model = LogisticRegression(bits=6, optimizer=AdaGrad(0.2))
    model.learn(random_batch(6))
    assert model.explain(Batch([0, 2], [1, 2])).mixing == pytest.approx(0, abs=1e-5)


def test_weights_are_the_lanes_averaged_by_the_mixture() -> None:
    model = LogisticRegression(bits=6, version=2)
    model.learn(random_batch(7))
    assert model.weights.shape == (65,)
    assert model.weights.dtype == np.float32
    np.testing.assert_allclose(
        model.weights, (model.table.weights * model.shares).sum(axis=1), rtol=1e-4, atol=1e-6
    )


def test_the_clock_is_no_part_of_the_digest() -> None:
    then, now = (LogisticRegression(bits=6) for _ in range(2))
    then.learn(random_batch(14), time_ms=1_000)
    now.learn(random_batch(14), time_ms=2_000_000)
    assert then.digest() == now.digest()
    assert then.diagnose() != now.diagnose(now_ms=10**12)


def test_the_state_decides_the_digest() -> None:
    first, second = LogisticRegression(bits=6), LogisticRegression(bits=6)
    assert first.digest() == second.digest() != LogisticRegression(bits=7).digest()
    first.learn(Batch([0, 1], [1], None, [1], [0]))
    assert first.digest() != second.digest()


@pytest.mark.parametrize(
    ("expected", "named"),
    [({"bits": 7}, "bits is 6, expected 7"), ({"optimizer": None}, "lanes"), ({"rate": 1}, "rate")],
)
def test_loading_names_each_difference(tmp_path: Any, expected: Any, named: Any) -> None:
    LogisticRegression(bits=6, optimizer=AdaGrad(0.2)).save(tmp_path / "m")
    with pytest.raises(SettingsError, match=named):
        LogisticRegression.load(tmp_path / "m", **expected)


def test_notes_travel_with_the_model_and_are_no_part_of_it(tmp_path: Any) -> None:
    model = LogisticRegression(bits=4)
    digest = model.digest()
    model.notes["position"] = 4711
    model.save(tmp_path / "m")
    again = LogisticRegression.load(tmp_path / "m")
    assert again.notes == {"position": 4711}
    assert again.digest() == digest


def test_a_copy_is_the_same_model() -> None:
    model, copy = LogisticRegression(bits=6), LogisticRegression(bits=6)
    model.learn(random_batch(12))
    copy.copy_from(model)
    assert copy.digest() == model.digest()
    model.learn(random_batch(13))
    assert copy.digest() != model.digest()
    with pytest.raises(SettingsError, match="cannot be copied"):
        LogisticRegression(bits=5).copy_from(model)


def test_a_snapshot_of_something_else_is_refused(tmp_path: Any) -> None:
    metadata = {"settings": LogisticRegression(bits=2).settings, "notes": {}}
    snapshot.write(tmp_path / "m", {"table": np.zeros(3)}, metadata)
    with pytest.raises(SnapshotError, match="does not hold a model"):
        LogisticRegression.load(tmp_path / "m")


@pytest.mark.parametrize("bits", [0, 31, -1, 2.5, True, "22", None])
def test_bits_out_of_range_are_named(bits: Any) -> None:
    with pytest.raises(SettingsError, match="bits is"):
        LogisticRegression(bits=bits)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bits": 3, "lanes": []},
        {"bits": 3, "lanes": [], "scaled": False, "more": 1},
        {"bits": 3, "lanes": [{"rule": "sgd", "learning_rate": 1}], "scaled": False},
    ],
)
def test_settings_that_are_none_are_refused(settings: Any) -> None:
    with pytest.raises(SettingsError):
        LogisticRegression.from_settings(settings)


def test_other_numbers_of_lanes_are_refused() -> None:
    with pytest.raises(SettingsError, match="2 lanes"):
        LogisticRegression(bits=3, optimizer=[AdaGrad(), AdaGrad()])


@pytest.mark.parametrize("optimizer", ["adagrad", 0.1, [0.1] * 8, {"rule": "adagrad"}])
def test_an_optimizer_that_is_none_is_refused(optimizer: Any) -> None:
    said = f"the optimizer is {optimizer!r:.20}"
    with pytest.raises(SettingsError, match=f"{re.escape(said)}.*; give a rule, such as AdaGrad"):
        LogisticRegression(bits=3, optimizer=optimizer)


def test_memory_is_eight_bytes_a_slot_or_a_cache_line() -> None:
    one, eight = LogisticRegression(bits=10, optimizer=AdaGrad()), LogisticRegression(bits=10)
    assert one.nbytes == 8 * (2**10 + 1)
    assert eight.nbytes == 64 * (2**10 + 1)
    assert eight.table.rows.ctypes.data % 64 == 0


@pytest.mark.parametrize("optimizer", [AdaGrad(0.2), None])
def test_a_body_is_predicted_as_its_batch_is(optimizer: Any) -> None:
    model = LogisticRegression(10, optimizer)
    named = b'{"features": {"site": "news", "tags": ["a", "b"]}, "label": 1}'
    model.learn(parse_body(named))
    for body in (named, b'{"features": {}}', b'{"indices": [3, 1023]}'):
        assert model.predict_body(body) == model.predict(parse_body(body))[0]
    others = (
        b'{"features": {"bid": 0.5}}',
        b'{"features": {}, "id": "x"}',
        b'{"indices": [1024]}',
        b"{",
        b"",
    )
    assert [model.predict_body(body) for body in others] == [None] * len(others)
    model.learn(parse_body(b'{"features": {"bid": 0.5}, "label": 1}'))  # from now on eight lanes scale values
    assert model.predict_body(named) in (None, model.predict(parse_body(named))[0])
