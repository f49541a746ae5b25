"""A machine's clock that is wrong, by seconds, days, years: nothing stands still, it is said, and mended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from nonzero_service.journal.reader import JournalReader
from nonzero_service.models.registry import Models
from nonzero_service.models.verifying import verify
from nonzero_service.settings import Settings
from service.conftest import SERVE, ServiceProcess

PATH = "/v1/models/default"
DAY = 24 * 3600
APART = "the journal's clock and the machine's are apart"

SKEWED = (
    """
import os, time
from pathlib import Path
right, place = time.time_ns, Path(os.environ["SKEW"])
time.time_ns = lambda: right() + int(place.read_text()) * 10**9
"""
    + SERVE
)


class Skewed(ServiceProcess):
    """A service on a machine whose clock is wrong by as many seconds as a file says."""

    program = SKEWED

    def __init__(self, place: Path, **settings: Any) -> None:
        self.place = place
        self.environment = {"SKEW": str(place / "skew")}
        super().__init__(place / "data", bits=8, **settings)

    def skew(self, seconds: int) -> None:
        skew(self.place, seconds)

    def alarms(self) -> list[dict[str, Any]]:
        return [line for line in self.log if line.get("event") == APART]


def skew(place: Path, seconds: int) -> None:
    (place / "new").write_text(str(seconds))
    (place / "new").replace(place / "skew")


@pytest.fixture
def running() -> Iterator[list[ServiceProcess]]:
    started: list[ServiceProcess] = []
    yield started
    for one in started:
        one.stop(signal.SIGKILL)


def told(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name + "{")).split()[-1])


def ahead(client: httpx.Client) -> float:
    return told(client, "nonzero_journal_clock_ahead_seconds")


def until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def update(client: httpx.Client) -> None:
    answer = client.post(f"{PATH}/update", json={"features": {"a": "b"}, "label": 1})
    assert answer.status_code == 200


def predict(client: httpx.Client, name: str) -> None:
    assert client.post(f"{PATH}/predict", json={"features": {"a": "b"}, "id": name}).status_code == 200


def last_ms(place: Path) -> int:
    with JournalReader(place / "data" / "models" / "default") as reader:
        return reader.tip.time_ms


def test_rows_from_the_future(tmp_path: Path, running: list[ServiceProcess]) -> None:
    skew(tmp_path, 400 * DAY)
    wrong = Skewed(tmp_path, attribution_seconds=2)
    running.append(wrong.until_ready())
    with wrong.client() as client:
        update(client)
        predict(client, "a")
    wrong.stop(signal.SIGKILL)
    skew(tmp_path, 0)

    right = Skewed(tmp_path, attribution_seconds=2)
    running.append(right.until_ready())
    with right.client() as client:
        until(right.alarms)
        assert right.alarms()[0]["level"] == "error"
        assert right.alarms()[0]["ahead_seconds"] == pytest.approx(400 * DAY, abs=100)
        assert f"POST {PATH}/clock" in right.alarms()[0]["way_out"]
        assert ahead(client) == pytest.approx(400 * DAY, abs=100)
        predict(client, "b")
        until(lambda: told(client, "nonzero_pending_labels") == 0)  # windows end all the same
        predict(client, "c")
        done = client.post(f"{PATH}/clock")
        assert done.status_code == 200, done.text
        assert done.json()["after_ms"] == pytest.approx(1000 * time.time(), abs=10_000)
        assert done.json()["before_ms"] - done.json()["after_ms"] == pytest.approx(400 * DAY * 1000, abs=1e5)
        assert ahead(client) == pytest.approx(0, abs=1)
        assert client.post(f"{PATH}/clock").status_code == 409
        predict(client, "d")
        assert client.post(f"{PATH}/labels", json={"id": "d", "label": 1}).status_code == 200
        until(lambda: told(client, "nonzero_pending_labels") == 0)
        late = client.post(f"{PATH}/labels", json={"id": "c", "label": 1})
        assert (late.status_code, late.json()["corrected"]) == (200, 1)
        assert client.get(PATH).json()["sequence"] == 1 + 2 + 1 + 1 + 1
    assert len(right.alarms()) == 1
    right.stop(signal.SIGKILL)
    assert last_ms(tmp_path) == pytest.approx(1000 * time.time(), abs=20_000)
    assert verify(tmp_path / "data" / "models" / "default", lambda *_: None).faults == []

    again = Skewed(tmp_path, attribution_seconds=2)
    running.append(again.until_ready())
    with again.client() as client:
        predict(client, "e")
        until(lambda: told(client, "nonzero_pending_labels") == 0)
    assert not again.alarms()


def test_a_clock_that_leaps_and_goes_back(tmp_path: Path, running: list[ServiceProcess]) -> None:
    skew(tmp_path, 0)
    service = Skewed(tmp_path)
    running.append(service.until_ready())
    with service.client() as client:
        predict(client, "a")
        update(client)
        service.skew(5)
        update(client)
        assert ahead(client) == pytest.approx(0, abs=0.5), "a step of seconds is followed"
        service.skew(0)
        assert ahead(client) == pytest.approx(5, abs=2), "and waited for"
        service.skew(400 * DAY)
        until(service.alarms)
        update(client)
        assert ahead(client) == pytest.approx(-400 * DAY, abs=20)
        assert last_ms(tmp_path) == pytest.approx(1000 * time.time(), abs=20_000)
        time.sleep(1.2)
        assert told(client, "nonzero_pending_labels") == 1, "no window ended"
        service.skew(-3 * DAY)
        update(client)
        assert ahead(client) == pytest.approx(3 * DAY, abs=20)
        assert client.post(f"{PATH}/clock").status_code == 200
        assert last_ms(tmp_path) == pytest.approx(1000 * (time.time() - 3 * DAY), abs=20_000)
        service.skew(400 * DAY)
        done = client.post(f"{PATH}/clock").json()  # somebody says that it is right
        assert done["after_ms"] - done["before_ms"] == pytest.approx(403 * DAY * 1000, abs=1e5)
        until(lambda: told(client, "nonzero_pending_labels") == 0)


def test_a_start_long_after_the_last_row_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened() -> list[Any]:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), lambda _: None)
        with capture_logs() as logs:
            await models.open()
            await models.close()
        return [line for line in logs if line["event"] == "the last row is long ago"]

    assert asyncio.run(opened()) == []
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + 40 * DAY * 10**9)
    [said] = asyncio.run(opened())
    assert (said["log_level"], said["days"]) == ("warning", pytest.approx(40, abs=0.2))
