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
from nonzero.errors import FormatError, SettingsError
from nonzero.fields.hashing import field_of, index_of
from thoroughly import examples

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


@pytest.mark.parametrize("name", ["c", "ab", "abc", "abcd", "abcdefg", "ž"])
def test_names_are_hashed_whole(name: str) -> None:
    values = ["v" * k for k in range(1, 12)]
    header = f"label,{name},other\n"
    batch = formats.parse((header + "".join(f"1,{value},\n" for value in values)).encode(), "csv")
    assert batch.indices.tolist() == [index_of(f"{name}={value}") for value in values]


@settings(max_examples=examples(200))
@given(ROWS)
@example(b'1,"news",0.5,"x"\r\n1,news,0.5,\r\n"1","","0",""\n')
@example(b",,,\n   \n\t\n,\n1,a,1,x,y\n1,a\n")
def test_compiled_reader_reads_as_python_does(rows: bytes) -> None:
    assert_same(read(HEADER + rows, **OPTIONS), whole(plain_reader("csv", **OPTIONS), HEADER + rows))


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), min_size=2, max_size=2)
    )
)
def test_quotes_are_read_as_the_standard_library_writes_them(cells: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *cells])
    batch = formats.parse(text.getvalue().encode(), "csv", boolean=())
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


def test_lines_that_are_no_rows_count_among_the_first_thousand_in_any_chunking() -> None:
    rows = b"".join(b'%d,1,"a\nb"\nbad\n' % k for k in range(332))
    begun = b"sep=,\n\nindex,click,note\n" + rows + b"bad\n"
    assert begun.count(b"\n") == 1000
    # The line after these is the last that is looked at: the first value comes again in it, or behind it.
    for end, kept in ((b"0,1,a\n", True), (b"bad\n0,1,a\n", False)):
        text = begun + end + rows
        expected = read(text)
        assert expected.batch.nnz == (1 + kept) * (2 * 332 + 1)
        for size in (1, 500, 2000, 9000):
            assert_same(read(*(text[j : j + size] for j in range(0, len(text), size))), expected)


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
        ("a,Click", "Click"),
        ("y,b", "y"),
        ("a;TARGET", "TARGET"),
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
    [
        (b"click\tsite,x\n1\ta,b\n", None),
        (b'click;"site,x"\n1;a,b\n', None),
        (b'click|"site,x"\n1|a,b\n', None),
        (b'sep=;\r\nclick;"site,x"\r\n1;a,b\r\n', None),
        (b"\xef\xbb\xbf\n \nsep=|\nclick|site,x\n1|a,b\n", None),
        (b"click;site,x\n1;a,b\n", ";"),
        (b"click|site,x\n1|a,b\n", "|"),
    ],
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
        (
            b"click,site,Label",
            {},
            "'click' and 'Label' are called like a label.*--label click --ignore Label",
        ),
        (b"site,ad;click", {}, "',' and ';' in it.*--delimiter"),
        ("click,site".encode("utf-16"), {}, "UTF-16.*iconv"),
        ("click,site".encode("utf-16-be"), {}, "UTF-16.*iconv"),
        (b"click,site\r1,a\r0,b\r", {}, "CR alone"),
        (b"sep=a", {}, "the delimiter is 'a'"),
    ],
)
def test_header_that_cannot_be_used_is_refused(header: bytes, options: dict[str, Any], reason: str) -> None:
    with pytest.raises((FormatError, SettingsError), match=reason):
        formats.parse(header + b"\n1,2\n", "csv", **options)


@pytest.mark.parametrize(
    "options", [{"delimiter": "ab"}, {"delimiter": '"'}, {"label": "a", "ignore": ["a"]}]
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        formats.reader("csv", **options)


QUOTED = [
    *(
        b"news",
        b'"a"',
        b'"a\nb"',
        b'"\n"',
        b'"a,""b\r\n"',
        b'"a\n""\n"',
        b'"1"',
        b"True",
        b"false",
        b"1",
        b"",
    ),
    *(b'"open', b'"a"b', b'5" disk', b'"a\n"b', b'"'),
]
QUOTED_ROW = st.lists(st.sampled_from(QUOTED), min_size=3, max_size=5).map(b",".join)


@settings(max_examples=examples(120))
@given(st.lists(QUOTED_ROW, max_size=8).map(b"\n".join), st.integers(0, 100), st.integers(20, 60))
@example(b'1,"a\nb",0.5,\n0,"open\n1,news,1,\n', 30, 40)
def test_line_ends_inside_quotes_are_read_by_both_readers_in_any_chunking(
    rows: bytes, cut: int, limit: int
) -> None:
    options: dict[str, Any] = {"numeric": ["bid"], "boolean": ["note"]}
    text = HEADER + rows
    expected = whole(plain_reader("csv", **options), text)
    assert_same(read(text, **options), expected)
    assert_same(read(text[:cut], text[cut:], **options), expected)
    short = whole(plain_reader("csv", max_line=limit, **options), text)
    assert_same(read(text, max_line=limit, **options), short)


def test_records_are_those_of_the_standard_library() -> None:
    cells = ["a\nb", 'say "x"\n\n', "plain", "\r\n", ""]
    rows = [[str(k % 2), cells[k % 5], cells[k % 3]] for k in range(300)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["click", "site", "note"], *rows])
    parsed = read(text.getvalue().encode())
    assert not parsed.errors
    assert parsed.lines_read == text.getvalue().count("\n") - 1
    names = [
        f"{name}={cell}" for _, *row in rows for name, cell in zip(("site", "note"), row, strict=True) if cell
    ]
    assert parsed.batch.indices.tolist() == [index_of(name) for name in names]
    assert parsed.lines.tolist()[:3] == [2, 5, 10]


