"""What can befall a cluster: each is done to it, lasts until an update is acknowledged, and is mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from nodes import Node, Nodes
from postgres import Cluster
from service.cluster.clients import Clients


class Running(NamedTuple):
    """A cluster under load."""

    servers: Cluster
    nodes: Nodes
    clients: Clients

    def suffer(self, fault: Fault) -> float:
        """Let something befall it; return the seconds until an update is acknowledged again.

        All is mended, and all nodes are ready, when this returns.
        """
        with fault(self):
            seconds = self.clients.until_acknowledged_since(time.monotonic())
        self.nodes.until_ready()
        return seconds


Fault = Callable[[Running], AbstractContextManager[None]]
Which = Callable[[Running], Node]


def writer(running: Running) -> Node:
    return running.nodes.writer()


def follower(running: Running) -> Node:
    return running.nodes.followers()[0]


def done_to(which: Which, fault: Callable[[Node], AbstractContextManager[None]]) -> Fault:
    """Return a fault of one node."""
    return lambda running: fault(which(running))


@contextmanager
def killed(node: Node) -> Iterator[None]:
    node.kill()
    yield
    node.start()


@contextmanager
def ended(node: Node) -> Iterator[None]:
    """It is told to stop."""
    assert node.process.stop() == 0, node.process.log[-5:]
    yield
    node.start()


@contextmanager
def stopped(node: Node) -> Iterator[None]:
    """It hangs until another has taken its place, and then goes on where it was."""
    node.stop_signal()
    yield
    node.cont()


@contextmanager
def stopped_briefly(node: Node) -> Iterator[None]:
    """It hangs for less than its lease."""
    node.stop_signal()
    time.sleep(0.5)
    node.cont()
    yield


@contextmanager
def cut_off(node: Node) -> Iterator[None]:
    """Its connections to the database are dropped, and so are new ones."""
    node.link.cut()
    yield
    node.link.heal()


@contextmanager
def parted(node: Node) -> Iterator[None]:
    """What it sends to the database, and what it is answered, arrives when another has taken its place."""
    node.link.stall()
    yield
    node.link.heal()


@contextmanager
def unanswered(node: Node) -> Iterator[None]:
    """The database does what it says, and it hears of nothing."""
    node.link.stall(there=False)
    yield
    node.link.heal()


@contextmanager
def disk_full(node: Node) -> Iterator[None]:
    node.fill_disk()
    yield
    node.free_disk()


@contextmanager
def clock_set_back(node: Node) -> Iterator[None]:
    node.turn_clock(-3600)
    yield
    node.turn_clock(0)


@contextmanager
def clock_set_forward(node: Node) -> Iterator[None]:
    node.turn_clock(600)
    yield
    node.turn_clock(0)


@contextmanager
def database_fails_over(running: Running) -> Iterator[None]:
    """The primary is lost, and whoever runs it promotes the standby."""
    running.servers.fail_over()
    yield
    running.servers.rejoin()


@contextmanager
def database_hangs_and_fails_over(running: Running) -> Iterator[None]:
    """The same, of a primary that answered nothing for a while before."""
    running.servers.primary.stop_signal()
    time.sleep(1)
    running.servers.fail_over()
    yield
    running.servers.rejoin()


@contextmanager
def standby_lost(running: Running) -> Iterator[None]:
    """Nothing can be acknowledged until there is a standby again."""
    running.servers.standby.kill()
    time.sleep(0.5)
    running.servers.rejoin()
    yield


@contextmanager
def database_and_writer_lost(running: Running) -> Iterator[None]:
    node = running.nodes.writer()
    running.servers.primary.kill()
    node.kill()
    running.servers.fail_over()
    yield
    running.servers.rejoin()
    node.start()


@contextmanager
def two_writers_killed(running: Running) -> Iterator[None]:
    """The writer is killed, and the one that takes its place is killed as soon as it says so."""
    gone: list[Node] = []
    for _ in range(2):
        gone.append(running.nodes.writer())
        gone[-1].kill()
    yield
    for node in gone:
        node.start()


@contextmanager
def all_killed(running: Running) -> Iterator[None]:
    for node in running.nodes:
        node.kill()
    for node in running.nodes:
        node.start()
    yield


FAULTS: Mapping[str, Fault] = {
    "the writer is killed": done_to(writer, killed),
    "the writer hangs past its lease": done_to(writer, stopped),
    "the writer is cut off from the database": done_to(writer, cut_off),
    "the writer is parted from the database": done_to(writer, parted),
    "the writer is not answered by the database": done_to(writer, unanswered),
    "the database fails over": database_fails_over,
    "the writer's clock is set back": done_to(writer, clock_set_back),
    "a follower is killed": done_to(follower, killed),
    "a follower is cut off from the database": done_to(follower, cut_off),
    "the writer is told to stop": done_to(writer, ended),
    "the standby is lost": standby_lost,
    "the database fails over and the writer is killed": database_and_writer_lost,
}
"""The usual ones."""

FURTHER: Mapping[str, Fault] = {
    "the writer hangs for less than its lease": done_to(writer, stopped_briefly),
    "the database hangs and fails over": database_hangs_and_fails_over,
    "the writer's clock is set forward": done_to(writer, clock_set_forward),
    "two writers are killed, one after the other": two_writers_killed,
    "all nodes are killed": all_killed,
    "a follower hangs": done_to(follower, stopped),
    "a follower is parted from the database": done_to(follower, parted),
    "a follower is told to stop": done_to(follower, ended),
}
"""Those that the long test does too."""

OF_DISKS: Mapping[str, Fault] = {
    "the writer's disk is full": done_to(writer, disk_full),
    "a follower's disk is full": done_to(follower, disk_full),
}
"""Those that need a disk for each node."""
