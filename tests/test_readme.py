"""What the README shows is what happens: its blocks run; a text or JSON block is what was just printed."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from command_line import COMMAND, nonzero
from machine import listening_port
from real_data import real_data
from waiting import until

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FIGURES = re.findall(r"^\| `(\S+)`.*? \| ([\d,]+) \| ([\d.]+) \|", README, re.MULTILINE)
SERVE = ".venv/bin/nonzero serve\n"
ELSEWHERE = {
    "make run\n",  # by test_make.py
    "make test\n",  # it is what runs this
    "docker compose up\n",  # the image is built and run by image/run.sh
}


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where the README's service is: at a port that is free."""
    assert ("sh", SERVE) in BLOCKS
    command = [*COMMAND, "serve", "--port", "0"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, cwd=tmp_path, stderr=log) as process:
        try:
            until(lambda: process.poll() is not None or is_ready(listening_port(process.pid)))
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield listening_port(process.pid)
        finally:
            process.terminate()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_every_block_does_what_the_readme_shows(port: int, tmp_path: Path) -> None:
    printed = ""
    for language, text in BLOCKS:
        if language == "json":
            assert json.loads(printed) == json.loads(text)
        elif language == "text":
            assert printed == text
        elif text != SERVE and text not in ELSEWHERE:
            printed = run(language, text, port, tmp_path)


def run(language: str, text: str, port: int, directory: Path) -> str:
    if language == "python":
        command = [sys.executable, "-c", text]
    else:
        assert language == "sh"
        script = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        script = script.replace(".venv/bin/nonzero", f"'{sys.executable}' -m nonzero_service.cli")
        command = ["bash", "-euo", "pipefail", "-c", script.replace("curl -s ", "curl --fail-with-body -sS ")]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("name", "examples", "log_loss"), FIGURES)
def test_the_figures_are_what_training_prints(
    name: str, examples: str, log_loss: str, tmp_path: Path
) -> None:
    done = nonzero("train", real_data(name), "--json", "--model", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert f"{summary['examples']:,}" == examples
    assert f"{summary['log_loss']:.5f}" == log_loss
