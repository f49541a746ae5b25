from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.batches.hashing import field_of, index_of
from nonzero.errors import FormatError, SettingsError

DATA = Path(os.environ.get("NONZERO_DATA") or Path(__file__).parents[3] / "../shared/data")

HEADER = b"click,site,bid,note\n"
OPTIONS: dict[str, Any] = {"numeric": ["bid"], "ignore": ["note"]}
CELLS = [
    *(
        b"",
        b"0",
        b"1",
        b"-1",
        b"+1",
        b"1.0",
        b"2",
        b"0.5",
        b".5",
        b"5.",
        b"-1e3",
        b"1e39",
        b"nan",
        b"1_0",
        b"1e-50",
    ),
    *(
        b"news",
        b"abcd",
        b"abcdefgh",
        b"abcdefghi",
        "žluť".encode(),
        b"\xff",
        b"\x00",
        b" ",
        b"a b",
        b"0.12345678901234567",
    ),
    *(
        b'""',
        b'"a"',
        b'"a,b"',
        b'"a""b"',
        b'""""',
        b'"1"',
        b'"0.5"',
        b'"open',
        b'5" disk',
        b'"a"b',
        b'"a" ',
        b'"a"\r',
    ),
    *(b"a\rb", b"\r"),
]
ROW = st.lists(st.sampled_from(CELLS), min_size=3, max_size=5).map(b",".join)
ROWS = st.lists(st.one_of(ROW, st.binary(max_size=20)), max_size=8).map(b"\n".join)


def read(*chunks: bytes, **options: Any) -> formats.Parsed:
    return whole(formats.reader("csv", **options), *chunks)


def numbered(count: int, header: bytes = b"index,click,site\n") -> bytes:
    return header + b"".join(b"%d,%d,s%d\n" % (k, k % 2, k % 7) for k in range(count))


def test_rows_are_named_cells() -> None:
    text = HEADER + b'1,news,0.5,x\n-1,"a, ""b""",,y\n,,2,\n'
    batch = formats.parse(text, "csv", **OPTIONS)
    assert batch.indptr.tolist() == [0, 2, 3, 4]
    assert batch.indices.tolist() == [index_of(name) for name in ("site=news", "bid", 'site=a, "b"', "bid")]
    assert batch.explicit_values().tolist() == [1, 0.5, 1, 2]
    assert batch.fields is not None
    assert batch.fields.tolist() == [field_of(name) for name in ("site", "bid", "site", "bid")]
    np.testing.assert_array_equal(batch.labels, [1, 0, np.nan])


@pytest.mark.parametrize("name", ["c", "ab", "abc", "abcd", "abcdefg", "ž", ""])
def test_names_are_hashed_whole(name: str) -> None:
    values = ["v" * k for k in range(1, 12)]
    header = f"label,{name},other\n"
    batch = formats.parse((header + "".join(f"1,{value},\n" for value in values)).encode(), "csv")
    assert batch.indices.tolist() == [index_of(f"{name}={value}") for value in values]


@settings(deadline=None, max_examples=200)
@given(ROWS)
@example(b'1,"news",0.5,"x"\r\n1,news,0.5,\r\n"1","","0",""\n')
@example(b",,,\n   \n\t\n,\n1,a,1,x,y\n1,a\n")
def test_compiled_reader_reads_as_python_does(rows: bytes) -> None:
    assert_same(read(HEADER + rows, **OPTIONS), whole(plain_reader("csv", **OPTIONS), HEADER + rows))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), min_size=2, max_size=2)
    )
)
def test_quotes_are_read_as_the_standard_library_writes_them(cells: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *cells])
    batch = formats.parse(text.getvalue().encode(), "csv")
    names = [f"{name}={cell}" for row in cells for name, cell in zip("ab", row, strict=True) if cell]
    assert batch.indices.tolist() == [index_of(name) for name in names]


def test_stream_may_be_cut_at_every_byte() -> None:
    text = HEADER + '1,news,0.5,x\r\n0,"a,b",-1e3,\n\nbad\n1,žluť,2,"'.encode()
    expected = read(text, **OPTIONS)
    assert ([error.line for error in expected.errors], expected.lines.tolist()) == ([4, 5, 6], [2, 3])
    for cut in range(len(text) + 1):
        assert_same(read(text[:cut], text[cut:], **OPTIONS), expected)
    assert_same(read(*(text[j : j + 1] for j in range(len(text))), **OPTIONS), expected)


def test_column_that_numbers_the_rows_is_left_out_aloud() -> None:
    reader = formats.reader("csv")
    parsed = whole(reader, numbered(3000))
    assert parsed.batch.nnz == len(parsed.batch) == 3000
    assert parsed.batch.indices[0] == index_of("site=s0")
    (note,) = reader.format.notes
    assert "'index'" in note
    kept = formats.parse(numbered(3000), "csv", numeric=["index"])
    assert kept.nnz == 2 * 3000 - 1  # the number 0 is no nonzero


def test_columns_are_judged_by_their_first_thousand_rows_in_any_chunking() -> None:
    repeats = numbered(999) + b"0,1,s\n"  # the thousandth row repeats a value
    assert formats.parse(repeats, "csv").nnz == 2000
    later = numbered(1000) + b"0,1,s\n"
    assert formats.parse(later, "csv").nnz == 1001
    for size in (1, 7, 4096):
        chunks = [later[j : j + size] for j in range(0, len(later), size)]
        assert_same(read(*chunks), read(later))
    assert formats.parse(numbered(99), "csv").nnz == 2 * 99  # too few to tell


