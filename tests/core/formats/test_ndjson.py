from __future__ import annotations

import json
import math
from collections import ChainMap, OrderedDict
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import FeatureHasher

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.batch import Batch
from nonzero.errors import BatchError, FormatError
from nonzero.formats.ndjson import batch_of_features, parse_body, read_bodies
from nonzero.hashing import NO_FIELD, field_of, index_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FEATURES = st.dictionaries(
    TEXTS,
    st.one_of(
        TEXTS,
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6, width=32),
        st.lists(TEXTS, max_size=4),
    ),
    max_size=6,
)
EXAMPLES = st.fixed_dictionaries(
    {"features": FEATURES},
    optional={
        "label": st.sampled_from([0, 1, -1, True, False, None, 1.0, -1.0, 2]),
        "weight": st.one_of(st.floats(0, 2e6), st.none()),
        "id": st.one_of(TEXTS, st.just("x" * 256), st.none()),
        "time": st.one_of(st.integers(-1, 2**64), st.none()),
    },
)
SLOTS = st.fixed_dictionaries(
    {"indices": st.lists(st.integers(-1, 2**31 + 1), max_size=3)},
    optional={
        "values": st.lists(st.floats(-1e6, 1e6), max_size=3),
        "features": FEATURES,
        "label": st.just(1),
    },
)
WRITTEN = st.builds(
    lambda value, ascii_only, compact: json.dumps(
        value, ensure_ascii=ascii_only, separators=(",", ":") if compact else None
    ).encode(),
    st.one_of(EXAMPLES, SLOTS),
    st.booleans(),
    st.booleans(),
)

