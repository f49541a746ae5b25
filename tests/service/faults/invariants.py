"""What must hold of a data directory at every moment, whatever was done to the service.

I1  What was acknowledged is in the journal.
I2  Each key was applied once.
I3  The recovered model's digest, accumulators included, is that of an offline fold of the journal.
I4  Positions have no hole, and the chain of digests holds.
I5  What is there and was not acknowledged is at most what was in flight.
"""

from __future__ import annotations

from pathlib import Path

from nonzero import LogisticRegression
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.recovery import recover
from nonzero_service.writer import fold
from nonzero_service.writer.entries import start_of
from service.faults.clients import Clients


def silent(*_: object) -> None:
    """Be told how far something is."""


class Oracle:
    """The offline fold of a journal that keeps all its rows, continued as it grows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._model: LogisticRegression | None = None
        self._position = 0
        self._digest: bytes | None = None

    def fold(self) -> LogisticRegression:
        """Fold the rows that have come since; each is checked against the chain (I4)."""
        with JournalReader(self.directory) as reader:
            if self._digest is not None:
                assert reader.digest_at(self._position) == self._digest
            for row in reader.read(self._position + 1):
                assert row.position == self._position + 1
                if self._model is None:
                    self._model = LogisticRegression.from_settings(start_of(row).settings)
                self._model = fold.apply(self._model, row, reader.read)
                self._position, self._digest = row.position, row.digest
        assert self._model is not None
        return self._model

    def pruned(self) -> bool:
        """Whether the first rows have been given up."""
        with JournalReader(self.directory) as reader:
            return reader.base.position > 0

    def records(self) -> dict[str, KeyRecord]:
        """Return the newest record of every key."""
        with JournalReader(self.directory) as reader:
            return {record.key: record for _, _, records in reader.read_keys() for record in records}


def check(oracle: Oracle, clients: Clients, keyless: int = 0) -> None:
    """Check I1 to I5 of what a service left, and start from it as a service would.

    `keyless` examples were acknowledged beside those that came with a key.
    """
    folded = oracle.fold()
    records = oracle.records()
    acknowledged, in_flight = clients.acknowledged(), clients.in_flight()
    for key, (examples, sequence) in acknowledged.items():  # I1
        record = records[key]
        assert record.complete
        assert (record.rows, record.answer["sequence"]) == (examples, sequence)
    for key in records.keys() - acknowledged.keys():  # I5
        assert records[key].rows <= in_flight[key]
    assert folded.examples == keyless + sum(record.rows for record in records.values())  # I2
    kept = recover(oracle.directory, SqliteJournal, silent)
    try:
        assert kept.model.digest() == folded.digest()  # I3
    finally:
        kept.journal.close()
    assert not [problem for client in clients.all for problem in client.problems]  # I6
