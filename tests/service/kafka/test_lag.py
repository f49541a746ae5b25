"""How far a partition is behind, by what was told of its end a while ago, or never."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from nonzero_service.kafka.lag import KNOWN_SECONDS, Lag

HOUR = 3600


def lag(position: int, end: int | None, told: float = 0.0, newest: float | None = None) -> Lag:
    """Make one: the seconds since its end was told, and the age of the newest record."""
    newest_ms = -1 if newest is None else int(1000 * (time.time() - newest))
    return Lag(position, 0, end, end, time.monotonic() - told, newest_ms)


@pytest.mark.parametrize(
    ("made", "records", "seconds"),
    [
        (partial(lag, 9, 9), 0, 0.0),
        (partial(lag, 9, 9, newest=HOUR), 0, 0.0),
        (partial(lag, 5, 9, newest=HOUR), 4, HOUR),
        (partial(lag, 5, 9, newest=-HOUR), 4, 0.0),  # its producer's clock is ahead
        (partial(lag, 5, 9), 4, None),
    ],
)
def test_of_an_end_that_was_told_a_moment_ago(
    made: Callable[[], Lag], records: int, seconds: float | None
) -> None:
    one = made()
    assert (one.end, one.behind_records, one.unstable_records) == (9, records, 0)
    assert one.behind_seconds == pytest.approx(seconds, abs=60)
    assert one.is_read_to(9)
    assert not one.is_read_to(8)


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (partial(lag, 9, 9, told=HOUR), HOUR),  # whatever has come since may wait
        (partial(lag, 9, 9, told=HOUR, newest=3 * HOUR), HOUR),
        (partial(lag, 5, 9, told=HOUR, newest=3 * HOUR), 3 * HOUR),
        (partial(lag, 5, 9, told=HOUR), HOUR),
        (partial(lag, 0, None, told=HOUR), HOUR),
        (partial(lag, 0, None), 0),  # a partition that is new
    ],
)
def test_of_an_end_that_is_not_known_now(made: Callable[[], Lag], seconds: float) -> None:
    """No count that was so once is told as one of now; and what an alert looks at grows."""
    one = made()
    assert (one.end, one.behind_records, one.unstable_records) == (None, None, None)
    assert one.behind_seconds == pytest.approx(seconds, abs=60)
    later = one._replace(told_at=one.told_at - 60, newest_ms=max(one.newest_ms - 60_000, -1))
    assert (later.behind_seconds or 0) > (one.behind_seconds or 0) + 50
    assert not one.is_read_to(9)


def test_what_an_open_transaction_holds_back() -> None:
    one = Lag(5, 0, 12, 9, time.monotonic())
    assert (one.unstable_records, one.behind_records, one.is_read_to(9)) == (3, 4, False)
    assert one._replace(told_at=one.told_at - KNOWN_SECONDS).unstable_records is None
