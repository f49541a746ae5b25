from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.formats.plainly import assert_same, plain_reader, whole
from core.formats.vw_texts import line_of
from nonzero import formats
from nonzero.errors import FormatError
from nonzero.fields.hashing import field_of, index_of
from real_data import unpacked
from thoroughly import examples

PIECES = [
    *(b"1", b"-1", b"0", b"+1", b"1.0", b"2", b"nan", b" ", b" ", b"  ", b"\t", b"|", b" |", b"|ns", b"|a:2"),
    *(
        b"|a:0",
        b"|a:x",
        b"'tag",
        b"'",
        "'täg".encode(),
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"f",
        b"site=news",
        b"=",
    ),
    *(b":", b":0.5", b"f:1", b"f:", b"f:x", b"f:1e-3", b"f:1e400", b"f:-0", b"f:1e-50", b"f:1000000"),
    *(b"f:1000001", b"f:0.1234567890123456789", b"f:.5", b"f:5.", b"f:+.5e+2", b"f:inf", b"f:1_0", b"f:0x1"),
    *("žluťoučký".encode(), b"\xff", b"\x00", b"abcdefgh", b"abcdefghijklmnopqrs", b"\xef\xbb\xbf"),
]
MADE = st.lists(st.integers(0, 2**32).map(lambda seed: line_of(random.Random(seed))[0].encode()), max_size=9)
TEXT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join),
    st.tuples(st.sampled_from([b"\n", b"\r\n", b"\n\n"]), MADE).map(lambda made: made[0].join(made[1])),
)
SCHEMA = {"a": "number", "bc": "ignore", "site": "category", "g": "number"}


def read(text: bytes, **options: Any) -> formats.Parsed:
    return whole(formats.reader("vw", **options), text)


def test_line_with_everything() -> None:
    batch = formats.parse(b"-1 2.5 'imp-1|site news |ad:0.5 id:3 wide\n", "vw")
    assert batch.labels.tolist() == [0]
    assert batch.weights.tolist() == [2.5]
    assert batch.ids == ["imp-1"]
    assert batch.indices.tolist() == [index_of("site=news"), index_of("ad=id"), index_of("ad=wide")]
    assert batch.explicit_values().tolist() == [1, 1.5, 0.5]
    assert batch.fields is not None
    assert batch.fields.tolist() == [field_of("site"), field_of("ad"), field_of("ad")]


@settings(max_examples=examples(120))
@given(TEXT)
@example(b"1 1.0 zebra|f a\n1 1 0 'x | b\n1|a\n1 1 1|a\n1 'a 'b|c\n")
@example(b"a\t1 |f x\ty\n")
@example(b"1 | a=b=c =d e= f:1\n|a==b c\n")
@example(b"1 |a=\x00 x\n1 | a=b\n")
def test_compiled_parser_reads_as_python_does(text: bytes) -> None:
    assert_same(read(text), whole(plain_reader("vw"), text))
    for options in ({"namespace_separator": "^"}, {"schema": SCHEMA}):
        assert_same(read(text, **options), whole(plain_reader("vw", **options), text))


@settings(max_examples=examples(100))
@given(TEXT, st.data())
def test_any_chunking_gives_the_same_rows(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert_same(whole(formats.reader("vw"), *chunks), read(text))


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (b"|a:2 x:foo y z:3", [("a=x=foo", 1), ("a=y", 2), ("a=z", 6)]),
        (b"|a:0 x:foo y", [("a=x=foo", 1)]),
        (b"| b:- c:. d:E e:e5 f:-.e-3 g:-x h:.x i:ex j:+ k:--", ["g=-x", "h=.x", "i=ex", "j=+", "k=--"]),
        (b"|a b:-|c d", ["a=b=-|c", "a=d"]),
        (b"|a :x :x :3 :y :4", ["a==x", "a==x", ("a=0", 3), "a==y", ("a=1", 4)]),
        (b"|a :- :3", [("a=1", 3)]),
        (b"| :x =x", ["=x", "=x"]),
    ],
)
def test_values_that_are_texts(text: bytes, features: list[str | tuple[str, float]]) -> None:
    wanted = [(one, 1.0) if isinstance(one, str) else one for one in features]
    batch = formats.parse(text, "vw")
    assert batch.indices.tolist() == [index_of(name) for name, _ in wanted]
    assert batch.explicit_values().tolist() == [value for _, value in wanted]


def test_older_names_have_text_values_as_they_were() -> None:
    batch = formats.parse(b"|a:2 x:foo b:- :x :3", "vw", namespace_separator="^")
    assert batch.indices.tolist() == [index_of(name) for name in ("a^x^foo", "a^b^-", "a^0^x", "a^1")]
    assert batch.explicit_values().tolist() == [2, 2, 2, 6]


def test_blank_lines_are_no_examples_and_count_as_lines() -> None:
    parsed = read(b"\n1 | a\n\r\n \t\n\xef\xbb\xbf\n2 | a\n-1 | b\n\n")
    assert parsed.lines.tolist() == [2, 7]
    assert parsed.skipped == (1, 3, 4, 5, 8)
    assert [error.line for error in parsed.errors] == [6]
    assert parsed.lines_read == 8


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(FormatError, match=r"line 2: the value '2e6' is beyond 1e\+06") as caught:
        formats.parse(b"1 | a\n1 | b:2e6\n1\n", "vw")
    assert [error.line for error in caught.value.lines] == [2, 3]


@pytest.mark.parametrize(
    ("name", "rows", "nonzeros"), [("rcv1_small.vw.gz", 1000, 77739), ("vw_0001.dat.gz", 200, 15282)]
)
def test_real_file(name: str, rows: int, nonzeros: int) -> None:
    text = unpacked(name)
    parsed = read(text)
    assert not parsed.errors
    assert len(parsed.batch) == rows
    assert parsed.batch.nnz == nonzeros == text.count(b":")
    assert_same(parsed, whole(plain_reader("vw"), text))
