"""An hour of mixed traffic at 70 % of what the service can do: nothing grows that should not."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import theilslopes

from reporting import Figure
from service.soak.traffic import Traffic
from service.soak.watched import Watched

SETTINGS = {
    "bits": 16,
    "snapshot_bytes": "8MiB",
    "attribution_seconds": 10,
    "correction_seconds": 10,
    "breaker": "off",
}
"""So that an hour sees many of everything that comes and goes: snapshots, pruned rows, segments."""

LOOKS = 600
SPANS = 60
MEASURE_SECONDS = 20.0
SHARE = 0.7
CLIENTS = 4


def look(pid: int, data_dir: Path) -> tuple[float, float, float, float]:
    """Return the seconds now, resident memory in MB, open files, and the disk in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    disk = 0
    for path in data_dir.rglob("*"):
        try:
            disk += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return time.monotonic(), pages * 4096 / 1e6, files, disk / 1e6


def slope(seconds: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return what `values` grow by an hour, and the ends of the interval that holds it with 95 %.

    Of each of 60 spans the least counts: what comes and goes with requests, segments and snapshots is no
    leak, and what stays when they have gone is. The slope is the median of those between any two spans (Theil
    1950, Sen 1968): a snapshot that is still being written in one of them does not move it.
    """
    spans = np.array_split(np.arange(seconds.size), SPANS)
    hours = [seconds[span].mean() / 3600 for span in spans]
    found = theilslopes([values[span].min() for span in spans], hours)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


@pytest.mark.soak
def test_an_hour(tmp_path: Path, pytestconfig: pytest.Config, figure: Figure) -> None:
    total = pytestconfig.getoption("--soak-seconds")
    service = Watched(tmp_path / "data", tmp_path / "in use", **SETTINGS)
    service.until_ready()
    try:
        soak(service, total, tmp_path / "data", figure)
    finally:
        service.stop(signal.SIGKILL)


def soak(service: Watched, total: float, data_dir: Path, figure: Figure) -> None:
    Traffic(service.host, service.port, CLIENTS, 1000).run(MEASURE_SECONDS / 2, None)
    capacity = Traffic(service.host, service.port, CLIENTS, 2000).run(MEASURE_SECONDS, None)
    seen: list[tuple[float, float, float, float]] = []
    until = threading.Event()

    def watch() -> None:
        while not until.wait(total / LOOKS):
            seen.append(look(service.process.pid, data_dir))

    watching = threading.Thread(target=watch)
    watching.start()
    traffic = Traffic(service.host, service.port, CLIENTS)
    rate = traffic.run(total, SHARE * capacity)
    until.set()
    watching.join()
    in_use = service.in_use()
    assert service.stop() == 0
    statuses = traffic.statuses()
    unexpected = {what: n for what, n in statuses.items() if what.split()[1] not in ("200", "400")}
    waits = np.concatenate([client.waits for client in traffic.clients])

    warm = np.array(seen)[len(seen) // 4 :]
    seconds, resident, files, disk = warm.T
    in_use = in_use[:, (seconds[0] <= in_use[0]) & (in_use[0] <= seconds[-1])]
    # A segment of impressions takes 35 MB at once: only what is in use beside equally many can be compared.
    in_use = in_use[:, in_use[2] == np.median(in_use[2])]
    growth, low, high = slope(in_use[0], in_use[1])
    thirds = [part.max() for part in np.array_split(disk, 3)]
    most = ", ".join(f"{third:.0f}" for third in thirds)
    least = ", ".join(f"{third.min():.0f}" for third in np.array_split(resident, 3))
    figure(
        f"{total:.0f} s of predictions, updates and labels at {100 * rate / capacity:.0f} % of capacity: "
        f"{sum(statuses.values()):,} requests",
        "memory in use grows by less than 1 MB/h after the warm-up, files flat, disk bounded, none refused",
        f"{growth:+.2f} MB/h, with 95 % between {low:+.2f} and {high:+.2f} (of {in_use[1].min():.0f} to "
        f"{in_use[1].max():.0f} MB in use); resident {resident.min():.0f} to {resident.max():.0f} MB, "
        f"at least {least} in the thirds; {files.min():.0f} to {files.max():.0f} files; "
        f"disk at most {most} MB in the thirds; median {1000 * np.median(waits):.1f} ms, "
        f"p99 {1000 * np.quantile(waits, 0.99):.0f} ms; refused: {unexpected or 'nothing'}",
    )
    assert not unexpected
    assert high < 1
    assert resident[-resident.size // 3 :].min() <= 1.1 * resident[: resident.size // 3].min()
    assert files.max() <= files[: files.size // 3].max() + 2
    assert thirds[2] <= 1.25 * max(thirds[:2]) + 8
