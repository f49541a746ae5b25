"""Features given as Python dicts."""

from __future__ import annotations

import datetime
import math
from collections import ChainMap, OrderedDict
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from nonzero import LogisticRegression
from nonzero.batches.batch import Batch
from nonzero.errors import BatchError
from nonzero.fields.hashing import index_of
from nonzero.formats.json_dicts import batch_of_example, batch_of_features


def test_dicts_hold_what_json_cannot() -> None:
    row = {
        "text": np.str_("x"),
        "half": np.float32(0.5),
        "int": np.int64(3),
        "yes": np.bool_(True),
        "tags": ("a", "b"),
        "more": np.array(["c"]),
    }
    batch = Batch.from_dicts([row, OrderedDict(a="b"), ChainMap({"c": 2.0})])
    names = ["text=x", "half", "int", "yes", "tags=a", "tags=b", "more=c", "a=b", "c"]
    assert batch.indices.tolist() == [index_of(name) for name in names]
    assert batch.explicit_values().tolist() == [1, 0.5, 3, 1, 1, 1, 1, 1, 2]
    assert batch.indptr.tolist() == [0, 7, 8, 9]
    assert np.isnan(batch.labels).all()


def test_dicts_are_taken_from_an_iterator_of_any_length() -> None:
    for n in (0, 1, 1024, 2500):
        batch = batch_of_features({"k": str(k), "pi": 3.141592653589793238} for k in range(n))
        assert batch.indptr.tolist() == list(range(0, 2 * n + 1, 2))
        assert batch.indices.tolist() == [i for k in range(n) for i in (index_of(f"k={k}"), index_of("pi"))]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "'bad' is nan"),
        (-math.inf, "'bad' is -inf"),
        (np.float32("inf"), "'bad' is inf"),
        (1e39, "'bad': the value '1e39'"),
        (10**400, "'bad'"),
        ({"a": 1}, "'bad' is an object"),
        ([1], "'bad' is a list with 1"),
        (object(), "'bad' is <object"),
        (1j, "'bad' is 1j, of type complex"),
        ("\ud800", "'bad' is '\\ud800'"),
        (np.array([0.5]), "'bad' is a list with 0.5"),
    ],
)
def test_bad_feature_of_a_dict_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BatchError) as caught:
        batch_of_features([{"good": "a"}] * 1500 + [{"good": 1, "bad": value}, {"bad": value}])
    assert str(caught.value).startswith("row 1500: ")
    assert reason in str(caught.value)


def test_row_that_is_no_mapping_is_named() -> None:
    rows: list[Any] = [{"a": 1}, ["a"]]
    with pytest.raises(BatchError, match=r"row 1: .*no mapping"):
        batch_of_features(rows)


def test_bytes_sets_and_times_are_texts() -> None:
    noon = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
    row = {
        "bytes": b"\xc5\xbeluva",
        "view": memoryview(b"x"),
        "set": {"b", "a", "c"},
        "frozen": frozenset([b"y", b"x"]),
        "list": [b"z", np.str_("q")],
        "date": datetime.date(2026, 1, 2),
        "moment": noon,
        "time": datetime.time(12, 30),
        "numpy": np.datetime64("2026-01-02T12:00"),
        "times": np.array(["2026-01-02"], "datetime64[D]"),
        b"name": "v",
    }
    names = [
        *("bytes=žluva", "view=x", "set=a", "set=b", "set=c", "frozen=x", "frozen=y", "list=z", "list=q"),
        *("date=2026-01-02", "moment=2026-01-02T12:00:00+00:00", "time=12:30:00", "numpy=2026-01-02T12:00"),
        *("times=2026-01-02", "name=v"),
    ]
    batch = Batch.from_dicts([row])  # type: ignore[list-item]
    assert batch.indices.tolist() == [index_of(name) for name in names]


def test_none_is_no_feature_and_nan_is_refused() -> None:
    assert Batch.from_dicts([{"a": None, "null": "null"}]).indices.tolist() == [index_of("null=null")]
    for schema in (None, {"bad": "category"}, {"bad": "number"}):
        with pytest.raises(BatchError, match=r"row 1: the feature 'bad' is nan, not a finite number"):
            Batch.from_dicts([{"a": None}, {"bad": math.nan}], schema=schema)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"\xff", "not UTF-8"), (np.datetime64("NaT"), "NaT"), (np.array(math.nan), "'bad' is")],
)
def test_what_holds_no_text_or_time_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BatchError, match=reason):
        Batch.from_dicts([{"bad": value}], schema={"bad": "category"})


