"""The times of records: what is believed of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nonzero_service.streams.record_times import AGREE, LEAP_MS, SLACK_MS, RecordTimes

NOW = 1_700_000_000_000
DAY = 86_400_000


def read(times: RecordTimes, *given: int) -> list[int]:
    found: list[int] = times.read(np.array(given, np.int64), NOW).tolist()
    return found


def test_times_in_order_are_what_they_are() -> None:
    times = RecordTimes()
    assert read(times, 5, 6, 7) == [5, 6, 7]
    assert read(times, 7, 9) == [7, 9]
    assert times.reached_ms == 9
    assert not +times.wrong


def test_a_time_that_goes_back_keeps_what_was_reached() -> None:
    times = RecordTimes()
    assert read(times, 100, 40, 90, 110, 105) == [100, 40, 90, 110, 105]
    assert times.reached_ms == 110


def test_records_without_a_time_have_that_of_the_one_before() -> None:
    times = RecordTimes()
    assert read(times, -1, 50, -1, -1, 60) == [50, 50, 50, 50, 60]
    assert read(times, -1) == [60]
    assert +times.wrong == {"untimed": 4}


def test_a_topic_without_times_goes_by_the_journals_clock() -> None:
    times = RecordTimes()
    assert read(times, -1, -1) == [NOW, NOW]
    assert times.reached_ms is None


def ahead(times: RecordTimes, *coming: int, others_ms: int | None = None) -> int | None:
    return times.ahead(np.array(coming, np.int64), NOW, others_ms)


def test_it_has_come_as_far_as_what_comes_next() -> None:
    """To the moment before: others of that time may come before it."""
    times = RecordTimes()
    assert ahead(times) is None
    assert ahead(times, 50, 40, 60) == 39
    read(times, 100)
    assert (ahead(times), ahead(times, 900, 950), ahead(times, 60, 950)) == (100, 899, 100)
    assert ahead(times, -1, NOW + 2 * SLACK_MS) == 100
    assert ahead(times, -1, 900) == 899
    assert times.reached_ms == 100
    assert not +times.wrong


def test_what_comes_next_and_leaps_is_believed_as_it_would_be_when_it_is_read() -> None:
    times = RecordTimes()
    read(times, 100)
    leap = 100 + 2 * LEAP_MS
    assert ahead(times, leap) == 100
    assert ahead(times, leap, others_ms=leap) == leap - 1
    assert ahead(times, *[leap + 5, leap] * (AGREE // 2)) == leap - 1
    assert ahead(times, *[leap] * (AGREE - 1), 200) == 199
    read(times, *[leap] * (AGREE - 1))  # read, and not judged yet
    assert times.reached_ms == 100
    assert ahead(times, leap + 9) == leap - 1


def test_a_time_that_is_still_to_come_is_none() -> None:
    """A producer whose clock is a year ahead neither ends windows nor stamps what comes after."""
    times = RecordTimes()
    assert read(times, NOW - DAY, NOW + 365 * DAY, NOW - DAY + 1) == [NOW - DAY, NOW - DAY, NOW - DAY + 1]
    assert times.reached_ms == NOW - DAY + 1
    assert +times.wrong == {"future": 1}


def test_a_clock_that_is_a_little_ahead_is_waited_for() -> None:
    times = RecordTimes()
    assert read(times, NOW - 5, NOW + SLACK_MS) == [NOW - 5, NOW]
    assert not +times.wrong


def test_one_record_that_leaps_ahead_is_passed_over() -> None:
    times = RecordTimes(1000)
    assert read(times, 2000, DAY, 3000, DAY + 5, 4000) == [2000, 2000, 3000, 3000, 4000]
    assert times.reached_ms == 4000
    assert +times.wrong == {"leapt": 2}


def test_records_that_agree_are_a_night_without_traffic() -> None:
    times = RecordTimes(1000)
    after = [DAY + k for k in range(AGREE)]
    assert read(times, 2000, *after) == [2000, *after]
    assert times.reached_ms == after[-1]
    assert not +times.wrong


def test_what_cannot_be_judged_yet_has_its_own_time_and_ends_no_window() -> None:
    """It is stamped no earlier than it was: its own window does not end early, nor any other."""
    times = RecordTimes(1000)
    assert read(times, 2000, DAY) == [2000, DAY]
    assert times.reached_ms == 2000
    assert read(times, DAY + 1) == [DAY + 1]
    assert times.reached_ms == 2000
    assert read(times, *[DAY + k for k in range(2, AGREE)])[0] == DAY + 2
    assert times.reached_ms == DAY + AGREE - 1


def test_what_could_not_be_judged_is_judged_with_what_comes_next() -> None:
    times = RecordTimes(1000)
    read(times, 2000, DAY)
    assert read(times, 3000) == [3000]
    assert times.reached_ms == 3000
    assert +times.wrong == {"leapt": 1}


def test_what_other_topics_have_reached_is_no_leap() -> None:
    """Few records far apart, of a topic that is read in step with another one."""
    times = RecordTimes(1000)
    assert times.read(np.array([DAY, 5 * DAY], np.int64), NOW, 2 * DAY).tolist() == [DAY, 5 * DAY]
    assert times.reached_ms == DAY


def test_a_wrong_clock_that_writes_half_of_all_does_not_move_time() -> None:
    times = RecordTimes(0)
    rng = np.random.default_rng(1)
    right = np.arange(2000) * 10
    told = np.where(rng.random(2000) < 0.5, right + DAY, right)
    believed = times.read(told, NOW)
    assert times.reached_ms is not None
    assert times.reached_ms <= right[-1]
    assert (believed[:1900] <= right[-1]).all()
    assert times.wrong["leapt"] > 900


def test_a_first_record_that_leaps_does_not_begin_time() -> None:
    times = RecordTimes()
    assert read(times, DAY, 10, 20) == [10, 10, 20]
    assert times.reached_ms == 20


def test_what_is_read_to_its_end_has_passed() -> None:
    times = RecordTimes(5)
    times.passed(DAY)
    times.passed(7)
    assert times.reached_ms == DAY
    assert read(times, DAY + LEAP_MS) == [DAY + LEAP_MS]


@given(
    st.lists(st.lists(st.integers(-1, NOW + 2 * DAY), max_size=80), max_size=5),
    st.none() | st.integers(0, NOW),
)
def test_time_never_goes_back_nor_beyond_the_clock(chunks: list[list[int]], reached: int | None) -> None:
    times, before = RecordTimes(reached), reached
    for chunk in chunks:
        believed = read(times, *chunk)
        assert len(believed) == len(chunk)
        assert all(0 <= one <= NOW for one in believed)
        if before is not None:
            assert times.reached_ms is not None
            assert times.reached_ms >= before
        before = times.reached_ms
