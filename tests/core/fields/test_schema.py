"""Schema: what it is made of, which kind a name has, and that compiled code agrees."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import kind_of
from nonzero import LogisticRegression, Schema, SettingsError
from nonzero.fields.counts import Fields
from nonzero.fields.schema import KINDS, MAX_FIELDS
from thoroughly import examples

NAMES = st.text("ab_", min_size=1, max_size=30)


def asked(schema: Schema, name: str) -> tuple[int, bool]:
    """The kind that compiled code finds, and whether the name is in its table."""
    found = kind_of(Fields(schema).table, np.frombuffer(name.encode() + bytes(8), np.uint8))
    return found & 255, found >= 256


def test_the_exact_name_wins_and_then_the_most_specific_pattern() -> None:
    schema = Schema({"*": "ignore", "user*": "number", "user*_id": "category", "user_id": "number"})
    kinds = {name: schema.kind_of(name) for name in ("x", "user", "user_x", "user_a_id", "user_id", "auser")}
    assert kinds == {
        "x": "ignore",
        "user": "number",
        "user_x": "number",
        "user_a_id": "category",
        "user_id": "number",
        "auser": "ignore",
    }


def test_of_patterns_as_long_the_one_with_fewer_stars_wins_and_then_the_first_in_order() -> None:
    assert Schema({"*ab*": "number", "ab*": "category"}).kind_of("ab") == "category"
    assert Schema({"ab*": "number", "*ab": "category"}).kind_of("ab") == "category"


@settings(max_examples=examples(150))
@given(
    st.dictionaries(st.text("ab_*", min_size=1, max_size=20), st.sampled_from(KINDS), max_size=6),
    st.sampled_from(["infer", "category", "number", "refuse"]),
    st.lists(NAMES, max_size=8),
)
def test_compiled_code_finds_the_same_kinds(fields: dict[str, str], default: str, names: list[str]) -> None:
    schema = Schema(fields, default)
    codes = {"infer": 0, "category": 1, "number": 2, "ignore": 3, "refuse": 4}
    for name in {*names, *(name for name in fields if "*" not in name)}:
        assert asked(schema, name) == (codes[schema.kind_of(name)], name in fields)
        schema.known.meet(name.encode())
        assert asked(schema, name) == (codes[schema.kind_of(name)], True)


def test_names_that_begin_and_end_alike_are_told_apart_by_every_byte() -> None:
    names = [f"begin___{k:03}____end____" for k in range(100)]
    schema = Schema({name: "number" if k % 2 else "category" for k, name in enumerate(names)})
    assert [asked(schema, name)[0] for name in names] == [1, 2] * 50
    assert asked(schema, "begin___100____end____") == (0, False)


def test_names_beyond_the_bound_are_judged_and_not_kept() -> None:
    schema = Schema({"n*": "number", **{f"f{k}": "ignore" for k in range(MAX_FIELDS - 1)}})
    for k in range(6000):
        schema.known.meet(f"n{k}".encode())
    assert asked(schema, "n0") == (2, True)
    assert asked(schema, "n5999") == (2, False)
    assert asked(schema, "f4000") == (3, True)


def test_it_is_a_value() -> None:
    schema = Schema({"b": "number", "a": "category"}, "refuse", "^")
    same = Schema({"a": "category", "b": "number"}, "refuse", "^")
    assert schema == same == pickle.loads(pickle.dumps(schema))
    assert len({schema, same, Schema({"a": "category", "b": "number"}, "refuse")}) == 2
    assert schema.to_dict() == {"fields": {"a": "category", "b": "number"}, "default": "refuse"}
    assert Schema.of(schema.to_dict(), namespace_separator="^") == schema
    with pytest.raises(TypeError):
        schema.fields["c"] = "ignore"  # type: ignore[index]


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"site": "categorical"}, "'site' is 'categorical'; a kind is one of category, number, ignore"),
        ({"": "number"}, "''"),
        ({3: "number"}, "3"),
        ({"a": None}, "'a' is None"),
        ({"x" * 256: "number"}, "256 bytes"),
        ({"\ud800": "number"}, "UTF-8"),
        ({f"f{k}": "number" for k in range(5000)}, "5000 fields; it has at most 4096"),
        ({f"f{k}*": "number" for k in range(300)}, "300 patterns"),
        ("site", "give the kind of each field"),
        ({"fields": {}, "other": 1}, "'other'"),
    ],
)
def test_what_is_none_is_refused_by_name(given_: Any, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LogisticRegression(bits=2, schema=given_)
    assert named in str(caught.value)


@pytest.mark.parametrize("wrong", [{"default": "guess"}, {"namespace_separator": "-"}])
def test_other_settings_of_it_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong.values()))):
        LogisticRegression(bits=2, **wrong)  # type: ignore[arg-type]
