"""What a process takes: the time to its first prediction, memory at its peak, and the file of its model."""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench.measure import Comparison, Work
from bench.running import COMMAND, running, serving
from bench.service import DEFAULT, client
from bench.workloads import ClickLog

from nonzero import LogisticRegression
from nonzero_service.demo.process import free_port

__all__ = ["comparisons"]

ROOM = 300e6
"""Bytes that a process may take beside its tables."""
WORKER_ROOM = 200e6
"""Bytes that each further process may take, which shares the tables."""
BYTES_A_ROW = 64 + 12
"""Of a model's file, at most, for each row of the table that was touched."""
WINDOW = 100_000 * 16 + 65_536
"""Bytes of a model's file for its last 100,000 examples, and what does not grow."""
WITH_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A process begins with the peak of its parent, and ours holds large tables: a small one stands between."""
FEATURES = b'{"features":{"site":"news","hour":"9"}}'


def start() -> float:
    """Start a service that has been started before; return the seconds until it has answered a prediction."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        serve = ["serve", "--port", str(port), "--data-dir", f"{directory}/data"]
        since = time.perf_counter()
        with running(*COMMAND, *serve, port=port):
            while request(port, "predict", FEATURES) != 200:
                time.sleep(0.005)
            return time.perf_counter() - since


def request(port: int, action: str, body: bytes) -> int:
    """Send a request to the default model; return its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", f"{DEFAULT}/{action}", body, {"content-type": "application/json"})
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def training_peak(log: ClickLog) -> Work:
    """Return the work of ``nonzero train``; its cost is the most bytes that the process has held."""
    command = [sys.executable, "-c", WITH_PEAK, *COMMAND, "train", str(log.vw), "--json"]

    def run() -> float:
        done = subprocess.run(command, check=True, capture_output=True)
        return int(done.stdout.splitlines()[-1]) * 1024.0

    return run


def model_file(log: Path) -> Work:
    """Return the work of ``nonzero train``; its cost is the size of the model's file."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "model"
            command = [*COMMAND, "train", str(log), "--model", str(path), "--json"]
            subprocess.run(command, check=True, capture_output=True)
            return float(path.stat().st_size)

    return run


def four_lines() -> Path:
    """Return a CSV file of four lines, which is made once."""
    path = Path(tempfile.gettempdir()) / "nonzero-bench-four.csv"
    path.write_text("label,site,hour\n1,news,9\n0,blog,9\n0,news,10\n1,shop,11\n")
    return path


def serving_peak(log: ClickLog) -> Work:
    """Return the work of a bulk update and a snapshot; its cost is the most bytes of the service."""

    def run() -> float:
        with serving() as server:
            client("upload", server.port, log.vw, f"{DEFAULT}/update")
            if request(server.port, "snapshots", b"") not in (200, 201):
                raise ConnectionError("no snapshot was taken")
            status = Path(f"/proc/{server.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024.0

    return run


def worker_memory() -> float:
    """Serve with two processes; return the bytes that the second has to itself."""
    with serving(workers=2) as server:
        for _ in range(100):  # connections of their own: some come to the second
            request(server.port, "predict", FEATURES)
        tasks = Path(f"/proc/{server.pid}/task")
        [worker] = " ".join((task / "children").read_text() for task in tasks.iterdir()).split()
        lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("Private_"))


def comparisons(log: ClickLog) -> Iterator[Comparison]:
    """Yield the rows one by one; all of their peers are limits."""
    yield Comparison(
        "warm start to the first prediction", start, "limit", lambda: 0.5, "s", 1.0, cost=True, most_runs=5
    )
    table = float(LogisticRegression(22).nbytes)
    few = ClickLog(100_000)
    rows = np.unique(few.batch.indices & np.uint32(2**22 - 1)).size
    for name, work, limit in (
        ("train, most memory", training_peak(log), table + ROOM),
        ("train of 100,000 examples, most memory", training_peak(few), 150e6),
        ("model file of a four-line CSV", model_file(four_lines()), 65_536.0),
        ("model file of 100,000 examples", model_file(few.vw), BYTES_A_ROW * rows + WINDOW),
        ("bulk update and snapshot, most memory", serving_peak(log), 2 * table + ROOM),
        ("a second process that serves, memory of its own", worker_memory, WORKER_ROOM),
    ):
        yield Comparison(
            name,
            work,
            f"limit, {limit / 2**20:,.2f} MiB",
            lambda limit=limit: limit,  # type: ignore[misc]
            "bytes",
            1.0,
            cost=True,
            most_runs=1,
        )
