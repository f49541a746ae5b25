"""How fast a node that follows folds what it has missed."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Iterator

from bench.cluster.servers import DEFAULT, UNDISTURBED, Figure, ask, pair, sequence_of, until_sequence
from bench.measure import cpu_seconds
from bench.workloads import ClickLog

from postgres import postgresql

AIM = 1e6
LANES = {"eight lanes": {}, "one lane": {"learning_rate": 0.1}}


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield the rate and the cost; the node is stopped while another learns, and then goes on."""
    body = ClickLog(chosen.examples).vw.read_bytes()
    with postgresql(standby=True, on_disk=True) as servers:
        for lanes, settings in LANES.items():
            rates, costs = [], []
            with pair(servers.database(), **UNDISTURBED, **settings) as (writer, follower):
                for run in range(chosen.runs + 1):
                    os.kill(follower.pid, signal.SIGSTOP)
                    status, answer = ask(writer, "POST", f"{DEFAULT}/update", body, "text/x-vw")
                    assert status == 200, answer
                    time.sleep(1)  # the standby is through, and the disk
                    os.kill(follower.pid, signal.SIGCONT)
                    begun, taken = time.perf_counter(), cpu_seconds(follower.pid)
                    first = sequence_of(follower)
                    until_sequence(follower, answer["sequence"])
                    seconds = time.perf_counter() - begun
                    if run:
                        rates.append((answer["sequence"] - first) / seconds)
                        costs.append((cpu_seconds(follower.pid) - taken) / chosen.examples)
            yield Figure(
                f"a follower folds what it has missed, {lanes}",
                f"{statistics.median(rates) / 1e6:.2f} M examples/s ({min(rates) / 1e6:.2f} to "
                f"{max(rates) / 1e6:.2f}), {1e6 * statistics.median(costs):.2f} µs of processor time each",
                "1 M examples/s",
            )
