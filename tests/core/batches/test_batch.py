"""Batch: its border checks, and its way from and to scipy and dicts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher

from nonzero import Batch, BatchError
from nonzero.fields.hashing import field_of, index_of


def listed(array: Any) -> list[Any]:
    assert array is not None
    return list(array)


def test_dicts_follow_the_naming_of_the_field() -> None:
    batch = Batch.from_dicts(
        [{"site": "news", "bid": 0.5, "tags": ["a", "b"], "new": True, "old": False}, {}], [1, 0]
    )
    names = ["site=news", "bid", "tags=a", "tags=b", "new"]
    assert batch.indices.tolist() == [index_of(name) for name in names]
    assert batch.explicit_values().tolist() == [1, 0.5, 1, 1, 1]
    assert listed(batch.fields) == [field_of(name) for name in ("site", "bid", "tags", "tags", "new")]
    assert batch.indptr.tolist() == [0, 5, 5]
    assert batch.labels.tolist() == [1, 0]


def test_dicts_of_ones_need_no_values() -> None:
    assert Batch.from_dicts([{"site": "news"}, {"site": "blog", "hour": "7"}]).values is None


@pytest.mark.parametrize("bits", [4, 18])
def test_csr_is_that_of_an_independent_hasher(bits: Any) -> None:
    rows: list[dict[str, Any]] = [{"site": "news", "bid": 0.5, "städte": "köln"}, {}, {"a": 2, "b": -3.5}]
    expected = FeatureHasher(2**bits, alternate_sign=False, dtype=np.float32).transform(rows)
    ours = Batch.from_dicts(rows).to_csr(bits)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours.toarray(), expected.toarray())


def test_csr_round_trip_sums_duplicates() -> None:
    batch = Batch([0, 3, 3, 4], [5, 1, 5, 0], [1, 2, 3, 4], [1, 0, 1])
    matrix = batch.to_csr(3)
    np.testing.assert_array_equal(matrix.toarray()[:, [0, 1, 5]], [[0, 2, 4], [0, 0, 0], [4, 0, 0]])
    again = Batch.from_csr(matrix, batch.labels)
    np.testing.assert_array_equal(again.to_csr(3).toarray(), matrix.toarray())
    assert batch.explicit_values().tolist() == [1, 2, 3, 4]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2**31), st.floats(-1e6, 1e6, width=32)), max_size=5), max_size=5
    ),
)
@example([[]])
@example([[(7, 0.0), (7, 0.0)], []])
def test_slices_and_concatenations_keep_the_rows(rows: Any) -> None:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = [index for row in rows for index, _ in row]
    values = [value for row in rows for _, value in row]
    batch = Batch(indptr, np.array(indices, np.int64), values, ids=[str(r) for r in range(len(rows))])
    for cut in range(len(rows) + 1):
        joined = Batch.concatenate([batch.rows(0, cut), batch.rows(cut, len(rows))])
        for name in ("indptr", "indices", "values", "labels", "weights"):
            np.testing.assert_array_equal(getattr(joined, name), getattr(batch, name))
        assert list(joined.ids or []) == list(batch.ids or [])


def test_selected_rows_are_those_rows() -> None:
    batch = Batch([0, 2, 2, 3], [1, 2, 3], [1, 2, 3], [1, 0, 1], ids=["a", "b", "c"], fields=[4, 5, 6])
    for row in range(3):
        kept = batch.select(np.arange(3) == row)
        expected = batch.rows(row, row + 1)
        for name in ("indptr", "indices", "values", "labels", "weights", "fields", "ids"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(expected, name))


def test_concatenating_fills_what_one_side_lacks() -> None:
    plain = Batch([0, 1], [3], None, [1])
    rich = Batch([0, 1], [4], [0.5], [0], fields=[9], ids=["b"], times=[12])
    joined = Batch.concatenate([plain, rich])
    assert joined.explicit_values().tolist() == [1, 0.5]
    assert listed(joined.fields) == [0, 9]
    assert joined.ids == [None, "b"]
    assert listed(joined.times) == [-1, 12]


@pytest.mark.parametrize("fields", [None, [0, 0, 0], [0, 0, 7], [7, 7, 7]])
def test_concatenating_knows_the_largest_slot_that_all_know(fields: list[int] | None) -> None:
    """To find it among millions of nonzeros costs as much as to concatenate them."""
    parts = [Batch([0, 3], [3, 5, 9], fields=fields), Batch([0, 1], [4])]
    assert "largest_slot" not in vars(Batch.concatenate(parts))
    expected = Batch.concatenate(parts).largest_slot
    for part in parts:
        assert part.largest_slot <= expected
    assert vars(Batch.concatenate(parts))["largest_slot"] == expected


def test_labels_are_read_generously() -> None:
    batch = Batch(np.zeros(6, int), [], labels=[1, 0, -1, True, np.nan])
    np.testing.assert_array_equal(batch.labels, [1, 0, 0, 1, np.nan])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"indptr": [1, 2], "indices": [1]}, "start with 0"),
        ({"indptr": [0, 2, 1], "indices": [1]}, "row 1"),
        ({"indptr": [0, 2], "indices": [1]}, "indices"),
        ({"indptr": [0, 1], "indices": [-1]}, "-1"),
        ({"indptr": [0, 1], "indices": [2**31 + 1]}, str(2**31 + 1)),
        ({"indptr": [0, 1], "indices": [1.5]}, "whole numbers"),
        ({"indptr": [0, 1, 2], "indices": [1, 1], "values": [1, np.nan]}, "row 1.*nan"),
        ({"indptr": [0, 1], "indices": [1], "values": [np.inf]}, "inf"),
        ({"indptr": [0, 1], "indices": [1], "values": [1e39]}, "1e\\+39"),
        ({"indptr": [0, 1], "indices": [1], "values": [-1.1e6]}, "-1100000"),
        ({"indptr": [0, 1], "indices": [1], "values": [1, 2]}, "values"),
        ({"indptr": [0, 0], "indices": [], "labels": [2]}, "2"),
        ({"indptr": [0, 0], "indices": [], "labels": [1, 1]}, "labels"),
        ({"indptr": [0, 0], "indices": [], "weights": [-1]}, "-1"),
        ({"indptr": [0, 0], "indices": [], "weights": [np.nan]}, "nan"),
        ({"indptr": [0, 0], "indices": [], "weights": [2e6]}, "2000000"),
        ({"indptr": [0, 1], "indices": [1], "fields": [1, 2]}, "fields"),
        ({"indptr": [0, 0], "indices": [], "ids": ["a", "b"]}, "ids"),
        ({"indptr": [0, 0], "indices": [], "times": [1, 2]}, "times"),
    ],
)
def test_what_breaks_a_rule_is_named(arguments: Any, named: Any) -> None:
    with pytest.raises(BatchError, match=named):
        Batch(**arguments)


def test_given_indices_outside_the_table_are_found_and_hashed_ones_are_not() -> None:
    batch = Batch([0, 1, 3, 3], [9, 1, 2**31], None, fields=[5, 0, 0])
    assert batch.largest_slot == 2**31
    assert batch.rows_outside(3).tolist() == [False, True, False]
    with pytest.raises(BatchError, match=r"row 1: index 2147483648.*2\*\*3"):
        batch.to_csr(3)
    hashed = Batch([0, 1], [2**31], None, fields=[5])
    assert hashed.largest_slot == -1
    hashed.check_slots(1)


def test_the_callers_arrays_are_left_alone() -> None:
    labels, values = np.array([-1.0, 1.0]), np.array([1.0, 2.0], np.float32)
    matrix = csr_matrix((values, [0, 1], [0, 1, 2]))
    Batch.from_csr(matrix, labels)
    assert labels.tolist() == [-1, 1]
    assert matrix.data.tolist() == [1, 2]
