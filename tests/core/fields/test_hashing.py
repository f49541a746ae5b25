from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction import FeatureHasher

from nonzero.fields.hashing import NO_FIELD, field_of, index_of

BITS = 22


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Names of 0 to 40 characters from every plane of Unicode, plain ASCII among them."""
    rng = np.random.default_rng(3)
    found = ["", "\0", "a", "ab", "abc", "abcd", "abcde", "=", "^", "žluťoučký kůň", "広告", "\U0001f600"]
    while len(found) < 100_000:
        top = (0x7F, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF)[rng.integers(5)]
        points = rng.integers(1, top, rng.integers(41))
        found.append("".join(chr(p) for p in points if not 0xD800 <= p < 0xE000))
    return found


def columns(input_type: str, rows: list[object]) -> NDArray[np.int64]:
    """The one column of each row, by scikit-learn."""
    hasher = FeatureHasher(2**BITS, input_type=input_type, alternate_sign=False)
    matrix = hasher.transform(rows)
    assert (np.diff(matrix.indptr) == 1).all()
    return np.asarray(matrix.indices, np.int64)


def test_strings_as_scikit_learn_hashes_them(names: list[str]) -> None:
    ours = [index_of(name) % 2**BITS for name in names]
    np.testing.assert_array_equal(ours, columns("string", [[name] for name in names]))


def test_pairs_as_scikit_learn_hashes_them(names: list[str]) -> None:
    ours = [index_of(name) % 2**BITS for name in names]
    np.testing.assert_array_equal(ours, columns("pair", [[(name, 2.5)] for name in names]))


def test_dicts_as_scikit_learn_hashes_them(names: list[str]) -> None:
    ours = [index_of(f"{name}={value}") % 2**BITS for name, value in zip(names, reversed(names), strict=True)]
    rows: list[object] = [{name: value} for name, value in zip(names, reversed(names), strict=True)]
    np.testing.assert_array_equal(ours, columns("dict", rows))


def test_bytes_are_hashed_as_they_are() -> None:
    assert index_of("žluť".encode()) == index_of("žluť")
    assert index_of(b"\xff") != index_of(b"\xfe")


def test_fields_are_never_that_of_no_field() -> None:
    fields = [field_of(str(i)) for i in range(100_000)]
    assert min(fields) > NO_FIELD
    assert max(fields) < 2**16
    assert field_of("") == 1  # its hash is 0