# Words of JSON, right and wrong, to be strung together.
NUMBERS = (
    *(
        "0",
        "-0",
        "1",
        "-1",
        "01",
        "+1",
        ".5",
        "1.",
        "1.5",
        "-2.5e3",
        "1e3",
        "1E+3",
        "1e-3",
        "1e",
        "1e+",
        "--1",
    ),
    *(
        "1e39",
        "1e400",
        "1e-400",
        "1000000",
        "1000000.1",
        "1e6",
        "1e-50",
        "0.1234567890123456789",
        "0x1",
        "1_0",
    ),
    *(
        "9007199254740993",
        "16777217.000000001",
        "0.00000000000000000000001",
        "9" * 25,
        "9" * 5000,
        "0." + "0" * 40,
    ),
    *("3", "2147483648", "2147483649", "3.0", "17", "999999999999999999", "1000000000000000000", "1e5000"),
)
STRINGS = (
    *(
        '""',
        '"a"',
        '"site"',
        '"news"',
        '"abcdefgh"',
        '"abcdefghijklmnopq"',
        '"žluťoučký kůň"',
        '"日本"',
        '"😀"',
    ),
    *(r'"\u0041"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\ude00"', r'"\ud83d\u0041"', r'"\ud83dx"', r'"\u00zz"'),
    *(
        r'"\"\\\/\b\f\n\r\t"',
        r'"\x"',
        r'"\u12"',
        r'"\u0000"',
        '"\t"',
        '"\x00"',
        '"\x1f"',
        '"\x7f"',
        '"open',
        "'a'",
    ),
)
MEMBERS = (
    *(
        '"features":',
        '"indices":',
        '"values":',
        '"label":',
        '"weight":',
        '"id":',
        '"time":',
        '"other":',
        '"":',
    ),
    *('"featuresx":', '"feature":', r'"\u0069d":', '"id\x00":', '"label" :', '"a":', '"site":', '"features"'),
)
WORDS = [
    word.encode()
    for word in (
        *(*NUMBERS, *STRINGS, *MEMBERS, *"{}[]{}[],:,,,", " ", "\t", "\r", "\v", "\n", "\ufeff", "//"),
        *(
            "true",
            "false",
            "null",
            "True",
            "tru",
            "NaN",
            "Infinity",
            "-Infinity",
            '"features":{',
            '"a":"b"',
            "[3]",
        ),
    )
] + [b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"\xc3"]
RAW = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example in which words stand that were not there, or are missing that were."""
    text = draw(WRITTEN)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 4)))
        text = text[:start] + draw(st.sampled_from([b"", *WORDS])) + text[end:]
    return text


LINES = st.lists(st.one_of(WRITTEN, damaged(), RAW), max_size=5).map(b"\n".join)


def read(*chunks: bytes) -> formats.Parsed:
    return whole(formats.reader("ndjson"), *chunks)


def of(value: str) -> bytes:
    """An example whose only feature is this text of JSON."""
    return b'{"features": {"f": ' + value.encode() + b"}}\n"


def test_example_with_everything() -> None:
    line = (
        b'{"features": {"site": "news", "bid": 0.5, "tags": ["a", "b"], "new": true, "old": false, "n": 0},'
        b' "label": 1, "weight": 2.5, "id": "imp-1", "time": 1700000000000}\n'
    )
    batch = formats.parse(line, "ndjson")
    names = ["site=news", "bid", "tags=a", "tags=b", "new"]
    assert batch.indices.tolist() == [index_of(name) for name in names]
    assert batch.explicit_values().tolist() == [1, 0.5, 1, 1, 1]
    assert batch.fields is not None
    assert batch.fields.tolist() == [field_of(name.partition("=")[0]) for name in names]
    assert (batch.labels[0], batch.weights[0]) == (1, 2.5)
    assert batch.ids == ["imp-1"]
    assert batch.times is not None
    assert batch.times.tolist() == [1700000000000]


def test_slots_are_given_directly_in_any_order_of_members() -> None:
    batch = formats.parse(
        b'{"indices": [3, 17], "values": [1.0, 0.5], "label": 0}\n'
        b'{"values": [1, 0.5], "indices": [3, 17]}\n{"indices": [2147483648]}\n'
        b'{"indices": [9], "values": [2], "features": {"a": true}}',
        "ndjson",
    )
    assert batch.indptr.tolist() == [0, 2, 4, 5, 7]
    assert batch.indices.tolist() == [3, 17, 3, 17, 2**31, index_of("a"), 9]
    assert batch.explicit_values().tolist() == [1, 0.5, 1, 0.5, 1, 1, 2]
    assert batch.fields is not None
    assert batch.fields.tolist() == [NO_FIELD] * 5 + [field_of("a"), NO_FIELD]
    assert np.isnan(batch.labels).tolist() == [False, True, True, True]


def test_name_that_stands_twice_counts_twice() -> None:
    batch = formats.parse(b'{"features": {"a": "x", "b": 2, "a": "x", "b": 3}}', "ndjson")
    assert batch.indices.tolist() == [index_of(name) for name in ("a=x", "b", "a=x", "b")]


@settings(deadline=None, max_examples=200)
@given(LINES)
@example(b'{"features":{"abcdefg":"x","abcdefgh":"","abcdefghi":"abcdefgh"}}\r\n\n  \n{"features":{}}')
@example(b'{"id\x00":"a","features":{}}\n{"features\x00":{}}\n{"features":{"a":1}}{}\n{"features":{}}x')
@example(
    b'{"features":{"a":[]," b":[ ] }, "label" : null }\n{"features":{},}\n{"features":{"a":1,}}\n{,}\n{}'
)
@example(
    b'{"features":{},"features":{}}\n{"indices":[1],"values":[1,2]}\n{"indices":[],"values":[1]}\n{"values":[1]}'
)
@example(b'{"features":{},"id":"\xc3\xa9"}\n{"features":{},"id":""}\n{"features":{},"id":"a\\n"}')
def test_compiled_reader_reads_as_python_does(text: bytes) -> None:
    assert_same(read(text), whole(plain_reader("ndjson"), text))


@pytest.mark.parametrize(
    "text", [*NUMBERS, *STRINGS, "true", "false", "null", "tru", "NaN", "-Infinity", "{}"]
)
def test_words_are_strict_json(text: str) -> None:
    line = of(text)
    parsed = read(line)
    assert_same(parsed, whole(plain_reader("ndjson"), line))
    assert bool(parsed.errors) != is_feature(text)


def is_feature(text: str) -> bool:
    """Whether Python's json reads this text as a string that is UTF-8, a number in range or a boolean."""
    try:
        value = json.loads(text, parse_int=float, parse_constant=str.upper)
        if isinstance(value, str):
            return text.startswith('"') and value.encode() is not None
    except ValueError:
        return False
    return isinstance(value, bool | float) and abs(value) <= 1e6


