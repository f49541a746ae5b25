"""Processes that write a journal and are killed at it."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fork_server import Child, fork_server
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import JournalFailedError, OutcomeUnknownError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.lock import DirectoryLock
from nonzero_service.journal.sqlite.journal import SqliteJournal
from service.journal import history

STOP = 16
THREADS = 4


class Acknowledgements:
    """A file of positions, each written when its append has returned."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, position: object) -> None:
        os.write(self._descriptor, f"{position}\n".encode())


def acknowledged(directory: Path) -> int:
    """The last position that a script acknowledged."""
    path = directory / "acknowledged"
    return int(path.read_text().split()[-1]) if path.exists() and path.stat().st_size else 0


def scripted(directory: Path) -> None:
    """Do everything that a journal does, in one thread."""
    acknowledge = Acknowledgements(directory / "acknowledged")
    with SqliteJournal(directory) as journal:
        history.write(journal, STOP // 2, acknowledge)
        journal.checkpoint()
        history.write(journal, STOP // 2 + 2, acknowledge)
        journal.truncate(4)
        journal.expire_keys()
        journal.checkpoint()
        history.write(journal, STOP // 2 + 4, acknowledge)  # begins the WAL anew
    with SqliteJournal(directory) as journal:
        history.write(journal, STOP, acknowledge)


def concurrent(directory: Path) -> None:
    """Write from several threads for ever, each with keys of its own."""

    def run(thread: int) -> None:
        path = directory / f"acknowledged-{thread}"
        acknowledge = Acknowledgements(path)
        n = path.read_text().count("\n")
        if journal.lookup(f"{thread}-{n}"):  # it was in flight when the last process was killed
            acknowledge(n)
            n += 1
        while True:
            text = f"{thread}-{n}"
            body = text.encode().ljust(1000 * (n % 5) + len(text), b" ")
            journal.append([JournalEntry("batch", 1, body, 1, (KeyRecord(text, b"", 0, 0, 1, True, {}),))])
            acknowledge(n)
            n += 1

    with SqliteJournal(directory, wal_limit=2**21) as journal:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        while True:
            time.sleep(0.005)
            journal.truncate(journal.position - 200)


def careful(directory: Path) -> None:
    """Write until a commit fails half-way; then say so, and check that no more is taken."""
    journal = SqliteJournal(directory)
    try:
        history.write(journal, STOP, Acknowledgements(directory / "acknowledged"))
    except OutcomeUnknownError:
        (directory / "unknown").touch()
        try:
            journal.append([history.entry(99)])
        except JournalFailedError:
            (directory / "refused").touch()
    journal.close()


def holding(directory: Path) -> None:
    """Hold the directory's lock until killed."""
    with DirectoryLock(directory):
        (directory / "held").touch()
        time.sleep(60)


def forked(script: Callable[[Path], None], directory: Path) -> Child:
    """Fork a process that runs a script on a directory when it is let go."""
    return fork_server().fork(f"{__name__}:run", script=script.__name__, directory=str(directory))


def run(script: str, directory: str) -> None:
    """Be that process."""
    globals()[script](Path(directory))
