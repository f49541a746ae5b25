"""A cluster under load, to which one thing after another happens: nothing is lost, nothing learned twice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nodes import Nodes
from postgres import Cluster
from service.cluster.clients import Clients
from service.cluster.faults import FAULTS, OF_DISKS, Fault, Running
from service.cluster.outcome import check_outcome

LEASE_SECONDS = 1.0
"""So that what takes a lease takes a second; the long test has the default."""

ANSWER_SECONDS = 1.2
"""Whoever asks a node that hangs asks another when that one writes."""

SETTINGS: dict[str, Any] = {
    "bits": 12,
    "breaker": "off",
    "impressions": "durable",
    "journal_retention": "all",
    "lease_seconds": LEASE_SECONDS,
}

MOST_SECONDS = 10.0


def endure(
    servers: Cluster, nodes: Nodes, faults: Mapping[str, Fault], history: Path, negatives: str
) -> dict[str, float]:
    """Let eight clients use a cluster while faults befall it; return how long each kept updates away."""
    clients = Clients(nodes, answer_seconds=ANSWER_SECONDS)
    running = Running(servers, nodes.until_ready(), clients)
    clients.start()
    try:
        waited = {name: running.suffer(fault) for name, fault in faults.items()}
    finally:
        clients.stop()
    check_outcome(nodes, clients, history, negatives=negatives)
    return waited


def test_a_few_faults(breakable: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Of the usual ones four, others each day; the long test has all."""
    chosen = sorted(FAULTS)
    if not request.config.option.all_cases:
        chosen = random.Random(request.config.option.day).sample(chosen, 4)
    faults = {name: fault for name, fault in FAULTS.items() if name in chosen}
    with Nodes(tmp_path, breakable, negatives="at_once", **SETTINGS) as nodes:
        waited = endure(breakable, nodes, faults, tmp_path / "history.jsonl", "at_once")
    assert max(waited.values()) < MOST_SECONDS, waited


def test_full_disks(breakable: Cluster, tmp_path: Path) -> None:
    """The journal is in the database: what a node keeps beside it may find no room."""
    with Nodes(tmp_path, breakable, "ab", megabytes=64, negatives="at_end", **SETTINGS) as nodes:
        waited = endure(breakable, nodes, OF_DISKS, tmp_path / "history.jsonl", "at_end")
    assert max(waited.values()) < MOST_SECONDS, waited
