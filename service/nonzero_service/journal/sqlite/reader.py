"""Reading a journal's file beside its writer, or from another process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import apsw

from nonzero_service.journal.errors import JournalClosedError
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.sqlite.database import connect
from nonzero_service.journal.sqlite.mark import read_mark
from nonzero_service.journal.sqlite.moment import RESTORE, SqliteMoment, one_moment
from nonzero_service.journal.sqlite.opening import check_mark


class JournalReader(JournalRows):
    """A journal opened for reading only; any number may be open beside the writer, in any process.

    It takes part in SQLite's locks, and never changes the file or its WAL.

    Parameters
    ----------
    directory
        The model's directory.

    Raises
    ------
    JournalError
        Where there is no journal, or it cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "journal.sqlite"
        self.place, self.restore = str(self.path), RESTORE
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = connect(self.path, readonly=True)

    def close(self) -> None:
        """Close the journal; a second call does nothing."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_end(self) -> None:
        """Refuse a journal that is not the one of its mark, or has lost its end."""
        check_mark(self, read_mark(self.directory / "mark"))

    @contextmanager
    def _reading(self) -> Iterator[SqliteMoment]:
        with self._lock:
            if self._connection is None:
                raise JournalClosedError(f"{self.path} has been closed")
            with one_moment(self.path, self._connection) as moment:
                yield moment
