"""Values of Arrow arrays, each but once, whatever their type and where they are null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from nonzero.formats.arrow_values import cells_as_text, distinct

INTEGERS = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


def decoded(array: Any) -> list[Any]:
    found, valid, entries = distinct(array)
    values = entries.to_pylist()
    there = valid.tolist() if valid.size else [1] * len(array)
    return [values[code] if known else None for code, known in zip(found.tolist(), there, strict=True)]


@pytest.mark.parametrize("kind", INTEGERS, ids=str)
@pytest.mark.parametrize("spread", [1, 99, 100, 127])
def test_integers_are_coded_whether_close_together_or_not(kind: pa.DataType, spread: int) -> None:
    signed = str(kind).startswith("int")
    bits = kind.bit_width
    for least in (-(2 ** (bits - 1)), -1, 0) if signed else (0, 2**bits - 1 - spread):
        values = [least, None, least + spread, least]
        array = pa.array(values, kind)
        assert decoded(array) == values
        assert decoded(array.slice(1, 2)) == values[1:3]
        assert decoded(array.slice(1, 1)) == [None]
        assert decoded(array.slice(2)) == values[2:]
        assert cells_as_text(array, "x") == [b"" if one is None else str(one).encode() for one in values]


def test_other_values_are_coded() -> None:
    for values in (["a", None, "a", "b"], [0.5, None, 0.5], [True, None], []):
        assert decoded(pa.array(values, None if values else pa.int8())) == values
