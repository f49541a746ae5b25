from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_svmlight_file

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.errors import FormatError
from real_data import unpacked

PIECES = [
    *(
        b"1",
        b"-1",
        b"0",
        b"+1",
        b"1.0",
        b"2",
        b" ",
        b" ",
        b"  ",
        b"\t",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"#",
        b":",
    ),
    *(b" 3:1", b" 1:0.5", b" 0:1e-3", b" 7:0", b" 2147483648:1", b" 2147483649:1", b" -1:1", b" 5:x", b" 5:"),
    *(
        b" qid:3",
        b" x",
        b" 4:1e400",
        b" 007:2",
        b" 00000000001:1",
        b" 3:1000001",
        b"# words | and 3:1",
        b"\xff",
    ),
]
TEXT = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))


def read(text: bytes) -> formats.Parsed:
    return whole(formats.reader("libsvm"), text)


@pytest.mark.parametrize("name", ["a9a.svm.gz", "a9a.t.svm.gz"])
def test_real_file_as_scikit_learn_reads_it(name: str) -> None:
    text = unpacked(name)
    batch = formats.parse(text, "libsvm")
    matrix, labels = load_svmlight_file(io.BytesIO(text), zero_based=True, dtype=np.float32)
    np.testing.assert_array_equal(batch.indptr, matrix.indptr)
    np.testing.assert_array_equal(batch.indices, matrix.indices)
    np.testing.assert_array_equal(batch.explicit_values(), matrix.data)
    np.testing.assert_array_equal(batch.labels, labels == 1)
    assert batch.fields is None
    assert batch.values is None


def test_values_as_scikit_learn_reads_them() -> None:
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=2000) * 10.0 ** rng.integers(-30, 5, 2000)
    texts = [
        f"{number:.{digits}{form}}" for number in numbers for digits, form in ((6, "e"), (17, "g"), (3, "f"))
    ]
    text = "".join(f"1 {i}:{number}\n" for i, number in enumerate(texts)).encode()
    matrix, _ = load_svmlight_file(io.BytesIO(text), zero_based=True, n_features=len(texts))
    batch = formats.parse(text, "libsvm")
    expected = matrix.diagonal().astype(np.float32)
    np.testing.assert_array_equal(batch.explicit_values(), expected[expected != 0])


def test_lines_without_labels_qid_and_comments() -> None:
    batch = formats.parse(b"3:1 2:0.5\n-1 qid:4 0:2 # first\n+1\n", "libsvm")
    assert np.isnan(batch.labels[0])
    assert batch.labels[1:].tolist() == [0, 1]
    assert batch.indptr.tolist() == [0, 2, 3, 3]
    assert batch.indices.tolist() == [3, 2, 0]


@settings(deadline=None, max_examples=300)
@given(TEXT)
@example(b"# only\n1 # c\r\n1 3:1#c\r\n1 \r #\n1 3:1 \n1e0 3:1\n+1:2\n1:\n")
def test_compiled_parser_reads_as_python_does(text: bytes) -> None:
    assert_same(read(text), whole(plain_reader("libsvm"), text))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2 3:1", "the label '2' is not 1, 0 or -1"),
        (b"1 2147483649:1", "the index '2147483649' is not a whole number from 0 to"),
        (b"1 -3:1", "the index '-3'"),
        (b"1 3:nan", "the value of the index '3' 'nan' is not a decimal number"),
        (b"1 3:1e7", "the value '1e7' is beyond"),
        (b"1 3", "'3' is not index:value"),
        (b"# note", "only a comment"),
    ],
)
def test_errors_name_what_is_wrong(line: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        formats.parse(line, "libsvm")
