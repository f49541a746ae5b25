"""A machine's clock that is wrong, by seconds, days, years: nothing stands still, it is said, and mended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.registry import Models
from nonzero_service.models.verifying import verify
from nonzero_service.settings import Settings
from service.conftest import Clocked
from service.series import series
from waiting import until

Start = Callable[..., Clocked]
PATH = "/v1/models/default"
HOUR = 3600
DAY = 24 * HOUR
APART = "the journal's clock and the machine's are apart"


def ahead(client: httpx.Client) -> float:
    return series(client, "nonzero_journal_clock_ahead_seconds")


def update(client: httpx.Client) -> None:
    answer = client.post(f"{PATH}/update", json={"features": {"a": "b"}, "label": 1})
    assert answer.status_code == 200


def predict(client: httpx.Client, name: str) -> None:
    assert client.post(f"{PATH}/predict", json={"features": {"a": "b"}, "id": name}).status_code == 200


def last_ms(place: Path) -> int:
    with JournalReader(place / "data" / "models" / "default") as reader:
        return reader.tip.time_ms


def test_rows_from_the_future(clocked: Start, tmp_path: Path) -> None:
    wrong = clocked(400 * DAY, bits=8, impressions="durable").until_ready()
    with wrong.client() as client:
        update(client)
        predict(client, "a")
    wrong.stop(signal.SIGKILL)

    right = clocked(bits=8, impressions="durable").until_ready()
    with right.client() as client:
        alarm, *_ = until(lambda: right.lines(APART))
        assert alarm["level"] == "error"
        assert alarm["ahead_seconds"] == pytest.approx(400 * DAY, abs=100)
        assert f"POST {PATH}/clock" in alarm["way_out"]
        assert ahead(client) == pytest.approx(400 * DAY, abs=100)
        predict(client, "b")
        right.clock.pass_by(HOUR)
        until(lambda: series(client, "nonzero_pending_labels") == 0)  # windows end all the same
        predict(client, "c")
        done = client.post(f"{PATH}/clock")
        assert done.status_code == 200, done.text
        assert done.json()["after_ms"] == pytest.approx(1000 * (time.time() + HOUR), abs=10_000)
        assert done.json()["before_ms"] - done.json()["after_ms"] == pytest.approx(400 * DAY * 1000, abs=1e5)
        assert ahead(client) == pytest.approx(0, abs=1)
        assert client.post(f"{PATH}/clock").status_code == 409
        predict(client, "d")
        assert client.post(f"{PATH}/labels", json={"id": "d", "label": 1}).status_code == 200
        right.clock.pass_by(HOUR)
        until(lambda: series(client, "nonzero_pending_labels") == 0)
        late = client.post(f"{PATH}/labels", json={"id": "c", "label": 1})
        assert (late.status_code, late.json()["corrected"]) == (200, 1)
        assert (
            client.get(PATH).json()["sequence"] == 1 + 4 + 2
        )  # an update, predictions, and clicks that took two back
    assert len(right.lines(APART)) == 1
    right.stop(signal.SIGKILL)
    assert last_ms(tmp_path) == pytest.approx(1000 * (time.time() + 2 * HOUR), abs=20_000)
    assert verify(tmp_path / "data" / "models" / "default", lambda *_: None).faults == []

    again = clocked(2 * HOUR, bits=8).until_ready()
    with again.client() as client:
        predict(client, "e")
        again.clock.pass_by(HOUR)
        until(lambda: series(client, "nonzero_pending_labels") == 0)
    assert not again.lines(APART)


def test_a_clock_that_leaps_and_goes_back(clocked: Start, tmp_path: Path) -> None:
    service = clocked(bits=8).until_ready()
    with service.client() as client:
        predict(client, "a")
        update(client)
        service.clock.turn(40)
        update(client)
        assert ahead(client) == pytest.approx(0, abs=0.5), "a step of less than a minute is followed"
        service.clock.turn(0)
        assert ahead(client) == pytest.approx(40, abs=20), "and waited for"
        service.clock.turn(400 * DAY)
        until(lambda: service.lines(APART))
        update(client)
        assert ahead(client) == pytest.approx(-400 * DAY, abs=60)
        assert last_ms(tmp_path) == pytest.approx(1000 * time.time(), abs=60_000)
        service.until_looked()
        assert series(client, "nonzero_pending_labels") == 1, "no window ended"
        service.clock.turn(-3 * DAY)
        update(client)
        assert ahead(client) == pytest.approx(3 * DAY, abs=60)
        assert client.post(f"{PATH}/clock").status_code == 200
        assert last_ms(tmp_path) == pytest.approx(1000 * (time.time() - 3 * DAY), abs=20_000)
        service.clock.turn(400 * DAY)
        done = client.post(f"{PATH}/clock").json()  # somebody says that it is right
        assert done["after_ms"] - done["before_ms"] == pytest.approx(403 * DAY * 1000, abs=1e5)
        until(lambda: series(client, "nonzero_pending_labels") == 0)


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
