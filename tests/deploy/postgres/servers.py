"""The servers of ``compose.cluster.yaml``, by what it mounts and runs, with Debian's PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from machine import free_port
from postgres import USER, programs, unprivileged
from waiting import SECONDS, until

__all__ = ["NODES_USER", "Place", "Started", "place_for_servers"]

MOUNTED: Final = Path(__file__).parents[3] / "deploy/postgres"
NODES_USER: Final = 10001 if os.geteuid() == 0 else os.geteuid()
"""Who runs a node in the image; in a test of a user without privileges that user."""


class Place:
    """What the containers share: the scripts, and the volumes of secrets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scripts = shutil.copytree(MOUNTED, path / "scripts")
        with (self.scripts / "postgresql.conf").open("a") as file:
            file.write("dynamic_shared_memory_type = mmap\n")  # whatever ends it leaves nothing elsewhere
        self.servers, self.nodes = path / "shared", path / "node-secrets"
        for folder in (self.servers, self.nodes):
            folder.mkdir()

    def make_secrets(self) -> None:
        """Run what makes passwords, as root with the two capabilities that it has in its container."""
        owner = USER if os.geteuid() == 0 else str(os.geteuid())
        confined = ["setpriv", "--bounding-set=-all,+chown,+dac_override", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [
                *confined,
                self.scripts / "secrets.sh",
                *(self.servers, owner),
                *(self.nodes, str(NODES_USER)),
            ],
            check=True,
            timeout=SECONDS,
        )


class Started:
    """One server, as its container runs it.

    Parameters
    ----------
    place
        What it shares with the other.
    name
        Its service's name, and its volume's.
    port
        Where it is reached; another's, to take its place.
    """

    def __init__(self, place: Place, name: str, port: int | None = None, **environment: str) -> None:
        self.place = place
        self.name = name
        self.port = port or free_port()
        self.volume = place.path / name
        if not self.volume.exists():
            self.volume.mkdir()
            if os.geteuid() == 0:
                shutil.chown(self.volume, USER, USER)
        self.data = self.volume / "server"
        self.log = place.path / f"{name}.log"
        self.environment = {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "NAME": name,
            "PGDATA": str(self.data),
            "PGPASSFILE": str(place.servers / "pgpass"),
            "SHARED": str(place.servers),
            "PGPORT": str(self.port),
            "ADDRESSES": "127.0.0.1",
            "SOCKETS": "..",
            **environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                unprivileged(place.scripts / "start.sh"),
                env=self.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def connect(self, **parameters: Any) -> psycopg.Connection[Any]:
        """Connect as a node does."""
        return psycopg.connect(
            f"postgresql://nonzero@127.0.0.1:{self.port}/nonzero",
            **{"passfile": str(self.place.nodes / "pgpass"), "autocommit": True, **parameters},
        )

    def ask(self, query: str) -> Any:
        """Return the one value that a query of a node's gives."""
        with self.connect() as connection:
            row = connection.execute(query.encode()).fetchone()
            return row and row[0]

    def until_ready(self) -> None:
        """Wait until the health check passes."""
        check = unprivileged("pg_isready", "--quiet", f"--host={self.volume}")
        until(
            lambda: (
                self.process.poll() is not None
                or subprocess.run(check, env=self.environment, cwd="/", check=False).returncode == 0
            )
        )
        assert self.process.poll() is None, self.text()

    def until_followed(self) -> None:
        """Wait until a commit waits for another server."""
        until(lambda: self.ask("SELECT sync_state FROM pg_stat_replication") == "sync", self.text)

    def own(self, *command: str) -> str:
        """Run a command as ``docker compose exec`` does: as the server's user, in its environment."""
        return subprocess.run(
            unprivileged(*command),
            env=self.environment | {"PGHOST": str(self.volume)},
            cwd="/",
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=SECONDS,
        ).stdout

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, sig: signal.Signals = signal.SIGINT) -> None:
        """End it, as a stop of its container does."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(SECONDS)


@contextmanager
def place_for_servers() -> Iterator[tuple[Place, Any]]:
    """Give a place, and what starts servers there, which are gone afterwards."""
    programs()
    started: list[Started] = []
    # In memory, where that is possible: what is written is the same there. Never below the directory of a
    # test, which no other user may enter.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nonzero-", dir=memory, ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        place = Place(Path(directory))

        def start(*arguments: Any, **named: Any) -> Started:
            started.append(Started(place, *arguments, **named))
            return started[-1]

        try:
            yield place, start
        finally:
            for server in started:
                server.end(signal.SIGQUIT)
