"""kill -9 of a busy service, of which a challenger learns from impressions when its champion does not."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.verifying import verify
from service.conftest import ServiceProcess, Start
from service.faults.invariants import silent
from service.models.test_challengers import compared, until_compared, without_names
from service.series import series
from waiting import until

DEFAULT = "/v1/models/default"
SETTINGS = {"attribution_seconds": 0.3, "correction_seconds": 1, "breaker": "off", "slices": "site"}


class Traffic:
    """Predicts, labels and updates at random, as long as the service lasts."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._made = 0
        self.sent = 0

    def run(self, service: ServiceProcess, over: threading.Event) -> None:
        with suppress(httpx.TransportError), service.client() as client:
            while not over.is_set():
                self._once(client)
                self.sent += 1

    def _once(self, client: httpx.Client) -> None:
        chance = self._chance
        what = chance.choice(["predict", "predict", "label", "label", "update", "snapshot"])
        near = [f"i{chance.randrange(max(self._made - 300, 0), self._made + 1)}" for _ in range(9)]
        if what == "predict":
            rows: list[dict[str, Any]] = [
                {"features": self._features(), "id": f"i{self._made + j}"} for j in range(12)
            ]
            self._made += 12
            answer = client.post(f"{DEFAULT}/predict", json={"examples": rows})
        elif what == "label":
            labels = [{"id": name, "label": chance.randrange(2)} for name in near]
            answer = client.post(
                f"{DEFAULT}/labels", json={"labels": labels}
            )  # all may be known, or too late
        elif what == "update":  # some of them are labels
            rows = [{"features": self._features(), "label": chance.randrange(2)} for _ in near]
            for row, name in zip(rows[::2], near[::2], strict=True):
                row["id"] = name
            answer = client.post(f"{DEFAULT}/update", json={"examples": rows})
        else:
            answer = client.post(f"/v1/models/{chance.choice(['b', 'default'])}/snapshots")
        assert answer.status_code in (200, 201, 202, 422), answer.text

    def _features(self) -> dict[str, str]:
        return {"site": f"s{self._chance.randrange(9)}", "ad": f"a{self._chance.randrange(40)}"}


def kill_at_random(serve: Start, data_dir: Path, kills: int) -> None:
    """Kill a busy service again and again, and hold all that is kept against the rows."""
    traffic, chance = Traffic(kills), random.Random(kills)
    for life in range(kills):
        service = serve(data_dir, **SETTINGS).until_ready()
        with service.client() as client:
            if not life:
                body = {"follows": "default", "negatives": "window", "learning_rate": 0.3, "bits": 18}
                assert client.put("/v1/models/b", json=body).status_code == 201
            until_compared(client)
        over, enough = threading.Event(), traffic.sent + 60 + chance.randrange(60)
        sending = threading.Thread(target=traffic.run, args=(service, over))
        sending.start()
        until(lambda enough=enough: traffic.sent >= enough)  # type: ignore[misc]
        assert service.kill() == -9
        over.set()
        sending.join()
        check(serve, data_dir)


def check(serve: Start, data_dir: Path) -> None:
    """Verify what is kept; start, kill and start: all is the same to the bit."""
    for name in ("default", "b"):
        assert verify(data_dir / "models" / name, silent).faults == []
    found = []
    for _ in range(2):
        service = serve(data_dir, **SETTINGS).until_ready()
        with service.client() as client:
            until_compared(client)
            until_settled(client)
            found.append((without_names(compared(client)), client.get("/v1/models/b/metrics").json()))
            assert not service.lines("a challenger learns no more")
        assert service.kill() == -9
    assert found[0] == found[1]


def until_settled(client: httpx.Client) -> None:
    """Wait until all windows have ended, of which the champion may learn, and the challenger is as far."""
    for name in ("nonzero_pending_labels", "nonzero_waiting_impressions"):
        until(lambda name=name: series(client, name) == 0)  # type: ignore[misc]
    sequence = client.get(DEFAULT).json()["sequence"]
    until(lambda: client.get("/v1/models/b").json()["sequence"] == sequence)


def test_random_moments(serve: Start, memory_path: Path) -> None:
    kill_at_random(serve, memory_path / "data", 3)
    with JournalReader(memory_path / "data" / "models" / "default") as reader:
        assert {row.kind for row in reader.read()} >= {"impression", "joined", "label"}


@pytest.mark.soak
def test_random_moments_long(serve: Start, memory_path: Path) -> None:
    kill_at_random(serve, memory_path / "data", 60)