class Frame:
    """What a DataFrame has, as far as an error looks."""

    columns = ("a",)

    def to_dict(self) -> None: ...


class Stream(Frame):
    """What a table of Arrow has, as far as an error looks."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


@pytest.mark.parametrize(
    ("given", "way"),
    [
        (np.zeros((2, 2)), "csr_array"),
        (Frame(), "from_pandas"),
        (Stream(), "from_arrow"),
        ([{"a": 1}], "from_dicts"),
        (csr_array(np.eye(2)), "from_csr"),
    ],
)
def test_what_is_no_batch_is_told_how_to_become_one(given: Any, way: str) -> None:
    model = LogisticRegression(bits=4)
    for use in (model.learn, model.predict):
        with pytest.raises(BatchError, match=way):
            use(given)


def test_what_is_no_matrix_and_labels_that_are_no_numbers_are_named() -> None:
    with pytest.raises(BatchError, match=r"X is a ndarray.*csr_array\(X\)"):
        Batch.from_csr(np.eye(2), [0, 1])
    with pytest.raises(BatchError, match=r"the labels are no numbers.*label == 'yes'"):
        Batch.from_dicts([{}, {}], ["yes", "no"])
    with pytest.raises(BatchError, match="the weights are no numbers"):
        Batch.from_dicts([{}], [1], ["heavy"])


@pytest.mark.parametrize(
    "names",
    [["b", "a", "B", "ž", "", "10", "9"], [3, 20, 1], ["b", 2, "a"], [b"b", np.str_("a"), np.int64(1)]],
    ids=str,
)
def test_features_can_be_taken_in_the_order_of_their_names(names: list[Any]) -> None:
    features = {name: 0.5 + place for place, name in enumerate(names)}
    backwards = dict(reversed(features.items()))
    as_given = batch_of_features([features])
    one, other = (batch_of_features([given], in_order=True) for given in (features, backwards))
    assert one.indices.tolist() == other.indices.tolist()
    assert one.explicit_values().tolist() == other.explicit_values().tolist()
    assert sorted(one.indices.tolist()) == sorted(as_given.indices.tolist())
    if all(isinstance(name, str) for name in names):
        assert one.indices.tolist() == [index_of(name) for name in sorted(names)]


@pytest.mark.parametrize("row", [["a"], [1j], {"a": 1j}, {("a", "b"): 1}, {1: {2: 3}}, None])
def test_what_is_no_mapping_of_features_has_no_order(row: Any) -> None:
    for in_order in (False, True):
        with pytest.raises(BatchError, match="row 1: "):
            batch_of_features([{"a": 1}, row], in_order=in_order)


@pytest.mark.parametrize("label", [0, 1, -1, True, np.bool_(False), 1.0, np.float32(1), "1", np.array([1])])
@pytest.mark.parametrize("weight", [1, 0, 2.5, 1e6, np.float64(3)])
def test_one_example_is_what_columns_of_one_row_are(label: Any, weight: Any) -> None:
    one = batch_of_example({"a": "b"}, label, weight)
    columns = Batch.from_dicts([{"a": "b"}], [label], [weight])
    assert one.labels.tolist() == columns.labels.tolist()
    assert one.weights.tolist() == columns.weights.tolist()
    assert one.labels.dtype == one.weights.dtype == np.float32


@pytest.mark.parametrize(
    ("label", "weight"),
    [(2, 1), ("yes", 1), (1, -1), (1, 1e7), (1, math.nan), (1, "x"), (None, 1), ([1, 0], 1)],
)
def test_a_label_and_a_weight_that_are_none_are_refused_as_in_columns(label: Any, weight: Any) -> None:
    model = LogisticRegression(bits=4)
    with pytest.raises(BatchError) as alone:
        model.learn_one({"a": "b"}, label, weight)
    with pytest.raises(BatchError) as in_columns:
        model.learn(Batch.from_dicts([{"a": "b"}], [label], [weight]))
    assert str(alone.value) == str(in_columns.value)
    assert model.examples == 0


@pytest.mark.parametrize("features", [{"a": "\ud800"}, {"\ud800": "a"}, {"a": ["b", "\ud800"]}])
def test_half_of_a_pair_of_surrogates_is_told(features: dict[str, Any]) -> None:
    with pytest.raises(
        BatchError, match=r"row 1: the feature '.*' is .*, which UTF-8 cannot write \(surrogates"
    ):
        Batch.from_dicts([{"a": "b"}, features])
