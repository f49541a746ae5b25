"""Prometheus itself, configured as here: it reaches a service, is silent while all is well, sees a pause."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.promtool import ALERTS
from deploy.traffic import PATH, Traffic
from machine import listening_port
from plain_http import client_of
from reporting import Figure
from service.conftest import ServiceProcess, Start
from service.writer.test_breaker import NDJSON, body, labelled_all, stream
from waiting import SECONDS, until

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


def configured(service: ServiceProcess, place: Path) -> Path:
    """Write the configuration and the rules as they are, but for the target and for what takes long.

    It scrapes every second, and an alert fires when it was so for a second: whatever would be pending fires.
    """
    config = yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], "1s")
    [job] = config["scrape_configs"]
    [job["static_configs"][0]["targets"]] = [[f"{service.host}:{service.port}"]]
    rules = yaml.safe_load(ALERTS.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    (place / ALERTS.name).write_text(json.dumps(rules))
    (place / "prometheus.yml").write_text(json.dumps(config))
    return place / "prometheus.yml"


@contextmanager
def prometheus(service: ServiceProcess, place: Path) -> Iterator[httpx.Client]:
    """Run Prometheus on the loopback; yield a client of its API."""
    arguments = {
        "config.file": configured(service, place),
        "storage.tsdb.path": place / "series",
        "web.listen-address": "127.0.0.1:0",
        "log.level": "warn",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in arguments.items())]
    with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            port = until(lambda: listening_port(process.pid), (place / "log").read_text)
            with client_of(f"http://127.0.0.1:{port}/api/v1") as client:
                yield client
        finally:
            process.terminate()
            process.wait(SECONDS)


def found(client: httpx.Client, path: str, **asked: str) -> Any:
    answer = client.get(path, params=asked)
    return answer.json()["data"] if answer.status_code == 200 else None


def alerts(client: httpx.Client) -> list[str]:
    """Return the names of those that were pending or firing, ever."""
    ever = found(client, "/query", query="count by (alertname) (count_over_time(ALERTS[1d]))")
    return sorted(one["metric"]["alertname"] for one in ever["result"])


def is_watched(client: httpx.Client) -> bool:
    """Whether the service was reached, and each rule was evaluated."""
    targets = found(client, "/targets", state="active")
    rules = found(client, "/rules")
    if not targets or not rules:
        return False
    healths = {rule["health"] for group in rules["groups"] for rule in group["rules"]}
    assert "err" not in healths, rules
    return [one["health"] for one in targets["activeTargets"]] == ["up"] and healths == {"ok"}


def see(start: Start, place: Path, seconds: float) -> int:
    """Let Prometheus watch steady traffic for so long, and then a pause; return how often it scraped."""
    service = start(bits=12, slices="site").until_ready()
    traffic = Traffic(service)
    traffic.teach()
    with prometheus(service, place) as client, service.client() as asked:
        until(lambda: is_watched(client), (place / "log").read_text)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            traffic.step()
            time.sleep(0.1)
        until(lambda: is_watched(client))
        assert alerts(client) == []
        scraped = found(client, "/query", query="count_over_time(up[1d])")["result"][0]["value"][1]

        for content in (stream(12_000), labelled_all(stream(2500, seed=2), 1)):
            asked.post(f"{PATH}/update", content=body(content), headers=NDJSON).raise_for_status()

        def firing() -> list[dict[str, Any]]:
            return [one for one in found(client, "/alerts")["alerts"] if one["state"] == "firing"]

        [alert] = until(firing)
        assert alert["labels"]["alertname"] == "NonzeroLearningPaused"
        assert alert["annotations"]["summary"].startswith("Model default on 127.0.0.1:")
    return int(scraped)


def test_it_watches_a_service(start: Start, tmp_path: Path) -> None:
    assert see(start, tmp_path, 1) >= 1


@pytest.mark.soak
def test_it_is_silent_while_all_is_well(
    start: Start, tmp_path: Path, pytestconfig: pytest.Config, figure: Figure
) -> None:
    seconds = pytestconfig.getoption("--soak-seconds") / 10
    scraped = see(start, tmp_path, seconds)
    figure(
        f"{seconds:.0f} s of steady traffic, scraped {scraped:,} times by Prometheus, then a pause",
        "no alert is pending meanwhile; the pause is",
        "none; it is",
    )
    assert scraped > seconds / 2
