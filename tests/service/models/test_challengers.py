"""Challengers: the stream is journalled once and folded twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from command_line import nonzero
from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.statistics.comparison import Comparison
from service.conftest import Start
from waiting import until

DEFAULT = "/v1/models/default"
OTHER = {"learning_rate": 0.3, "bits": 9, "interactions": ["site*ad"]}


def examples(seed: int, n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "features": {
                "site": f"s{rng.integers(9)}",
                "ad": f"a{rng.integers(40)}",
                "bid": float(rng.random()),
            },
            "label": int(rng.random() < 0.3),
        }
        for _ in range(n)
    ]


def update(client: httpx.Client, seed: int, n: int = 40) -> int:
    answer = client.post(f"{DEFAULT}/update", json={"examples": examples(seed, n)})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["sequence"])


def digest(client: httpx.Client, name: str, place: Path) -> str:
    assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
    place.write_bytes(client.get(f"/v1/models/{name}/snapshots/latest").content)
    return LogisticRegression.load(place).digest()


def compared(client: httpx.Client, name: str = "b") -> dict[str, Any]:
    answer = client.get(f"{DEFAULT}/comparison", params={"with": name})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until_compared(client: httpx.Client, name: str = "b") -> None:
    until(lambda: compared(client, name)["since"] is not None)


def follow(client: httpx.Client, start: str = "nothing", name: str = "b", **own: Any) -> dict[str, Any]:
    answer = client.put(f"/v1/models/{name}", json={"follows": "default", "start": start, **(own or OTHER)})
    assert answer.status_code == 201, answer.text
    until_compared(client, name)
    made: dict[str, Any] = answer.json()
    return made


def folded(seeds: list[int], n: int = 40) -> LogisticRegression:
    """Return what the library makes of the same examples, with the challenger's settings."""
    model = LogisticRegression(9, AdaGrad(0.3), interactions=["site*ad"])
    for seed in seeds:
        model.learn(batch(seed, n))
    return model


def batch(seed: int, n: int = 40) -> Batch:
    sent = examples(seed, n)
    return Batch.from_dicts([one["features"] for one in sent], [one["label"] for one in sent])


def library_comparison(before: list[int], seeds: list[int]) -> Comparison:
    """Compare both in the library."""
    ours, theirs = LogisticRegression(8), LogisticRegression(9, AdaGrad(0.3), interactions=["site*ad"])
    found = Comparison()
    for seed in before:
        ours.learn(batch(seed))
    for seed in seeds:
        one = batch(seed)
        found.add(one.labels, one.weights, ours.learn(one), theirs.learn(one))
    return found


def test_it_learns_what_its_champion_learns(serve: Start, tmp_path: Path) -> None:
    service = serve(slices="site").until_ready()
    with service.client() as client:
        update(client, 0)
        made = follow(client)
        assert made["follows"] == "default"
        assert client.get(DEFAULT).json()["followers"] == ["b"]
        follow(client, "refold", "c")
        for seed in (1, 2, 3):
            update(client, seed)
        until(lambda: client.get("/v1/models/b").json()["sequence"] == 160)
        assert digest(client, "b", tmp_path / "b") == folded([1, 2, 3]).digest()
        assert digest(client, "c", tmp_path / "c") == folded([0, 1, 2, 3]).digest()
        found, paired = compared(client), library_comparison([0], [1, 2, 3])
        assert found["examples"] == 120
        assert found["since"]["sequence"] == 40
        assert sum(one["examples"] for one in found["slices"]["site"]) == 120
        assert found["log_loss"] == {"model": paired.log_losses[0], "with": paired.log_losses[1]}
        one = examples(9, 1)[0]["features"]
        [answered] = client.post("/v1/models/b/predict", json={"features": one}).json()["predictions"]
        assert answered["probability"] == pytest.approx(folded([1, 2, 3]).predict_one(one), abs=1e-6)
    assert service.stop() == 0
    assert not service.failures()


