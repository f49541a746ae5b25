"""Pauses, and what Retry-After says."""

from __future__ import annotations

import email.utils
import time

import pytest

from nonzero_client.backoff import FIRST, LEAST, LONGEST, pause, seconds_of


class Drawn:
    """Draws a part of what could be drawn."""

    def __init__(self, part: float) -> None:
        self.part = part

    def uniform(self, a: float, b: float, /) -> float:
        return a + self.part * (b - a)


@pytest.mark.parametrize("failures", [1, 2, 3, 7, 8, 9, 60, 2000])
def test_it_is_anything_from_nothing_to_a_bound_that_doubles(failures: int) -> None:
    most = min(LONGEST, FIRST * 2 ** (failures - 1)) if failures < 60 else LONGEST
    assert pause(failures, None, 1e6, Drawn(0)) == 0
    assert pause(failures, None, 1e6, Drawn(1)) == pytest.approx(most)


def test_it_ends_by_the_deadline() -> None:
    assert pause(20, None, 3, Drawn(1)) == pytest.approx(3 - LEAST)
    assert pause(20, 2, 3, Drawn(1)) == pytest.approx(3 - LEAST)
    assert pause(20, 2, 3, Drawn(0)) == 2
    assert pause(20, 2, 3, Drawn(0.5)) == pytest.approx(2 + 0.75 * (1 - LEAST))


@pytest.mark.parametrize(
    ("retry_after", "left"), [(3, 3), (4, 3), (2.995, 3), (None, 0.019), (None, 0), (None, -1)]
)
def test_there_is_none_where_there_is_no_time(retry_after: float | None, left: float) -> None:
    assert pause(1, retry_after, left, Drawn(0)) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        (" 2 ", 2),
        ("1.5", 1.5),
        ("-3", 0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header) == seconds


def test_retry_after_as_a_date() -> None:
    found = seconds_of(email.utils.formatdate(time.time() + 100, usegmt=True))
    assert found is not None
    assert 95 < found <= 100
