"""Journals of both kinds, kept where a test can open them again, read them, and damage them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import apsw

from nonzero_service.journal.journal import Journal
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from service.journal.postgres_models import change, followed, new_model, take_over, written


class Kept(ABC):
    """One journal, wherever it is kept."""

    @abstractmethod
    def open(self, reached: int = 0) -> Journal:
        """Open it for writing, as a start does."""

    @abstractmethod
    def reader(self) -> AbstractContextManager[JournalRows]:
        """Open it for reading."""

    @abstractmethod
    def change(self, statement: str) -> None:
        """Change its tables while it is closed; ``{model}`` stands for the condition that a row is of it."""


class KeptInFile(Kept):
    """One in a file."""

    def __init__(self, directory: Path, sequence: int = 0) -> None:
        self.directory, self.sequence = directory, sequence

    def open(self, reached: int = 0) -> SqliteJournal:
        return SqliteJournal(self.directory, reached=reached, sequence=self.sequence)

    def reader(self) -> AbstractContextManager[Any]:
        return JournalReader(self.directory)

    def change(self, statement: str) -> None:
        connection = apsw.Connection(str(self.directory / "journal.sqlite"))
        connection.execute(statement.format(model="true")).fetchall()
        connection.close()


class KeptInDatabase(Kept):
    """One in a database; each opening has a term of its own."""

    def __init__(self, database: Database, url: str, sequence: int = 0) -> None:
        self.database, self.url = database, url
        self.model = new_model(database, sequence)

    def open(self, reached: int = 0) -> Journal:
        return written(self.database, self.model, take_over(self.database), reached)

    def reader(self) -> AbstractContextManager[Any]:
        return followed(self.database, self.model)

    def change(self, statement: str) -> None:
        zeros = "CREATE OR REPLACE FUNCTION zeroblob(integer) RETURNS bytea LANGUAGE sql AS $$ SELECT "
        zeros += "decode(repeat('00', $1), 'hex') $$;"
        statement = statement.format(model=f"model = {self.model}")
        change(self.url, f"SET search_path = nonzero; {zeros} {statement}")
