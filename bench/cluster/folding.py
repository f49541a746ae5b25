"""How fast a node that follows folds what it has missed."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cluster.servers import DEFAULT, UNDISTURBED, Figure, ask, pair, sequence_of, until_sequence
from bench.workloads import ClickLog

from postgres import postgresql

LANES: dict[str, dict[str, Any]] = {"eight lanes": {}, "one lane": {"learning_rate": 0.1}}


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield the rate and the cost; the node is stopped while another learns, and then goes on.

    The first time does not count: the pages of its table are new.
    """
    body = ClickLog(chosen.examples).vw.read_bytes()
    with postgresql(standby=True, on_disk=True) as servers:
        for lanes, settings in LANES.items():
            rates, costs, longest = [], [], []
            with pair(servers.database(), **UNDISTURBED, **settings) as (writer, follower):
                for run in range(chosen.runs + 1):
                    os.kill(follower.pid, signal.SIGSTOP)
                    status, answer = ask(writer, "POST", f"{DEFAULT}/update", body, "text/x-vw")
                    assert status == 200, answer
                    time.sleep(1)  # the standby is through, and the disk
                    before = threads_of(follower.pid)
                    os.kill(follower.pid, signal.SIGCONT)
                    begun = time.perf_counter()
                    first = sequence_of(follower)
                    until_sequence(follower, answer["sequence"])
                    seconds = time.perf_counter() - begun
                    taken = [at - before.get(tid, 0) for tid, at in threads_of(follower.pid).items()]
                    if run:
                        rates.append((answer["sequence"] - first) / seconds)
                        costs.append(1e6 * sum(taken) / chosen.examples)
                        longest.append(1e6 * max(taken) / chosen.examples)
            yield Figure(
                f"a follower folds what it has missed, {lanes}",
                f"by the clock {statistics.median(rates) / 1e6:.2f} M examples/s ({min(rates) / 1e6:.2f} to "
                f"{max(rates) / 1e6:.2f}); processor time an example "
                f"{statistics.median(costs):.2f} µs, {statistics.median(longest):.2f} of the folding thread: "
                f"{1 / statistics.median(longest):.2f} M/s on a core of its own",
                "1 M examples/s",
            )


def threads_of(pid: int) -> dict[str, float]:
    """Return the processor time of each thread of a process, in seconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}