def test_no_fragment_of_a_record_that_is_too_long_is_learned() -> None:
    fragment = b"\n1,ads,2,\n"
    text = HEADER + b'1,"' + 9 * fragment + b'""' + 9 * fragment + b'",1,\n0,news,1,\n'
    for size in (1, 7, 50, len(text)):
        reader = formats.reader("csv", max_line=60, boolean=(), **OPTIONS)
        parsed = whole(reader, *(text[j : j + size] for j in range(0, len(text), size)))
        assert parsed.batch.indices.tolist() == [index_of("site=news"), index_of("bid")]
        assert [error.line for error in parsed.errors] == [2]
        assert parsed.lines.tolist() == [text.count(b"\n")]
        assert parsed.lines_read == text.count(b"\n") - 1


def test_quote_that_is_never_closed_is_one_error_that_says_how_much_it_costs() -> None:
    parsed = read(HEADER + b'1,news,1,\n1,"open,1,\n' + 20 * b"0,ads,1,\n", **OPTIONS)
    assert len(parsed.batch) == 1
    assert [error.line for error in parsed.errors] == [3]
    assert "nor in the 20 lines after it" in parsed.errors[0].reason


def test_header_that_is_too_long_is_no_header_at_all() -> None:
    with pytest.raises(FormatError, match="longer than 10 bytes"):
        read(b"click,a_long_name", b"_of_a_column\n1,a\n", max_line=10, boolean=())
    with pytest.raises(FormatError, match="CR alone"):
        read(b"click,a\r1,x\r0", b",y\r1,z", max_line=10, boolean=())


def test_true_and_false_are_labels_and_where_a_column_has_nothing_else_booleans() -> None:
    rows = b"True,True,True\nfalse,False,maybe\nFalse,true,False\ntrue,,True\n"
    parsed = read(b"click,new,mixed\n" + rows)
    np.testing.assert_array_equal(parsed.batch.labels, [1, 0, 0, 1])
    names = ["new=true", "mixed=True", "new=false", "mixed=maybe", "new=true", "mixed=False", "mixed=True"]
    assert parsed.batch.indices.tolist() == [index_of(name) for name in names]
    assert_same(parsed, whole(plain_reader("csv", boolean=["new"]), b"click,new,mixed\n" + rows))
    later = read(b"click,new\n1,True\n0,other\n1,False\n", boolean=["new"]).batch
    assert later.indices.tolist() == [index_of(name) for name in ("new=true", "new=other", "new=false")]


@pytest.mark.parametrize(
    ("labels", "positive", "expected"),
    [
        (["1", "2", "1"], "2", [0, 1, 0]),
        (["yes", "", "no"], "yes", [1, 0, 0]),
        (['"say ""yes"""', "yes", "NA"], 'say "yes"', [1, 0, 0]),
    ],
)
def test_one_value_may_be_what_a_click_is(labels: list[str], positive: str, expected: list[int]) -> None:
    text = "click,site\n" + "".join(f"{label},a\n" for label in labels)
    parsed = read(text.encode(), positive=positive)
    assert parsed.batch.labels.tolist() == expected
    assert_same(parsed, whole(plain_reader("csv", positive=positive), text.encode()))


def test_labels_may_be_left_alone() -> None:
    batch = formats.parse(b"click,label,site\nNA,yes,a\n,1,b\n", "csv", labels=False)
    assert np.isnan(batch.labels).all()
    assert batch.indices.tolist() == [index_of("site=a"), index_of("site=b")]


def test_another_column_called_like_a_label_is_a_feature_only_aloud() -> None:
    reader = formats.reader("csv", label="click")
    whole(reader, b"click,label,site\n1,1,a\n")
    (note,) = reader.format.notes
    assert "--ignore label" in note
    said: list[dict[str, Any]] = [
        {"ignore": ["label"]},
        {"schema": {"label": "ignore"}},
        {"schema": {"la*": "ignore"}},
    ]
    for options in said:
        assert formats.parse(b"click,label\n1,1\n", "csv", **options).nnz == 0


def test_columns_without_a_name_are_left_out_aloud() -> None:
    reader = formats.reader("csv")
    parsed = whole(reader, b",click,site,\n0,1,a,x\n")
    assert parsed.batch.indices.tolist() == [index_of("site=a")]
    assert "without a name" in reader.format.notes[0]


def test_a_declared_column_is_kept_whatever_it_holds() -> None:
    assert formats.parse(numbered(200, b"n,click,site\n"), "csv").nnz == 200
    assert formats.parse(numbered(200, b"n,click,site\n"), "csv", schema={"n": "category"}).nnz == 400


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
