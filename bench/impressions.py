"""``python -m bench.impressions``: what it costs to keep predictions for their labels, a million of them.

One service, over HTTP, as users run it. First as many are kept as `--pending` says, and the process's memory
is read, a moment later: what was freed has gone back to the system then. With them there, predictions with an
id are held against those without, in turn, streamed and as JSON lists of 100. Then the service is started
anew, and the model's window is so short that all have ended: while they are learned from as negatives, one
client predicts, one example at a time, and every answer is timed. So it is where impressions are learned from
when their window ends. Last, where they are learned from at once, predictions with an id are held against
updates of the same rows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.measure import Comparison, compare, cpu_seconds
from bench.running import serving
from bench.workloads import ClickLog

from nonzero_service.bodies.freed_memory import QUIET

PATH: Final = "/v1/models/default"
LINES: Final = 10_000

BODIES: Final = 5
"""So many bodies of so many lines are sent at a time: processor time is told in hundredths of a second."""

JOURNALLED: Final = 0.3
"""Seconds in which what was answered comes into the journal: that is of its processor time."""


@dataclass
class Service:
    """A running service."""

    connection: http.client.HTTPConnection
    pid: int

    def post(self, body: bytes, media: str, route: str = "predict") -> None:
        self.connection.request("POST", f"{PATH}/{route}", body, {"content-type": media})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content)

    def told(self, name: str) -> float:
        self.connection.request("GET", "/metrics")
        lines = self.connection.getresponse().read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))

    def resident(self) -> int:
        """Return the memory of the process that is no file's, in bytes."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
        )
        return sum(int(status[key].split()[0]) for key in ("RssAnon", "RssShmem")) << 10


@contextmanager
def service(directory: Path, **settings: Any) -> Iterator[Service]:
    """Run a service on a directory, and connect to it."""
    with serving(directory, snapshot_seconds=1e6, **settings) as server:
        yield Service(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120), server.pid)


class Bodies:
    """Bodies of predict, from a made-up click log; no id comes twice.

    Parameters
    ----------
    log
        The click log.
    """

    def __init__(self, log: ClickLog) -> None:
        lines = [line[: line.rindex(b',"label"')] for line in log.ndjson.read_bytes().splitlines()]
        self._plain = [line + b"}" for line in lines]
        self._open = [line + b',"id":"%032x"}' for line in lines]
        self._numbers = count(1 << 100)

    def rows(self, n: int, start: int, ids: bool) -> list[bytes]:
        """Return `n` examples of the log, from one on, around its end."""
        if not ids:
            return [self._plain[(start + k) % len(self._plain)] for k in range(n)]
        return [self._open[(start + k) % len(self._open)] % next(self._numbers) for k in range(n)]

    def lines(self, n: int, start: int, ids: bool) -> bytes:
        return b"\n".join(self.rows(n, start, ids)) + b"\n"

    def lists(self, n: int, ids: bool) -> list[bytes]:
        """Return JSON bodies of 100 examples."""
        return [b'{"examples":[' + b",".join(self.rows(100, k, ids)) + b"]}" for k in range(0, n, 100)]


def compare_rates(running: Service, bodies: Bodies, runs: int) -> None:
    """Predict with ids and without, in turn, and print how they compare."""
    media = {"streamed": "application/x-ndjson", "JSON lists of 100": "application/json"}
    for name in media:
        cpu = {True: 0.0, False: 0.0}

        def side(ids: bool, name: str = name, cpu: dict[bool, float] = cpu) -> float:
            many = [bodies.lines(LINES, 0, ids) for _ in range(BODIES)]
            if name != "streamed":
                many = bodies.lists(BODIES * LINES, ids)
            before, start = cpu_seconds(running.pid), time.perf_counter()
            for body in many:
                running.post(body, media[name])
            seconds = time.perf_counter() - start
            time.sleep(JOURNALLED)
            cpu[ids] += cpu_seconds(running.pid) - before
            return BODIES * LINES / seconds

        row = Comparison(
            name, lambda side=side: side(True), "without id", lambda side=side: side(False),  # type: ignore[misc]
            "examples/s", 0.8,
        )  # fmt: skip
        found = compare(row, runs, lambda: None)
        print(
            f"{name}: {found.ours:,.0f} examples/s with id, {found.peer:,.0f} without, "
            f"ratio {found.ratio:.2f} ({found.least:.2f} to {found.most:.2f}); "
            f"by processor time {cpu[False] / cpu[True]:.2f}; to reach {found.target:.2f}"
        )


