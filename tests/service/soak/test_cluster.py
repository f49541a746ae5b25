"""A cluster under load for as long as two hundred faults take, at the default settings."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from nodes import Nodes
from postgres import Cluster
from reporting import Figure
from service.cluster.clients import Clients
from service.cluster.faults import FAULTS, FURTHER, OF_DISKS, Running
from service.cluster.outcome import check_outcome

TIMES = 200
MOST_SECONDS = 10.0
SETTINGS: dict[str, Any] = {
    "bits": 12,
    "breaker": "off",
    "impressions": "durable",
    "journal_retention": "all",
}


@pytest.mark.soak
@pytest.mark.parametrize("negatives", ["at_once", "at_end"])
def test_two_hundred_faults(breakable: Cluster, tmp_path: Path, figure: Figure, negatives: str) -> None:
    """Half of them of a model that learns from predictions at once, half of one that waits for labels."""
    faults, chance = list({**FAULTS, **FURTHER, **OF_DISKS}.items()), random.Random(negatives)
    chance.shuffle(faults)
    waited: dict[str, list[float]] = defaultdict(list)
    with Nodes(tmp_path, breakable, megabytes=256, negatives=negatives, **SETTINGS) as nodes:
        clients = Clients(nodes)
        running = Running(breakable, nodes.until_ready(), clients)
        clients.start()
        try:
            for name, fault in itertools.islice(itertools.cycle(faults), TIMES // 2):
                waited[name].append(running.suffer(fault))
                time.sleep(chance.random())
        finally:
            clients.stop()
        statuses = Counter((one.kind, one.status) for one in clients.operations if one.kind != "leader")
        check_outcome(nodes, clients, tmp_path / "history.jsonl", negatives=negatives)
    longest = {name: max(seconds) for name, seconds in waited.items()}
    worst = max(longest, key=lambda name: longest[name])
    answered = sum(count for (_, status), count in statuses.items() if status == 200)
    refused = sum(count for (_, status), count in statuses.items() if status == 503)
    figure(
        f"three nodes over PostgreSQL and its synchronous standby, negatives {negatives}, eight clients: "
        f"{len(faults)} kinds of faults of nodes, networks, disks, clocks and database servers",
        f"{TIMES // 2} faults: I1 to I6 over all nodes, one writer a term, equal digests; an update is "
        f"acknowledged again within {MOST_SECONDS:g} s",
        f"{sum(map(len, waited.values()))} faults, {answered:,} requests answered, {refused:,} were 503: "
        f"none broken; the longest wait was {longest[worst]:.1f} s ({worst})",
    )
    assert longest[worst] < MOST_SECONDS, longest
