"""The journal's clock goes on whatever is done to the machine's, and can be set right."""

from __future__ import annotations

import time

import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.clock import LEAP_MS, SLACK_MS, Clock
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.verification import verify_journal
from nonzero_service.writer.entries import clock_entry
from service.journal.kept import Kept

SECOND = 1000
DAY = 24 * 3600 * SECOND
NOON = 1_700_000_000_000


class Machine:
    """A machine whose clock can be set: time passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = NOON, 0
        monkeypatch.setattr(time, "time_ns", lambda: self.wall * 10**6)
        monkeypatch.setattr(time, "clock_gettime_ns", lambda _: self.steady * 10**6)

    def passes(self, ms: int) -> None:
        self.wall += ms
        self.steady += ms


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_is_the_machines_clock(machine: Machine) -> None:
    clock = Clock(NOON - 400 * DAY)
    machine.passes(5 * DAY)
    assert (clock.now_ms(), clock.ahead_ms()) == (NOON + 5 * DAY, 0)


@pytest.mark.parametrize("back", [SECOND, SLACK_MS])
def test_a_little_behind_is_waited_for(machine: Machine, back: int) -> None:
    clock = Clock(0)
    machine.wall -= back
    told = []
    for _ in range(20):
        told.append(clock.now_ms())
        machine.passes(back // 10)
    assert told == sorted(told)
    assert told[:10] == [NOON] * 10
    assert clock.ahead_ms() == 0


@pytest.mark.parametrize("back", [SLACK_MS + 1, 3 * DAY, 20_000 * DAY])
def test_it_goes_on_where_the_machines_is_set_back(machine: Machine, back: int) -> None:
    clock = Clock(0)
    machine.wall -= min(back, machine.wall)
    machine.passes(7 * SECOND)
    assert clock.now_ms() == NOON + 7 * SECOND
    assert clock.ahead_ms() == min(back, NOON)
    machine.wall += min(back, NOON)
    assert (clock.now_ms(), clock.ahead_ms()) == (NOON + 7 * SECOND, 0)


@pytest.mark.parametrize("ahead", [SLACK_MS + 1, 3 * DAY, 400 * DAY])
def test_it_goes_on_after_a_row_from_the_future(machine: Machine, ahead: int) -> None:
    clock = Clock(NOON + ahead)
    for _ in range(5):
        machine.passes(DAY)
        clock.now_ms()
    assert clock.now_ms() == NOON + ahead + 5 * DAY


@pytest.mark.parametrize(("leap", "followed"), [(LEAP_MS, True), (LEAP_MS + 1, False), (400 * DAY, False)])
def test_a_long_leap_is_not_followed(machine: Machine, leap: int, followed: bool) -> None:
    clock = Clock(0)
    machine.wall += leap
    machine.passes(SECOND)
    machine.wall -= SECOND * followed  # exactly as far
    assert clock.now_ms() == NOON + (leap if followed else SECOND)
    assert clock.ahead_ms() == (0 if followed else -leap)
    clock.set(machine.wall)
    machine.passes(SECOND)
    assert clock.ahead_ms() == 0


def test_a_machine_that_sleeps_for_days_is_followed(machine: Machine) -> None:
    clock = Clock(0)
    machine.passes(5 * DAY)  # the steady clock counts them too
    assert clock.ahead_ms() == 0


# -- in a journal -------------------------------------------------------------------------------------------


def keyed(name: str) -> JournalEntry:
    return JournalEntry("batch", 1, b"", 0, (KeyRecord(name, b"d" * 16, 10, 0, 3, True, {}),))


def known(journal: Journal) -> set[str]:
    return {name for name in ("before", "wrong", "right") if journal.lookup(name) is not None}


def test_a_row_sets_it_back_and_keys_expire(machine: Machine, kept: Kept) -> None:
    with kept.open() as journal:
        journal.append([keyed("before")])
        machine.wall += 400 * DAY
    with kept.open() as journal:
        journal.append([keyed("wrong")])
        assert known(journal) == {"wrong"}, "a start follows the machine's clock"
        machine.wall -= 400 * DAY
        machine.passes(SECOND)
        journal.append([keyed("wrong")])
        assert journal.time_ms == NOON + 400 * DAY + SECOND
    for life in range(2):
        with kept.open() as journal:
            if not life:
                journal.append([clock_entry(journal.clock.now_ms(), machine.wall)])
                journal.append([keyed("right")])
            assert journal.time_ms == machine.wall == NOON + SECOND
            assert journal.clock.ahead_ms() == 0
            assert known(journal) == {"before", "wrong", "right"}
    machine.passes(DAY + SECOND)
    with kept.open() as journal:
        journal.append([keyed("new")])
        assert known(journal) == set()
        assert journal.expire_keys() == 4
        assert journal.lookup("new") is not None
    with kept.reader() as reader:
        assert verify_journal(reader).keys == 1


def test_keys_of_the_wrong_time_expire_without_new_ones(machine: Machine, kept: Kept) -> None:
    with kept.open() as journal:
        machine.wall += 400 * DAY
    with kept.open() as journal:
        journal.append([keyed("wrong")])
        machine.wall -= 400 * DAY
        journal.append([clock_entry(journal.clock.now_ms(), machine.wall)])
        machine.passes(DAY - SECOND)
        journal.append([JournalEntry("batch", 1, b"", 0)])
        assert known(journal) == {"wrong"}
        machine.passes(2 * SECOND)
        journal.append([JournalEntry("batch", 1, b"", 0)])
        assert known(journal) == set()
        assert journal.expire_keys() == 1
        assert journal.position == 4
