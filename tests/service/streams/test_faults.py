"""What befalls a service and the broker that it reads: each message is learned once, to the bit."""

from __future__ import annotations

from pathlib import Path

from disks import mounted
from kafka import Broker
from service.streams.faults import FAULTS, OF_DISKS, Fed, suffered


def test_what_befalls_them(broker: Broker, memory_path: Path) -> None:
    """Most are kills of the service, which take least time."""
    faults = {**FAULTS, **OF_DISKS}
    names = (*faults, *["the service is killed"] * 2)
    with mounted(memory_path / "disk", 64) as place:
        fed = Fed(place / "data", broker, broker.topic(partitions=3), bits=18)
        messages, waits = suffered(
            fed, [faults[name] for name in names if name != "the broker is killed"], 500
        )
    assert len(waits) == 9
    assert messages > 1000
