"""kill -9: at random moments of a busy writer, and at every system call that changes a file."""

import random
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from reporting import Figure
from service.journal.forking import STOP, THREADS, acknowledged, concurrent, forked, scripted
from service.journal.history import assert_recovers
from service.straced import needs_strace, traced
from waiting import SECONDS, until

WRITES = ("pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink")


def kill_at_random(directory: Path, kills: int) -> int:
    """Kill a busy writer again and again; return how many rows it wrote in all."""
    chance = random.Random(kills)
    for _ in range(kills):
        child = forked(concurrent, directory)
        written = count(directory) + chance.randrange(200)
        child.go()
        until(lambda written=written: count(directory) >= written)  # type: ignore[misc]
        child.kill()
        assert child.wait(SECONDS) == -9
        assert_nothing_lost_or_twice(directory, 50)
    assert_nothing_lost_or_twice(directory, 10**9)
    with JournalReader(directory) as reader:
        assert reader.tip.position > 2 * kills  # it was at work, on however busy a machine
        return reader.tip.position


def count(directory: Path) -> int:
    """How many rows were acknowledged."""
    return sum(path.read_bytes().count(b"\n") for path in directory.glob("acknowledged-*"))


def assert_nothing_lost_or_twice(directory: Path, newest: int) -> None:
    """Check the rows, and the `newest` keys of each thread."""
    with SqliteJournal(directory) as journal:
        rows = list(journal.read())  # checks the chain, and that there are no holes
        assert set(Counter(row.body.strip() for row in rows).values()) <= {1}
        assert journal.next_sequence == journal.position
        present = 0
        for thread in range(THREADS):
            path = directory / f"acknowledged-{thread}"
            count = path.read_text().count("\n") if path.exists() else 0
            for n in range(max(0, count - newest), count):
                assert journal.lookup(f"{thread}-{n}") is not None
            assert journal.lookup(f"{thread}-{count + 1}") is None  # at most the one in flight
            present += count + (journal.lookup(f"{thread}-{count}") is not None)
        assert journal.position == present


def test_random_moments(memory_path: Path) -> None:
    kill_at_random(memory_path, 12)


@pytest.mark.soak
def test_random_moments_long(memory_path: Path, figure: Figure) -> None:
    written = kill_at_random(memory_path, 200)
    figure(
        "`kill -9` of a bare journal's writer at random moments",
        "200 kills: no row lost, none twice",
        f"200 kills, {written:,} rows: none lost, none twice",
    )


def writes_of_script(directory: Path) -> Counter[str]:
    """How often the script makes each system call that changes a file, when nothing stops it."""
    directory.mkdir()
    log = directory / "strace"
    child = forked(scripted, directory)
    with traced(child, "-o", str(log), "-e", f"trace={','.join(WRITES)}"):
        assert child.run() == 0
    return Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))


def kill_at_writes(directory: Path, share: int) -> int:
    """Kill the script at every `share`-th of its writes, and return at how many."""
    writes = writes_of_script(directory / "whole")
    assert_recovers(directory / "whole", STOP, STOP)
    points = [(call, n) for call in WRITES for n in range(1, writes[call] + 1)]
    for call, n in points[::share]:
        place = directory / f"{call}-{n}"
        place.mkdir()
        child = forked(scripted, place)
        with traced(child, "-e", f"inject={call}:signal=SIGKILL:when={n}", "-e", f"trace={call}"):
            assert child.run() == -9
        assert_recovers(place, acknowledged(place), STOP)
        shutil.rmtree(place)
    return len(points[::share])


@needs_strace
def test_every_write(memory_path: Path) -> None:
    assert kill_at_writes(memory_path, 16) > 10


@needs_strace
@pytest.mark.soak
def test_every_write_long(memory_path: Path, figure: Figure) -> None:
    points = kill_at_writes(memory_path, 1)
    figure(
        "`kill -9` of a bare journal's writer at each system call that writes",
        "every point recovers",
        f"{points} points: every one recovered",
    )
    assert points > 100
