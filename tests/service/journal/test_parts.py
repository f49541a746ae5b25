"""A part of a row is read by itself; of rows of some kinds, damaged ones are told of and passed over."""

from __future__ import annotations

import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import JournalDamagedError, JournalTooShortError, PrunedError
from service.journal.kept import Kept

LONG = bytes(range(256)) * 2000


def test_a_part_of_a_row_is_read_and_a_row_that_is_not_held_is_named(kept: Kept) -> None:
    with kept.open() as journal:
        journal.append([JournalEntry("label", 1, LONG), JournalEntry("batch", 1, b"abc")])
        assert journal.read_part(1, 300_000, 500) == LONG[300_000:300_500]
        assert journal.read_part(2, 1, 2) == b"bc"
        with pytest.raises(JournalTooShortError):
            journal.read_part(3, 0, 1)
        journal.truncate(2)
        with pytest.raises(PrunedError):
            journal.read_part(1, 0, 1)


def test_rows_of_some_kinds_are_read_and_a_damaged_one_is_passed_over(kept: Kept) -> None:
    with kept.open() as journal:
        journal.append([JournalEntry(kind, 1, kind.encode()) for kind in ("label", "batch", "label", "held")])
    told: list[JournalDamagedError] = []
    with kept.reader() as reader:
        assert [row.position for row in reader.read_of(("label", "held"), told.append)] == [1, 3, 4]
    assert told == []
    kept.change("UPDATE rows SET body = zeroblob(1) WHERE {model} AND position = 3")
    with kept.reader() as reader:
        assert [row.position for row in reader.read_of(("label", "held"), told.append)] == [1, 4]
    assert "position 3" in str(told[0])
