"""The file of a history: bounded, and what is torn in it is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nonzero_service.history.events import Event, event_read
from nonzero_service.history.kept_file import KEPT, NBYTES, SERIES, HistoryFile
from nonzero_service.history.points import Point


def point(n: int) -> Point:
    return Point(n, n, n, n, (float(n), float(n), 0.0, 0.0, 0.0))


def test_a_file_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    found = HistoryFile(tmp_path / "history").read(*SERIES)
    assert {name: len(records) for name, records in found.items()} == dict.fromkeys(SERIES, 0)


def test_it_is_private_and_never_grows_beyond_its_size(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history")
    for name in SERIES:
        for n in range(0, 3 * KEPT, 7):
            record = Event(n, n, n, "start", "x").packed(n) if name == "events" else point(n).packed(n)
            file.write([(name, n, record)])
    assert file.path.stat().st_size <= NBYTES <= 600_000
    assert file.path.stat().st_mode & 0o777 == 0o600
    numbers = file.read("minute")["minute"]["number"]
    assert numbers.tolist() == sorted(numbers)
    assert numbers.max() == 3 * KEPT - 1 - (3 * KEPT - 1) % 7


@pytest.mark.parametrize("torn", [0, 3, 50, 119])
def test_a_record_that_is_torn_is_passed_over(tmp_path: Path, torn: int) -> None:
    file = HistoryFile(tmp_path / "history")
    file.write(("minute", n, point(n).packed(n)) for n in range(3))
    with file.path.open("r+b") as bytes_:
        bytes_.seek(SERIES["minute"].place(1) + torn)
        old = bytes_.read(1)
        bytes_.seek(-1, 1)
        bytes_.write(bytes([old[0] ^ 0x40]))
    assert file.read("minute")["minute"]["number"].tolist() == [0, 2]


def test_a_file_that_ends_in_a_record_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history")
    file.write(("day", n, point(n).packed(n)) for n in range(3))
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: SERIES["day"].place(2) + 7])
    assert file.read("day")["day"]["number"].tolist() == [0, 1]


def test_texts_are_cut_between_characters(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "history")
    said = Event(1, 2, 3, "pause", "ä" * 500)
    file.write([("events", 0, said.packed(0))])
    [kept] = file.read("events")["events"]
    assert event_read(kept) == said._replace(text="ä" * 128)


def test_a_pipe_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "history"
    os.mkfifo(path)
    kept = HistoryFile(path)
    with pytest.raises(OSError, match="Illegal seek"):
        kept.read("minute")
    with pytest.raises(OSError, match="No such device"):
        kept.write([])
    kept.replace([])
    assert len(kept.read("minute")["minute"]) == 0
