"""Members that are processes: killed, or stopped for longer than their lease."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nonzero_service.journal.postgres.leadership import steady
from service.cluster.members import LEASE, MemberProcess, check, make_tables
from waiting import until


@pytest.fixture
def started(database: str, tmp_path: Path) -> Iterator[list[MemberProcess]]:
    make_tables(database)
    processes = [MemberProcess(tmp_path, url=database, node=node, lease=LEASE) for node in "abc"]
    yield processes
    for process in processes:
        process.process.send_signal(signal.SIGCONT)
        process.kill()


def writer(processes: list[MemberProcess]) -> MemberProcess:
    """Return the one that writes, as it says itself."""

    def found() -> MemberProcess | None:
        return next(
            (one for one in processes if [e["role"] for e in one.events("role")][-1:] == ["writing"]), None
        )

    one = until(found)
    assert one is not None
    return one


def newest(process: MemberProcess) -> int:
    return until(lambda: process.acks())[-1].n


def test_who_is_killed_is_replaced(started: list[MemberProcess], database: str) -> None:
    first = writer(started)
    newest(first)
    first.kill()
    began, left = steady(), [one for one in started if one is not first]
    second = writer(left)
    newest(second)
    assert steady() - began < LEASE + 2
    assert second.stop() == 0
    newest(writer([one for one in left if one is not second]))
    check(database, *(one.acks() for one in started))


def test_who_is_stopped_acknowledges_nothing_when_it_goes_on(
    started: list[MemberProcess], database: str
) -> None:
    """Its lease is over by its own clock, and what it had sent is refused by its term."""
    first = writer(started)
    newest(first)
    first.process.send_signal(signal.SIGSTOP)
    left = [one for one in started if one is not first]
    second = writer(left)
    newest(second)
    taken = second.events("takes over")[-1]["at"]
    went_on = steady()
    first.process.send_signal(signal.SIGCONT)
    until(lambda: first.events("steps down"))
    said = first.events("steps down")[-1]
    assert said["at"] - went_on < 1
    assert [ack for ack in first.acks() if ack.sent > taken] == []
    assert second.events("steps down") == []
    # And a candidate that was stopped does not take over from one that is alive.
    third = next(one for one in left if one is not second)
    third.process.send_signal(signal.SIGSTOP)
    begun, reached = steady(), newest(second)
    until(lambda: steady() - begun > 1.5 * LEASE)
    third.process.send_signal(signal.SIGCONT)
    until(lambda: newest(second) > reached + 50)
    assert third.events("takes over") == second.events("steps down") == []
    check(database, *(one.acks() for one in started))
