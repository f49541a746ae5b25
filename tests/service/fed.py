"""A topic whose messages follow from their offsets, and how a learner is fed by it.

So what was learned is known from how far it was read, whoever read it, and in whichever pieces.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nonzero import Batch, LogisticRegression
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import Origin, PartitionRead, Run
from nonzero_service.writer.work import Applied, StreamState

TOPIC, ID = "clicks", "4wbVvdzYRQqL1Hl4pBfmcA"

BITS = 10


def message(partition: int, offset: int) -> Batch:
    """Make what a message holds: up to four examples. One of none counts as refused."""
    n = (offset + partition) % 5
    chance = np.random.default_rng((partition, offset))
    return Batch(np.arange(n + 1) * 3, chance.integers(0, 2**BITS, 3 * n), labels=chance.integers(0, 2, n))


def is_gap(partition: int, offset: int) -> bool:
    """Whether an offset is a marker's, so that no message has it."""
    return (offset * 7 + partition) % 11 == 10


def run_of(partition: int, first: int, following: int) -> tuple[Batch, Run]:
    """Return the examples of some messages, and what a row says of them."""
    batches = [message(partition, j) for j in range(first, following) if not is_gap(partition, j)]
    batch = Batch.concatenate(batches) if batches else Batch.empty()
    refused = sum(not len(one) for one in batches)
    return batch, Run(TOPIC, ID, partition, first, following, 3, len(batches), refused, len(batch))


Piece = tuple[Batch, Origin]


def piece_of(places: Sequence[tuple[int, int, int]]) -> Piece:
    """Return what some runs come to: partition, first offset, and the one after the last."""
    read = [run_of(*place) for place in places]
    batches = [batch for batch, _ in read if len(batch)]
    whole = Batch.concatenate(batches) if batches else Batch.empty()
    return whole, Origin(tuple(run for _, run in read), max(following for *_, following in places))


def places_of(seed: int, end: int, partitions: int = 3) -> Iterator[tuple[int, int, int]]:
    """Yield runs of a topic up to an offset of each partition, in an order that follows from a seed."""
    chance = random.Random(seed)
    at = dict.fromkeys(range(partitions), 0)
    while left := [partition for partition, offset in at.items() if offset < end]:
        partition = chance.choice(left)
        following = min(at[partition] + chance.randrange(1, 6), end)
        yield partition, at[partition], following
        at[partition] = following


def positions(learner: ModelLearner) -> dict[int, int]:
    """Return how far each partition was read, as a learner says."""
    assert {topic_id for topic_id, _ in learner.source_positions} <= {ID}
    return {partition: one.next for (_, partition), one in learner.source_positions.items()}


async def feed(
    learner: ModelLearner, until: Mapping[int, int], size: int = 4, *, at_once: bool = False
) -> list[Applied]:
    """Feed a learner from where it is up to some offsets, in pieces of so many offsets of one partition."""
    stream, at = StreamState(), positions(learner)
    waiting: list[asyncio.Future[Applied]] = []
    for partition, end in until.items():
        for first in range(at.get(partition, 0), end, size):
            batch, origin = piece_of([(partition, first, min(first + size, end))])
            waiting.append(learner.submit(batch, stream=stream, origin=origin))
            if not at_once:
                await waiting[-1]
    return await asyncio.gather(*waiting)


def fed(order: Sequence[tuple[int, int, int]], model: LogisticRegression) -> LogisticRegression:
    """Return what a model comes to of runs in an order."""
    for place in order:
        batch, _ = run_of(*place)
        if len(batch):
            model.learn(batch)
    return model


def read_of(partition: int, end: int) -> PartitionRead:
    """Return what must be noted of a partition that was read from its beginning up to an offset."""
    _, run = run_of(partition, 0, end)
    return PartitionRead(TOPIC, ID, partition, end, 3, run.messages, run.refused, run.examples)
