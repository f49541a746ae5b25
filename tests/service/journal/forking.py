"""Processes that write a journal and are killed at it, forked from one that has imported everything.

Run as a program it reads lines ``name directory`` from stdin, forks a child that waits for a byte and then
runs the script of that name on that directory, and answers with the child's pid; then it waits for the next
line, which is ``go`` (let the child run, answer with its exit status) or ``drop`` (the same, without running
the script).
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.errors import JournalFailedError, OutcomeUnknownError
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.lock import DirectoryLock
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
    with Journal(directory) as journal:
        history.write(journal, STOP // 2, acknowledge)
        journal.checkpoint()
        history.write(journal, STOP // 2 + 2, acknowledge)
        journal.truncate(4)
        journal.expire_keys()
        journal.checkpoint()
        history.write(journal, STOP // 2 + 4, acknowledge)  # begins the WAL anew
    with Journal(directory) as journal:
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

    with Journal(directory, wal_limit=2**21) as journal:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        while True:
            time.sleep(0.005)
            journal.truncate(journal.position - 200)


def careful(directory: Path) -> None:
    """Write until a commit fails half-way; then say so, and check that no more is taken."""
    journal = Journal(directory)
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


SCRIPTS = {"scripted": scripted, "concurrent": concurrent, "careful": careful, "holding": holding}


class Child:
    """A forked process that waits to be let go."""

    def __init__(self, server: "subprocess.Popen[str]", name: str, directory: Path) -> None:
        self._server = server
        self.pid = int(self._ask(f"{name} {directory}"))

    def run(self) -> int:
        """Let it go and return its exit status: minus the signal that killed it."""
        return int(self._ask("go"))

    def start(self) -> None:
        """Let it go."""
        self._tell("go")

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._server.stdout is not None
        assert self._server.stdout.readline().strip() == str(-signal.SIGKILL)

    def drop(self) -> None:
        """End it without running its script."""
        self._ask("drop")

    def _tell(self, line: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()

    def _ask(self, line: str) -> str:
        self._tell(line)
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


class Forking:
    """The process from which children are forked."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server

    def child(self, name: str, directory: Path) -> Child:
        return Child(self._server, name, directory)


@contextmanager
def forking() -> Iterator[Forking]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        yield Forking(server)
        assert server.stdin is not None
        server.stdin.close()


@contextmanager
def traced(child: Child, *options: str) -> Iterator[None]:
    """Attach strace to a child that waits, or skip the test where it may not."""
    command = ["strace", "-f", "-qq", "-p", str(child.pid), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        status = Path(f"/proc/{child.pid}/status")
        while f"TracerPid:\t{strace.pid}\n" not in status.read_text():
            if strace.poll() is not None:
                child.drop()
                assert strace.stderr is not None
                pytest.skip(f"strace cannot attach: {strace.stderr.read()}")
            time.sleep(0.001)
        yield
        assert strace.stderr is not None
        strace.stderr.read()


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve() -> None:
    for line in sys.stdin:
        name, directory = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            # Where only a parent may trace (yama), let any process do so.
            ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
            status = 70
            try:
                if os.read(reading, 1) == b"g":
                    SCRIPTS[name](Path(directory))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        answer(pid)
        os.write(writing, sys.stdin.readline()[:1].encode())
        answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(reading)
        os.close(writing)


if __name__ == "__main__":
    serve()
