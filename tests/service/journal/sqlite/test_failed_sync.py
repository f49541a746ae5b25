"""An fsync that fails: the outcome is unknown, no more is taken, and a new start tells what is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import apsw
import pytest

from nonzero_service.journal.errors import JournalError, JournalFailedError, OutcomeUnknownError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from service.journal.forking import STOP, acknowledged, careful, forked
from service.journal.history import assert_recovers, entry, write
from service.straced import needs_strace, traced


class FailingFile(apsw.VFSFile):
    """A file whose syncs fail on demand."""

    failing: ClassVar[set[str]] = set()

    def __init__(self, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path).name
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._name in self.failing:
            raise apsw.IOError("the disk is gone")
        super().xSync(flags)


class FailingVFS(apsw.VFS):
    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:  # noqa: N802
        return FailingFile(name, flags)


@pytest.fixture
def failing() -> Iterator[set[str]]:
    """The names of the files whose syncs fail."""
    vfs = FailingVFS("failing", "")
    yield FailingFile.failing
    FailingFile.failing.clear()
    vfs.unregister()


def test_a_failed_checkpoint_stops_the_journal_and_loses_nothing(
    failing: set[str], memory_path: Path
) -> None:
    with SqliteJournal(memory_path, vfs="failing") as journal:
        write(journal, STOP, lambda _: None)
        failing.add("journal.sqlite")
        with pytest.raises(JournalError, match="the disk is gone"):
            journal.checkpoint()
        with pytest.raises(JournalFailedError):
            journal.append([entry(STOP)])
    failing.clear()
    assert_recovers(memory_path, STOP, STOP)


def test_a_failed_commit_in_process(failing: set[str], memory_path: Path) -> None:
    with SqliteJournal(memory_path, vfs="failing") as journal:
        write(journal, STOP - 3, lambda _: None)
        failing.add("journal.sqlite-wal")
        with pytest.raises(OutcomeUnknownError):
            journal.append([entry(STOP - 3)])
        with pytest.raises(JournalFailedError):
            journal.append([entry(STOP - 3)])
        assert journal.position == STOP - 3
    failing.clear()
    assert_recovers(memory_path, STOP - 3, STOP)


@needs_strace
def test_the_outcome_is_unknown_until_a_new_start(memory_path: Path) -> None:
    unknown = 0
    for n in range(1, 9):
        place = memory_path / str(n)
        place.mkdir()
        child = forked(careful, place)
        with traced(child, "-e", f"inject=fdatasync:error=EIO:when={n}", "-e", "trace=fdatasync"):
            assert child.run() == 0
        if (place / "unknown").exists():
            unknown += 1
            assert (place / "refused").exists()
        assert_recovers(place, acknowledged(place), STOP)
    assert unknown >= 4
