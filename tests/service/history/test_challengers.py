"""A challenger has a history of its own: what it was like, over starts and kills, until it is promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.history.points import Totals, totals_of
from service.conftest import ServiceProcess, Start
from service.history.test_promotion import summed
from service.models.test_challengers import DEFAULT, folded, follow, until_compared, update
from service.models.test_promotion import promote
from service.writer.test_breaker import NDJSON, body, labelled_all, stream
from waiting import until

B = "/v1/models/b"


def told(client: httpx.Client, step: str = "examples", path: str = B) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{path}/history", params={"step": step}).raise_for_status().json()
    return found


def kinds(client: httpx.Client, path: str = B) -> list[str]:
    return [one["kind"] for one in told(client, path=path)["events"]]


def check(client: httpx.Client, totals: Totals, sequence: int) -> None:
    """Hold what is told of all steps against the figures of a fold."""
    until(lambda: client.get(B).json()["sequence"] == sequence)
    for step in ("minute", "hour", "day", "examples"):
        rows = told(client, step)["rows"]
        assert summed(rows) == pytest.approx(totals, rel=1e-9), step
        assert rows[-1]["sequence"] == sequence


@pytest.mark.sampled(1)
@pytest.mark.parametrize("beginning", ["nothing", "refold"])
@pytest.mark.parametrize("between", ["stop", "kill"])
def test_it_is_that_of_what_it_learned(serve: Start, tmp_path: Path, beginning: str, between: str) -> None:
    """Whoever takes a snapshot last before a stop or a kill: itself, its champion, or neither."""

    def again(service: ServiceProcess) -> ServiceProcess:
        assert service.stop() == 0 if between == "stop" else service.kill() == -9
        return serve(tmp_path / "data", breaker="off").until_ready()

    service = serve(tmp_path / "data", breaker="off").until_ready()
    learned = [] if beginning == "nothing" else [0]
    with service.client() as client:
        update(client, 0)
        follow(client, beginning)
    for n, snapshots in enumerate((("default", "b"), ("b", "default"), ()), 1):
        with service.client() as client:
            for seed in (10 * n, 10 * n + 1):
                update(client, seed)
                learned.append(seed)
            check(client, totals_of(folded(learned)), 40 + 80 * n)
            for name in snapshots:
                assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
        service = again(service)
        with service.client() as client:
            until_compared(client)
            check(client, totals_of(folded(learned)), 40 + 80 * n)
    with service.client() as client:
        update(client, 40)
        assert set(kinds(client)) == {"start"}
        assert told(client)["events"][0]["text"] == "the model begins to learn"
        assert told(client)["events"][0]["sequence"] == (0 if beginning == "refold" else 40)
        # What one has is not the other's.
        assert sum(row["examples"] for row in told(client, path=DEFAULT)["rows"]) == 320
    assert service.stop() == 0
    assert not service.failures()


def test_it_is_gone_when_it_is_promoted(serve: Start, tmp_path: Path) -> None:
    """The name's history goes on; another challenger tells of it, and one of the old name begins anew."""
    place = tmp_path / "data" / "models"
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        follow(client)
        follow(client, name="c", learning_rate=0.1)
        update(client, 0)
        assert client.post(f"{B}/snapshots").status_code == 201
        assert 0 < (place / "b" / "history").stat().st_size < 700_000
        promote(client)
        assert client.get(f"{B}/history").status_code == 404
        update(client, 1)
        until(lambda: client.get("/v1/models/c").json()["sequence"] == 80)
        assert kinds(client, "/v1/models/c") == ["start", "promotion"]
        assert "b took its champion's name" in told(client, path="/v1/models/c")["events"][1]["text"]
        follow(client)
        update(client, 2)
        check(client, totals_of(folded([2])), 120)
        assert kinds(client) == ["start"]
    assert service.kill() == -9
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        until_compared(client)
        check(client, totals_of(folded([2])), 120)
        assert kinds(client, "/v1/models/c").count("promotion") == 1
        assert client.delete(B).status_code == 204
        follow(client)
        assert told(client)["rows"] == []
    assert service.stop() == 0
    assert not service.failures()


@pytest.mark.parametrize("discard", [False, True])
def test_it_tells_of_pauses(start: Start, tmp_path: Path, discard: bool) -> None:
    """Its champion's are its own."""
    service = start(tmp_path / "data", bits=12, learning_rate=0.1).until_ready()
    with service.client() as client:
        client.put(B, json={"follows": "default"}).raise_for_status()
        for content, status in ((stream(12_000), 200), (labelled_all(stream(2500, seed=2), 1), 202)):
            answer = client.post(f"{DEFAULT}/update", content=body(content), headers=NDJSON)
            assert answer.status_code == status
        until(lambda: kinds(client)[-1:] == ["pause"])
    assert service.kill() == -9
    service = start(tmp_path / "data", bits=12, learning_rate=0.1).until_ready()
    with service.client() as client:
        client.post(f"{DEFAULT}/resume", params={"discard": discard}).raise_for_status()
        end = client.get(DEFAULT).json()["sequence"]
        until(lambda: client.get(B).json()["sequence"] == end)
        wanted = ["pause", "discard" if discard else "resume"]
        until(lambda: [kind for kind in kinds(client) if kind not in ("start", "shift")] == wanted)
        assert sum(row["examples"] for row in told(client)["rows"]) == end
    assert service.stop() == 0
    assert not service.failures()
