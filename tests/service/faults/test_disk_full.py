"""A disk without space: 507, predictions go on, and so does learning when there is room again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from disks import fill
from service.conftest import Start
from service.faults.clients import PATH, Clients
from service.faults.invariants import Oracle, check

STREAM = b"".join(b"%d |f site%d user%d\n" % (1 if j % 3 else -1, j % 11, j % 1013) for j in range(120_000))


def send(client: httpx.Client, key: str, body: bytes) -> Any:
    headers = {"content-type": "text/x-vw", "idempotency-key": key}
    return client.post(f"{PATH}/update", content=body, headers=headers)


def assert_full(answer: httpx.Response) -> None:
    assert answer.status_code == 507
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


def test_it_says_so_and_goes_on(serve: Start, small_disk: Path) -> None:
    """A stream that found no space half-way is sent again whole, and each example counts once."""
    data_dir = small_disk / "data"
    service = serve(data_dir, journal_retention="all", learning_rate=0.1, breaker="off").until_ready()
    oracle = Oracle(data_dir / "models" / "default")
    with service.client() as client:
        assert send(client, "0-0", STREAM[:1000]).status_code == 200
        ballast = small_disk / "ballast"
        fill(ballast)
        with ballast.open("rb+") as file:  # room for some of the stream
            file.truncate(ballast.stat().st_size - 2**20)
        broken = send(client, "stream", STREAM)
        assert_full(broken)
        learned = client.get(PATH).json()["sequence"]
        assert 0 < broken.json()["accepted"] < 120_000
        fill(ballast)
        assert_full(send(client, "another", STREAM[:2_000_000]))
        assert_full(client.post(f"{PATH}/snapshots"))
        predicted = client.post(f"{PATH}/predict", json={"features": {"site": "news"}})
        assert predicted.status_code == 200
        assert client.get("/readyz").status_code == 200

        ballast.unlink()
        again = send(client, "stream", STREAM)
        assert again.status_code == 200
        assert again.json()["accepted"] == 120_000
        assert again.json()["replayed"] == broken.json()["accepted"]
        assert client.get(PATH).json()["sequence"] >= learned
        assert client.post(f"{PATH}/snapshots").status_code == 201
    records = oracle.records()
    assert oracle.fold().examples == sum(record.rows for record in records.values())
    assert service.kill() == -9
    folded = oracle.fold()
    again_served = serve(data_dir, journal_retention="all").until_ready()
    with again_served.client() as client:
        assert client.get(PATH).json()["sequence"] == folded.examples
    assert again_served.kill() == -9


def test_clients_that_try_on_lose_nothing(serve: Start, small_disk: Path) -> None:
    data_dir = small_disk / "data"
    service = serve(data_dir, journal_retention="all", learning_rate=0.1, breaker="off").until_ready()
    clients = Clients(4)
    ballast = small_disk / "ballast"
    clients.start(service)
    keyless = 0
    with service.client() as client:
        for _ in range(5):
            fill(ballast)
            before = client.get(PATH).json()["sequence"]
            while client.post(f"{PATH}/update", json={"features": {}, "label": 1}).status_code == 200:
                keyless += 1  # it found room that the journal had already
                assert client.get(PATH).json()["sequence"] > before
            ballast.unlink()
    clients.stop()
    assert service.kill() == -9
    assert len(clients.acknowledged()) > 0
    check(Oracle(data_dir / "models" / "default"), clients, keyless)
