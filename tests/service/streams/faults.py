"""What can befall a service that learns from topics, and their broker: each is done, and mended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from disks import fill
from kafka import Broker
from nonzero import LogisticRegression
from nonzero_service.journal.snapshots import snapshots_in
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess
from service.streams.sending import Producers
from topic_books import Books, held_in, learned_of, local_rows, slot_of
from waiting import until

__all__ = ["FAULTS", "OF_DISKS", "Fault", "Fed", "suffered"]


class Fed:
    """A service that learns from one topic, through all its lives.

    Parameters
    ----------
    data_dir
        Where it keeps its data: a file system of its own, where disks are to be full.
    broker, topic
        What it reads.
    settings
        The service's.
    """

    def __init__(self, data_dir: Path, broker: Broker, topic: str, **settings: Any) -> None:
        self.data_dir = data_dir
        self.broker = broker
        self.topic = topic
        self._settings = {
            "source": f"kafka://{broker.address}/{topic}",
            "breaker": "off",
            "journal_retention": "all",
            **settings,
        }
        self.lives: list[ServiceProcess] = []
        self.start()

    @property
    def process(self) -> ServiceProcess:
        """Its life that began last."""
        return self.lives[-1]

    def start(self) -> None:
        """Begin it, and wait until it is ready."""
        self.lives.append(ServiceProcess(self.data_dir, **self._settings))
        self.process.until_ready()

    def close(self) -> None:
        for life in self.lives:
            life.kill()

    def learned(self, model: str = "default") -> int:
        """Return how many examples a model of it has learned from; -1 where it does not say."""
        try:
            with self.process.client() as client:
                return int(client.get(f"/v1/models/{model}").raise_for_status().json()["sequence"])
        except httpx.HTTPError:
            return -1

    def until_learning(self) -> None:
        """Wait until it has learned more than it has now."""
        begun = until(lambda: self.learned() + 1)
        until(lambda: self.learned() >= begun, lambda: (begun, self.source(), self.process.log[-5:]))

    def source(self) -> str:
        """Return what it says of what it reads."""
        with self.process.client() as client:
            return client.get("/v1/models/default/source").text

    def suffer(self, fault: Fault) -> float:
        """Let something befall it; return the seconds until it learns again."""
        began = time.monotonic()
        with fault(self):
            pass
        self.until_learning()
        return time.monotonic() - began

    def check_books(self, slots: int, poison: bytes | None = None) -> int:
        """Wait until all that was sent is learned, end it, and check; return how many messages there were.

        Parameters
        ----------
        slots
            Those that messages may have named are below.
        poison
            The message that cannot be read, where there are such.
        """
        held = held_in(self.broker.address, self.topic)
        good = [value for values in held.values() for value in values.values() if value != poison]
        messages = len(good)
        until(lambda: self.learned() >= messages, lambda: (self.learned(), messages, self.process.log[-5:]))
        assert self.process.stop() == 0, self.process.log[-5:]
        directory = self.data_dir / "models/default"
        books = Books.of(local_rows(directory))
        # By the topic: each partition was read from its beginning to its end, without a hole, nothing twice.
        read = books.positions()
        assert all(read.get(where, 0) > max(partition, default=-1) for where, partition in held.items())
        taken = [value for value in books.taken(held) if value != poison]
        assert len(taken) == messages
        # By the slot that a message names alone: each was learned once, and what was aborted never.
        sent = set(map(slot_of, good))
        times = books.times_learned(slots)
        assert {slot for slot, count in enumerate(times.tolist()) if count} == sent
        assert times.max() == 1
        # To the bit: what was saved is the fold of the journal, and what learns the messages in that order.
        assert verify(directory, lambda *_: None).faults == []
        newest = snapshots_in(directory / "snapshots")[0]
        assert LogisticRegression.load(newest.path).digest() == learned_of(books.settings, taken)
        return messages


Fault = Callable[[Fed], AbstractContextManager[None]]


@contextmanager
def service_killed(fed: Fed) -> Iterator[None]:
    assert fed.process.kill() == -signal.SIGKILL
    fed.start()
    yield


@contextmanager
def service_stopped(fed: Fed) -> Iterator[None]:
    """It hangs for a while, and goes on."""
    os.kill(fed.process.pid, signal.SIGSTOP)
    time.sleep(0.7)
    os.kill(fed.process.pid, signal.SIGCONT)
    yield


@contextmanager
def service_ended(fed: Fed) -> Iterator[None]:
    """It is told to stop."""
    assert fed.process.stop() == 0, fed.process.log[-5:]
    fed.start()
    yield


@contextmanager
def broker_killed(fed: Fed) -> Iterator[None]:
    fed.broker.kill()
    fed.broker.start()
    yield


@contextmanager
def broker_stopped(fed: Fed) -> Iterator[None]:
    fed.broker.stop_signal()
    time.sleep(0.7)
    fed.broker.cont()
    yield


@contextmanager
def both_killed(fed: Fed) -> Iterator[None]:
    fed.broker.kill()
    assert fed.process.kill() == -signal.SIGKILL
    fed.start()
    fed.broker.start()
    yield


@contextmanager
def disk_full(fed: Fed) -> Iterator[None]:
    """Nothing can be made durable for a while."""
    ballast = fed.data_dir / "ballast"
    fill(ballast)
    time.sleep(0.7)
    ballast.unlink()
    yield


@contextmanager
def killed_on_a_full_disk(fed: Fed) -> Iterator[None]:
    ballast = fed.data_dir / "ballast"
    fill(ballast)
    time.sleep(0.3)
    assert fed.process.kill() == -signal.SIGKILL
    ballast.unlink()
    fed.start()
    yield


FAULTS: Mapping[str, Fault] = {
    "the service is killed": service_killed,
    "the broker is killed": broker_killed,
    "the service hangs": service_stopped,
    "the broker hangs": broker_stopped,
    "both are killed": both_killed,
    "the service is told to stop": service_ended,
}
"""Those that any disk will do for."""

OF_DISKS: Mapping[str, Fault] = {
    "the disk is full": disk_full,
    "the disk is full and the service is killed": killed_on_a_full_disk,
}
"""Those that need a disk for the service alone."""


def suffered(fed: Fed, faults: Sequence[Fault], rate: int) -> tuple[int, list[float]]:
    """Let a service suffer some faults while two producers send, and check its books.

    Returns
    -------
    How many messages there were, and of each fault the seconds until it learned again.
    """
    try:
        with Producers(fed.broker, fed.topic, 3, rate) as producers:
            fed.until_learning()
            waits = []
            for fault in faults:
                waits.append(fed.suffer(fault))
                producers.check()
        assert producers.aborted
        return fed.check_books(producers.slots), waits
    finally:
        fed.close()
