"""Times as people write them, to milliseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow
import pytest

from nonzero.errors import InputError, SettingsError
from nonzero.sources.event_times import EventTime

MOMENT = 1_767_225_600_250


@pytest.mark.parametrize(
    ("format", "text", "wanted"),
    [
        ("ms", str(MOMENT), MOMENT),
        ("ms", "12.6", 13),
        ("s", "1767225600.25", MOMENT),
        ("s", "-5", -5000),
        ("s", str(MOMENT), 1000 * MOMENT),
        ("iso", "2026-01-01T00:00:00.250Z", MOMENT),
        ("iso", "2026-01-01 01:00:00.25+01:00", MOMENT),
        ("iso", "2026-01-01", MOMENT - 250),
        ("%d.%m.%Y %H:%M", "01.01.2026 00:01", MOMENT - 250 + 60_000),
        ("%d.%m.%Y %z", "01.01.2026 +0100", MOMENT - 250 - 3_600_000),
        (None, str(MOMENT), MOMENT),
        (None, "1767225600.25", MOMENT),
        (None, "7", 7000),
        (None, "2026-01-01T00:00:00.25", MOMENT),
    ],
)
def test_texts(format: str | None, text: str, wanted: int) -> None:
    time = EventTime.of("at" if format is None else f"at:{format}")
    assert (time.column, time.format) == ("at", format)
    assert time.milliseconds(text) == wanted
    assert len(time.met) == 1


@pytest.mark.parametrize("format", [None, "ms", "s", "iso", "%Y"])
@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e30", "-", "1_000", " 5", "٣"])
def test_what_is_no_time_is_refused(format: str | None, text: str) -> None:
    with pytest.raises(InputError, match=r"the time 'at' is (missing|'.*'); give ") as refused:
        EventTime("at", format).milliseconds(text)
    assert text in str(refused.value)


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="the time's format is 'hours'; give ms, s, iso, or one such as"):
        EventTime.of("at:hours")
    for pattern in ("%Y %Y", "%Y%", "%Q"):
        with pytest.raises(SettingsError, match=r"which is no pattern of strptime: "):
            EventTime.of(f"at:{pattern}")


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (pyarrow.array([datetime.fromtimestamp(5, UTC), None]), [5000, None]),
        (pyarrow.array([datetime.fromtimestamp(5, UTC)] * 2).dictionary_encode(), [5000, 5000]),
        (pyarrow.array([date(1970, 1, 2)]), [86_400_000]),
        (pyarrow.array([5, None]), [5000, None]),
        (pyarrow.array([5.25, float("nan")]), [5250, None]),
        (pyarrow.array(["1970-01-02", "x"]), [86_400_000, None]),
        (pyarrow.array(["7"]).dictionary_encode(), [7000]),
    ],
)
def test_columns_of_arrow(cells: Any, wanted: list[int | None]) -> None:
    times, wrong = EventTime("at").of_array(cells)
    assert [None if row in wrong else time for row, time in enumerate(times.tolist())] == wanted