@settings(deadline=None)
@given(st.floats(-1e6, 1e6) | st.floats(-1e6, 1e6, width=32) | st.decimals(-(10**6), 10**6).map(float))
def test_numbers_are_rounded_once_from_float64(number: float) -> None:
    batch = formats.parse(of(json.dumps(number)), "ndjson")
    expected = np.float32(number)
    assert batch.explicit_values().tolist() == ([expected] if expected else [])


def test_stream_may_be_cut_at_every_byte() -> None:
    text = (
        b'{"features":{"a":"\\ud83d\\ude00","bid":-12.5e-1},"label":1}\r\n{"features":{"\xf0\x9f\x98\x80":["x"]}}\n'
        b'bad\n\n{"features": {"b": true}, "id": "\xc3\xa9"}\n{"indices":[1],"label":0}'
    )
    expected = read(text)
    assert (len(expected.batch), len(expected.errors)) == (4, 2)
    for cut in range(len(text) + 1):
        assert_same(read(text[:cut], text[cut:]), expected)
    assert_same(read(*(text[j : j + 1] for j in range(len(text)))), expected)


@settings(deadline=None, max_examples=50)
@given(LINES, st.data())
def test_any_chunking_gives_the_same_rows(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert_same(read(*chunks), read(text))


@settings(deadline=None)
@given(st.lists(FEATURES, max_size=4), st.booleans())
def test_names_are_those_of_scikit_learn(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    pairs = [
        [
            (f"{name}={item}", 1.0) if isinstance(item, str) else (name, float(item))
            for name, value in row.items()
            for item in (value if isinstance(value, list) else [value])
        ]
        for row in rows
    ]
    hasher = FeatureHasher(2**18, input_type="pair", alternate_sign=False, dtype=np.float64)
    expected = hasher.transform([*pairs, []])
    lines = "\n".join(json.dumps({"features": row}, ensure_ascii=ascii_only) for row in rows).encode()
    for batch in (formats.parse(lines, "ndjson"), batch_of_features(rows)):
        difference = expected[: len(rows)] - batch.to_csr(18)
        assert abs(difference).max() <= 1e-6 * max(1, abs(expected).max()) if rows else not len(batch)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "the line is empty"),
        ("[1]", "a list"),
        ('"features"', "'features'"),
        ('{"features": {"a": null}}', "'a' is null"),
        ('{"features": {"a": {"b": 1}}}', "'a' is an object"),
        ('{"features": {"a": ["x", 7]}}', "'a' is a list with 7"),
        ('{"features": {"a": 1e39}}', "'a': the value '1e39'"),
        ('{"features": {"a": 1e400}}', "'a': the value '1e400'"),
        ('{"features": {"a": NaN}}', "NaN"),
        ('{"features": {"a": 01}}', "not JSON"),
        ('{"features": {"a": "\\ud800"}}', "half a surrogate pair"),
        ('{"features": [1]}', '"features" is a list'),
        ('{"feature": {}}', "'feature' is unknown"),
        ('{"features": {}, "label": 1, "label": 1}', '"label" stands twice'),
        ('{"features": {}, "label": 2}', "the label is 2"),
        ('{"features": {}, "label": "1"}', "the label is '1'"),
        ('{"features": {}, "weight": -1}', "weight '-1'"),
        ('{"features": {}, "weight": 1e7}', "weight '1e7'"),
        ('{"features": {}, "id": 7}', "the id is 7, not a string"),
        ('{"features": {}, "id": "' + "x" * 256 + '"}', "longer than 255"),
        ('{"features": {}, "time": -5}', "the time -5"),
        ('{"features": {}, "time": 1.5}', "the time 1.5"),
        ('{"indices": [-1]}', "the index -1"),
        ('{"indices": [2147483649]}', "the index 2147483649"),
        ('{"indices": [1.0]}', "the index 1.0"),
        ('{"indices": [1], "values": [1, 2]}', '1 "indices" and 2 "values"'),
        ('{"features": {}, "values": [1]}', '"values" without "indices"'),
        ("{}", 'neither "features" nor "indices"'),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_errors_name_what_is_wrong(line: str, reason: str) -> None:
    parsed = read(b'{"features": {}}\n' + line.encode() + b'\n{"features": {}}\n')
    assert parsed.lines.tolist() == [1, 3]
    assert [error.line for error in parsed.errors] == [2]
    assert reason in parsed.errors[0].reason


def test_bytes_that_are_not_utf8_are_named() -> None:
    (error,) = read(b'{"features": {"a": "\xff"}}').errors
    assert "byte 21" in error.reason


def test_example_of_a_million_features() -> None:
    count = 10**6
    line = b'{"features":{"f":["' + b'","'.join(b"%d" % k for k in range(count)) + b'"]}}\n'
    batch = formats.parse(line, "ndjson", max_line=len(line))
    assert batch.nnz == count
    assert int(batch.indices[-1]) == index_of(f"f={count - 1}")


# Features as Python dicts.


def test_dicts_hold_what_json_cannot() -> None:
    row = {
        "text": np.str_("x"),
        "half": np.float32(0.5),
        "int": np.int64(3),
        "yes": np.bool_(True),
        "tags": ("a", "b"),
        "more": np.array(["c"]),
    }
    batch = Batch.from_dicts([row, OrderedDict(a="b"), ChainMap({"c": 2.0})])
    names = ["text=x", "half", "int", "yes", "tags=a", "tags=b", "more=c", "a=b", "c"]
    assert batch.indices.tolist() == [index_of(name) for name in names]
    assert batch.explicit_values().tolist() == [1, 0.5, 3, 1, 1, 1, 1, 1, 2]
    assert batch.indptr.tolist() == [0, 7, 8, 9]
    assert np.isnan(batch.labels).all()


def test_dicts_are_taken_from_an_iterator_of_any_length() -> None:
    for n in (0, 1, 1024, 2500):
        batch = batch_of_features({"k": str(k), "pi": 3.141592653589793238} for k in range(n))
        assert batch.indptr.tolist() == list(range(0, 2 * n + 1, 2))
        assert batch.indices.tolist() == [i for k in range(n) for i in (index_of(f"k={k}"), index_of("pi"))]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "'bad' is nan"),
        (-math.inf, "'bad' is -inf"),
        (np.float32("inf"), "'bad' is inf"),
        (None, "'bad' is null"),
        (1e39, "'bad': the value '1e39'"),
        (10**400, "'bad'"),
        ({"a": 1}, "'bad' is an object"),
        ([1], "'bad' is a list with 1"),
        (object(), "'bad' is <object"),
        (1j, "'bad' is 1j, of type complex"),
        ("\ud800", "'bad' is '\\ud800'"),
        (np.array([0.5]), "'bad' is a list with 0.5"),
    ],
)
def test_bad_feature_of_a_dict_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BatchError) as caught:
        batch_of_features([{"good": "a"}] * 1500 + [{"good": 1, "bad": value}, {"bad": value}])
    assert str(caught.value).startswith("row 1500: ")
    assert reason in str(caught.value)