def test_a_kill_changes_nothing(serve: Start, tmp_path: Path) -> None:
    service = serve(slices="site").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client)
        for seed in (1, 2, 3):
            update(client, seed)
        before = compared(client)
    for n in range(3):
        assert service.kill() == -9
        service = serve(slices="site").until_ready()
        with service.client() as client:
            until_compared(client)
            found = compared(client)
            assert without_names(found) == without_names(before), n
            if n != 1:  # the champion's snapshot is newer, then the challenger's, then neither
                client.post(f"/v1/models/{'b' if n else 'default'}/snapshots")
            update(client, 4 + n)
            before = compared(client)
    with service.client() as client:
        assert digest(client, "b", tmp_path / "b") == folded([1, 2, 3, 4, 5, 6]).digest()
    assert service.stop() == 0
    assert not service.failures()
    service = serve(slices="site").until_ready()
    with service.client() as client:
        until_compared(client)
        assert without_names(compared(client)) == without_names(before)


def test_without_its_snapshots(serve: Start, tmp_path: Path) -> None:
    """It is folded from its beginning; what its champion predicted before its own snapshots is not known."""
    place = tmp_path / "data"
    service = serve(place, journal_retention="all").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client)
        for seed in (1, 2, 3):
            update(client, seed)
            for name in ("default", "b"):
                assert client.post(f"/v1/models/{name}/snapshots").status_code == 201
        update(client, 4)
        before = compared(client)
    assert service.kill() == -9
    for path in (place / "models/b/snapshots").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    service = serve(place, journal_retention="all").until_ready()
    with service.client() as client:
        until_compared(client)
        # The whole journal is there, so the champion was folded from nothing too.
        assert compared(client) == before
        assert digest(client, "b", tmp_path / "b") == folded([1, 2, 3, 4]).digest()
    assert service.stop() == 0


def test_a_damaged_note_of_its_comparison(serve: Start, tmp_path: Path) -> None:
    """The comparison begins anew; neither it nor its champion is held up."""
    place = tmp_path / "data"
    service = serve(place).until_ready()
    with service.client() as client:
        follow(client)
        update(client, 1)
        assert client.post("/v1/models/b/snapshots").status_code == 201
    assert service.kill() == -9
    (place / "models/b/comparison.json").write_text("{")
    service = serve(place).until_ready()
    with service.client() as client:
        until_compared(client)
        assert compared(client)["since"]["sequence"] == 40
        assert update(client, 2) == 80
        assert compared(client)["examples"] == 40
    assert service.stop() == 0
    assert len(service.lines("this does not say where a comparison begins, and it begins anew")) == 1


