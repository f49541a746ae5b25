"""Batches survive their bodies to the bit; bodies that are none are refused."""

import random
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nonzero import Batch, BatchError
from nonzero.batches import codec
from nonzero.batches.codec import decode_batch, decode_pieces, encode_batch, encode_in_pieces

VALUES = st.floats(-1e6, 1e6, width=32)
LABELS = st.sampled_from([0.0, 1.0, float("nan")])


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    lengths = draw(st.lists(st.integers(0, 5), max_size=12) | st.lists(st.just(3), max_size=12))
    n, nnz = len(lengths), sum(lengths)

    def maybe(strategy: st.SearchStrategy[float], size: int) -> list[float] | None:
        return draw(st.none() | st.lists(strategy, min_size=size, max_size=size))

    return Batch(
        np.cumsum([0, *lengths]),
        np.array(draw(st.lists(st.integers(0, 2**31), min_size=nnz, max_size=nnz)), np.int64),
        maybe(VALUES, nnz),
        maybe(LABELS, n),
        maybe(st.floats(0, 1e6, width=32), n),
        maybe(st.integers(0, 2**16 - 1), nnz),
        times=maybe(st.integers(-1, 2**62), n),
    )


def bits(array: NDArray[np.generic] | None) -> bytes | None:
    return None if array is None else array.dtype.str.encode() + array.tobytes()


def assert_same(found: Batch, expected: Batch) -> None:
    for name in ("indptr", "indices", "labels", "weights", "fields", "times"):
        assert bits(getattr(found, name)) == bits(getattr(expected, name)), name
    assert bits(found.explicit_values()) == bits(expected.explicit_values())
    for name in ("indptr", "indices", "values", "labels", "weights", "fields", "times"):
        array = getattr(found, name)
        assert array is None or (array.flags.c_contiguous and array.flags.aligned)


def tabular(n: int, width: int, fields: int) -> Batch:
    """Rows of one width, whose fields come in the same order in each."""
    names = np.arange(1, fields + 1).repeat(width // fields)
    return Batch(
        np.arange(n + 1) * width, np.arange(n * width), labels=np.arange(n) % 2, fields=np.tile(names, n)
    )


def ragged(n: int, fields: int) -> Batch:
    """Rows of differing widths, whose fields follow no pattern."""
    chance = np.random.default_rng(n + fields)
    lengths = chance.integers(0, 300, n)
    nnz = int(lengths.sum())
    return Batch(
        np.concatenate(([0], np.cumsum(lengths))),
        chance.integers(0, 2**31, nnz),
        labels=chance.integers(0, 2, n),
        fields=chance.integers(0, fields, nnz),
    )


@given(batches())
@example(Batch.empty())
@example(Batch([0, 0, 0], []))
@example(Batch([0, 1], [2**31], [-0.0], [1], [0.0], [65535], times=[0]))
def test_any_batch(batch: Batch) -> None:
    assert_same(decode_batch(encode_batch(batch)), batch)


@pytest.mark.parametrize(
    "batch",
    [
        tabular(100, 39, 39),
        tabular(100, 390, 3),
        ragged(50, 40),
        ragged(50, 60_000),
        Batch([0, 70_000, 70_001], np.zeros(70_001, np.int64), fields=np.repeat([4, 5], [70_000, 1])),
    ],
    ids=["pattern", "pattern with runs", "few fields", "many fields", "runs and a long row"],
)
def test_every_form_of_fields_and_lengths(batch: Batch) -> None:
    assert_same(decode_batch(encode_batch(batch)), batch)


@given(batches(), st.sampled_from([1, 8, 40]))
@example(Batch.empty(), 1)
def test_pieces_are_the_body_and_come_back(batch: Batch, large: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_LARGE", large)
        pieces = encode_in_pieces(batch)
    assert b"".join(map(bytes, pieces)) == encode_batch(batch)
    views = [memoryview(bytes(piece)) for piece in pieces]
    assert_same(decode_pieces(views), batch)
    filled = [view for view in views if len(view)]
    for damaged in (filled[:-1] or [memoryview(b"")], [*views, memoryview(b"\0")]):
        with pytest.raises(BatchError):
            decode_pieces(damaged)


def test_large_columns_travel_as_they_are() -> None:
    batch = tabular(1000, 39, 39)
    pieces = encode_in_pieces(batch)
    assert [np.shares_memory(batch.indices, piece) for piece in pieces if not isinstance(piece, bytes)] == [
        True
    ]
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 300


def test_a_row_of_39_categories_takes_39_indices_and_little_else() -> None:
    assert len(encode_batch(tabular(1000, 39, 39))) / 1000 < 4 * 39 + 1


def test_ids_are_left_out() -> None:
    batch = Batch([0, 1], [5], labels=[1], ids=["imp-1"])
    assert decode_batch(encode_batch(batch)).ids is None


def test_a_body_cut_short_or_prolonged() -> None:
    body = encode_batch(ragged(5, 40))
    for size in range(len(body)):
        with pytest.raises(BatchError):
            decode_batch(body[:size])
    with pytest.raises(BatchError):
        decode_batch(body + b"\0")


@given(batches(), st.randoms(use_true_random=False))
def test_a_changed_byte_is_refused_or_gives_a_valid_batch(batch: Batch, chance: random.Random) -> None:
    body = bytearray(encode_batch(batch))
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    try:
        found = decode_batch(bytes(body))
    except BatchError:
        return
    # The constructor checks all that a batch promises.
    Batch(
        found.indptr,
        found.indices,
        found.values,
        found.labels,
        found.weights,
        found.fields,
        None,
        found.times,
    )


@given(st.binary(max_size=200))
def test_random_bytes(body: bytes) -> None:
    try:
        decode_batch(body)
    except BatchError:
        return
    assert len(body) >= 28


@pytest.mark.parametrize("n", [2**40, 2**63])
def test_sizes_beyond_reason_take_no_memory(n: int) -> None:
    with pytest.raises(BatchError, match="cannot hold"):
        decode_batch(struct.pack("<2Q8B", n, 0, *[0] * 8) + bytes(64))


@pytest.mark.parametrize(
    ("column", "value"), [("values", np.nan), ("values", 2e6), ("weights", -1), ("indices", 2**31 + 1)]
)
def test_numbers_that_no_batch_has(column: str, value: float) -> None:
    batch = Batch([0, 2], [1, 2], [0.5, 2.0], [1], [3.0])
    spoiled = getattr(batch, column).copy()
    spoiled[0] = value
    vars(batch)[column] = spoiled
    with pytest.raises(BatchError):
        decode_batch(encode_batch(batch))
