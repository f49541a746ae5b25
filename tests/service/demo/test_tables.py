"""Rows of a table become JSON examples that mean the same."""

from typing import Any

import numpy as np
import pytest

from nonzero import Batch, formats
from nonzero.fields.hashing import index_of
from nonzero_service.demo.tables import table_chunks


def table(n: int) -> bytes:
    generator = np.random.default_rng(5)
    lines = ["id,site,price,note,click"]
    for number, (site, price) in enumerate(
        zip(generator.integers(0, 30, n), generator.random(n), strict=True)
    ):
        cells = [f"i{number}", f"s{site}", f"{price:.3g}", '"a ""b"", c"', str(site % 2)]
        if number % 7 == 0:
            cells[1] = ""
        if number % 11 == 0:
            cells[2] = "0"
        if number % 13 == 0:
            cells[4] = ""
        lines.append(",".join(cells))
    return ("\r\n".join(lines) + "\r\n").encode()


@pytest.mark.parametrize(("n", "size"), [(1, 100), (50, 7), (1430, 100)])
def test_examples_are_those_that_the_library_reads(n: int, size: int) -> None:
    text = table(n)
    chunks = list(table_chunks([text[:999], text[999:]], formats.reader("csv", numeric=["price"]), size))
    assert [chunk.lines.size for chunk in chunks] == [size] * (n // size) + [n % size] * (n % size > 0)
    assert np.concatenate([chunk.lines for chunk in chunks]).tolist() == list(range(2, n + 2))
    expected = formats.parse(text, "csv", numeric=["price"])
    sent = Batch.concatenate([formats.parse(chunk.labelled, "ndjson") for chunk in chunks])
    for name in ("indptr", "indices", "labels", "weights", "fields"):
        np.testing.assert_array_equal(getattr(sent, name), getattr(expected, name), err_msg=name)
    assert (sent.explicit_values() == expected.explicit_values()).all()
    assert np.array_equal(np.concatenate([chunk.labels for chunk in chunks]), expected.labels, equal_nan=True)
    unlabelled = Batch.concatenate([formats.parse(chunk.unlabelled, "ndjson") for chunk in chunks])
    assert np.isnan(unlabelled.labels).all()
    assert (unlabelled.indices == expected.indices).all()


def test_lines_that_cannot_be_read_are_named_and_not_sent() -> None:
    lines = table(1200).splitlines(keepends=True)
    lines[5] = b"one,two\r\n"
    lines[1150] = b"i,s,price,note,0\r\n"
    reader = formats.reader("csv", numeric=["price"])
    chunks = list(table_chunks([b"".join(lines)], reader, 100))
    assert sum(chunk.lines.size for chunk in chunks) == 1198
    assert [error.line for chunk in chunks for error in chunk.errors] == [6, 1151]


def test_a_table_of_wrong_lines_alone_is_reported() -> None:
    (chunk,) = table_chunks([b"site,click\na\nb\n"], formats.reader("csv"), 100)
    assert (chunk.lines.size, chunk.labelled) == (0, b"")
    assert [error.line for error in chunk.errors] == [2, 3]


def test_records_of_several_lines_are_one_example_each() -> None:
    text = b'note,new,click\n"a\nb",True,1\n"c\n,0\n",False\n"d\n\n""e""",False,0\nf,True,1\n'
    chunks = list(table_chunks([text], formats.reader("csv"), 2))
    assert np.concatenate([chunk.lines for chunk in chunks]).tolist() == [2, 7, 10]
    assert [error.line for chunk in chunks for error in chunk.errors] == [4]
    sent = Batch.concatenate([formats.parse(chunk.labelled, "ndjson") for chunk in chunks])
    names = ["note=a\nb", "new=true", 'note=d\n\n"e"', "new=false", "note=f", "new=true"]
    assert sent.indices.tolist() == [index_of(name) for name in names]


TEXTS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("csv", b"click,site,w\n1,a,2\n,b,0.5\n0,,\n", {"weight": "w"}),
    ("csv", b"1,a,x\n0,b,y\n", {"columns": ("click", "site", "ad")}),
    ("tsv", b"click\tsite\n1\ta\n", {}),
    ("criteo", b"1\t5\t-1" + b"\t" * 11 + b"\t68fd1e64" + b"\t" * 25 + b"\n" + b"0" + b"\t" * 39 + b"\n", {}),
    ("avazu", b"id,click,hour,C1\n7,0,14102113,1005\n8,1,,1\n", {}),
]


@pytest.mark.parametrize(
    ("form", "text", "options"), TEXTS, ids=[f"{one[0]} {k}" for k, one in enumerate(TEXTS)]
)
def test_other_tables_are_sent_as_they_are_read(form: str, text: bytes, options: dict[str, Any]) -> None:
    expected = formats.parse(text, form, boolean=(), **options)
    chunks = list(table_chunks([text], formats.reader(form, boolean=(), **options), 1))
    sent = Batch.concatenate([formats.parse(chunk.labelled, "ndjson") for chunk in chunks])
    for name in ("indptr", "indices", "labels", "weights", "fields"):
        np.testing.assert_array_equal(getattr(sent, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(np.concatenate([chunk.weights for chunk in chunks]), expected.weights)
    asked = Batch.concatenate([formats.parse(chunk.unlabelled, "ndjson") for chunk in chunks])
    assert np.isnan(asked.labels).all()
    assert asked.indices.tolist() == expected.indices.tolist()
