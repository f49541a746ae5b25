"""The board of Grafana: each of its panels shows something of a real service."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any, Final

import pytest
import yaml

from deploy.promtool import ROOT, needs_promtool, series_named, shows
from deploy.scrapes import Scrapes
from deploy.traffic import Traffic
from service.conftest import Start

GRAFANA: Final = ROOT / "deploy" / "grafana"
BOARD: Final[dict[str, Any]] = json.loads((GRAFANA / "dashboards" / "nonzero.json").read_text())
PANELS: Final = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

VALUES: Final = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*"}
"""Of its variables, where all is chosen."""


def asked(expression: str) -> str:
    """Return what Grafana asks Prometheus."""
    for variable, value in VALUES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@needs_promtool
def test_each_panel_shows_something(start: Start) -> None:
    service = start(bits=12, slices="site", breaker="off").until_ready()
    traffic = Traffic(service)
    traffic.teach()
    with service.client() as client:
        seen = Scrapes(client)
        for _ in range(15):
            traffic.step()
            seen.take()
        traffic.until_told(client)
        seen.take()
    expressions = {
        f"{panel['title']} {target['refId']}": asked(target["expr"])
        for panel in PANELS
        for target in panel["targets"]
    }
    shows(seen, expressions)
    whole = json.dumps(BOARD)
    assert series_named(whole) <= seen.names()


def test_it_names_no_datasource_of_one_installation() -> None:
    sources = [one["datasource"] for panel in PANELS for one in (panel, *panel["targets"])]
    sources += [one["datasource"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
    sources += [one["datasource"] for one in BOARD["annotations"]["list"]]
    assert all(source == DATASOURCE for source in sources)
    assert [one["name"] for one in BOARD["templating"]["list"] if one["type"] == "datasource"] == [
        "datasource"
    ]


def test_no_two_panels_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


@pytest.mark.parametrize("kind", ["datasources", "providers"])
def test_it_is_provisioned(kind: str) -> None:
    [path] = (GRAFANA / "provisioning" / kind.replace("providers", "dashboards")).glob("*.yml")
    provisioned = yaml.safe_load(path.read_text())
    assert provisioned["apiVersion"] == 1
    [one] = provisioned[kind]
    assert "uid" not in one
