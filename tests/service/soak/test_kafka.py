"""A hundred faults of a service that learns from a topic, and of the broker: each message is learned once."""

from __future__ import annotations

import itertools
import random
import statistics
from pathlib import Path

import pytest

from disks import mounted
from kafka import kafka
from reporting import Figure
from service.streams.faults import FAULTS, OF_DISKS, Fed, suffered

TIMES = 100
RATE = 1000
"""Messages a second of each of two producers."""


@pytest.mark.soak
def test_a_hundred_faults(memory_path: Path, figure: Figure) -> None:
    faults, chance = {**FAULTS, **OF_DISKS}, random.Random(TIMES)
    names = list(itertools.islice(itertools.cycle(faults), TIMES))
    chance.shuffle(names)
    with kafka() as broker, mounted(memory_path / "disk", 1024) as place:
        fed = Fed(place / "data", broker, broker.topic(partitions=3), bits=20)
        messages, waits = suffered(fed, [faults[name] for name in names], RATE)
    worst = max(range(TIMES), key=waits.__getitem__)
    again = f"{statistics.median(waits):.1f} s (median), at most {waits[worst]:.1f} s ({names[worst]})"
    figure(
        f"a service that learns from a topic of three partitions, two producers of which one sends in "
        f"transactions: {len(faults)} kinds of faults of service, broker and disk",
        f"{TIMES} faults: each message learned once; what was saved is the fold of the journal, and what "
        "learns the messages of the topic in the order of the journal",
        f"{TIMES} faults, {messages:,} messages: nothing lost, nothing twice, equal to the bit; it learned "
        f"again after {again}",
    )
