"""A history of keyed rows, told from any point on, and what must hold of a journal that broke off in it.

Row ``i`` stands at position ``i + 1``, with the key ``key-i`` and a body that only `i` decides. So a journal
that holds the rows of one run up to some point and of another from there on, without one missing or twice, is
the same journal as that of a run without a break.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from nonzero_service.journal.chain import JournalEntry, JournalRow
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal

SIZES = (0, 10, 3_000, 70_000, 200_000)


def entry(i: int) -> JournalEntry:
    chance = random.Random(i)
    count = chance.randrange(50)
    record = KeyRecord(f"key-{i}", i.to_bytes(16, "little"), 100 * i, 0, count, True, answer(i))
    if i % 7 == 3:
        return JournalEntry("settings", 1, b'{"bits": %d}' % i)
    return JournalEntry("batch", 1, chance.randbytes(chance.choice(SIZES)), count, (record,))


def answer(i: int) -> dict[str, int]:
    return {"accepted": i}


def groups(start: int, stop: int) -> Iterator[list[JournalEntry]]:
    """Entries ``start`` to ``stop`` in the groups of one to three in which they are committed."""
    i = start
    while i < stop:
        size = min(stop - i, 1 + i % 3)
        yield [entry(j) for j in range(i, i + size)]
        i += size


def write(journal: Journal, stop: int, acknowledge: Callable[[int], object]) -> None:
    """Write the history on from where the journal ends, acknowledging each group's last position."""
    for group in groups(journal.position, stop):
        acknowledge(journal.append(group))


def assert_is_history(rows: list[JournalRow], keys: Callable[[str], KeyRecord | None]) -> None:
    """Check rows, whichever are held, and their keys against what was to be written."""
    for row in rows:
        expected = entry(row.position - 1)
        assert (row.kind, row.count, row.body) == (expected.kind, expected.count, expected.body)
        for record in expected.keys:
            assert keys(record.key) == record
    last = rows[-1].position if rows else 0
    assert keys(f"key-{last}") is None
    assert keys(f"key-{last + 1}") is None


def assert_recovers(directory: Path, acknowledged: int, stop: int) -> None:
    """Open a journal that broke off, hold it to its promise, and write the history to its end."""
    with SqliteJournal(directory) as journal:
        assert acknowledged <= journal.position <= acknowledged + 3  # what was in flight was one group
        assert_is_history(list(journal.read()), journal.lookup)
        write(journal, stop, lambda _: None)
    with SqliteJournal(directory, reached=stop) as journal:
        rows = list(journal.read())
        assert [row.position for row in rows] == list(range(journal.first_position, stop + 1))
        assert_is_history(rows, journal.lookup)
