"""The watermark of partitions."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nonzero_service.streams.record_times import WrongTime
from nonzero_service.streams.watermark import ALLOWANCE_MS, Watermark

NOW = 1_700_000_000_000
A, B, CLICKS = ("shown", 0), ("shown", 1), ("clicks", 0)


def read(mark: Watermark, place: tuple[str, int], *times: int) -> None:
    mark.of(place).read(np.array(times, np.int64), NOW)


def looked(**at_end: bool) -> Watermark:
    mark = Watermark()
    places = {"a": A, "b": B, "clicks": CLICKS}
    mark.look({places[name]: ended for name, ended in at_end.items()}, NOW)
    return mark


def test_it_is_not_known_before_all_partitions_were_read() -> None:
    mark = looked(a=False, b=False)
    read(mark, A, 100)
    assert mark.advance() is None
    read(mark, B, 70)
    assert mark.advance() == 70


def test_it_is_the_least_of_what_was_reached() -> None:
    mark = looked(a=False, clicks=False)
    read(mark, A, 100, 200)
    read(mark, CLICKS, 150)
    assert mark.advance() == 150
    read(mark, CLICKS, 900)
    assert mark.advance() == 200


def test_a_partition_that_is_read_to_its_end_keeps_nobody_waiting() -> None:
    mark = looked(a=False, b=True)
    read(mark, A, 100)
    assert mark.advance() == 100


def test_an_idle_topic_goes_on_with_the_clock() -> None:
    mark = looked(a=True, b=True, clicks=True)
    assert mark.advance() == NOW - ALLOWANCE_MS
    mark.look({A: True, B: True, CLICKS: True}, NOW + 5000)
    assert mark.advance() == NOW + 5000 - ALLOWANCE_MS


def test_it_never_goes_back() -> None:
    mark = looked(a=True)
    reached = mark.advance()
    assert reached is not None
    mark.look({A: True, B: False}, NOW)  # a new partition, to be read from its beginning
    assert mark.advance() == reached
    read(mark, B, 5)
    assert mark.advance() == reached


def test_it_goes_on_from_where_the_journal_has_it() -> None:
    mark = Watermark(500)
    mark.look({A: False}, NOW)
    assert mark.advance() == 500
    read(mark, A, 450)
    assert mark.advance() == 500
    read(mark, A, 700)
    assert mark.advance() == 700


def expect(mark: Watermark, coming: dict[tuple[str, int], list[int]], **limits: int) -> None:
    mark.expect({place: np.array(times, np.int64) for place, times in coming.items()}, NOW, limits)


def test_a_partition_whose_next_records_are_known_holds_nothing_back_before_them() -> None:
    mark = looked(a=False, b=False)
    read(mark, A, 100)
    read(mark, B, 10)
    expect(mark, {B: [800, 700]})
    assert mark.advance() == 100
    read(mark, A, 900)
    assert mark.advance() == 699
    read(mark, B, 800)
    assert mark.advance() == 800
    expect(mark, {})  # what comes behind that is not known
    read(mark, A, 1000)
    assert mark.advance() == 800


def test_a_partition_that_nobody_has_told_of_is_not_expected() -> None:
    mark = looked(a=False)
    expect(mark, {A: [50], B: [10]})
    assert mark.advance() == 49
    mark.look({}, NOW)
    assert mark.slowest("shown", {}) is None


def test_a_partition_that_is_gone_holds_nothing_back() -> None:
    mark = looked(a=False, b=False)
    read(mark, A, 100)
    read(mark, B, 10)
    mark.look({A: False}, NOW)
    assert mark.advance() == 100


def test_the_slowest_partition_of_a_topic() -> None:
    mark = looked(a=False, b=False, clicks=False)
    read(mark, A, 100)
    assert mark.slowest("shown", {}) is None
    assert mark.slowest("shown", {1: 60}) == 60
    read(mark, B, 40)
    assert mark.slowest("shown", {}) == 40
    assert mark.slowest("shown", {1: 60}) == 60
    assert mark.slowest("clicks", {}) is None


def test_a_topic_is_at_its_end_when_all_its_partitions_are() -> None:
    mark = looked(a=True, b=False, clicks=True)
    assert not mark.is_at_end("shown")
    assert mark.is_at_end("clicks")
    assert not mark.is_at_end("other")


def test_what_is_wrong_is_counted_for_all() -> None:
    wrong: Counter[WrongTime] = Counter()
    mark = Watermark(None, wrong)
    read(mark, A, 100, -1)
    read(mark, B, 100, -1, NOW + 10**9)
    assert +wrong == {"untimed": 2, "future": 1}
