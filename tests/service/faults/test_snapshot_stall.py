"""How long an update waits while a snapshot is taken: at most 50 ms for each 256 MB of table."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from pathlib import Path

import pytest

from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.faults.clients import PATH

SNAPSHOTS = 9
BODY = json.dumps({"features": {"site": "news", "user": "u1", "hour": "12"}, "label": 1})
HEADERS = {"content-type": "application/json"}


def waits(service: ServiceProcess, until: threading.Event, found: list[tuple[float, float]]) -> None:
    """Send one example after another; note when each was sent, and how long it took."""
    connection = http.client.HTTPConnection(service.host, service.port)
    while not until.is_set():
        begun = time.perf_counter()
        connection.request("POST", f"{PATH}/update", BODY, HEADERS)
        assert connection.getresponse().read()
        found.append((begun, time.perf_counter() - begun))
    connection.close()


@pytest.mark.soak
def test_no_update_waits_long(serve: Start, tmp_path: Path, figure: Figure) -> None:
    """The median, over snapshots, of the worst wait: what else the machine does now and then is not ours."""
    service = serve(tmp_path / "data", bits=22).until_ready()
    until, found = threading.Event(), list[tuple[float, float]]()
    client = threading.Thread(target=waits, args=(service, until, found))
    client.start()
    spans = []
    with service.client() as other:
        size = other.get(PATH).json()["bytes"]
        for _ in range(SNAPSHOTS):
            time.sleep(0.5)
            begun = time.perf_counter()
            assert other.post(f"{PATH}/snapshots").status_code == 201
            spans.append((begun, time.perf_counter()))
    until.set()
    client.join()
    assert service.kill() == -9
    worst = [max(wait for at, wait in found if begun <= at <= end) for begun, end in spans]
    between = [wait for at, wait in found if not any(begun <= at <= end for begun, end in spans)]
    figures = {
        "megabytes": size >> 20,
        "snapshot seconds": [round(end - begun, 2) for begun, end in spans],
        "worst wait during each, ms": [round(1000 * wait, 1) for wait in worst],
        "worst wait between them, ms": round(1000 * max(between), 1),
        "updates": len(found),
    }
    median = statistics.median(worst)
    figure(
        f"single-example updates while snapshots of {size >> 20} MiB are taken: the worst wait",
        "50 ms for each 256 MiB, the median of nine snapshots",
        f"{1000 * median:.0f} ms ({1000 * min(worst):.0f} to {1000 * max(worst):.0f}); "
        f"{1000 * max(between):.0f} ms between snapshots",
    )
    assert median <= 0.05 * size / 2**28, figures
