"""promtool, which checks what is written for Prometheus, and evaluates rules on series that it is given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.scrapes import Scrapes

__all__ = ["ALERTS", "ROOT", "alerting_rules", "check", "fires", "needs_promtool", "series_named", "shows"]

ROOT: Final = Path(__file__).parent.parent.parent
ALERTS: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: Debian's package prometheus has it"
)

_NAME: Final = re.compile(r"\b(?:nonzero|process)_\w+|\bup\b")


def series_named(text: str) -> set[str]:
    """Return the names of the series of a service, and of its target, that a text names."""
    return set(_NAME.findall(text))


def alerting_rules() -> dict[str, Any]:
    """Return the alerting rules by their names."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    rules = [rule | {"group": group["name"]} for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)


def check(*arguments: str | Path) -> None:
    """Run promtool, which has to find nothing wrong."""
    done = _run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def _tested(scrapes: Scrapes, rules: Sequence[Path], **tests: Any) -> tuple[bool, str]:
    """Evaluate rules every minute; return whether all was as expected, and what promtool says."""
    used = set().union(*(series_named(path.read_text()) for path in rules))
    group = {"interval": "1m", "input_series": scrapes.series(used), **tests}
    file = {"rule_files": list(map(str, rules)), "evaluation_interval": "1m", "tests": [group]}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "test.yml")
        path.write_text(json.dumps(file))  # JSON is YAML
        done = _run("test", "rules", path)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout + done.stderr


def fires(
    scrapes: Scrapes, expected: Mapping[str, str], ended: Sequence[str] = (), state: str = "firing"
) -> None:
    """Assert which alerts were firing at any minute: these, and no other.

    Parameters
    ----------
    scrapes
        What was scraped.
    expected
        The alerts that fire at the end, and a pattern of what each says.
    ended
        Those that have fired before.
    state
        ``.*`` for all that were pending, too.
    """
    last = f"{scrapes.minutes - 1}m"
    fired = f'group by (alertname) (count_over_time(ALERTS{{alertstate=~"{state}"}}[{scrapes.minutes}m]))'
    names = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in (*expected, *ended)]
    # What an alert says, only a test tells that expects something else.
    nothing = [{"eval_time": last, "alertname": name, "exp_alerts": []} for name in expected]
    asked = [{"expr": fired, "eval_time": last, "exp_samples": names}]
    right, said = _tested(scrapes, [ALERTS], alert_rule_test=nothing, promql_expr_test=asked)
    assert "expr:" not in said, said
    assert right == (not expected), said
    for name, pattern in expected.items():
        texts = re.findall(rf'alertname="{name}".*?\n.*?summary="((?:[^"\\]|\\.)*)"', said)
        assert texts, (name, said)
        assert any(re.search(pattern, text) for text in texts), texts
        assert not any("no value" in text or "error" in text for text in texts), texts


def shows(scrapes: Scrapes, expressions: Mapping[str, str]) -> None:
    """Assert that each expression, by what it is of, gives something at the end."""
    rules = [
        {"alert": "Nothing", "expr": f"absent({expression})", "labels": {"part": name}}
        for name, expression in expressions.items()
    ]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "rules.yml")
        path.write_text(json.dumps({"groups": [{"name": "nothing", "rules": rules}]}))
        query = 'group by (part) (ALERTS{alertname="Nothing"})'
        asked = {"expr": query, "eval_time": f"{scrapes.minutes - 1}m", "exp_samples": []}
        right, said = _tested(scrapes, [ALERTS, path], promql_expr_test=[asked])
    assert right, said
