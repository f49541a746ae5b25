"""docs/operations.md: its commands run, and it names the alarms that there are."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/operations.md").read_text()
OF_NODES = (ROOT / "docs/cluster.md").read_text()
OF_SOURCES = (ROOT / "docs/kafka.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
EVENT = re.compile(r"\.(?:warning|error|critical|exception)[(,]\s*\"([^\"]*)\"")
"""Also of those that are logged ``incidentally(log.error, "...")``."""

Start = Callable[..., Any]


def shell(commands: str, place: Path, **variables: str) -> None:
    script = f'set -e\nnonzero() {{ "{sys.executable}" -m nonzero_service.cli "$@"; }}\n{commands}'
    environment = {
        **os.environ,
        **variables,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "no_proxy": "*",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


def test_its_commands_run(start: Start, tmp_path: Path) -> None:
    """A backup of a stopped service serves what was learned; a model's file does too."""
    look, refold, back_up, save, restore = COMMANDS
    data_dir, backup = tmp_path / "data", tmp_path / "backup"
    running = start(bits=8, journal_retention="all").until_ready()
    places = {"DATA_DIR": str(data_dir), "BACKUP": str(backup), "URL": running.url}
    with running.client() as client:
        rows = [{"features": {"site": f"s{j % 7}"}, "label": j % 2} for j in range(50)]
        client.post("/v1/models/default/update", json={"examples": rows})
        for commands in (save, look, refold, restore):
            shell(commands, tmp_path, **places)
        assert client.get("/v1/models/restored").json()["sequence"] == 50
    assert running.stop(signal.SIGTERM) == 0
    shell(back_up, tmp_path, **places)
    again = start(backup).until_ready()
    with again.client() as client:
        assert client.get("/v1/models/default").json()["sequence"] == 50


def test_it_names_every_alarm() -> None:
    files = sorted((ROOT / "service/nonzero_service").rglob("*.py"))
    events = [event for path in files for event in EVENT.findall(path.read_text())]
    assert len(events) > 50
    said = " ".join((PAGE + OF_NODES + OF_SOURCES).split())
    for event in events:
        longest = max(re.split(r"%[sd]", event), key=len).strip(": ,")
        assert longest in said, event


def test_the_metrics_that_it_names_are_told(client: httpx.Client) -> None:
    named = set(re.findall(r"`(nonzero_[a-z_]+)`", PAGE))
    lines = client.get("/metrics").text.splitlines()
    told = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    assert named - told == set()
    assert "nonzero_pending_labels" in named
