"""PostgreSQL as those run it who keep journals there: a primary, and its standby where one is asked for.

Debian's programs, as the user ``postgres`` where this process is root, on free ports of the loopback. All
ends with the process that began it, however that ends.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from machine import children, free_port, has_ended
from waiting import SECONDS, until

__all__ = ["Cluster", "Server", "postgresql"]

TEMPLATES = Path(__file__).parent.parent / "build/postgresql"
"""Where new data directories are kept, of each version and user: to make one takes four times as long."""

USER = "postgres"
"""Who owns the database, and who runs the server where this process is root."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in the data directory: a killed server leaves nothing elsewhere
    "shared_buffers": "32MB",
    "jit": "off",
    "synchronous_commit": "remote_apply",
    "wal_keep_size": "256MB",
    "max_wal_size": "256MB",
}

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Bytes that are free where servers are kept in memory."""


@cache
def programs() -> Path:
    """Return the directory of the newest server's programs; skip where there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("postgres")
    if on_path:
        found.insert(0, Path(on_path))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return found[0].resolve().parent


def unprivileged(*command: str | Path) -> list[str]:
    """Return a command as it is run by who may run a server, and that is ended when this process ends."""
    who = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *who, "--pdeathsig=QUIT", "--", *map(str, command)]


def run(program: str, *arguments: str | Path) -> str:
    """Run one of PostgreSQL's programs to its end; return what it says."""
    done = subprocess.run(
        unprivileged(programs() / program, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (program, done.stdout)
    return done.stdout


def new_data(path: Path) -> None:
    """Make a data directory."""
    version = run("postgres", "--version").split()[2]
    template = TEMPLATES / f"{version}-{os.geteuid()}"
    if not template.exists():
        run("initdb", "--auth=trust", f"--username={USER}", "--locale=C.UTF-8", "--no-sync", "-D", path)
        with (path / "postgresql.conf").open("a") as file:
            file.write("include 'test.conf'\n")
        with suppress(OSError):  # another process was quicker, or nothing may be written there
            TEMPLATES.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=TEMPLATES) as place:
                copy(path, Path(place, "data"))
                Path(place, "data").rename(template)
    else:
        copy(template, path)


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)


