"""The books of topics: what they hold, what a journal says was read, and what a model must have come to.

Nothing here is the source's own. Topics are read by a plain consumer, rows by SQL, and messages are learned
by the library. Each message names a slot of the model's table that no other one names: so the rows say of
each how often it was learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression, formats
from nonzero.batches.codec import decode_batch
from waiting import SECONDS, until

__all__ = ["Books", "Row", "example", "held_in", "learned_of", "local_rows", "shared_rows", "slot_of"]

Key = tuple[str, int]
"""A topic's name and a partition."""

Held = Mapping[Key, Mapping[int, bytes]]
"""The messages of some topics: by partition, by offset."""


def example(slot: int) -> bytes:
    """Return a message that names a slot of its own, and one that others name too.

    Its label has nothing to do with the partition that it comes to: after a fault one partition may be read
    before another, and a breaker would see that clicks come otherwise.
    """
    label = slot * 0x9E3779B1 % (1 << 32) < (1 << 32) // 3
    return b'{"indices": [%d, %d], "values": [1, 0.5], "label": %d}' % (slot, slot % 7, label)


def slot_of(message: bytes) -> int:
    """Return the slot that such a message names alone."""
    return int(json.loads(message)["indices"][0])


class Row(NamedTuple):
    """A row of a journal."""

    position: int
    examples: int
    kind: str
    body: bytes


class Run(NamedTuple):
    """What a row says of a partition's messages."""

    topic: str
    topic_id: str
    partition: int
    first: int
    next: int
    epoch: int
    messages: int
    refused: int
    examples: int


class Books(NamedTuple):
    """What a journal says."""

    settings: dict[str, Any]
    """The model's."""
    runs: list[Run]
    """In the order in which they were learned."""
    batches: list[Batch]
    """What was learned, in order."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Books:
        """Read all rows of a journal of which the model learned from topics alone."""
        found = cls({}, [], [])
        for row in rows:
            if row.kind == "settings":
                found.settings.update(json.loads(row.body)["settings"])
            elif row.kind == "source":
                found.runs.extend(Run(*run) for run in json.loads(row.body).get("runs", []))
            elif row.kind == "batch":
                found.batches.append(decode_batch(row.body))
                assert len(found.batches[-1]) == row.examples
        return found

    def positions(self) -> dict[Key, int]:
        """Return how far each partition was read; each run begins where the one before it has ended."""
        found: dict[Key, int] = {}
        ids = {run.topic: run.topic_id for run in self.runs}
        for run in self.runs:
            where = run.topic, run.partition
            assert ids[run.topic] == run.topic_id, f"{run.topic} was made anew"
            assert run.first == found.get(where, 0), f"{where}: {run} follows {found.get(where, 0)}"
            found[where] = run.next
        return found

    def taken(self, held: Held) -> list[bytes]:
        """Return the messages that were read, in the order in which they were learned."""
        found: list[bytes] = []
        for run in self.runs:
            partition = held[run.topic, run.partition]
            values = [partition[offset] for offset in range(run.first, run.next) if offset in partition]
            assert len(values) == run.messages, run
            found += values
        return found

    def times_learned(self, slots: int) -> NDArray[np.int64]:
        """Return int64[slots]: how often each message was learned, by the slot that it names alone."""
        indices = [batch.indices[batch.indptr[:-1]] for batch in self.batches]
        return np.bincount(
            np.concatenate([*indices, np.zeros(0, np.int64)]).astype(np.int64), minlength=slots
        )


def held_in(address: str, *topics: str) -> Held:
    """Return all that committed producers have sent to some topics."""
    found: dict[Key, dict[int, bytes]] = {}
    for topic in topics:
        described = AdminClient({"bootstrap.servers": address}).list_topics(topic, timeout=SECONDS)
        found |= {(topic, partition): {} for partition in described.topics[topic].partitions}
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "books",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 1,
        }
    )
    try:
        consumer.assign([TopicPartition(*where, OFFSET_BEGINNING) for where in found])
        ended: set[Key] = set()

        def read() -> bool:
            for message in consumer.consume(10_000, 0.1):  # it waits for so many, or so long
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None
                assert partition is not None
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add((topic, partition))
                elif offset is not None:
                    found[topic, partition][offset] = message.value() or b""
            return len(ended) == len(found)

        until(read)
    finally:
        consumer.close()
    return found


def learned_of(settings: Mapping[str, Any], messages: Iterable[bytes], kind: str = "ndjson") -> str:
    """Return the digest of the model that learns some messages in order, by the library."""
    model = LogisticRegression.from_settings(settings)
    model.learn(formats.parse(b"\n".join(chain(messages, [b""])), kind))
    return model.digest()


def local_rows(directory: Path) -> Iterator[Row]:
    """Yield the rows of a model's journal on disk."""
    connection = apsw.Connection(str(directory / "journal.sqlite"), apsw.SQLITE_OPEN_READWRITE)
    try:
        yield from map(
            Row._make, connection.execute("SELECT position, count, kind, body FROM rows ORDER BY position")
        )
    finally:
        connection.close()


def shared_rows(database: str, model: str = "default") -> Iterator[Row]:
    """Yield the rows of a model that nodes share."""
    query = """
        SELECT position, count, kind, body FROM nonzero.rows
        WHERE model = (SELECT id FROM nonzero.models WHERE name = %s AND NOT removed) ORDER BY position"""
    with psycopg.connect(database, autocommit=True) as connection:
        yield from map(Row._make, connection.execute(query, [model]))
