"""An object store that takes no snapshots is told of at the start; it keeps nobody from being served."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

from links import Link
from nonzero.sources.places import Remote
from nonzero_service.models import store_check
from nonzero_service.models.store_check import StoreCheck
from object_store import ObjectStore, forget_stores, strictly
from service.conftest import ServiceProcess, Start
from waiting import until

SAID = "snapshots cannot be stored; it is tried again"

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def said_by(running: ServiceProcess) -> str:
    """Return what a service says at its start, which serves all the same."""
    running.until_ready()
    [line] = until(lambda: running.lines(SAID))
    assert (line["level"], line.get("exception")) == ("error", None)
    with running.client() as client:
        body = {"examples": [{"features": {"site": "a"}}]}
        assert client.post("/v1/models/default/predict", json=body).status_code == 200
    assert running.stop() == 0
    return str(line["reason"])


def test_a_bucket_that_is_missing(start: Start, object_store: ObjectStore) -> None:
    said = said_by(start(bits=8, snapshot_store=f"s3://no-{object_store.bucket}/snapshots"))
    assert f"there is no bucket no-{object_store.bucket}; name another, or say by AWS_ENDPOINT_URL_S3" in said


@pytest.mark.parametrize(
    ("wrong", "actions", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody's"}, ["s3:*"], "the store does not know the access key; set AWS_"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, ["s3:*"], "the secret key is not that of the access key"),
        ({}, ["s3:ListBucket"], "is forbidden; the credentials need"),
        ({}, ["s3:PutObject"], "s3:ListBucket for patterns"),
    ],
)
def test_keys_that_are_wrong_or_may_not(
    start: Start,
    object_store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, str],
    actions: list[str],
    reason: str,
) -> None:
    with strictly(object_store, *actions) as keys:
        for name, value in {**keys, **wrong}.items():
            monkeypatch.setenv(name, value)
        said = said_by(start(bits=8, snapshot_store=f"{object_store.url}/snapshots"))
    assert reason in said
    assert "wrong" not in said


def test_one_that_is_away_for_a_moment_is_asked_again(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_check, "RETRY_SECONDS", 0.05)
    port = urlsplit(object_store.endpoint).port
    assert port is not None

    async def asked(check: StoreCheck, times: int) -> None:
        while times:
            if (work := check.look()) is not None:
                await work
                times -= 1
            await asyncio.sleep(0.01)

    async def ask(link: Link, said: list[Any]) -> None:
        check = StoreCheck(Remote(f"{object_store.url}/snapshots"))
        await asked(check, 3)
        refused = said.copy()
        assert {(one["event"], one["log_level"]) for one in refused} == {(SAID, "error")}
        assert len({one["reason"] for one in refused}) == len(refused)
        for one in refused:
            assert "the store did not answer" in one["reason"]
            assert "try later" in one["reason"]
        link.heal()
        await asked(check, 1)
        assert said[len(refused) :] == [
            {
                "event": "snapshots can be stored",
                "log_level": "info",
                "place": f"{object_store.url}/snapshots",
            }
        ]
        await asyncio.sleep(0.1)
        assert check.look() is None

    with Link([port]) as link, structlog.testing.capture_logs() as said:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{link.ports[0]}")
        forget_stores()
        link.cut()
        asyncio.run(ask(link, said))
    assert (object_store.keys(), object_store.uploads()) == ([], [])
