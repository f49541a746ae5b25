"""How times of columns are written: as delimited text has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nonzero import formats
from nonzero.errors import FormatError
from nonzero.formats.arrow_rows import ArrowRows
from nonzero.formats.parsed import Parsed

FORMATS = ["auto", "ms", "s", "iso", "%Y-%m-%d %H:%M:%S", "%y%m%d%H"]
TEXTS = [
    "1413896709123",
    "1413896709",
    "1413896709.5",
    "2014-10-21T13:05:09.123Z",
    "2014-10-21 13:05:09",
    "14102113",
    "x",
    "",
]
NUMBERS = [1413896709123, 1413896709, 14102113, 0, 10**17, 10**18 - 1]


def read(values: Any, form: str | None) -> Parsed:
    table = pa.table({"at": values, "site": pa.array(["a"] * len(values))})
    reader = ArrowRows(table.schema, time="at", time_format=form, judged=True)
    return Parsed.concatenate([part for batch in table.to_batches() for part in reader.read(batch)])


def as_text(texts: list[str], form: str) -> Parsed:
    reader = formats.reader("csv", time="at", time_format=form, boolean=())
    table = "at,site\n" + "".join(f"{text},a\n" for text in texts)
    return Parsed.concatenate([reader.feed(table.encode()), reader.finish()])


def assert_alike(ours: Parsed, theirs: Parsed) -> None:
    n = len(theirs.batch)
    assert ours.lines.tolist() == (theirs.lines - 1).tolist()
    assert [one.line for one in ours.errors] == [one.line - 1 for one in theirs.errors]
    np.testing.assert_array_equal(
        ours.batch.times if ours.batch.times is not None else np.full(n, -1),
        theirs.batch.times if theirs.batch.times is not None else np.full(n, -1),
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_are_times_as_in_delimited_text(form: str, kind: pa.DataType) -> None:
    assert_alike(read(pa.array(TEXTS, kind), form), as_text(TEXTS, form))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_numbers_are_times_as_in_delimited_text(form: str, kind: pa.DataType) -> None:
    assert_alike(read(pa.array(NUMBERS, kind), form), as_text([str(number) for number in NUMBERS], form))


def test_seconds_may_have_fractions() -> None:
    assert read(pa.array([1413896709.123, None]), "s").batch.times.tolist() == [1413896709123, -1]  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="is of the type double, which is no time"):
        read(pa.array([1413896709.123]), "ms")


def test_negative_and_very_late_times_are_refused() -> None:
    for form in ("ms", "s"):
        found = read(pa.array([-5, 2**63 - 1, 7]), form)
        assert [one.line for one in found.errors] == [1, 2]


def test_a_type_of_times_tells_how_it_is_written() -> None:
    moments = pa.array([1413896709123000], pa.timestamp("us"))
    for form in (None, "s", "%Y"):
        assert read(moments, form).batch.times.tolist() == [1413896709123]  # type: ignore[union-attr]


def test_texts_are_refused_where_nobody_says_how_they_are_written() -> None:
    with pytest.raises(
        FormatError, match=r"is of the type string, which is no time; .* or say how it is written"
    ):
        read(pa.array(TEXTS), None)


@pytest.mark.parametrize(
    "moments",
    [
        pa.array([5, 2**62, 2**55, -(2**62), 2**63 - 1, None], pa.timestamp("s")),
        pa.array([5000, 2**62, 2**63 - 1, -(2**62), -1, None], pa.timestamp("ms")),
        pa.array([5000, 10**18, 2**64 - 1, 2**63, 2**63 - 1, None], pa.uint64()),
    ],
)
def test_times_beyond_what_is_kept_are_refused_as_they_came(moments: pa.Array) -> None:
    kind = pa.uint64() if moments.type == pa.uint64() else pa.int64()
    parsed = read(moments, None)
    assert (parsed.lines.tolist(), [one.line for one in parsed.errors]) == ([1, 6], [2, 3, 4, 5])
    assert parsed.batch.times is not None
    assert parsed.batch.times.tolist() == [5000, -1]
    factor = 1000 if moments.type == pa.timestamp("s") else 1
    for error, given in zip(parsed.errors, moments.cast(kind)[1:5].to_pylist(), strict=True):
        assert f"the time {given * factor} is not" in error.reason
