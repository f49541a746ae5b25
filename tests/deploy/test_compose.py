"""compose.yaml: compose reads it, and it fits the service and the files that it mounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nonzero_service.api.table import ALIVE, TABLE
from nonzero_service.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PAGE = (ROOT / "docs/compose.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is mounted, and where."""
    for volume in service["volumes"]:
        source, target, *_ = volume.split(":")
        yield source, target


# -- what compose reads ------------------------------------------------------------------------------------


def test_compose_knows_every_field() -> None:
    compose_spec = pytest.importorskip("compose_spec")
    options = compose_spec.PyOptions(apply_merge=True)
    options.from_yaml(TEXT).validate()
    with pytest.raises(ValueError, match="stop_grace_time"):
        options.from_yaml(TEXT.replace("stop_grace_period", "stop_grace_time"))


def test_compose_knows_every_field_of_what_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    [block] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    compose_spec.PyCompose.from_yaml(block).validate()
    [service] = yaml.safe_load(block)["services"].values()
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    token_file = Settings.load(host="0.0.0.0").token_file
    assert token_file is not None
    assert [target for _, target in mounts(service)] == [str(token_file.parent)]


# -- what no schema can say --------------------------------------------------------------------------------


def test_the_service_is_begun_by_default_and_what_watches_it_when_asked() -> None:
    assert {name: service.get("profiles") for name, service in SERVICES.items()} == {
        "nonzero": None,
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_confined_and_is_reached_from_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    for port in service["ports"]:
        assert port.startswith("127.0.0.1:")
    if "build" not in service:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source


def test_every_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES["nonzero"]
    for name, value in service["environment"].items():
        assert name.startswith(PREFIX)
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value))
    settings = Settings.load()
    assert service["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    [seconds] = re.findall(r"^(\d+)s$", service["stop_grace_period"])
    assert int(seconds) >= settings.grace_seconds + 15
    assert [target for _, target in mounts(service)] == re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)
    [path] = re.findall(r"'(/\w+)', timeout=", DOCKERFILE)
    assert TABLE.find("GET", path)[0].route == ALIVE


def test_prometheus_finds_the_service_and_grafana_finds_both() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    for file in config["rule_files"]:
        assert (ROOT / "deploy/prometheus" / file).is_file()
    targets = [
        one for job in config["scrape_configs"] for group in job["static_configs"] for one in group["targets"]
    ]
    assert targets == [f"nonzero:{Settings.load().port}"]
    [sources] = (ROOT / "deploy/grafana/provisioning/datasources").glob("*.yml")
    [source] = yaml.safe_load(sources.read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [boards] = (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.yml")
    [provider] = yaml.safe_load(boards.read_text())["providers"]
    [shown] = [source for source, path in mounts(SERVICES["grafana"]) if path == provider["options"]["path"]]
    assert [*(ROOT / shown).glob("*.json")]