def compare_with_updates(running: Service, log: ClickLog, runs: int) -> None:
    """Predict with ids, which teaches at once, and update with the same rows, in turn; print both.

    Their clicks come behind each ten thousand, and are part of it.
    """
    lines = log.ndjson.read_bytes().splitlines()[:LINES]
    update = b"\n".join(lines) + b"\n"
    clicks = [row for row, line in enumerate(lines) if line.endswith(b'"label":1}')]
    cpu, numbers = {True: 0.0, False: 0.0}, count(1 << 110)
    media = "application/x-ndjson"

    def requests() -> list[tuple[bytes, str]]:
        """Return predictions, and their labels: what waits for clicks is learned from with them."""
        names = [b"%032x" % next(numbers) for _ in lines]
        rows = [line[: line.rindex(b',"label"')] for line in lines]
        body = b"".join(b'%s,"id":"%s"}\n' % pair for pair in zip(rows, names, strict=True))
        return [
            (body, "predict"),
            (b"".join(b'{"id":"%s","label":1}\n' % names[row] for row in clicks), "labels"),
        ]

    def side(ids: bool) -> float:
        many = [one for _ in range(BODIES) for one in (requests() if ids else [(update, "update")])]
        before, start = cpu_seconds(running.pid), time.perf_counter()
        for body, route in many:
            running.post(body, media, route)
        cpu[ids] += cpu_seconds(running.pid) - before
        return BODIES * LINES / (time.perf_counter() - start)

    row = Comparison("at once", lambda: side(True), "update", lambda: side(False), "examples/s", 1.0)
    found = compare(row, runs, lambda: None)
    print(
        f"at once, streamed: {found.ours:,.0f} predictions/s with id, {found.peer:,.0f} updates/s, "
        f"ratio {found.ratio:.2f} ({found.least:.2f} to {found.most:.2f}); "
        f"by processor time {cpu[False] / cpu[True]:.2f}; to reach {found.target:.2f}"
    )


def shorten_windows(directory: Path) -> None:
    """Let all windows of a model have ended, while no service runs."""
    path = directory / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attribution_seconds": 0.001}))


def fill(running: Service, bodies: Bodies, n: int) -> None:
    """Predict until `n` wait for their label."""
    for start in range(0, n, LINES):
        running.post(bodies.lines(min(LINES, n - start), start, True), "application/x-ndjson")


def predict_while_they_end(running: Service, body: bytes) -> tuple[list[float], float]:
    """Predict until nothing waits; return the seconds of each answer, and how long it all took."""
    running.told("nonzero_pending_labels")  # what makes the routes that are not hot is part of the start
    answers: list[float] = []
    begun = looked = time.perf_counter()
    while True:
        start = time.perf_counter()
        running.post(body, "application/json")
        now = time.perf_counter()
        answers.append(now - start)
        if now - looked > 1:
            if not running.told("nonzero_pending_labels"):
                return answers, now - begun
            looked = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.impressions", description=__doc__)
    parser.add_argument("--pending", type=int, default=1_000_000, help="how many wait for their label")
    parser.add_argument("--runs", type=int, default=7, help="how often each side of a comparison runs")
    parser.add_argument("--bits", type=int, default=22, help="the table's size")
    chosen = parser.parse_args()
    log = ClickLog(50_000)
    bodies = Bodies(log)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        directory = Path(place)
        with service(directory, bits=chosen.bits, negatives="window") as running:
            fill(running, bodies, LINES)
            before = running.resident()
            fill(running, bodies, chosen.pending - LINES)
            time.sleep(2 * QUIET)
            print(
                f"{running.told('nonzero_pending_labels'):,.0f} pending: {running.resident() / 1e6:,.0f} MB, "
                f"{before / 1e6:,.0f} with {LINES:,}; the table has {64 << chosen.bits:,} bytes"
            )
            compare_rates(running, bodies, chosen.runs)
        shorten_windows(directory / "models" / "default")
        with service(directory, bits=chosen.bits) as running:
            body = bodies.rows(1, 0, False)[0]
            answers, seconds = predict_while_they_end(running, body)
            answers.sort()
            print(
                f"all ended and learned from in {seconds:.1f} s, {len(answers):,} predictions meanwhile: "
                f"median {1e3 * statistics.median(answers):.2f} ms, "
                f"99.9 % {1e3 * answers[-(len(answers) // 1000) - 1]:.2f}, "
                f"worst {1e3 * answers[-1]:.2f}; to reach 20"
            )
            print(f"memory afterwards: {running.resident() / 1e6:,.0f} MB")
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place,
        service(Path(place), bits=chosen.bits, negatives="at_once", breaker="off") as running,
    ):
        compare_with_updates(running, log, chosen.runs)


if __name__ == "__main__":
    main()
