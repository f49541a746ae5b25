"""``kill -9`` of a service under load: the rows of a history add up to the model's own figures."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero_service.history.points import totals_of
from nonzero_service.journal.snapshots import snapshots_in
from service.conftest import ServiceProcess, Start
from waiting import until

PATH = "/v1/models/default"


def load(service: ServiceProcess, seed: int) -> threading.Thread:
    """Send single examples, streams and snapshots until it is gone."""
    chance = random.Random(seed)

    def example() -> dict[str, Any]:
        features = {"site": f"s{chance.randrange(50)}", "ad": f"a{chance.randrange(9)}"}
        return {"features": features, "label": chance.randrange(2), "weight": chance.choice([0.5, 1, 2])}

    def send() -> None:
        with service.client() as client, suppress(httpx.TransportError):
            while True:
                kind = chance.randrange(20)
                if kind == 0:
                    client.post(f"{PATH}/snapshots")
                elif kind == 1:
                    client.get(f"{PATH}/history")
                elif kind < 5:
                    client.post(f"{PATH}/update", json={"examples": [example() for _ in range(300)]})
                else:
                    client.post(f"{PATH}/update", json=example())

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def check(client: httpx.Client, data_dir: Path) -> None:
    client.post(f"{PATH}/snapshots").raise_for_status()
    newest = snapshots_in(data_dir / "models" / "default" / "snapshots")[0]
    examples, weight, clicks, predicted, loss = totals_of(LogisticRegression.load(newest.path))
    for step in ("minute", "hour", "day", "examples"):
        rows = client.get(f"{PATH}/history", params={"step": step}).json()["rows"]
        assert sum(row["examples"] for row in rows) == examples
        assert sum(row["weight"] for row in rows) == weight
        assert sum(row["clicks"] for row in rows) == clicks
        assert sum(row["predicted"] for row in rows) == pytest.approx(predicted, rel=1e-9)
        assert sum(row["log_loss"] * row["weight"] for row in rows) == pytest.approx(loss, rel=1e-9)


def test_rows_add_up_after_kills_under_load(serve: Start, tmp_path: Path) -> None:
    data_dir, before = tmp_path / "data", 0
    for seed in range(4):
        service = serve(data_dir, breaker="off", bits=10).until_ready()
        with service.client() as client:
            if seed:
                check(client, data_dir)
            threads = [load(service, 10 * seed + n) for n in range(3)]
            until(lambda: client.get(PATH).json()["sequence"] > before + 3000)  # noqa: B023 - it is over then
        assert service.kill() == -9
        for thread in threads:
            thread.join()
        before += 3000
    service = serve(data_dir, breaker="off", bits=10).until_ready()
    with service.client() as client:
        check(client, data_dir)
        events = client.get(f"{PATH}/history").json()["events"]
    assert {event["kind"] for event in events} == {"start"}
    assert service.stop() == 0
    service = serve(data_dir, breaker="off", bits=10).until_ready()
    with service.client() as client:
        check(client, data_dir)
