"""What befalls a service and the broker that it reads: each message is learned once, to the bit."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from disks import mounted
from kafka import Broker
from service.streams.faults import FAULTS, OF_DISKS, Fed, suffered


def test_what_befalls_them(broker: Broker, memory_path: Path, request: pytest.FixtureRequest) -> None:
    """Of all but one, which takes longest, half, others each day, and a kill; the long test has all."""
    faults = {**FAULTS, **OF_DISKS}
    names = sorted(faults.keys() - {"the broker is killed"})
    if not request.config.option.all_cases:
        names = random.Random(request.config.option.day).sample(names, 4)
    names += ["the service is killed"]
    with mounted(memory_path / "disk", 64) as place:
        fed = Fed(place / "data", broker, broker.topic(partitions=3), bits=18)
        messages, waits = suffered(fed, [faults[name] for name in names], 500)
    assert len(waits) == len(names)
    assert messages > 100 * len(names)
