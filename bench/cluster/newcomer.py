"""How long a new node takes that has nothing on its disk."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench.cluster.servers import UNDISTURBED, Figure, ask, node, place
from bench.measure import cpu_seconds
from scipy.sparse import csr_matrix

from nonzero import Batch, LogisticRegression
from postgres import postgresql

SLOTS = {"100 MB": 1_530_000, "270 MB": 1 << 22}
"""The slots that are learned, which make the file so large: 64 bytes each, of eight lanes."""

FEATURES = 1000


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield the seconds from the start of a process until it has all models, and of none."""
    with place() as directory, postgresql(standby=True, on_disk=True) as servers:
        for name, slots in {"no model but an empty one": 0, **SLOTS}.items():
            database = servers.database()
            with node(database, "a", **UNDISTURBED) as writer:
                size = 0
                if slots:
                    file = saved(directory / "model", slots)
                    size = file.stat().st_size
                    status, said = ask(
                        writer, "PUT", "/v1/models/large", file.read_bytes(), "application/vnd.safetensors"
                    )
                    assert status in (200, 201), said
                seconds, costs = [], []
                for number in range(chosen.runs):
                    begun = time.monotonic()
                    with node(database, f"b{number}", **UNDISTURBED) as new:
                        while slots and ask(new, "GET", "/v1/models/large")[0] != 200:
                            time.sleep(0.02)
                        seconds.append(time.monotonic() - begun)
                        costs.append(cpu_seconds(new.pid))
            yield Figure(
                f"a new node, empty disk, {name}" + (f" ({size / 1e6:.0f} MB)" if size else ""),
                f"ready after {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), "
                f"{statistics.median(costs):.1f} s of its processor time",
            )


def saved(path: Path, slots: int) -> Path:
    """Save a model that has learned so many slots, each in one example."""
    model = LogisticRegression()
    ends = np.arange(0, slots + FEATURES, FEATURES).clip(max=slots)
    features = csr_matrix(
        (np.ones(slots, np.float32), np.arange(slots), ends), shape=(len(ends) - 1, 1 << model.bits)
    )
    model.learn(Batch.from_csr(features, np.arange(len(ends) - 1) % 2))
    model.save(path)
    return path
