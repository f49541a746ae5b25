"""One flipped bit in journal, WAL or mark: named, or proven harmless."""

from pathlib import Path

import pytest

from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import JournalError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from reporting import Figure
from service.journal.flipping import flip
from service.journal.history import write

FILES = {"journal.sqlite": 9, "journal.sqlite-wal": 9, "mark": 2}
"""How often a bit of each is flipped."""
STOP = 40


def what_it_says(directory: Path) -> tuple[list[JournalRow], list[KeyRecord | None]]:
    """All that a start reads, and that the rows then written still fit to it."""
    with SqliteJournal(directory) as journal:
        rows = list(journal.read())
        assert len(rows) == STOP - 5
        keys = [journal.lookup(f"key-{i}") for i in range(STOP)]
        write(journal, STOP + 4, lambda _: None)
        assert len(list(journal.read())) == len(rows) + 4
    return rows, keys


def flips(directory: Path, n: int) -> tuple[int, int]:
    """Flip `n` random bits, one at a time; return how often it was named, and how often it was harmless."""
    original = directory / "original"
    original.mkdir()
    with SqliteJournal(original) as journal:
        write(journal, STOP // 2, lambda _: None)
        journal.truncate(6)
        journal.checkpoint()
        write(journal, STOP, lambda _: None)
        kept = {name: (original / name).read_bytes() for name in FILES}  # as a kill would leave them
    named, harmless = flip(kept, FILES, directory / "flipped", n, what_it_says, JournalError)
    return named, len(harmless)


def test_each_is_named_or_harmless(memory_path: Path) -> None:
    named, _ = flips(memory_path, 100)
    assert named > 30


@pytest.mark.soak
def test_each_is_named_or_harmless_long(memory_path: Path, figure: Figure) -> None:
    named, harmless = flips(memory_path, 1000)
    figure(
        "flipped bits in a bare journal, its WAL and mark",
        "1,000: each named, or the same rows and keys",
        f"{named} named, {harmless} harmless",
    )
    assert named > 300
