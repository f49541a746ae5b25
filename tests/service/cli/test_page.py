"""The page of the commands: each is there, its example runs, and what is told of variables is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
import pytest

from command_line import nonzero_here
from machine import listening_port
from nonzero_service.cli import COMMANDS
from nonzero_service.settings.settings import NOT_SETTINGS
from service.cli.stopped import started
from service.cli.test_tables import HEADER, rows
from waiting import until

PAGE = (Path(__file__).parents[3] / "docs/commands.md").read_text()
EXAMPLES = re.findall(r"^\|[^|]*\|[^|]*\| `nonzero (\w+) ([^`]+)` \|$", PAGE, re.MULTILINE)


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_command_is_there_with_an_example() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.partition("\n## ")[0], re.MULTILINE)
    assert named == [*COMMANDS]
    assert {command for command, _ in EXAMPLES} == {*COMMANDS}


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for day in ("monday", "tuesday"):
        Path(f"{day}.csv").write_text(HEADER + rows())
    Path("shown.csv").write_text("id,time,site\n1,2026-11-02T09:00:00Z,news\n2,2026-11-02T09:01:00Z,shop\n")
    Path("clicked.csv").write_text("id,time\n2,2026-11-02T09:02:00Z\n")
    for command, text in EXAMPLES:
        arguments = shlex.split(text)
        if command == "serve":
            serve_an_update(tmp_path, arguments)
            continue
        # Other tests run these two; their options are looked at here.
        more = ["--help"] if command in ("cluster", "demo") else []
        done = nonzero_here(command, *arguments, *more)
        assert done.returncode == 0, (command, done.stderr)
        written = [word for word in arguments if word.endswith((".safetensors", ".txt", ".rows"))]
        assert [name for name in written if not Path(name).is_file()] == []


def serve_an_update(place: Path, arguments: list[str]) -> None:
    """Serve as the page says, at a free port, and learn something."""
    child, ended = started(place, "serve", *arguments, "--port=0", "--bits=10")
    until(lambda: child.poll() is not None or is_ready(listening_port(child.pid)))
    body = {"features": {"site": "news"}, "label": 1}
    url = f"http://127.0.0.1:{listening_port(child.pid)}/v1/models/default/update"
    assert httpx.post(url, json=body, trust_env=False).is_success
    child.terminate()
    assert ended().returncode == 0


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_variables_that_are_no_settings_are_told() -> None:
    told = set(re.findall(r"`(NONZERO_[A-Z_]+)`", section("Environment")))
    assert told == {*NOT_SETTINGS, "NONZERO_CONFIG", "NONZERO_PORT"}


def test_every_exit_status_is_told() -> None:
    assert {*re.findall(r"^\| (\d+)[,| ]", section("Exit statuses"), re.MULTILINE)} == {
        "0",
        "1",
        "2",
        "3",
        "130",
    }
