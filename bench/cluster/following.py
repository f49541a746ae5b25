"""How far a node that follows is behind, and what it costs it to look."""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench.cluster.servers import (
    DEFAULT,
    UNDISTURBED,
    Figure,
    ask,
    pair,
    processes_of,
    until_sequence,
)
from bench.measure import cpu_seconds
from bench.running import Server
from bench.workloads import ClickLog

from postgres import postgresql

LOADS = {
    "updates of 100": (100, 10_000, 8),
    "updates of 10": (10, 10_000, 16),
    "updates of one, as fast as they are answered": (1, 0, 64),
    "updates of one": (1, 1_000, 16),
}
"""Of each: the examples in a request, how many a second, and by how many connections."""

LOOKED_AT = 0.01
"""Seconds between two looks at where the follower is: no lag is told more exactly."""

QUIET = 10.0


def figures(chosen: argparse.Namespace) -> Iterator[Figure]:
    """Yield the lag under each load."""
    file = ClickLog(50_000).ndjson
    with (
        postgresql(standby=True, on_disk=True) as servers,
        pair(servers.database(), **UNDISTURBED) as (writer, follower),
    ):
        for name, load in LOADS.items():
            pids = {"writer": [writer.pid], "follower": [follower.pid], "servers": processes_of(servers)}
            before = {who: sum(map(cpu_seconds, some)) for who, some in pids.items()}
            with updating(writer, file, load, chosen.seconds) as process, Looks(follower) as looks:
                answered = answers_of(process)
                until_sequence(follower, answered[-1][2])
            spent = {who: sum(map(cpu_seconds, some)) - before[who] for who, some in pids.items()}
            lags = lags_of(answered, looks.seen)
            waits = [answer - sent for sent, answer, _ in answered]
            rate = load[0] * len(answered) / chosen.seconds
            yield Figure(
                f"lag, {name}",
                f"median {ms(lags, 50)}, p99 {ms(lags, 99)}, most {ms(lags, 100)}; {rate:,.0f} examples/s, "
                f"answered within {ms(waits, 50)}, p99 {ms(waits, 99)}; a sleep "
                f"was too long by {ms(looks.late, 50)}, p99 {ms(looks.late, 99)}; a core: "
                + ", ".join(
                    f"{who} {100 * seconds / chosen.seconds:.0f} %" for who, seconds in spent.items()
                ),
                "p99 100 ms at 10,000 examples/s",
            )


@contextmanager
def updating(
    writer: Server, file: Path, load: tuple[int, int, int], seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that sends updates, an entry of :data:`LOADS`."""
    options = dict(zip(("group", "rate", "connections"), load, strict=True))
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "bench.cluster.pacing", str(writer.port), str(file), *flags]
    with subprocess.Popen([*command, f"--seconds={seconds}"], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def answers_of(process: subprocess.Popen[bytes]) -> list[tuple[float, float, int]]:
    """Wait for all answers, in the order of their sequences: when sent, when answered, which sequence."""
    assert process.stdout is not None
    found: list[tuple[float, float, int]] = json.loads(process.stdout.read())
    return sorted(found, key=lambda one: one[2])


class Looks:
    """Asks a node again and again for a prediction, which says how far it is."""

    def __init__(self, follower: Server) -> None:
        self.seen: list[tuple[float, int]] = []
        """When it was seen to have learned how many examples."""
        self.late: list[float] = []
        """How much later it looked than it was to: so late anybody is on that machine."""
        self._follower = follower
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._follower.port)
        body = json.dumps({"features": {"f0": "v1"}}).encode()
        while not self._waited():
            connection.request("POST", f"{DEFAULT}/predict", body, {"content-type": "application/json"})
            said: dict[str, Any] = json.loads(connection.getresponse().read())
            self.seen.append((time.monotonic(), said["sequence"]))
        connection.close()

    def _waited(self) -> bool:
        begun = time.monotonic()
        ended = self._ended.wait(LOOKED_AT)
        self.late.append(time.monotonic() - begun - LOOKED_AT)
        return ended


def lags_of(answered: Sequence[tuple[float, float, int]], seen: Sequence[tuple[float, int]]) -> list[float]:
    """Return for each answer how much later the follower was seen to be as far."""
    lags, looks = [], iter(seen)
    when, sequence = next(looks)
    for _, at, wanted in answered:
        while sequence < wanted:
            when, sequence = next(looks)
        lags.append(max(when - at, 0))
    return lags


def ms(values: Sequence[float], percent: int, digits: int = 0) -> str:
    """Return a percentile of seconds, as milliseconds with so many digits behind the point."""
    ordered = sorted(values)
    return f"{1e3 * ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]:.{digits}f} ms"


def idle(_: argparse.Namespace) -> Iterator[Figure]:
    """Yield what nodes and servers cost where nothing comes, with 1, 100 and 1,000 models."""
    with (
        postgresql(standby=True, on_disk=True) as servers,
        pair(servers.database(), bits=10, **UNDISTURBED) as (writer, follower),
    ):
        made = 1
        for models in (1, 100, 1000):
            for number in range(made, models):
                status, said = ask(writer, "PUT", f"/v1/models/m{number}", b"{}")
                assert status in (200, 201), said
            made = models
            while len(ask(follower, "GET", "/v1/models")[1]["models"]) < models:
                time.sleep(0.2)
            time.sleep(5)
            pids = {"writer": [writer.pid], "follower": [follower.pid], "servers": processes_of(servers)}
            before = {who: {pid: cpu_seconds(pid) for pid in some} for who, some in pids.items()}
            time.sleep(QUIET)
            spent = {who: sum(cpu_seconds(pid) - some[pid] for pid in some) for who, some in before.items()}
            yield Figure(
                f"{models:,} idle model{'s' * (models > 1)}",
                ", ".join(f"{who} {100 * seconds / QUIET:.1f} %" for who, seconds in spent.items())
                + " of a core",
            )
