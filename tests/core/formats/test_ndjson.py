"""Examples as JSON, one a line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import FeatureHasher

from core.formats.json_texts import FEATURES, LINES, NUMBERS, STRINGS
from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.fields.hashing import NO_FIELD, field_of, index_of
from nonzero.formats.json_dicts import batch_of_features
from thoroughly import examples


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


@settings(max_examples=examples(200))
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
    """Whether Python's json reads this text as UTF-8 text, a number in range, a boolean or null."""
    try:
        value = json.loads(text, parse_int=float, parse_constant=str.upper)
        if isinstance(value, str):
            return text.startswith('"') and value.encode() is not None
    except ValueError:
        return False
    return value is None or (isinstance(value, bool | float) and abs(value) <= 1e6)


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


@settings(max_examples=examples(50))
@given(LINES, st.data())
def test_any_chunking_gives_the_same_rows(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert_same(read(*chunks), read(text))


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
        ('{"features": {"a": {"b": 1}}}', "'a' is an object"),
        ('{"features": {"a": ["x", 7]}}', "'a' is a list with 7"),
        ('{"features": {"a": 1e39}}', "'a': the value '1e39'"),
        ('{"features": {"a": 1e400}}', "'a': the value '1e400'"),
        ('{"features": {"a": NaN}}', "NaN"),
        ('{"features": {"a": 01}}', "not JSON"),
        ('{"features": {"a": "\\ud800"}}', "half a surrogate pair"),
        ('{"features": [1]}', '"features" is a list'),
        ('{"feature": {}}', "'feature' is unknown"),
        ('{"site": "news", "click": 1}', 'features stand within: {"features": {"site": "news"}, "label": 1}'),
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


def test_example_of_very_many_features() -> None:
    count = 200_000
    line = b'{"features":{"f":["' + b'","'.join(b"%d" % k for k in range(count)) + b'"]}}\n'
    batch = formats.parse(line, "ndjson", max_line=len(line))
    assert batch.nnz == count
    assert int(batch.indices[-1]) == index_of(f"f={count - 1}")