def without_names(found: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison without the names of values, which requests show."""
    slices = {field: [one | {"value": None} for one in those] for field, those in found["slices"].items()}
    return found | {"slices": slices}


def test_updates_go_to_the_champion(serve: Start) -> None:
    service = serve().until_ready()
    with service.client() as client:
        follow(client)
        one = examples(1, 1)[0]
        for path, body in (
            ("update", one),
            ("update", {"examples": [one, one]}),
            ("labels", {"id": "x", "label": 1}),
            ("remedy", None),
            ("resume", None),
        ):
            answer = client.post(f"/v1/models/b/{path}", json=body)
            assert answer.status_code == 409, answer.text
            assert "'default'" in answer.json()["detail"]
        kept = client.post("/v1/models/b/predict", json={"features": one["features"], "id": "i"}).json()
        assert kept["predictions"][0]["kept"] is False
        for path in ("metrics", "diagnosis"):
            assert client.get(f"/v1/models/b/{path}").status_code == 200
        assert client.post("/v1/models/b/explain", json={"features": one["features"]}).status_code == 200
        assert client.delete(DEFAULT).status_code == 409
        assert client.delete("/v1/models/b").status_code == 204
        assert client.get(DEFAULT).json()["followers"] == []
        assert client.get("/v1/models/b").status_code == 404
        update(client, 1)
    assert service.stop() == 0
    assert not service.failures()


def test_what_a_challenger_may_be(serve: Start) -> None:
    service = serve().until_ready()

    def put(name: str, **body: Any) -> httpx.Response:
        return client.put(f"/v1/models/{name}", json={"follows": "default", **body})

    with service.client() as client:
        assert put("b", **OTHER).status_code == 201
        assert put("b", **OTHER).status_code == 200
        assert put("b", **OTHER, start="nothing").status_code == 200
        for other in ({"bits": 12}, {"start": "refold"}, {"learning_rate": 0.1}):
            assert put("b", **(OTHER | other)).status_code == 409
        assert client.put("/v1/models/b", json=OTHER).status_code == 409
        for refused, word in (
            ({"schema": {"fields": {"site": "ignore"}}}, "hashed"),
            ({"namespace_separator": "^"}, "hashed"),
            ({"negatives": "at_end"}, '"window"'),
            ({"attribution_seconds": 7200}, "one window"),
            ({"follows": "b"}, "itself"),
            ({"follows": "nobody"}, "no model"),
        ):
            answer = put("c", **refused)
            assert answer.status_code == (409 if "follows" in refused else 422), answer.text
            assert word in answer.json()["detail"]
        for name in "cde":
            assert put(name).status_code == 201
        assert put("f").status_code == 409
        assert put("default").status_code == 409


def test_labels_reach_both(serve: Start, tmp_path: Path) -> None:
    service = serve(breaker="off").until_ready()
    with service.client() as client:
        follow(client)
        shown = [one["features"] | {"n": str(n)} for n, one in enumerate(examples(1, 30))]
        body = {"examples": [{"features": one, "id": f"i{n}"} for n, one in enumerate(shown)]}
        assert client.post(f"{DEFAULT}/predict", json=body).status_code == 200
        labels = {"labels": [{"id": f"i{n}", "label": 1} for n in range(0, 30, 3)]}
        assert client.post(f"{DEFAULT}/labels", json=labels).json()["accepted"] == 10
        whole = client.get(DEFAULT).json()["sequence"]
        assert whole > 10
        until(lambda: client.get("/v1/models/b").json()["sequence"] == whole)
        found, learned = compared(client), digest(client, "b", tmp_path / "b")
    assert service.kill() == -9
    service = serve(breaker="off").until_ready()
    with service.client() as client:
        until_compared(client)
        assert compared(client) == found
        assert digest(client, "b", tmp_path / "b") == learned


def test_what_a_refold_needs(serve: Start) -> None:
    service = serve(breaker="off").until_ready()
    with service.client() as client:
        for seed in range(3):
            update(client, seed)
            assert client.post(f"{DEFAULT}/snapshots").status_code == 201
        refold = {"follows": "default", "start": "refold"}
        answer = client.put("/v1/models/b", json=refold)
        assert answer.status_code == 422
        assert '"nothing"' in answer.json()["detail"]
        content = client.get(f"{DEFAULT}/snapshots/latest").content
        media = {"content-type": "application/vnd.safetensors"}
        assert client.put("/v1/models/file", content=content, headers=media).status_code == 201
        answer = client.put("/v1/models/b", json=refold | {"follows": "file"})
        assert answer.status_code == 422
        assert "trained file" in answer.json()["detail"]
        # It learns with a model of a file, from the present on.
        made = client.put("/v1/models/b", json={"follows": "file", "learning_rate": 0.3})
        assert made.status_code == 201
        assert client.post("/v1/models/file/update", json=examples(1, 1)[0]).json()["sequence"] == 121
        until(lambda: client.get("/v1/models/b").json()["sequence"] == 121)


def test_commands_know_it(serve: Start, tmp_path: Path) -> None:
    service = serve(tmp_path / "data").until_ready()
    with service.client() as client:
        follow(client)
        update(client, 1)
        assert client.post("/v1/models/b/snapshots").status_code == 201
        report = json.loads(nonzero("inspect", tmp_path / "data", "--json").stdout)
        assert report["b"]["sequence"] == 40
        assert report["b"]["model"]["digest"] == folded([1]).digest()
        found = json.loads(nonzero("verify", tmp_path / "data", "--json", "--quiet").stdout)["b"]
        assert (found["sound"], found["digest"]) == (True, folded([1]).digest())
    assert service.stop() == 0
    [snapshot, *_] = sorted((tmp_path / "data/models/b/snapshots").iterdir())
    content = bytearray(snapshot.read_bytes())
    content[-1] ^= 1
    snapshot.write_bytes(content)
    done = nonzero("verify", tmp_path / "data", "--model", "b", "--quiet")
    assert done.returncode == 1
    assert snapshot.name in done.stdout
