"""What a node that follows is worth to those who ask for predictions, beside a service of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from bench.cluster.following import updating
from bench.cluster.servers import DEFAULT, UNDISTURBED, Figure, pair, sequence_of
from bench.measure import Comparison, compare, cpu_seconds
from bench.running import serving
from bench.service import Load, one_example_bodies
from bench.workloads import ClickLog

from postgres import postgresql

RATE = 10_000
CONNECTIONS = 16


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield predictions in a second of a node's processor time, and what following takes of it."""
    log = ClickLog(50_000)
    bodies, seconds = one_example_bodies(log), max(int(chosen.seconds) // 3, 2)
    with (
        postgresql(standby=True, on_disk=True) as servers,
        pair(servers.database(), **UNDISTURBED) as (writer, follower),
        serving(**UNDISTURBED) as plain,
    ):
        path = f"{DEFAULT}/predict"
        ours, peer = (Load(server, path, bodies, CONNECTIONS, seconds) for server in (follower, plain))
        row = Comparison("", ours.rate, "plain", peer.rate, "predictions/CPU s", 1)
        found = compare(row, chosen.runs, lambda: None)
        yield Figure(
            "predictions of one example in a second of a follower's processor time",
            f"{found.ours:,.0f}, a plain service {found.peer:,.0f}: {found.ratio:.2f} ({found.least:.2f} to "
            f"{found.most:.2f})",
            "1",
        )
        with updating(writer, log.ndjson, (100, RATE, 8), chosen.seconds):
            time.sleep(1)
            cost, rate = following(follower.pid, lambda: sequence_of(follower), chosen.seconds - 2)
        yield Figure(
            f"a follower's processor time while it follows {RATE:,} examples/s in updates of 100",
            f"{100 * cost:.1f} % of a core, at {rate:,.0f} examples/s: {1e6 * cost / rate:.1f} µs an example",
        )
        with updating(writer, log.ndjson, (100, RATE, 8), chosen.seconds):
            time.sleep(1)
            first, taken, begun = sequence_of(follower), cpu_seconds(follower.pid), time.monotonic()
            asked = ours.asked()["requests"]
            spent, lasted = cpu_seconds(follower.pid) - taken, time.monotonic() - begun
            rate = (sequence_of(follower) - first) / lasted
        yield Figure(
            "the same while it follows, following not counted apart",
            f"{asked / spent:,.0f} predictions in a second of its processor time, at {rate:,.0f} examples/s "
            f"and {asked / lasted:,.0f} predictions/s",
        )


def following(pid: int, sequence: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Return what a process takes of a core for a while, and how many examples it learns a second."""
    first, taken, begun = sequence(), cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    spent, lasted = cpu_seconds(pid) - taken, time.monotonic() - begun
    return spent / lasted, (sequence() - first) / lasted
