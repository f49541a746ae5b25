# mypy: disable-error-code="no-untyped-call"
"""river's classifier: river's own checks, and the model that it is."""

from __future__ import annotations

import copy
import datetime
import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from river import checks, compose, datasets, evaluate, linear_model, metrics, preprocessing

from nonzero import AdaGrad, Batch, BatchError, LogisticRegression, Schema, SettingsError, formats
from nonzero.river import NonzeroClassifier

SAID = {"ad": "category", "bid": "number", "site": "category", "*_id": "ignore"}
SMALL: dict[str, Any] = {"bits": 10}
MODELS = {
    "eight lanes": NonzeroClassifier(**SMALL),
    "one lane": NonzeroClassifier(bits=10, optimizer=AdaGrad(0.2), schema={"f1": "number"}),
}


def clicks(n: int = 300) -> list[Any]:
    """Mappings whose names stand in alphabetical order; some sites are clicked more than others."""
    rng = np.random.default_rng(1)
    rows: list[Any] = []
    for k, (site, ad, bid) in enumerate(
        zip(rng.integers(0, 6, n), rng.integers(0, 4, n), rng.random(n), strict=True)
    ):
        x = {"ad": int(ad), "bid": round(float(bid), 3), "request_id": f"r{k}", "site": f"s{site}"}
        rows.append((x, bool(rng.random() < 1 / (1 + np.exp(2.5 - site)))))
    return rows


@pytest.mark.parametrize(
    ("model", "check"),
    [
        pytest.param(model, check, id=f"{name}-{check.__name__}-{number}")
        for name, model in MODELS.items()
        for number, check in enumerate(checks.yield_checks(model))
    ],
)
def test_rivers_checks(model: Any, check: Any) -> None:
    check(model.clone())


def test_no_check_is_left_out() -> None:
    model = NonzeroClassifier(**SMALL)
    assert model._unit_test_skips() == set()
    named = {check.__name__ for check in checks.yield_checks(model)}
    assert {
        "check_shuffle_features_no_impact",
        "check_learn_many_matches_learn_one",
        "check_pickling",
    } <= named


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_order_of_features_changes_no_bit(model: Any) -> None:
    """river's check of it allows a difference of a millionth."""
    stream = list(datasets.Phishing().take(300))
    ordered, shuffled, draw = model.clone(), model.clone(), random.Random(1)
    for x, y in stream:
        names = draw.sample([*x], len(x))
        other = {name: x[name] for name in names}
        assert ordered.predict_proba_one(x) == shuffled.predict_proba_one(other)
        ordered.learn_one(x, y)
        shuffled.learn_one(other, y)
        assert [*other] == names
    assert ordered.model.digest() == shuffled.model.digest()
    many = model.clone()
    frame = pd.DataFrame([x for x, _ in stream])
    many.learn_many(frame[frame.columns[::-1]], pd.Series([y for _, y in stream]))
    assert many.model.digest() == ordered.model.digest()


def test_the_digest_is_that_of_every_other_format() -> None:
    """Where names stand in alphabetical order."""
    stream = clicks()
    rows, labels = [x for x, _ in stream], [y for _, y in stream]
    expected = LogisticRegression(bits=12, schema=SAID)
    expected.learn(Batch.from_dicts(rows, labels, schema=expected.schema))
    text = pd.DataFrame({name: [row[name] for row in rows] for name in rows[0]} | {"click": labels}).to_csv(
        index=False
    )
    table = LogisticRegression(bits=12, schema=SAID)
    table.learn(formats.parse(text.encode(), "csv", schema=table.schema))
    assert table.digest() == expected.digest()
    one = NonzeroClassifier(bits=12, schema=SAID)
    for x, y in stream:
        one.learn_one(x, y)
    assert one.model.digest() == expected.digest()
    for frame, series in ((pd.DataFrame, pd.Series), (pl.DataFrame, pl.Series)):
        many = NonzeroClassifier(bits=12, schema=SAID)
        for start in range(0, len(rows), 70):
            many.learn_many(frame(rows[start : start + 70]), series(labels[start : start + 70]))
        assert many.model.digest() == expected.digest()


def test_progressive_validation_is_that_of_the_library() -> None:
    stream = clicks(600)
    metric = metrics.LogLoss() + metrics.ROCAUC() + metrics.Accuracy()
    model = NonzeroClassifier(bits=12, schema=SAID)
    found: Any = evaluate.progressive_val_score(stream, model, metric).get()
    loss, auc, accuracy = found
    assert loss == pytest.approx(model.model.metrics()["log_loss"], rel=1e-5)
    assert auc > 0.75
    assert accuracy > 0.7
    peer = preprocessing.OneHotEncoder() | linear_model.LogisticRegression()
    without_ids: Any = [({name: x[name] for name in ("ad", "site")}, y) for x, y in stream]
    assert loss < evaluate.progressive_val_score(without_ids, peer, metrics.LogLoss()).get() + 0.02


class Asked(NonzeroClassifier):
    """One that notes how many examples it had learned from when it was asked."""

    def predict_proba_one(self, x: Any, **_: Any) -> Any:
        self.noted = [*getattr(self, "noted", []), self.model.examples]
        return super().predict_proba_one(x)


