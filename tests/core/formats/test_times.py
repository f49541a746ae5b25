from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.errors import InputError, SettingsError
from nonzero.formats.times import TimeFormat
from thoroughly import examples

FORMATS = [None, "ms", "s", "iso", "%Y-%m-%d %H:%M:%S", "%y%m%d%H", "%d/%b/%Y:%H:%M:%S %z", "%Y-%j", "%%%Y"]
MOMENT = datetime(2014, 10, 21, 13, 5, 9, 123000, UTC)
MILLISECONDS = int(MOMENT.timestamp()) * 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(-10 * 365 * 86400 * 10**6, 330 * 365 * 86400 * 10**6).map(
    lambda n: (EPOCH + timedelta(microseconds=n)).replace(tzinfo=None)
)
PIECES = [
    "2014",
    "14",
    "-",
    "10",
    "02",
    "29",
    "T",
    " ",
    "13",
    ":",
    "05",
    "60",
    "24",
    "Z",
    ".",
    "5",
    "+02:00",
    "é",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join),
    MOMENTS.map(datetime.isoformat),
    MOMENTS.map(lambda one: one.strftime("%Y-%m-%d %H:%M:%S")),
    MOMENTS.map(lambda one: one.strftime("%y%m%d%H")),
    st.integers(-5, 10**19).map(str),
    st.floats(0, 1e13).map(str),
)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("ms", "1413896709123", MILLISECONDS + 123),
        (None, "1413896709123", MILLISECONDS + 123),
        ("s", "1413896709", MILLISECONDS),
        ("s", "1413896709.1234", MILLISECONDS + 123),
        ("iso", "2014-10-21T13:05:09.123999Z", MILLISECONDS + 123),
        (None, "2014-10-21 13:05:09", MILLISECONDS),
        ("iso", "2014-10-21T15:05:09+02:00", MILLISECONDS),
        ("iso", "2014-10-21", MILLISECONDS // 86_400_000 * 86_400_000),
        ("%d/%b/%Y:%H:%M:%S %z", "21/Oct/2014:09:05:09 -0400", MILLISECONDS),
        ("%y%m%d%H", "14102113", MILLISECONDS // 3_600_000 * 3_600_000),
    ],
)
def test_a_moment_is_milliseconds_however_it_is_written(form: str | None, text: str, expected: int) -> None:
    assert TimeFormat(form).read(text.encode()) == expected
    batch = formats.parse(
        f"click,at\n1,{text}\n0,\n".encode(), "csv", time="at", time_format=form, boolean=()
    )
    assert batch.nnz == 0
    np.testing.assert_array_equal(batch.times, [expected, -1])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=examples(60))
@given(st.lists(TEXTS, min_size=1, max_size=10))
@example(["2012-02-29", "2013-02-29", "2100-02-29T00:00:00", "2014-04-31T00:00:00.1", "2014-10-21T13:05:09."])
@example(
    ["1969-12-31T23:59:59.999", "99999999999", "100000000000", "999999999999999999", "1000000000000000000"]
)
def test_compiled_code_reads_times_as_python_does(form: str | None, texts: list[str]) -> None:
    table = "click,at\n" + "".join(f"1,{text}\n" for text in texts)
    options: dict[str, Any] = {"time": "at", "time_format": form, "boolean": ()}
    assert_same(
        whole(formats.reader("csv", **options), table.encode()),
        whole(plain_reader("csv", **options), table.encode()),
    )


@given(st.integers(86400 * 10**6, 7000 * 365 * 86400 * 10**6), st.integers(-720, 720))
def test_zones_are_taken_off(microseconds: int, minutes: int) -> None:
    moment = EPOCH + timedelta(microseconds=microseconds)
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    expected = microseconds // 1000
    assert TimeFormat("iso").read(there.isoformat().encode()) == expected


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        (None, "1413896709", "may be seconds since 1970.*--time COLUMN:s"),
        (None, "yesterday", "'yesterday' is not written in ISO 8601"),
        ("ms", "1e12", "'1e12' is not a whole number of milliseconds"),
        ("s", "-1", "'-1' is not from 1970 on"),
        ("s", "soon", "the time 'soon' is not a decimal number"),
        ("%y%m%d%H", "2014", "'2014' is not written as '%y%m%d%H' says"),
        ("iso", "1969-12-31", "is not from 1970 on"),
    ],
)
def test_what_is_no_time_is_refused_with_the_way_out(form: str | None, text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        TimeFormat(form).read(text.encode())


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("us", "'us'; give ms, s"),
        ("%H:%M", "no year"),
        ("%Y %Q", "no pattern"),
        ("%Y %Y", "no pattern"),
        ("%Y%", "no pattern"),
        ("%", "no pattern"),
        ("%Y" + "%b" * 2, "no pattern"),
        ("%Y" + "-" * 300, "has 302 characters; give at most 255"),
    ],
)
def test_a_format_that_is_none_is_refused(form: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        TimeFormat(form)
