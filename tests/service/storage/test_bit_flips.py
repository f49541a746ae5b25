"""One flipped bit in journal, WAL or mark: named, or proven harmless."""

import random
import shutil
from pathlib import Path

import pytest

from nonzero_service.storage.errors import JournalError
from nonzero_service.storage.journal import Journal
from nonzero_service.storage.keys import KeyRecord
from nonzero_service.storage.rows import Row
from reporting import Figure
from service.storage.history import write

FILES = ("journal.sqlite", "journal.sqlite-wal", "mark")
STOP = 40


def what_it_says(directory: Path) -> tuple[list[Row], list[KeyRecord | None]]:
    """All that a start reads, and that the rows then written still fit to it."""
    with Journal(directory) as journal:
        rows = list(journal.read())
        keys = [journal.lookup(f"key-{i}") for i in range(STOP)]
        write(journal, STOP + 4, lambda _: None)
        assert len(list(journal.read())) == len(rows) + 4
    return rows, keys


def flip(directory: Path, flips: int) -> tuple[int, int]:
    """Flip one random bit at a time; return how often it was named, and how often it was harmless."""
    original = directory / "original"
    original.mkdir()
    with Journal(directory / "original") as journal:
        write(journal, STOP // 2, lambda _: None)
        journal.truncate(6)
        journal.checkpoint()
        write(journal, STOP, lambda _: None)
        kept = {name: (original / name).read_bytes() for name in FILES}  # as a kill would leave them
    place = directory / "flipped"
    restore(place, kept)
    truth = what_it_says(place)
    assert len(truth[0]) == STOP - 5

    chance = random.Random(flips)
    named = harmless = 0
    for _ in range(flips):
        restore(place, kept)
        name = chance.choices(FILES, (9, 9, 2))[0]
        data = bytearray(kept[name])
        bit = chance.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        (place / name).write_bytes(data)
        try:
            found = what_it_says(place)
        except JournalError:
            named += 1
        else:
            assert found == truth, f"bit {bit} of {name}"
            harmless += 1
    return named, harmless


def restore(place: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)


def test_each_is_named_or_harmless(memory_path: Path) -> None:
    named, _ = flip(memory_path, 100)
    assert named > 30


@pytest.mark.soak
def test_each_is_named_or_harmless_long(memory_path: Path, figure: Figure) -> None:
    named, harmless = flip(memory_path, 1000)
    figure(
        "flipped bits in a bare journal, its WAL and mark",
        "1,000: each named, or the same rows and keys",
        f"{named} named, {harmless} harmless",
    )
    assert named > 300
