"""Power cuts: what durability=full acknowledged is there afterwards; with normal it need not be."""

import random
from pathlib import Path

import pytest

from nonzero_service.journal.errors import JournalTooShortError
from nonzero_service.journal.sqlite.journal import Durability, SqliteJournal
from reporting import Figure
from service.journal.history import assert_is_history, write
from service.journal.power import Acknowledge, Event, RecordingVFS, cut

STOP = 80


def recorded(directory: Path, durability: Durability) -> tuple[list[Event], dict[str, bytes]]:
    """Write a history, with checkpoints, prunings and a WAL begun anew; return what was written when."""
    directory.mkdir()
    events: list[Event] = []
    name = f"recording-{durability}"
    vfs = RecordingVFS(name, events)
    try:
        SqliteJournal(directory).close()
        before = {name: (directory / name).read_bytes() for name in ("journal.sqlite", "mark")}
        with SqliteJournal(directory, durability=durability, wal_limit=2**21, vfs=name) as journal:

            def acknowledge(position: int) -> None:
                events.append(Acknowledge(position, (directory / "mark").read_bytes()))

            for stop in range(10, STOP + 1, 10):
                write(journal, stop, acknowledge)
                journal.truncate(stop - 15)
                if stop % 20:
                    journal.checkpoint()
            return list(events), before  # without the close: it would sync all
    finally:
        vfs.unregister()


def lost(directory: Path, recording: tuple[list[Event], dict[str, bytes]], seeds: int) -> int:
    """Cut the power at a random moment with each seed; return how often something acknowledged was lost."""
    losses = 0
    for seed in range(seeds):
        place = directory / str(seed)
        place.mkdir()
        acknowledged = cut(*recording, place, random.Random(seed))
        try:
            with SqliteJournal(place) as journal:
                assert_is_history(list(journal.read()), journal.lookup)
                losses += journal.position < acknowledged
                write(journal, journal.position + 3, lambda _: None)
        except JournalTooShortError:  # the mark had reached the disk before the rows
            losses += 1
        for path in place.iterdir():
            path.unlink()
    return losses


def test_full_loses_nothing_acknowledged(memory_path: Path) -> None:
    assert lost(memory_path, recorded(memory_path / "recorded", "full"), 40) == 0


@pytest.mark.soak
def test_full_loses_nothing_acknowledged_long(memory_path: Path, figure: Figure) -> None:
    losses = lost(memory_path, recorded(memory_path / "recorded", "full"), 400)
    other = memory_path / "control"
    other.mkdir()
    control = lost(other, recorded(other / "recorded", "normal"), 400)
    figure(
        "power loss under a bare journal",
        "400 seeds: nothing acknowledged lost with `full`; `normal`, the control, loses",
        f"`full` lost in {losses} of 400, `normal` in {control}",
    )
    assert losses == 0
    assert control > 100


def test_normal_loses(memory_path: Path) -> None:
    """The positive control: a test that cannot see a loss would pass with either."""
    assert lost(memory_path, recorded(memory_path / "recorded", "normal"), 40) > 10
