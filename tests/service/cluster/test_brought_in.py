"""docs/cluster.md, "From one service, and back": its commands run, and the model stays the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from plain_http import client_of
from postgres import Cluster
from service.conftest import ServiceProcess, Start
from waiting import until

PAGE = (Path(__file__).parents[3] / "docs/cluster.md").read_text()
SECTION = PAGE.partition("\n## From one service, and back\n")[2].partition("\n## ")[0]
[COMMANDS] = re.findall(r"```text\n(.*?)```", SECTION, re.DOTALL)

NEWS, SPORT = {"features": {"site": "news"}}, {"features": {"site": "sport"}}


def bring(old: ServiceProcess, new: ServiceProcess, place: Path) -> None:
    commands = COMMANDS.replace("http://OLD", old.url).replace("http://NODE", new.url)
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{commands}"], cwd=place, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done


def predictions(service: ServiceProcess) -> Any:
    with client_of(service.url) as client:
        return client.post("/v1/models/default/predict", json={"examples": [NEWS, SPORT]}).json()


def test_a_model_comes_in_and_out_again(postgres: Cluster, start: Start, tmp_path: Path) -> None:
    alone = start(bits=10).until_ready()
    node = start(tmp_path / "node", journal=postgres.database(), node="a", bits=8)
    with client_of(alone.url) as client:
        rows = [{**NEWS, "label": 1}, {**SPORT, "label": 0}] * 20
        headers = {"idempotency-key": "once"}
        client.post("/v1/models/default/update", json={"examples": rows}, headers=headers).raise_for_status()
        client.post("/v1/models/default/predict", json={**NEWS, "id": "shown"}).raise_for_status()
        until(lambda: client.get("/v1/models/default").json()["sequence"] == 41)
    node.until_ready()
    with client_of(node.url) as client:
        until(lambda: client.get("/leader").status_code == 200)
        bring(alone, node, tmp_path)
        assert predictions(node) == predictions(alone)
        assert client.get("/v1/models/default/metrics").json()["examples"] == 41
        unknown = client.post("/v1/models/default/labels", json={"id": "shown", "label": 1})
        assert unknown.status_code == 404
        again = client.post("/v1/models/default/update", json={"examples": rows}, headers=headers).json()
        assert (again["replayed"], again["sequence"]) == (0, 81)
    bring(node, alone, tmp_path)
    assert predictions(alone) == predictions(node)
