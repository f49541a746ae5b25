"""An hour of mixed traffic at 70 % of what the service can do: nothing grows that should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reporting import Figure
from service.conftest import ServiceProcess
from service.soak.traffic import Traffic

SETTINGS = {
    "bits": 16,
    "snapshot_bytes": "8MiB",
    "attribution_seconds": 10,
    "correction_seconds": 10,
    "breaker": "off",
}
"""So that an hour sees many of everything that comes and goes: snapshots, pruned rows, segments."""

LOOKS = 600
MEASURE_SECONDS = 20.0
SHARE = 0.7
CLIENTS = 4


def look(pid: int, data_dir: Path) -> tuple[float, float, float, float]:
    """Return the seconds now, memory in MB, open files, and the disk in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    disk = 0
    for path in data_dir.rglob("*"):
        try:
            disk += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return time.monotonic(), pages * 4096 / 1e6, files, disk / 1e6


def slope(seconds: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Return what `values` grow by an hour, and the standard error of that.

    The fit is of the least of each of ten spans: what comes and goes with segments and snapshots is no leak,
    and what stays when they have gone is. A span must be long enough to see them come and go: minutes.
    """
    spans = np.array_split(np.arange(seconds.size), 10)
    x = np.array([seconds[span].mean() for span in spans]) / 3600
    y = np.array([values[span].min() for span in spans])
    centred = x - x.mean()
    growth = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - growth * centred
    return growth, float(np.sqrt(rest @ rest / (x.size - 2) / (centred @ centred)))


@pytest.mark.soak
def test_an_hour(
    start: Callable[..., ServiceProcess], tmp_path: Path, pytestconfig: pytest.Config, figure: Figure
) -> None:
    total = pytestconfig.getoption("--soak-seconds")
    service = start(**SETTINGS).until_ready()
    Traffic(service.host, service.port, CLIENTS, 1000).run(MEASURE_SECONDS / 2, None)
    capacity = Traffic(service.host, service.port, CLIENTS, 2000).run(MEASURE_SECONDS, None)
    seen: list[tuple[float, float, float, float]] = []
    until = threading.Event()

    def watch() -> None:
        while not until.wait(total / LOOKS):
            seen.append(look(service.process.pid, tmp_path / "data"))

    watching = threading.Thread(target=watch)
    watching.start()
    traffic = Traffic(service.host, service.port, CLIENTS)
    rate = traffic.run(total, SHARE * capacity)
    until.set()
    watching.join()
    assert service.stop() == 0
    statuses = traffic.statuses()
    unexpected = {what: n for what, n in statuses.items() if what.split()[1] not in ("200", "400")}
    waits = np.concatenate([client.waits for client in traffic.clients])

    warm = np.array(seen)[len(seen) // 4 :]
    seconds, memory, files, disk = warm.T
    growth, error = slope(seconds, memory)
    thirds = [part.max() for part in np.array_split(disk, 3)]
    most = ", ".join(f"{third:.0f}" for third in thirds)
    figure(
        f"{total:.0f} s of predictions, updates and labels at {100 * rate / capacity:.0f} % of capacity: "
        f"{sum(statuses.values()):,} requests",
        "memory grows by less than 1 MB/h after the warm-up, files flat, disk bounded, nothing refused",
        f"{growth:+.2f} ± {error:.2f} MB/h (of {memory.min():.0f} to {memory.max():.0f} MB); "
        f"{files.min():.0f} to {files.max():.0f} files; disk at most {most} MB in the thirds; "
        f"median {1000 * np.median(waits):.1f} ms, "
        f"p99 {1000 * np.quantile(waits, 0.99):.0f} ms; refused: {unexpected or 'nothing'}",
    )
    assert not unexpected
    assert growth - 2 * error < 1
    assert files.max() <= files[: files.size // 3].max() + 2
    assert thirds[2] <= 1.25 * max(thirds[:2]) + 8
