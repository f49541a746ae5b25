"""A model that follows a journal of SQLite: what a node does by PostgreSQL, without a database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from nonzero_service.cluster.tailing import Tail
from nonzero_service.journal.chain import JournalEntry, JournalRow, Tip
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.ends import JournalEnd, JournalEnds
from nonzero_service.journal.errors import JournalReadOnlyError, JournalTooShortError
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.moment import Moment
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.common import Common
from nonzero_service.models.opening import open_model
from nonzero_service.models.replica import Folded
from nonzero_service.models.served import ServedModel
from nonzero_service.writer.tail_applier import TailApplier


class ReadJournal(Journal):
    """A journal of SQLite that another has, as who follows it reads it."""

    is_shared = True

    def __init__(self, directory: Path, of: Path, reached: int = 0) -> None:
        self._reader = JournalReader(of)
        self.directory, self.place, self.restore = directory, str(of), "restore it"
        self._tip = self._reader.tip
        if self._tip.position < reached:
            raise JournalTooShortError(f"it ends at {self._tip.position}, before {reached}")
        self.clock = Clock(self._tip.time_ms)

    @property
    def tip(self) -> Tip:
        return self._tip

    def _reading(self) -> AbstractContextManager[Moment]:
        return self._reader._reading()

    def advance(self, row: JournalRow) -> None:
        assert row.position == self._tip.position + 1
        self._tip = Tip(row.position, row.next_sequence, row.time_ms, row.digest, row.keys_digest)

    def append(self, entries: Sequence[JournalEntry]) -> int:
        raise JournalReadOnlyError(f"{len(entries)} rows")

    def truncate(self, before: int) -> int:
        raise JournalReadOnlyError(f"before {before}")

    def _index_on(self) -> None:
        """Index nothing: who follows asks for no keys."""

    def expire_keys(self) -> int:
        raise JournalReadOnlyError("keys")

    @property
    def nbytes(self) -> int:
        return 0

    def close(self) -> None:
        self._reader.close()


class ReadJournals:
    """Opens the journals that are in another place."""

    is_crowded = False

    def __init__(self, of: Path) -> None:
        self.of = of

    def open(self, directory: Path, *, reached: int = 0) -> ReadJournal:
        return ReadJournal(directory, self.of / directory.name, reached)

    def close_idle(self) -> None:
        """Close nothing."""

    def close(self) -> None:
        """Close nothing."""


class FileEnds:
    """Says where the journals of models in files end; their numbers are their places in a list."""

    is_primary = True

    def __init__(self, *directories: Path) -> None:
        self._readers = [JournalReader(one) for one in directories]
        self._said: dict[int, JournalEnd] = {}

    def look(self, *, anyway: bool) -> JournalEnds | None:
        tips = {number: reader.tip for number, reader in enumerate(self._readers)}
        ends = {number: JournalEnd(one.position, one.sequence, one.digest) for number, one in tips.items()}
        if ends == self._said and not anyway:
            return None
        self._said = ends
        return JournalEnds(ends, self.is_primary)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def copied(written: Path, into: Path) -> Path:
    """Make the directory of a model that follows: what stands beside a journal, without snapshots."""
    into.mkdir(parents=True)
    shutil.copy(written / "model.json", into)
    return into


class Follower:
    """A model that follows one in a directory, and what works for it."""

    def __init__(self, written: Path, here: Path, common: Common) -> None:
        self.path = (
            here / written.name if (here / written.name).exists() else copied(written, here / written.name)
        )
        self.common = common
        self.ends = FileEnds(written)
        self.lost: list[Exception] = []
        self.failures: list[Exception] = []
        self.tail = Tail(self.ends, lambda: None)

    async def open(self, folded: Folded | None = None) -> ServedModel:
        served = await open_model(
            self.path.name,
            self.path,
            self.common,
            shared=False,
            following=True,
            folded=folded,
            on_failure=self.failures.append,
        )
        assert served.replica is not None
        served.replica.asked = lambda: self.tail.as_of
        assert isinstance(served.learner.applier, TailApplier)
        self.tail.follow(0, served.learner.applier, served.stored.journal, served.replica, self.lost.append)
        return served

    def close(self) -> None:
        self.tail.close()
        self.ends.close()


def rows_of(directory: Path) -> Iterator[JournalRow]:
    with JournalReader(directory) as reader:
        yield from reader.read()
