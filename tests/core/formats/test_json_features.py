"""Features given as Python dicts."""

from __future__ import annotations

import math
from collections import ChainMap, OrderedDict
from typing import Any

import numpy as np
import pytest

from nonzero.batches.batch import Batch
from nonzero.batches.hashing import index_of
from nonzero.errors import BatchError
from nonzero.formats.json_features import batch_of_features


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