class Server:
    """One server: it can be killed, stopped and begun again.

    Parameters
    ----------
    place
        A directory that belongs to who runs it.
    name
        What it calls itself when it follows another.
    """

    def __init__(self, place: Path, name: str) -> None:
        self.name = name
        self.data = place / name
        self.log = place / f"{name}.log"
        self.port = free_port()
        self.settings = dict(SETTINGS)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped: list[int] = []

    @property
    def url(self) -> str:
        """The address of the database that each server has from the start."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def url_of(self, database: str) -> str:
        """Return the address of a database of the cluster at this server alone."""
        return urlsplit(database)._replace(netloc=urlsplit(self.url).netloc).geturl()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self) -> None:
        """Begin it, and wait until it takes connections."""
        assert self._process is None, f"{self.name} runs already"
        for _ in range(5):
            self._write_settings()
            with self.log.open("ab") as log:
                begun = log.tell()
                self._process = subprocess.Popen(
                    unprivileged(programs() / "postgres", "-D", self.data, "-p", str(self.port)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                )
            if until(lambda: self._state() or self.has_ended()) in ("ready", "standby"):
                return
            self._process = None
            said = self.log.read_bytes()[begun:].decode()
            if "could not bind" not in said:
                break
            self.port = free_port()  # somebody took it meanwhile
        raise AssertionError(f"{self.name} has not started: {said}")

    def _state(self) -> str:
        """Return what it writes down of itself, when that is of the process which runs now."""
        with suppress(FileNotFoundError, IndexError, ValueError):
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            if int(lines[0]) == self.pid and lines[7].strip() in ("ready", "standby"):
                return lines[7].strip()
        return ""

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def configure(self, **settings: str) -> None:
        """Change settings; who connects from now on finds them."""
        self.settings |= settings
        self._write_settings()
        os.kill(self.pid, signal.SIGHUP)
        for name, value in settings.items():
            until(lambda name=name, value=value: self.ask("SELECT current_setting(%s)", name) == value)  # type: ignore[misc]

    def _write_settings(self) -> None:
        lines = [f"{name} = '{value}'\n" for name, value in self.settings.items()]
        (self.data / "test.conf").write_text("".join(lines))

    def ask(self, query: str, *arguments: Any) -> Any:
        """Return the one value that a statement gives; None where it gives none."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), arguments or None)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def kill(self) -> None:
        """End it, and all its processes, at once: as a power cut would."""
        every = self._stop_all()
        for pid in every:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(SECONDS)
        until(lambda: all(map(has_ended, every)))
        self._process, self._stopped = None, []
        # What only the server itself would remove.
        segment = re.search(r"^ +\d+ +(\d+) *$", (self.data / "postmaster.pid").read_text(), re.MULTILINE)
        if segment:
            ctypes.CDLL(None).shmctl(int(segment[1]), 0, None)

    def stop_signal(self) -> None:
        """Stop it, and all its processes, as a machine that hangs: what connects is kept waiting."""
        self._stopped = self._stop_all()

    def cont(self) -> None:
        """Let it go on."""
        for pid in reversed(self._stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped = []

    def _stop_all(self) -> list[int]:
        """Stop all processes, first the one that begins others."""
        os.kill(self.pid, signal.SIGSTOP)
        others = children(self.pid)
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return [self.pid, *others]

    def end(self) -> None:
        """End it as is quickest; nothing of it is left on the machine but its files."""
        if self._process is None:
            return
        self.cont()
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def promote(self) -> None:
        """Let a standby be a primary, which waits for no standby of its own until it is given one."""
        self.configure(synchronous_standby_names="")
        assert self.ask("SELECT pg_promote()") is True

    def follow(self, primary: Server) -> None:
        """Begin it as a standby of another, of which it takes a copy first; return when it has caught up."""
        assert self.has_ended(), f"{self.name} runs"
        self._process = None
        shutil.rmtree(self.data, ignore_errors=True)
        run(
            *("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
            *("-D", self.data, "-d", f"{primary.url}?application_name={self.name}"),
        )
        self.settings["synchronous_standby_names"] = ""
        self.start()
        query = "SELECT state FROM pg_stat_replication WHERE application_name = %s"
        until(lambda: primary.ask(query, self.name) == "streaming")


class Cluster:
    """A primary, and a synchronous standby where there is one.

    Parameters
    ----------
    place
        A directory that belongs to who runs the servers.
    standby
        Whether there is one.
    """

    _names = itertools.count()

    def __init__(self, place: Path, *, standby: bool = False) -> None:
        self.primary = Server(place, "one")
        self._standby = Server(place, "two") if standby else None
        self.servers = [self.primary, *([self._standby] if self._standby else [])]
        """In the order in which :attr:`url` names them."""

    @property
    def standby(self) -> Server:
        assert self._standby is not None, "this cluster has one server"
        return self._standby

    def start(self) -> None:
        new_data(self.primary.data)
        self.primary.start()
        if self._standby:
            self._standby.follow(self.primary)
            self._be_synchronous()

    def _be_synchronous(self) -> None:
        """Have each commit wait until the standby shows it."""
        self.primary.configure(synchronous_standby_names=self.standby.name)
        query = "SELECT sync_state FROM pg_stat_replication WHERE application_name = %s"
        until(lambda: self.primary.ask(query, self.standby.name) == "sync")

    @property
    def url(self) -> str:
        """The address of the database that each server has from the start, with all servers in it."""
        return self._url("postgres")

    def _url(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://{USER}@{hosts}/{quote(database)}"

    def database(self, name: str | None = None, encoding: str = "UTF8") -> str:
        """Make an empty database; return its address, with all servers in it."""
        name = name or f"test_{next(self._names)}"
        create = "CREATE DATABASE {} TEMPLATE {} LOCALE {} ENCODING {}"
        template, locale = ("template1", "C.UTF-8") if encoding == "UTF8" else ("template0", "C")
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL(create).format(sql.Identifier(name), sql.Identifier(template), locale, encoding)
            )
        return self._url(name)

    def fail_over(self) -> Server:
        """Kill the primary and promote the standby, as who runs them would; return the new primary."""
        lost = self.primary
        if not lost.has_ended():
            lost.kill()
        self.standby.promote()
        self.primary, self._standby = self.standby, lost
        return self.primary

    def rejoin(self) -> None:
        """Make the server that was lost the synchronous standby of the other."""
        self.standby.follow(self.primary)
        self._be_synchronous()

    def end(self) -> None:
        """End all that runs."""
        for server in self.servers:
            server.end()


@contextmanager
def postgresql(*, standby: bool = False, on_disk: bool = False) -> Iterator[Cluster]:
    """Run PostgreSQL: a primary, and a synchronous standby where one is asked for.

    Parameters
    ----------
    standby
        Whether there is one: whoever commits then waits until it shows what was committed.
    on_disk
        Whether it is kept on a disk, whose speed is to be seen. Otherwise it is in memory, where there is
        room: what a kill leaves is the same there.
    """
    programs()
    # Not below the directory of a test, which no other user may enter.
    in_memory = not on_disk and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(
        dir=MEMORY if in_memory else None, prefix="nonzero-postgresql-", ignore_cleanup_errors=True
    ) as directory:
        place = Path(directory)
        if os.geteuid() == 0:
            shutil.chown(place, USER, USER)
        cluster = Cluster(place, standby=standby)
        try:
            cluster.start()
            yield cluster
        except BaseException:
            for server in cluster.servers:
                if server.log.exists():
                    sys.stderr.write(f"{server.name} said at last:\n{server.log.read_text()[-2000:]}\n")
            raise
        finally:
            cluster.end()
