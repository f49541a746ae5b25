"""The mark says how far the journal had come, or that it cannot tell."""

from pathlib import Path
from unittest.mock import patch

import pytest

from nonzero_service.journal.errors import JournalDamagedError
from nonzero_service.journal.sqlite.mark import MarkFile, read_mark

DIGEST = bytes(range(16))


def test_the_last_one_written_is_read(memory_path: Path) -> None:
    path = memory_path / "mark"
    assert read_mark(path) is None
    with MarkFile(path, 5, DIGEST, synced=False) as file:
        mark = read_mark(path)
        assert mark is not None
        assert (mark.position, mark.synced) == (5, False)
        for position in (0, 7, 2**40):
            file.write(position, DIGEST, synced=True)
            mark = read_mark(path)
            assert mark is not None
            assert (mark.position, mark.digest, mark.synced) == (position, DIGEST, True)
    file.close()
    assert path.stat().st_size == 64


def test_every_flipped_bit_is_noticed(memory_path: Path) -> None:
    path = memory_path / "mark"
    MarkFile(path, 123, DIGEST, synced=True).close()
    data = path.read_bytes()
    with patch("time.sleep"):
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with pytest.raises(JournalDamagedError, match="mark"):
                read_mark(path)
        for other in (b"", data[:-1], data + b"\0"):
            path.write_bytes(other)
            with pytest.raises(JournalDamagedError):
                read_mark(path)


def test_only_an_unsynced_mark_of_another_boot_may_be_ahead(memory_path: Path) -> None:
    path = memory_path / "mark"
    for synced in (True, False):
        MarkFile(path, 1, DIGEST, synced=synced).close()
        mark = read_mark(path)
        assert mark is not None
        assert not mark.may_be_ahead
        with patch("nonzero_service.journal.sqlite.mark.this_boot", return_value=b"b" * 16):
            assert mark.may_be_ahead is not synced
