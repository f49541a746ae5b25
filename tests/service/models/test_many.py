"""Many models in one service: few threads, descriptors and megabytes; nothing is lost, and none waits."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from machine import open_files
from nonzero_service.models.verifying import verify
from service.conftest import Clocked, Start
from service.many import SETTINGS, Load, make, name_of, sequences, threads
from service.series import series
from waiting import until

MANY = 80
IDLE = 50
HOUR = 3600


def test_nothing_is_lost_of_many_models_by_kills(serve: Start, memory_path: Path) -> None:
    data = memory_path / "data"
    service = serve(data, **SETTINGS).until_ready()
    make(service, MANY)
    load = Load(MANY)
    load.service = service
    with load:
        for _ in range(2):
            load.until(MANY)
            load.service = None
            assert service.kill() == -9
            load.service = service = serve(data, **SETTINGS).until_ready()
        load.until(3 * MANY)
    assert load.broken == []
    assert Counter(sequences(service)) == load.applied
    assert load.most["threads"] <= 40
    assert load.most["descriptors"] <= 320
    assert service.stop() == 0
    assert not service.failures()
    assert not list(data.glob("models/*/journal.sqlite-wal"))  # all is in the files
    for n in range(0, MANY, 17):
        assert verify(data / "models" / name_of(n), lambda *_: None).faults == []
    again = serve(data, **SETTINGS).until_ready()
    assert Counter(sequences(again)) == load.applied


def test_idle_ones_have_nothing_open_and_what_is_due_is_done(clocked: Callable[..., Clocked]) -> None:
    """Windows of impressions end, with all journals closed that can be; and /metrics opens none."""
    service = clocked(negatives="window", **SETTINGS | {"snapshot_seconds": 1e6}).until_ready()
    make(service, IDLE)
    with service.client() as client:
        for n in range(IDLE):
            example = {"features": {"site": "a"}, "id": f"i{n}"}
            assert client.post(f"/v1/models/{name_of(n)}/predict", json=example).status_code == 200
        until(lambda: series(client, "nonzero_pending_labels") == IDLE)
        until(lambda: open_files(service.pid) < 100)
        files = open_files(service.pid)
        client.get("/metrics").raise_for_status()
        assert open_files(service.pid) < files + IDLE / 2  # what it does besides has some too
        service.clock.pass_by(HOUR)
        until(lambda: sum(sequences(service).values()) == IDLE)
        assert series(client, "nonzero_pending_labels") == 0
    assert threads(service.pid) <= 40
    assert service.stop(signal.SIGTERM) == 0
