"""The estimator: scikit-learn's own checks, and the model that it is."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.linear_model import LogisticRegression as BatchLogisticRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from nonzero import AdaGrad, Batch, BatchError, InputError, LogisticRegression, Schema, SettingsError, formats
from nonzero.sklearn import NonzeroClassifier

ONE_STEP = "a row of weight 2 is one step by twice the gradient; a row that comes twice is two steps"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": ONE_STEP,
    "check_sample_weight_equivalence_on_sparse_data": ONE_STEP,
}
SAID = {"site": "category", "ad": "category", "bid": "number", "*_id": "ignore"}


def clicks(n: int = 400, seed: int = 1) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows of mappings: some sites are clicked more than others, and high bids more than low ones."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = [
        {"site": f"s{site}", "ad": int(ad), "bid": round(float(bid), 3), "request_id": f"r{k}"}
        for k, (site, ad, bid) in enumerate(
            zip(rng.integers(0, 6, n), rng.integers(0, 4, n), rng.random(n), strict=True)
        )
    ]
    scores = np.array([int(row["site"][1:]) - 2.5 + 2 * row["bid"] for row in rows])
    return rows, (rng.random(n) < 1 / (1 + np.exp(-scores))).astype(int).tolist()


def numbers(n: int = 400, columns: int = 12) -> tuple[Any, Any]:
    X, y = make_classification(n, columns, n_informative=6, random_state=0)
    return X, y


@parametrize_with_checks(  # type: ignore[untyped-decorator,unused-ignore]
    [NonzeroClassifier(bits=10), NonzeroClassifier(bits=12, optimizer=AdaGrad(0.2))],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_scikit_learns_check_of_the_names_of_columns() -> None:
    check_dataframe_column_names_consistency("NonzeroClassifier", NonzeroClassifier(bits=10))


WHOLE = """
import json, sys
from sklearn.utils.estimator_checks import check_estimator
from nonzero.sklearn import NonzeroClassifier
model, expected = NonzeroClassifier(bits=10), json.loads(sys.argv[1])
found = check_estimator(model, on_fail=None, expected_failed_checks=expected)
print(json.dumps({one["check_name"]: one["status"] for one in found}))
"""


def test_no_check_is_left_out() -> None:
    """scikit-learn skips the check of its array API unless SciPy was imported with it."""
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, json.dumps(EXPECTED_FAILURES)],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert {name for name, status in found.items() if status != "passed"} == EXPECTED_FAILURES.keys()
    assert len(found) > 50


# -- the model that it is ------------------------------------------------------------------------------


def forms(X: Any) -> dict[str, Any]:
    """The same matrix in every form."""
    csr = sparse.csr_array(X)
    wide = csr.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    rows, columns = np.nonzero(X)
    half = X[rows, columns] / 2
    order = np.random.default_rng(0).permutation(2 * rows.size) % rows.size
    shuffled = sparse.coo_array((half[order], (rows[order], columns[order])), X.shape)
    twice = sparse.csr_array(
        (
            np.repeat(csr.data / 2, 2),
            np.repeat(csr.indices, 2),
            2 * csr.indptr,
        ),
        X.shape,
    )
    zeros = sparse.csr_array(
        (X.ravel(), np.tile(np.arange(X.shape[1]), len(X)), np.arange(len(X) + 1) * X.shape[1])
    )
    return {
        "csr": csr,
        "csr_matrix": sparse.csr_matrix(X),
        "csc": sparse.csc_array(X),
        "coo": sparse.coo_array(X),
        "int64": wide,
        "twice": twice,
        "shuffled": shuffled,
        "explicit zeros": zeros,
        "lists": X.tolist(),
        "fortran": np.asfortranarray(X),
        "numbered columns": pd.DataFrame(X),
    }


def arrays(form: Any) -> list[Any]:
    """What a matrix is written down as."""
    names = ("data", "indices", "indptr", "coords")
    return [getattr(form, name) for name in names if hasattr(form, name)] if sparse.issparse(form) else [form]


def test_a_matrix_is_the_same_in_every_form_and_columns_are_slots() -> None:
    X, y = numbers()
    X[np.abs(X) < 0.5] = 0  # halves of the others are exact, too
    expected = LogisticRegression(bits=10)
    expected.learn(Batch.from_csr(sparse.csr_array(X), y))
    dense = NonzeroClassifier(bits=10).fit(X, y)
    assert dense.model_.digest() == expected.digest()
    assert dense.n_features_in_ == 12
    assert not hasattr(dense, "feature_names_in_")
    for name, form in forms(X).items():
        before = copy.deepcopy(form)
        model = NonzeroClassifier(bits=10).fit(form, y)
        assert model.model_.digest() == expected.digest(), name
        assert model.predict_proba(form).tolist() == dense.predict_proba(X).tolist()
        assert all(np.array_equal(*pair) for pair in zip(arrays(form), arrays(before), strict=True)), name


def test_whole_numbers_and_booleans_are_numbers() -> None:
    X = np.random.default_rng(0).integers(0, 3, (60, 4))
    y = X[:, 0] > 0
    digests = {
        NonzeroClassifier(bits=6).fit(X.astype(dtype), y).model_.digest() for dtype in (int, float, "f4")
    }
    assert len(digests) == 1
    assert NonzeroClassifier(bits=6).fit(X > 0, y).predict(X > 0).shape == (60,)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.array([[1e7], [0.0]]), "row 0: the value 10000000.0 is not a finite number of at most 1e"),
        (np.array([[1e300], [0.0]]), r"row 0: the value 1e\+300"),
        (np.array([[np.nan], [0.0]]), "Input X contains NaN"),
        (sparse.csr_array([[np.nan], [0.0]]), "row 0: the value nan is not a finite number"),
        (sparse.csr_array(([1.0], [-1], [0, 1, 1]), (2, 4)), "the index -1 is not from 0"),
        (sparse.csr_array((2, 5)), "5 columns, and bits=2 makes a table of 4 slots; set bits=3"),
        (sparse.csr_array((2, 2**33)), "set bits=33"),
        (np.array([["news"], ["blog"]]), "Convert your data to numeric values"),
    ],
)
def test_what_is_no_matrix_of_features_is_refused(X: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NonzeroClassifier(bits=2).fit(X, [0, 1])


def test_a_column_that_a_matrix_does_not_have_is_refused() -> None:
    broken: Any = sparse.csr_array(([1.0], [3], [0, 1, 1]), (2, 4))
    broken._shape = (2, 2)
    with pytest.raises(BatchError, match="names column 3, and has the columns 0 to 1"):
        NonzeroClassifier(bits=4).fit(broken, [0, 1])


# -- features by name ----------------------------------------------------------------------------------


def test_the_digest_is_that_of_every_other_format() -> None:
    rows, y = clicks()
    expected = LogisticRegression(bits=12, schema=SAID)
    expected.learn(Batch.from_dicts(rows, y, schema=expected.schema))
    text = pd.DataFrame({"click": y} | {name: [row[name] for row in rows] for name in rows[0]}).to_csv(
        index=False
    )
    table = LogisticRegression(bits=12, schema=SAID)
    table.learn(formats.parse(text.encode(), "csv", schema=table.schema))
    assert table.digest() == expected.digest()
    given = {
        "mappings": rows,
        "tuple": tuple(rows),
        "array": np.array(rows, object),
        "pandas": pd.DataFrame(rows),
        "pandas, objects": pd.DataFrame(rows, dtype=object),
        "pandas, categories": pd.DataFrame(rows).astype({"site": "category", "ad": "category"}),
        "polars": pl.DataFrame(rows),
    }
    for name, X in given.items():
        model = NonzeroClassifier(bits=12, schema=SAID).fit(X, y)
        assert model.model_.digest() == expected.digest(), name
        assert model.named_
        for other in given.values():
            assert (
                model.predict_proba(other)[:, 1].tolist()
                == expected.predict(Batch.from_dicts(rows, schema=SAID)).tolist()
            )


def test_names_are_kept_and_asked_for() -> None:
    rows, y = clicks()
    frame = pd.DataFrame(rows)
    model = NonzeroClassifier(bits=12, schema=SAID).fit(frame, y)
    assert model.feature_names_in_.tolist() == model.get_feature_names().tolist() == [*frame.columns]
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="yet now missing:\n- bid"):
        model.predict(frame.drop(columns="bid"))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.predict_proba(frame.to_numpy()).tolist() == model.predict_proba(frame).tolist()
    assert model.predict_proba(rows).tolist() == model.predict_proba(frame).tolist()
    by_mappings = NonzeroClassifier(bits=12, schema=SAID).fit(rows, y)
    assert not hasattr(by_mappings, "n_features_in_")
    with pytest.raises(InputError, match="fitted on mappings, which may name any features"):
        by_mappings.get_feature_names()
    with pytest.raises(InputError, match="X has no names, and the model was fitted on mappings"):
        by_mappings.predict(np.zeros((1, 4)))
    by_columns = NonzeroClassifier(bits=12).fit([[0.5], [2]], [1, 0])
    assert by_columns.get_feature_names().tolist() == ["x0"]
    with pytest.raises(InputError, match="X is mappings of features, and the model was fitted on 1 columns"):
        by_columns.predict(rows)


def test_fit_begins_anew_whatever_came_before() -> None:
    rows, y = clicks()
    X, labels = numbers()
    fresh = [NonzeroClassifier(bits=12).fit(*given).model_.digest() for given in ((rows, y), (X, labels))]
    model = NonzeroClassifier(bits=12).fit(pd.DataFrame(rows), y)
    assert model.fit(X, labels).model_.digest() == fresh[1]
    assert not model.named_
    assert not hasattr(model, "feature_names_in_")
    assert model.fit(rows, y).model_.digest() == fresh[0]
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    "settings",
    [
        {"schema": SAID},
        {"default": "number"},
        {"interactions": ["site*ad"]},
        {"schema": Schema({"a": "number"})},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_about_names_need_names(settings: Any) -> None:
    X, y = numbers()
    with pytest.raises(
        SettingsError, match=f"{next(iter(settings))} is .* by name, and the columns of X have none"
    ):
        NonzeroClassifier(bits=10, **settings).fit(X, y)


def test_interactions_of_named_features() -> None:
    rows, y = clicks()
    model = NonzeroClassifier(bits=12, schema=SAID, interactions=["site*ad"]).fit(pd.DataFrame(rows), y)
    expected = LogisticRegression(bits=12, schema=SAID, interactions=["site*ad"])
    expected.learn(Batch.from_dicts(rows, y, schema=expected.schema))
    assert model.model_.digest() == expected.digest()


# -- labels, classes, weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [("no", "yes"), (False, True), (-1, 1), (3, 7), (0.0, 1.0), (np.str_("a"), np.str_("b"))],
    ids=str,
)
def test_any_two_labels(names: Any) -> None:
    X, y = numbers()
    labels = np.array(names)[y]
    model = NonzeroClassifier(bits=10).fit(X, labels)
    expected = NonzeroClassifier(bits=10).fit(X, y)
    assert model.classes_.tolist() == list(names)
    assert model.model_.digest() == expected.model_.digest()
    assert set(model.predict(X).tolist()) == set(names)
    assert model.score(X, labels) == expected.score(X, y) > 0.7
    assert model.fit(X, labels.tolist()).score(X, labels) == expected.score(X, y)


def test_predictions_agree() -> None:
    X, y = numbers()
    model = NonzeroClassifier(bits=10).fit(X, y)
    p = model.predict_proba(X)
    assert p.dtype == np.float64
    assert (p.sum(axis=1) == 1).all()
    np.testing.assert_allclose(model.decision_function(X), np.log(p[:, 1] / p[:, 0]))
    assert (model.predict(X) == (p[:, 1] > 0.5)).all()
    empty = NonzeroClassifier(bits=10).partial_fit(X[:1], y[:1], classes=[0, 1], sample_weight=[0])
    assert empty.predict(X[:1]).tolist() == [0]  # of two alike the first


def test_log_odds_of_what_is_sure_are_finite() -> None:
    model = NonzeroClassifier(bits=4, optimizer=AdaGrad(1000.0)).fit([[1e3], [-1e3]] * 50, [1, 0] * 50)
    assert model.predict_proba([[1e3]])[0, 1] == 1
    low, high = model.decision_function([[-1e3], [1e3]])
    assert low == pytest.approx(-50, abs=0.1)
    assert high == pytest.approx(17.3, abs=0.1)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (
            [0, 1, 2],
            "Only binary classification is supported. The type of the target is multiclass: y has 3 classes",
        ),
        ([1, 1, 1], r"y has one class, \[1\]"),
        ([0.1, 0.2, 0.7], "Unknown label type: continuous"),
        ([[0, 1], [1, 0], [1, 1]], "y should be a 1d array"),
        ([0, 1], r"inconsistent numbers of samples: \[3, 2\]"),
        ([0.0, 1.0, np.nan], "Input y contains NaN"),
        (None, "requires y to be passed, but the target y is None"),
    ],
)
def test_labels_that_are_none_are_refused(y: Any, said: str) -> None:
    for X in (np.eye(3), pd.DataFrame(np.eye(3), columns=list("abc")), [{"a": 1}] * 3):
        with pytest.raises(ValueError, match=said):
            NonzeroClassifier(bits=4).fit(X, y)


def test_more_classes_are_told_apart_by_one_model_each() -> None:
    X, _ = numbers()
    y = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    assert OneVsRestClassifier(NonzeroClassifier(bits=8)).fit(X, y).score(X, y) > 0.7


def test_weights_are_the_librarys() -> None:
    X, y = numbers()
    weights = np.random.default_rng(1).choice([0, 0.5, 1, 3], len(y))
    expected = LogisticRegression(bits=8)
    expected.learn(Batch.from_csr(sparse.csr_array(X), y, weights))
    for given in (weights, weights.tolist(), pd.Series(weights)):
        assert NonzeroClassifier(bits=8).fit(X, y, sample_weight=given).model_.digest() == expected.digest()
    named = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    by_name = LogisticRegression(bits=8)
    by_name.learn(Batch.from_dicts(named.to_dict("records"), y, weights))
    assert NonzeroClassifier(bits=8).fit(named, y, weights).model_.digest() == by_name.digest()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -1], "row 1: the importance weight -1.0 is not from 0 to 1e"),
        ([1, 2e6], "row 1: the importance weight 2000000.0"),
        ([0, 0], "sample_weight is zero in every row"),
        ([1], r"sample_weight has the shape \(1,\); one weight a row is \(2,\)"),
        ([[1], [1]], r"sample_weight has the shape \(2, 1\)"),
        ([1, np.nan], "Input sample_weight contains NaN"),
        (["a", "b"], "could not convert string to float"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NonzeroClassifier(bits=4).fit([[1], [2]], [0, 1], sample_weight=weights)


# -- learning more -------------------------------------------------------------------------------------


def test_partial_fit_in_parts_is_fit() -> None:
    X, y = numbers()
    whole = NonzeroClassifier(bits=10).fit(X, y)
    parts = NonzeroClassifier(bits=10)
    for start in range(0, len(y), 37):
        assert parts.partial_fit(X[start : start + 37], y[start : start + 37], classes=[0, 1]) is parts
    assert parts.model_.digest() == whole.model_.digest()
    rows, clicked = clicks()
    by_name = NonzeroClassifier(bits=10, schema=SAID)
    by_name.partial_fit(pd.DataFrame(rows[:200]), clicked[:200], classes=[0, 1])
    by_name.partial_fit(rows[200:], clicked[200:])
    assert (
        by_name.model_.digest() == NonzeroClassifier(bits=10, schema=SAID).fit(rows, clicked).model_.digest()
    )
    assert whole.partial_fit(X[:1], y[:1]).model_.examples == 401


def test_partial_fit_needs_the_classes_once() -> None:
    model = NonzeroClassifier(bits=4)
    with pytest.raises(ValueError, match="first call of partial_fit has no classes; give both labels"):
        model.partial_fit([[1]], [1])
    with pytest.raises(ValueError, match="classes has one class"):
        model.partial_fit([[1]], [1], classes=[1])
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        model.partial_fit([[1]], [1], classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"row 0 has the label 5; the classes are \[0, 1\]"):
        model.partial_fit([[1]], [5], classes=[0, 1])
    with pytest.raises(NotFittedError):
        model.predict([[1]])
    model.partial_fit([[1]], [1], classes=[1, 0])
    with pytest.raises(ValueError, match=r"classes is \[2 3\], and was \[0 1\] before"):
        model.partial_fit([[1]], [1], classes=[2, 3])
    with pytest.raises(ValueError, match="X has 2 features, but NonzeroClassifier is expecting 1 features"):
        model.partial_fit([[1, 2]], [1])
    assert model.model_.examples == 1


def test_epochs_go_through_the_rows_again() -> None:
    X, y = numbers()
    twice = LogisticRegression(bits=8)
    for _ in range(2):
        twice.learn(Batch.from_csr(sparse.csr_array(X), y))
    assert NonzeroClassifier(bits=8, epochs=2).fit(X, y).model_.digest() == twice.digest()
    rows, clicked = clicks()
    assert NonzeroClassifier(bits=8, epochs=3).fit(rows, clicked).model_.examples == 3 * len(rows)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bits": 99}, "bits is 99"),
        ({"bits": "a"}, "bits is 'a'"),
        ({"optimizer": "adagrad"}, "the optimizer is 'adagrad'; give a rule, such as AdaGrad"),
        ({"optimizer": 0.1}, "the optimizer is 0.1"),
        ({"schema": {"a": "text"}}, "'a' is 'text'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"epochs": True}, "epochs is True"),
    ],
)
def test_settings_are_looked_at_when_it_is_fitted(settings: Any, said: str) -> None:
    model = NonzeroClassifier(**settings)
    with pytest.raises(SettingsError, match=said):
        model.fit([[0], [1]], [0, 1])
    assert NonzeroClassifier(bits=np.int64(5)).fit([[0], [1]], [0, 1]).model_.bits == 5  # type: ignore[arg-type]


# -- among others --------------------------------------------------------------------------------------


def test_pipelines() -> None:
    rows, y = clicks(1000)
    frame = pd.DataFrame(rows).drop(columns="request_id")
    columns = ColumnTransformer(
        [("site", OneHotEncoder(handle_unknown="ignore"), ["site", "ad"]), ("bid", StandardScaler(), ["bid"])]
    )
    words = [[f"site={row['site']}", f"ad={row['ad']}"] for row in rows]
    mappings = frame.to_dict("records")
    given: list[tuple[Any, Any]] = [
        (
            make_pipeline(FeatureHasher(input_type="string", n_features=2**12), NonzeroClassifier(bits=12)),
            words,
        ),
        (make_pipeline(FeatureHasher(n_features=2**12), NonzeroClassifier(bits=12)), mappings),
        (make_pipeline(DictVectorizer(), NonzeroClassifier(bits=12)), mappings),
        (make_pipeline(DictVectorizer(sparse=False), NonzeroClassifier(bits=12)), mappings),
        (make_pipeline(columns, NonzeroClassifier(bits=12)), frame),
        (
            make_pipeline(
                ColumnTransformer([("bid", StandardScaler(), ["bid"])], remainder="passthrough").set_output(
                    transform="pandas"
                ),
                NonzeroClassifier(bits=12, schema={"remainder__*": "category"}),
            ),
            frame,
        ),
    ]
    for pipeline, X in given:
        assert cross_val_score(pipeline, X, y, cv=TimeSeriesSplit(3), scoring="roc_auc").mean() > 0.75


def test_the_hasher_of_the_library_is_scikit_learns() -> None:
    rows, y = clicks()
    hasher = FeatureHasher(n_features=2**12, alternate_sign=False)
    texts = [{"site": row["site"]} for row in rows]
    pipeline = make_pipeline(hasher, NonzeroClassifier(bits=12, scaled=False)).fit(texts, y)
    direct = NonzeroClassifier(bits=12, scaled=False).fit(texts, y)
    assert pipeline.predict_proba(texts).tolist() == direct.predict_proba(texts).tolist()


def test_searches_and_calibration() -> None:
    X, y = numbers()
    search = GridSearchCV(
        NonzeroClassifier(bits=8),
        {"optimizer": [None, AdaGrad(0.1), AdaGrad(1e-6)], "bits": np.arange(8, 10)},
        scoring="neg_log_loss",
    ).fit(X, y)
    assert search.best_params_["optimizer"] != AdaGrad(1e-6)
    assert search.best_score_ > search.cv_results_["mean_test_score"].min() + 0.1
    for method in ("sigmoid", "isotonic"):
        calibrated = CalibratedClassifierCV(NonzeroClassifier(bits=8), method=method).fit(X, y)
        assert calibrated.score(X, y) > 0.7


def test_it_learns_what_a_batch_learner_does() -> None:
    X, y = numbers(4000)
    ours = make_pipeline(StandardScaler(), NonzeroClassifier(bits=8))
    theirs = make_pipeline(StandardScaler(), BatchLogisticRegression())
    ours_score, theirs_score = (
        cross_val_score(one, X, y, scoring="roc_auc").mean() for one in (ours, theirs)
    )
    assert ours_score > theirs_score - 0.01


IN_PROCESSES = """
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from nonzero.sklearn import NonzeroClassifier
X, y = make_classification(400, 12, n_informative=6, random_state=0)
print(cross_val_score(NonzeroClassifier(bits=8), X, y, n_jobs=2).tolist())
"""


@pytest.mark.soak  # two processes import all that this one has
def test_processes_of_its_own_give_the_same_scores() -> None:
    done = subprocess.run([sys.executable, "-c", IN_PROCESSES], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == cross_val_score(NonzeroClassifier(bits=8), *numbers()).tolist()


# -- copies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("named", [False, True], ids=["matrix", "frame"])
def test_a_copy_is_the_model(way: Any, named: bool) -> None:
    X, y = numbers()
    if named:
        X = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    model = NonzeroClassifier(bits=8, schema={"c1": "category"} if named else None).fit(X, y)
    other = way(model)
    assert other.model_.digest() == model.model_.digest()
    assert other.predict_proba(X).tolist() == model.predict_proba(X).tolist()
    assert vars(other).keys() == vars(model).keys()
    if way is not copy.copy:
        other.partial_fit(X, y)
        assert other.model_.examples == 2 * model.model_.examples


def test_a_clone_has_the_settings_and_nothing_learned() -> None:
    X, y = numbers()
    settings: dict[str, Any] = {
        "bits": 8,
        "optimizer": AdaGrad(0.3),
        "schema": Schema({"a": "number"}),
        "epochs": 2,
    }
    model = NonzeroClassifier(**settings)
    other = clone(model)
    assert {name: other.get_params()[name] for name in settings} == settings
    assert not hasattr(clone(NonzeroClassifier(bits=8).fit(X, y)), "model_")


LOADED = """
import sys, joblib
for mapped in (None, "r"):
    model = joblib.load(sys.argv[1], mmap_mode=mapped)
    print(model.model_.digest())
    model.partial_fit([[0.0] * 12], [1])
    print(model.model_.examples)
"""


def test_joblib_takes_it_to_another_process(tmp_path: Path) -> None:
    """Also where its arrays are mapped from the file, which nobody may write to."""
    model, path = NonzeroClassifier(bits=8).fit(*numbers()), tmp_path / "model.joblib"
    joblib.dump(model, path)
    command = [sys.executable, "-c", LOADED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == 2 * [model.model_.digest(), "401"]


def test_it_is_shown_as_scikit_learn_shows_estimators() -> None:
    assert repr(NonzeroClassifier(bits=8)) == "NonzeroClassifier(bits=8)"
    assert "NonzeroClassifier" in make_pipeline(StandardScaler(), NonzeroClassifier())._repr_html_()


def test_nothing_was_learned_yet() -> None:
    model = NonzeroClassifier()
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(NotFittedError):
            method([[1]])
    with pytest.raises(NotFittedError):
        model.get_feature_names()


def test_a_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        NonzeroClassifier(bits=4).fit([[1], [2]], [[0], [1]])
