"""The rules: promtool can read them, and each says what it is, leads to the way out, and has its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.promtool import ALERTS, ROOT, alerting_rules, check, needs_promtool
from test_pages import anchors

LINK = re.compile(r"(docs/[\w/]+\.md)(?:#([\w-]+))?")


@needs_promtool
def test_promtool_finds_nothing_wrong() -> None:
    check("check", "rules", "--lint-fatal", ALERTS)
    check("check", "config", ALERTS.with_name("prometheus.yml"))


@pytest.mark.parametrize("name", alerting_rules())
def test_each_says_what_it_is_and_where_the_way_out_stands(name: str) -> None:
    rule = alerting_rules()[name]
    assert rule["labels"]["severity"] in ("warning", "critical")
    said = rule["annotations"]
    assert said.keys() == {"summary", "description"}
    assert "$value" in said["summary"]
    assert ("$labels.model" in said["summary"]) == (rule["group"] != "nonzero-service")
    links = LINK.findall(said["description"])
    assert links
    for page, anchor in links:
        assert not anchor or anchor in anchors(ROOT / page), (page, anchor)
    [row] = [line for line in (ROOT / "docs/alerts.md").read_text().splitlines() if f"`{name}`" in line]
    assert f"| {rule['labels']['severity']} |" in row


def test_each_is_made_to_fire() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*_alerts.py"))
    assert set(re.findall(r'"(Nonzero\w+)": ', tests)) == set(alerting_rules())