def learned_before_asked(delay: Any, moment: Any = None, n: int = 10) -> tuple[list[int], str]:
    """Return how many examples had been learned from when each was asked for; and the digest at the end."""
    stream = clicks(n)
    for k, (x, _) in enumerate(stream):
        x["at"] = datetime.datetime(2026, 11, 30) + datetime.timedelta(minutes=k)  # noqa: DTZ001
    model = Asked(bits=10, schema=SAID | {"at": "ignore"})
    evaluate.progressive_val_score(stream, model, metrics.LogLoss(), moment=moment, delay=delay)
    return model.noted, model.model.digest()


def test_labels_that_come_late() -> None:
    at_once, digest = learned_before_asked(None)
    assert at_once == list(range(10))
    late, same = learned_before_asked(2)
    assert late == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]  # label 0 is known before example 2 is asked for
    assert same == digest  # the same rows in the same order
    by_time, again = learned_before_asked(datetime.timedelta(minutes=3), moment="at")
    assert by_time == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert again == digest


def test_weights() -> None:
    model = NonzeroClassifier(**SMALL)
    model.learn_one({"a": "b"}, True, w=3)
    model.learn_many(pd.DataFrame({"a": ["b", "c"]}), pd.Series([False, True]), w=pd.Series([0.5, 2]))
    model.learn_many(pd.DataFrame({"a": ["b", "c"]}), pd.Series([False, True]), w=4)
    expected = LogisticRegression(bits=10)
    expected.learn(Batch.from_dicts([{"a": c} for c in "bbcbc"], [1, 0, 1, 0, 1], [3, 0.5, 2, 4, 4]))
    assert model.model.digest() == expected.digest()
    weighted: Any = [({"a": "b"}, True, {"w": 3.0})]
    evaluate.progressive_val_score(weighted, other := NonzeroClassifier(**SMALL), metrics.LogLoss())
    assert other.model.weight == 3


@pytest.mark.parametrize("label", [True, np.bool_(True), 1, 1.0, np.int64(1)])
def test_labels_may_be_of_any_kind_that_is_true_or_false(label: Any) -> None:
    model = NonzeroClassifier(**SMALL)
    model.learn_one({"a": "b"}, label)
    assert model.model.clicks == 1


def test_what_is_no_example_is_refused() -> None:
    model = NonzeroClassifier(bits=10, schema=SAID)
    with pytest.raises(BatchError, match="give 0 and 1"):
        model.learn_one({"a": "b"}, "yes")
    with pytest.raises(BatchError, match=r"'bid'.*'cheap'"):
        model.learn_one({"bid": "cheap"}, True)
    with pytest.raises(BatchError, match=r"'bid'.*'cheap'"):
        model.predict_proba_one({"bid": "cheap"})
    with pytest.raises(BatchError, match="weight -1"):
        model.learn_one({"a": "b"}, True, w=-1)
    assert model.model.examples == 0
    with pytest.raises(SettingsError, match="bits is 99"):
        NonzeroClassifier(bits=99)


def test_names_that_are_no_texts() -> None:
    model, other = NonzeroClassifier(**SMALL), NonzeroClassifier(**SMALL)
    for one, names in ((model, [1, 2]), (other, ["1", "2"])):
        one.learn_one(dict(zip(names, [0.5, 2.0], strict=True)), True)
    assert model.model.digest() == other.model.digest()


def test_predictions_of_frames() -> None:
    model, stream = NonzeroClassifier(bits=12, schema=SAID), clicks()
    for x, y in stream:
        model.learn_one(x, y)
    rows = [x for x, _ in stream[:20]]
    ones = [model.predict_proba_one(x) for x in rows]
    frame = pd.DataFrame(rows, index=range(100, 120))
    found = model.predict_proba_many(frame)
    assert found.index.tolist() == frame.index.tolist()
    assert found.to_dict("records") == ones
    assert model.predict_many(frame).to_dict() == dict(enumerate(map(model.predict_one, rows), 100))
    polars = model.predict_proba_many(pl.DataFrame(rows))
    assert polars.rows() == [(one[False], one[True]) for one in ones]
    assert polars.columns == ["False", "True"]
    assert model.predict_many(pl.DataFrame(rows)).to_list() == [model.predict_one(x) for x in rows]


def test_it_stands_at_the_end_of_a_pipeline() -> None:
    model = compose.Discard("request_id") | NonzeroClassifier(bits=12)
    assert evaluate.progressive_val_score(clicks(600), model, metrics.ROCAUC()).get() > 0.75


def copies(model: Any) -> Iterator[Any]:
    yield copy.deepcopy(model)
    yield pickle.loads(pickle.dumps(model))
    yield model.clone(include_attributes=True)


def test_copies_learn_apart() -> None:
    model = NonzeroClassifier(bits=10, schema=SAID)
    for x, y in clicks(50):
        model.learn_one(x, y)
    digest = model.model.digest()
    for other in copies(model):
        assert other.model.digest() == digest
        other.learn_one({"site": "s1"}, True)
        assert other.model.examples == 51
    assert model.model.digest() == digest
    assert model.clone().model.examples == 0


def test_a_clone_has_the_settings() -> None:
    settings: dict[str, Any] = {
        "bits": 9,
        "optimizer": AdaGrad(0.3),
        "interactions": ["a*b"],
        "schema": Schema(SAID),
    }
    model = NonzeroClassifier(**settings)
    other = model.clone({"bits": 10})
    assert other.model.settings == model.model.settings | {"bits": 10}
    assert NonzeroClassifier(bits=9, interactions=()).clone().model.interactions == ()
