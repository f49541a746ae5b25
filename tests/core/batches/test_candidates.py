from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nonzero import Batch
from nonzero.batches.candidates import joined
from nonzero.errors import BatchError


def test_names_come_before_slots_and_what_is_shared_before_the_rest() -> None:
    shared = Batch([0, 2], [1, 2], fields=[5, 0])
    own = Batch([0, 2, 3, 3], [3, 4, 6], values=[0.5, 2, 3], fields=[7, 0, 0], ids=["a", None, "b"])
    whole = joined(shared, own)
    assert whole.indptr.tolist() == [0, 4, 7, 9]
    assert whole.indices.tolist() == [1, 3, 2, 4, 1, 2, 6, 1, 2]
    assert whole.explicit_values().tolist() == [1, 0.5, 1, 2, 1, 1, 3, 1, 1]
    assert whole.fields is not None
    assert whole.fields.tolist() == [5, 7, 0, 0, 5, 0, 0, 5, 0]
    assert whole.ids == ["a", None, "b"]
    assert whole.largest_slot == 6


def test_columns_that_neither_has_are_not_there() -> None:
    whole = joined(Batch([0, 1], [1]), Batch([0, 1, 1], [2]))
    assert (whole.values, whole.fields, whole.times) == (None, None, None)
    assert joined(Batch([0, 1], [1]), Batch.empty()).indptr.tolist() == [0]


def test_a_shared_time_is_that_of_each_without_one() -> None:
    shared = Batch([0, 0], [], times=[7])
    for times, expected in ((None, [7, 7]), ([3, -1], [3, 7])):
        found = joined(shared, Batch([0, 0, 0], [], times=times)).times
        assert found is not None
        assert found.tolist() == expected
    kept = joined(Batch([0, 0], []), Batch([0, 0], [], times=[3])).times
    assert kept is not None
    assert kept.tolist() == [3]


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        ({"labels": [0]}, "what is shared has a label, 0.0; give it to each candidate"),
        ({"weights": [0.5]}, "what is shared has a weight, 0.5"),
        ({"ids": ["x"]}, "what is shared has an id, 'x'"),
    ],
)
def test_what_is_each_candidates_own_is_not_shared(shared: dict[str, Any], said: str) -> None:
    with pytest.raises(BatchError, match=said):
        joined(Batch([0, 0], [], **shared), Batch.empty())


def test_one_context_is_shared() -> None:
    with pytest.raises(BatchError, match="one for each context"):
        joined(Batch([0, 0, 0], []), Batch.empty())


def test_what_is_no_feature_is_named() -> None:
    with pytest.raises(BatchError, match="what is shared: the feature 'a' is nan"):
        Batch.from_candidates({"a": np.nan}, [{}])
    with pytest.raises(BatchError, match="row 1: the feature 'b'"):
        Batch.from_candidates({"a": 1}, [{}, {"b": object()}])
