"""Models are deleted, made and predicted from on a full disk, through HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx

from disks import fill
from machine import open_files
from service.conftest import Start

X = "/v1/models/x"
UPDATE = {"features": {"site": "news"}, "label": 1}


def names(client: httpx.Client) -> list[str]:
    return [one["model"] for one in client.get("/v1/models").json()["models"]]


def test_a_full_disk(serve: Start, small_disk: Path) -> None:
    """DELETE frees room there; PUT leaves nothing; ids are kept again when there is room."""
    data_dir, ballast = small_disk / "data", small_disk / "ballast"
    service = serve(data_dir, learning_rate=0.1, attribution_seconds=1000).until_ready()
    with service.client() as client:
        assert client.put(X, json={"bits": 4}).status_code == 201
        assert client.post(f"{X}/update", json=UPDATE).status_code == 200
        fill(ballast)
        usual = open_files(service.pid)
        for j in range(300):
            body = {"features": {"site": "news"}, "id": f"imp-{j}"}
            assert client.post(f"{X}/predict", json=body).status_code == 200
        assert client.put("/v1/models/y", json={"bits": 4}).status_code == 507
        assert open_files(service.pid) <= usual + 2
        ballast.unlink()
        assert client.put("/v1/models/y", json={"bits": 4}).status_code == 201
        assert client.post(f"{X}/predict", json={"features": {}, "id": "kept"}).status_code == 200
        told = client.post(f"{X}/labels", json={"labels": [{"id": "kept", "label": 1}]})
        assert told.json()["accepted"] == 1, told.text
        fill(ballast)
        assert client.delete(X).status_code == 204
        assert names(client) == ["default", "y"]
    assert service.kill() == -9
    ballast.unlink()
    assert sorted(path.name for path in (data_dir / "models").iterdir()) == ["default", "y"]
    again = serve(data_dir).until_ready()
    with again.client() as client:
        assert names(client) == ["default", "y"]
    assert again.kill() == -9
