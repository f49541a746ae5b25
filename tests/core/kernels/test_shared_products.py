"""The products of rows that begin alike are those of any rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonzero import Batch
from nonzero.batches.candidates import joined
from nonzero.fields.hashing import field_of
from nonzero.kernels.products import MAX_NONZEROS
from nonzero.model.interactions import Interactions
from thoroughly import examples

PAIRS = ["a*b", "b*c", "a*a", "c*d", "d*d"]
FIELDS = {name: field_of(name) for name in "abcde"}
NONZEROS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 2**31), st.sampled_from([1, -2.5, 1e6]))
)


def batch_of(rows: list[list[tuple[str, int, float]]], *, valued: bool) -> Batch:
    nonzeros = [one for row in rows for one in row]
    return Batch(
        np.cumsum([0, *map(len, rows)]),
        np.array([index for _, index, _ in nonzeros], np.uint32),
        np.array([value for _, _, value in nonzeros], np.float32) if valued else None,
        fields=np.array([FIELDS[name] for name, _, _ in nonzeros], np.uint16),
    )


def assert_same_products(whole: Batch, interactions: Interactions) -> None:
    alone = Batch(whole.indptr, whole.indices, whole.values, fields=whole.fields)
    assert alone.shared == 0
    assert interactions.nonzeros(whole) == interactions.nonzeros(alone)
    out = np.empty(len(whole), np.float32)
    found, expected = (
        Batch.concatenate([piece for piece, _ in interactions.pieces(one, out)]) for one in (whole, alone)
    )
    for column in ("indptr", "indices", "fields", "values"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))


@settings(max_examples=examples(60))
@given(NONZEROS, st.lists(NONZEROS, max_size=4), st.booleans(), st.lists(st.sampled_from(PAIRS), unique=True))
def test_products_of_what_is_shared_are_those_of_whole_rows(
    shared: list[tuple[str, int, float]],
    own: list[list[tuple[str, int, float]]],
    valued: bool,
    pairs: list[str],
) -> None:
    whole = joined(batch_of([shared], valued=valued), batch_of(own, valued=valued))
    assert whole.shared == len(shared)
    assert_same_products(whole, Interactions(pairs))


@settings(deadline=None, max_examples=examples(60))
@given(
    NONZEROS,
    st.lists(st.lists(st.sampled_from("abcde"), max_size=20), min_size=1, max_size=3),
    st.lists(st.integers(0, 2), max_size=8),
    st.lists(st.sampled_from(PAIRS), unique=True),
)
def test_rows_with_the_fields_of_the_row_before_have_products_of_their_own(
    shared: list[tuple[str, int, float]], layouts: list[list[str]], chosen: list[int], pairs: list[str]
) -> None:
    own = [
        [(name, 1000 * r + k, 1.0) for k, name in enumerate(layouts[which % len(layouts)])]
        for r, which in enumerate(chosen)
    ]
    whole = joined(batch_of([shared], valued=False), batch_of(own, valued=False))
    assert_same_products(whole, Interactions(pairs))


@pytest.mark.parametrize("pairs", [["a*b"], ["a*a", "a*b"]])
def test_products_beyond_the_most_are_left_out_alike(pairs: list[str]) -> None:
    shared = [(name, index, 1.0) for name in "ab" for index in range(250)]
    own = [[("a", 7, 1.0)] * n + [("b", 9, 1.0)] * n for n in (0, 3, 200)]
    whole = joined(batch_of([shared], valued=False), batch_of(own, valued=False))
    assert Interactions(pairs).nonzeros(whole) > MAX_NONZEROS
    assert_same_products(whole, Interactions(pairs))
