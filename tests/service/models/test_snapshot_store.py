"""Snapshots in an object store: the newest two of each model, and a model made of one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression, SettingsError
from nonzero_service.settings import Settings
from object_store import ObjectStore, strictly
from service.series import series
from waiting import until

Start = Callable[..., Any]
PATH = "/v1/models/default"

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def learn(client: httpx.Client, seed: int = 0) -> None:
    rows = [{"features": {"site": f"s{(j + seed) % 9}"}, "label": j % 2} for j in range(100)]
    assert client.post(f"{PATH}/update", json={"examples": rows}).status_code == 200


def snapshot(client: httpx.Client) -> None:
    assert client.post(f"{PATH}/snapshots").status_code == 201


def name_of(position: int) -> str:
    return f"snapshots/default/{position:020d}.safetensors"


def figure(client: httpx.Client, name: str) -> float:
    return series(client, f"nonzero_snapshot_store_{name}")


def test_the_newest_are_copied_and_a_lost_disk_is_made_good(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    place = f"{object_store.url}/snapshots"
    object_store.put(name_of(10**6), b"of another life of the model")
    running = start(tmp_path / "first", bits=8, snapshot_store=place).until_ready()
    with running.client() as client:
        for position in (2, 3, 4):
            learn(client, position)
            snapshot(client)
            until(partial(object_store.has, name_of(position)))
        until(lambda: object_store.keys() == [name_of(3), name_of(4), name_of(10**6)])
        assert figure(client, "failures_total") == 0
        until(lambda: figure(client, "age_seconds") == 0)
        kept = client.get(f"{PATH}/snapshots/latest").content
        assert object_store.get(name_of(4)) == kept
        learn(client, 9)
        assert figure(client, "age_seconds") > 0
        snapshot(client)  # which may not get there
        running.kill()
    digest = LogisticRegression.load(f"{object_store.url}/{name_of(4)}").digest()
    # The disk is lost: an empty directory, and what is in the store.
    anew = start(tmp_path / "anew", bits=8).until_ready()
    with anew.client() as client:
        body = object_store.get(name_of(4))
        made = client.put(
            "/v1/models/again", content=body, headers={"Content-Type": "application/vnd.safetensors"}
        )
        assert made.status_code == 201, made.text
        assert made.json()["sequence"] == 300
        assert client.post("/v1/models/again/snapshots").status_code == 201
        (tmp_path / "again").write_bytes(client.get("/v1/models/again/snapshots/latest").content)
    assert LogisticRegression.load(tmp_path / "again").digest() == digest


def test_what_was_taken_at_the_end_is_copied_by_the_next_start(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    running = start(tmp_path / "data", bits=8).until_ready()
    with running.client() as client:
        learn(client)
    assert running.stop() == 0
    start(tmp_path / "data", bits=8, snapshot_store=f"{object_store.url}/snapshots").until_ready()
    until(lambda: object_store.keys() == [name_of(2)])


def test_a_store_that_fails_keeps_nobody_waiting(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    running = start(tmp_path / "data", bits=8, snapshot_store="s3://no-such-bucket/snapshots").until_ready()
    with running.client() as client:
        learn(client)
        snapshot(client)
        until(lambda: running.lines("no snapshot could be stored"))
        [line] = running.lines("no snapshot could be stored")
        assert "there is no bucket no-such-bucket" in str(line)
        assert figure(client, "failures_total") == 1
        assert figure(client, "age_seconds") > 0
        learn(client)
    assert running.stop() == 0
    assert object_store.keys() == []


@pytest.mark.parametrize("url", ["snapshots", "https://example.com/snapshots", "file:///snapshots"])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"no place in an object store; give one such as s3://bucket/prefix"
    ):
        Settings.load(snapshot_store=url)


def test_a_missing_package_is_said_at_the_start(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", snapshot_store="gs://bucket/snapshots")
    running.until_ended()
    assert "needs gcsfs, which is not installed: pip install gcsfs" in str(running.log)
    assert "Traceback" not in str(running.log)


def test_a_store_where_nothing_may_be_removed_gets_each_snapshot_once(
    start: Start, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three are there, of which two are to stay: that is said, and no reason to send the third again."""
    with strictly(object_store, "s3:PutObject", "s3:GetObject", "s3:ListBucket") as keys:
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        place = f"{object_store.url}/snapshots"
        running = start(tmp_path / "data", bits=8, snapshot_store=place).until_ready()
        with running.client() as client:
            for position in (2, 3, 4):
                learn(client, position)
                snapshot(client)
                until(lambda position=position: len(running.lines("snapshot stored")) == position - 1)  # type: ignore[misc]
            until(lambda: running.lines("no snapshot could be removed"))
            [line] = running.lines("no snapshot could be removed")
            assert "s3:DeleteObject" in line["reason"]
            assert figure(client, "failures_total") == 1
            until(lambda: figure(client, "age_seconds") == 0)
        assert running.stop() == 0