def test_long_rows_are_judged_by_the_first_mebibyte_in_any_chunking() -> None:
    text = b"index,click,site\n" + b"".join(b"%d,1,%s\n" % (k, b"x" * 5000) for k in range(400))
    text += b"0,1,x\n"
    expected = read(text)
    assert expected.batch.nnz == 401
    for size in (1000, 2**20 - 1, 2**20 + 1):
        assert_same(read(*(text[j : j + size] for j in range(0, len(text), size))), expected)
    short = read(text, max_line=4000)
    assert short.lines.tolist() == [402]
    assert_same(read(text[:3000], text[3000:], max_line=4000), short)


@pytest.mark.parametrize(
    ("header", "label"),
    [
        ("a,Click,y", "Click"),
        ("y,label", "label"),
        ("target,y,clicked", "clicked"),
        ("a,b", None),
    ],
)
def test_label_is_found_by_its_name(header: str, label: str | None) -> None:
    reader = formats.reader("csv")
    whole(reader, header.encode() + b"\n")
    assert reader.format.label == label  # type: ignore[attr-defined]
    assert bool(reader.format.notes) == (label is None)


def test_label_may_be_named() -> None:
    batch = formats.parse(b"bought,click\n1,0\n0,7\n", "csv", label="bought")
    assert batch.labels.tolist() == [1, 0]
    assert batch.indices.tolist() == [index_of("click=0"), index_of("click=7")]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [(b"click\tsite,x\n1\ta,b\n", None), (b"click;site,x\n1;a,b\n", ";"), (b"click|site,x\n1|a,b\n", "|")],
)
def test_delimiter_is_guessed_or_given(text: bytes, delimiter: str | None) -> None:
    batch = formats.parse(text, "csv", delimiter=delimiter)
    assert batch.indices.tolist() == [index_of("site,x=a,b")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "the line is empty"),
        (b"1,a,2", "3 cells, the header 4"),
        (b"1,a,2,x,y", "5 cells, the header 4"),
        (b"2,a,2,x", "the label '2'"),
        (b"yes,a,2,x", "the label 'yes'"),
        (b"1,a,high,x", "'bid' 'high'"),
        (b"1,a,1e39,x", "'1e39' is beyond"),
        (b"1,a,nan,x", "'nan'"),
        (b'1,"a,2,x', "does not end in its line"),
        (b'1,"a"b,2,x', "stands after a closing quote"),
    ],
)
def test_errors_name_what_is_wrong(row: bytes, reason: str) -> None:
    parsed = read(HEADER + b"1,a,2,x\n" + row + b"\n0,b,1,y\n", **OPTIONS)
    assert parsed.lines.tolist() == [2, 4]
    assert [error.line for error in parsed.errors] == [3]
    assert reason in parsed.errors[0].reason


@pytest.mark.parametrize(
    ("header", "options", "reason"),
    [
        (b"a,a", {}, "'a' twice"),
        (b"a,b", {"label": "c"}, "no column 'c'"),
        (b"a,b", {"numeric": ["c"]}, "no column 'c'"),
        (b"a,\xff", {}, "header"),
        (b'a,"b', {}, "header"),
    ],
)
def test_header_that_cannot_be_used_is_refused(header: bytes, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        formats.parse(header + b"\n1,2\n", "csv", **options)


@pytest.mark.parametrize(
    "options", [{"delimiter": "ab"}, {"delimiter": '"'}, {"label": "a", "ignore": ["a"]}]
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        formats.reader("csv", **options)


def test_click_log() -> None:
    path = DATA / "criteo_attribution.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {DATA}")
    reader = formats.reader("csv")
    parsed = whole(reader, gzip.decompress(path.read_bytes()))
    assert not parsed.errors
    assert (len(parsed.batch), parsed.batch.nnz) == (165_152, 5 * 165_152)
    assert float(parsed.batch.labels.mean()) == pytest.approx(0.361, abs=1e-3)
    (note,) = reader.format.notes
    assert "'index'" in note


def test_what_the_schema_declares_is_what_a_column_is() -> None:
    text = b"click,user,bid,when,site\n" + b"".join(
        b"%d,u%d,0.5,%d,s%d\n" % (k % 2, k, k, k % 7) for k in range(1200)
    )
    left_out = formats.reader("csv").feed(text)
    reader = formats.reader("csv", schema={"user": "category", "bid": "number", "w*": "ignore"})
    batch = reader.feed(text).batch
    assert batch.nnz == 3 * 1200 > left_out.batch.nnz
    assert not reader.format.notes
    assert batch.indices[:3].tolist() == [index_of("user=u0"), index_of("bid"), index_of("site=s0")]
    assert batch.explicit_values()[:3].tolist() == [1, 0.5, 1]


def test_a_declared_field_is_not_guessed_to_be_the_label() -> None:
    said = {"target": "category"}
    batch = formats.parse(b"target,y\nnews,1\n", "csv", schema=said)
    assert batch.labels.tolist() == [1]
    assert batch.indices.tolist() == [index_of("target=news")]
    batch = formats.parse(b"target,y\n1,news\n", "csv", schema=said, label="target")
    assert batch.indices.tolist() == [index_of("y=news")]


@pytest.mark.parametrize("options", [{"numeric": ["site"]}, {"ignore": ["site"]}])
def test_options_that_contradict_the_schema_are_refused(options: Any) -> None:
    with pytest.raises(SettingsError, match=r"'site' is said to be .* and the schema says category"):
        formats.reader("csv", schema={"site": "category"}, **options)
    formats.reader("csv", schema={"site": "ignore", "bid": "number"}, numeric=["bid"], ignore=["site"])
