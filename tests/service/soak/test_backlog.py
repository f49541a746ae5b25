"""A backlog of a topic that is larger than what may be held: memory stays what it is for a small one."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest

from kafka import kafka
from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.streams.test_sources import examples, source
from waiting import until

SMALL, LARGE = 40_000_000, 1_000_000_000
MEGABYTES_MORE = 120
"""So much more the large one may take: what is read ahead is bounded, and what is fetched is."""


def has_read(running: ServiceProcess, messages: int) -> bool:
    return int(source(running)["messages"]) >= messages


@pytest.mark.soak
def test_a_backlog_of_a_gigabyte(fresh: Start, tmp_path: Path, figure: Figure) -> None:
    messages = [b"\n".join(examples(2000, seed)) for seed in range(50)]
    peaks = []
    with kafka(on_disk=True) as broker:
        for size in (SMALL, LARGE):
            topic = broker.topic(partitions=2)
            number = 1 + size // (2 * len(messages[0]))
            for partition in range(2):
                broker.produce(
                    topic, itertools.islice(itertools.cycle(messages), number), partition=partition
                )
            address = f"kafka://{broker.address}/{topic}?format=vw"
            running = fresh(tmp_path / str(size), source=address, breaker="off", bits=18).until_ready()
            for part in range(1, 21):  # all of it takes longer than one wait may
                until(partial(has_read, running, part * number // 10))
            status = Path(f"/proc/{running.pid}/status").read_text().splitlines()
            peaks.append(next(int(line.split()[1]) // 1000 for line in status if line.startswith("VmHWM")))
            assert running.stop() == 0
    small, large = peaks
    figure(
        f"a service that reads a backlog of {LARGE // 1_000_000:,} MB in messages of 2,000 lines",
        f"at most {MEGABYTES_MORE} MB more memory than with one of {SMALL // 1_000_000} MB",
        f"{large} MB at most, against {small} MB",
    )
    assert large <= small + MEGABYTES_MORE