def test_row_that_is_no_mapping_is_named() -> None:
    rows: list[Any] = [{"a": 1}, ["a"]]
    with pytest.raises(BatchError, match=r"row 1: .*no mapping"):
        batch_of_features(rows)


# The body of a request.


@settings(deadline=None)
@given(st.lists(EXAMPLES, max_size=4), st.sampled_from([None, 2]))
def test_body_reads_as_lines_do(examples: list[dict[str, Any]], indent: int | None) -> None:
    parsed = read("\n".join(json.dumps(example) for example in examples).encode())
    body = json.dumps({"examples": examples}, indent=indent).encode()
    if parsed.errors:
        with pytest.raises(FormatError) as caught:
            parse_body(body)
        assert caught.value.lines == parsed.errors
    else:
        batch = parse_body(body)
        assert_same(parsed._replace(batch=batch), parsed)
        for r, one in enumerate(examples):
            alone = parse_body(json.dumps(one, indent=indent).encode())
            assert_same(parsed._replace(batch=alone), parsed._replace(batch=batch.rows(r, r + 1)))


UNUSUAL = [b"", b"\n", b"{", b"[]", b'{"examples": []}', b'{"features": {"a": "x\ny"}}', b"{}\n{}"]


@settings(deadline=None)
@given(st.lists(EXAMPLES, max_size=4), st.sampled_from([None, 2]), st.permutations(UNUSUAL))
def test_bodies_read_at_once_are_read_as_each_alone(
    examples: list[dict[str, Any]], indent: int | None, unusual: list[bytes]
) -> None:
    bodies = [json.dumps(one, indent=indent).encode() for one in examples]
    mixed = [body for pair in zip_longest(bodies, unusual) for body in pair if body is not None]
    parsed = read_bodies(mixed)
    assert (parsed.lines_read, parsed.errors, len(parsed.batch)) == (len(mixed), (), parsed.lines.size)
    for row, number in enumerate(parsed.lines.tolist()):
        alone = parsed._replace(batch=parse_body(mixed[number - 1]))
        assert_same(alone, parsed._replace(batch=parsed.batch.rows(row, row + 1)))
        assert mixed[number - 1] not in unusual


