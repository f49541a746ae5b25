"""What Python values become, held against the library: the same features, or refused by both."""

from __future__ import annotations

import collections
import datetime
import enum
import json
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nonzero import Batch, BatchError, FormatError, Schema, formats
from nonzero_client import InputError
from nonzero_client.values import encoded, example_line

SCHEMA = Schema.of({"fields": {"c": "category"}})


class Color(enum.Enum):
    RED = "red"


class Text(enum.StrEnum):
    NEWS = "news"


MOMENT = datetime.datetime(2026, 11, 30, 12, 0, 1, tzinfo=datetime.UTC)
VALUES: list[Any] = [
    *("news", "", "00501", 'é\u2028\n"\\', "\x00", None, True, False, 0, 5, -3, 10**30, 0.5, 5.0, 1e-7, 1e16),
    *(np.int64(7), np.uint64(2**64 - 1), np.float64(0.1), np.float32(0.1), np.bool_(True), np.str_("news")),
    *(["a", "b"], ("a", "b"), [], {"b", "a"}, frozenset("ba"), np.array(["a", "b"]), [np.str_("a")]),
    *(b"news", bytearray(b"news"), memoryview(b"news"), MOMENT, MOMENT.date(), MOMENT.time()),
    *(np.datetime64("2026-11-30T12:00"), np.array(["2026-11-30"], "datetime64[D]")),
    *(Decimal("0.1"), Decimal(5), Decimal("1e3"), uuid.UUID(int=7), Color.RED, Text.NEWS),
]
NO_VALUES: list[Any] = [
    *(math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), Decimal("nan")),
    *(object(), 1j, b"\xff", "\ud800", np.datetime64("NaT"), np.array([math.nan]), {"a": 1}, [1], [["a"]]),
    *((x for x in "ab"), collections.deque("ab"), len, np.complex128(1)),
]


def rows(batch: Batch) -> tuple[list[int], NDArray[np.float32]]:
    values = np.ones(len(batch.indices), np.float32) if batch.values is None else batch.values
    return batch.indices.tolist(), values


def sent(features: dict[str, Any]) -> Batch:
    """Return what the service makes of features that are sent."""
    return formats.parse(example_line({"features": features}), "ndjson", schema=SCHEMA)


def assert_same(ours: Batch, theirs: Batch) -> None:
    assert rows(ours)[0] == rows(theirs)[0]
    assert rows(ours)[1].tobytes() == rows(theirs)[1].tobytes()


@pytest.mark.parametrize("name", ["c", "u"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_what_the_library_takes_them_for(name: str, value: Any) -> None:
    try:
        expected = Batch.from_dicts([{name: value}], schema=SCHEMA)
    except BatchError:  # such as a number beyond what a feature may have
        with pytest.raises(FormatError):
            sent({name: value})
    else:
        assert_same(sent({name: value}), expected)


@pytest.mark.parametrize("value", NO_VALUES, ids=lambda value: type(value).__name__)
def test_what_the_library_refuses_is_never_learned_from(value: Any) -> None:
    with pytest.raises(BatchError):
        Batch.from_dicts([{"u": value}])
    with pytest.raises((InputError, FormatError), match="the feature 'u' is "):
        sent({"u": value})


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(st.text(max_size=8), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.booleans()),
        max_size=4,
    )
)
@example({"c": 5e-324, "u": 5e-324})
@example({"c": -0.0, "u": -0.0})
def test_any_features_are_what_the_library_takes_them_for(features: dict[str, Any]) -> None:
    assert_same(sent(features), Batch.from_dicts([features], schema=SCHEMA))


def test_a_mapping_of_any_kind_is_an_example() -> None:
    features = collections.ChainMap({"site": "news"})
    line = example_line(collections.UserDict(features=features, label=np.int64(1), weight=np.float32(0.5)))
    assert json.loads(line) == {"features": {"site": "news"}, "label": 1, "weight": 0.5}
    assert b"\n" not in example_line({"features": {"site": "a\nb"}})


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (
            {"features": {"a": 1, "bid": math.nan}},
            "the feature 'bid' is nan, not a finite number; leave it out",
        ),
        ({"features": {}, "weight": math.inf}, "the member 'weight' is inf, not a finite number"),
        ({"features": {"a": object}}, "the feature 'a' is <class 'object'>, of type type; it is a string"),
        (
            {"features": {"a": b"\xff"}},
            r"the feature 'a' is b'\xff', not UTF-8 (invalid start byte); decode it",
        ),
        ({"features": {"a": "\ud800"}}, "which has half of a surrogate pair and is no text"),
        ({"features": {"a": np.datetime64("NaT")}}, "NaT is no time); leave it out"),
        ({"features": {"a": [1.0, math.nan]}}, "no number in it is NaN"),
        ({"features": {(1, 2): 1}}, "(1, 2)"),
        ("site=news", "'site=news', of type str, is no example: one is a mapping such as"),
        (5, "5, of type int, is no example"),
    ],
)
def test_what_has_no_form_is_named(given_: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        example_line(given_)
    assert said in str(error.value)


def test_what_holds_itself_is_refused() -> None:
    itself: dict[str, Any] = {}
    itself["features"] = itself
    with pytest.raises(InputError, match="the feature 'features'"):
        example_line(itself)


def test_settings_are_encoded_alike() -> None:
    assert encoded({"bits": np.int64(12)}) == b'{"bits":12}'
    with pytest.raises(InputError, match="has no form in JSON"):
        encoded({"bits": math.nan})
