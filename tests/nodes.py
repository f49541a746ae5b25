"""Several nodes that share a database, as real processes, and what can befall each.

A node keeps its ports, its data directory and its way to the database through all its lives, so that whoever
has its address finds it again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from disks import fill, mounted
from links import DatabaseLink
from machine import free_port
from plain_http import client_of
from postgres import Cluster
from service.conftest import Clocked
from waiting import until

__all__ = ["Leader", "Node", "Nodes"]

ANSWER_SECONDS = 1.0
"""How long a node may take to say whether it leads: one that is stopped never does."""


class Leader(NamedTuple):
    """What a node that writes says of itself."""

    node: str
    term: int
    url: str


class Node:
    """One node.

    Parameters
    ----------
    name
        What it is called.
    place
        A new directory.
    database
        The address of the database, with the servers that hold it.
    megabytes
        How large its disk is, where it has one of its own.
    settings
        The service's.
    """

    def __init__(
        self, name: str, place: Path, database: str, megabytes: int | None = None, **settings: Any
    ) -> None:
        place.mkdir()
        self.name = name
        self._place = place
        self._held = ExitStack()
        if megabytes is not None:
            self._held.enter_context(mounted(place / "data", megabytes))
        self.link = self._held.enter_context(DatabaseLink(database))
        """Its way to the database."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {
            "journal": self.link.url,
            "node": name,
            "node_address": f"127.0.0.1:{free_port()}",
            "port": self.port,
            **settings,
        }
        self._ahead = 0
        self.lives: list[Clocked] = []

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def data_dir(self) -> Path:
        return self._place / "data"

    @property
    def process(self) -> Clocked:
        """Its life that began last."""
        return self.lives[-1]

    def start(self) -> Self:
        """Begin it; it is not ready yet."""
        assert not self.lives or self.process.has_ended(), f"{self.name} runs"
        self.lives.append(Clocked(self._place, self._ahead, **self._settings))
        return self

    def is_ready(self) -> bool:
        with client_of(self.url, timeout=ANSWER_SECONDS) as client, suppress(httpx.TransportError):
            return client.get("/readyz").status_code == 200
        return False

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()

    def stop_signal(self) -> None:
        """Stop it, as a machine that hangs."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def turn_clock(self, seconds: int) -> None:
        """Set its machine's clock wrong by so many seconds, in this life and the next ones."""
        self._ahead = seconds
        self.process.clock.turn(seconds)

    def fill_disk(self) -> None:
        """Leave no byte free on its disk."""
        fill(self.data_dir / "ballast")

    def free_disk(self) -> None:
        """Take back what :meth:`fill_disk` did."""
        (self.data_dir / "ballast").unlink()

    def leader(self) -> Leader | None:
        """Return what it says of itself where it says that it leads; None where it does not."""
        with client_of(self.url, timeout=ANSWER_SECONDS) as client, suppress(httpx.TransportError):
            answer = client.get("/leader")
            if answer.status_code == 200:
                said = answer.json()
                return Leader(said["node"], said["term"], said["url"])
        return None

    def close(self) -> None:
        """End it, and its network."""
        for life in self.lives:
            life.kill()
        self._held.close()


class Nodes(Sequence[Node]):
    """Some nodes of one cluster.

    Parameters
    ----------
    place
        An empty directory.
    cluster
        The servers; each set of nodes has a database of its own there.
    names
        What the nodes are called.
    settings
        The services'; ``megabytes``: see :class:`Node`.
    """

    def __init__(self, place: Path, cluster: Cluster, names: Sequence[str] = "abc", **settings: Any) -> None:
        self.database = cluster.database()
        self._held = ExitStack()
        self._all: list[Node] = []
        with ExitStack() as held:
            for name in names:
                self._all.append(Node(name, place / name, self.database, **settings))
                held.callback(self._all[-1].close)
            self._held = held.pop_all()

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, which: Any) -> Any:
        return self._all[which]

    def __enter__(self) -> Self:
        for node in self:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def until_ready(self) -> Self:
        """Wait until all that run are ready, and one of them writes."""
        for node in self:
            until(lambda node=node: node.process.has_ended() or node.is_ready(), node.process.failures)  # type: ignore[misc]
            assert not node.process.has_ended(), (node, node.process.log[-5:])
        self.writer()
        return self

    def writer(self) -> Node:
        """Wait until a node says that it leads; return it: of several, that of the newest term."""

        def found() -> Node | None:
            said = [(leader.term, node) for node in self if (leader := node.leader())]
            return max(said, key=lambda one: one[0])[1] if said else None

        writer = until(found, lambda: [node.process.failures() for node in self])
        assert writer is not None
        return writer

    def followers(self) -> list[Node]:
        """Return all nodes but the writer."""
        writer = self.writer()
        return [node for node in self if node is not writer]