def test_bodies_without_anything_unusual_are_all_read() -> None:
    bodies = [b'{"features": {"site": "s%d"}, "label": 1}' % j for j in range(3000)]
    assert read_bodies(bodies).lines.tolist() == list(range(1, 3001))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"[]",
        b"7",
        b'{"features": {"a": "x\ny"}}',
        b'{"examples": [{"features": {"a": "x\ny"}}]}',
        b'{"examples": [{"features": {}}',
        b'{"examples": [{"features": {}} {"features": {}}]}',
        b'{"examples": [{"features": {}},]}',
        b'{"examples": {}}',
        b'{"examples": []}}',
        b'{"examples": [], "strict": true}',
        b'{"examples": [], "examples": []}',
        b'{"examples": ' + b"[" * 100_000,
        b'{"features": {}} {"features": {}}',
        b'{"features": {}',
        b"\xff",
    ],
)
def test_body_of_another_form_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_body(body)
    assert caught.value.lines == ()


def test_body_names_every_bad_example() -> None:
    examples: list[Any] = [{"features": {}}] * 1100
    examples[3], examples[1099] = {"features": {"a": None}}, 7
    with pytest.raises(FormatError, match=r"example 4: .*example 1100: ") as caught:
        parse_body(json.dumps({"examples": examples}).encode())
    assert [error.line for error in caught.value.lines] == [4, 1100]
    with pytest.raises(FormatError, match=r"example 1: the label is 2") as caught:
        parse_body(b'{"features": {}, "label": 2}')
    assert [error.line for error in caught.value.lines] == [1]


def test_body_without_examples_has_no_rows() -> None:
    assert len(parse_body(b' { "examples" : [ ] } ')) == 0
