"""The blocks of a page, run as a reader would: in one folder, in order, beside a service of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Self

import httpx

from command_line import COMMAND
from machine import listening_port
from waiting import until

__all__ = ["Reader", "blocks_of"]

SERVE = ".venv/bin/nonzero serve"


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of a page: of each its language and its text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


class Reader:
    """Who runs the blocks of a page.

    Parameters
    ----------
    folder
        Where, instead of a checkout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = ""
        self.service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.service:
            self.service.terminate()
            self.service.wait()

    def read(self, language: str, text: str) -> None:
        """Run a block; or hold what was just printed against one that shows it."""
        if language == "json":
            assert json.loads(self.printed) == json.loads(text)
        elif language == "text":
            assert self.printed == text
        elif text.startswith(SERVE):
            self._serve(text.removeprefix(SERVE).split())
        elif language == "python":
            self._run([sys.executable, "-c", text], text)
        else:
            assert language == "sh"
            script = text.replace(".venv/bin/nonzero", f"'{sys.executable}' -m nonzero_service.cli")
            if self.service:
                script = script.replace("127.0.0.1:8000", f"127.0.0.1:{listening_port(self.service.pid)}")
            script = script.replace("curl -s ", "curl --fail-with-body -sS ")
            self._run(["bash", "-euo", "pipefail", "-c", script], text)

    def _run(self, command: list[str], text: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        self.printed = done.stdout

    def _serve(self, arguments: list[str]) -> None:
        log = self.folder / "log"
        with log.open("wb") as stderr:
            command = [*COMMAND, "serve", "--port", "0", *arguments]
            process = self.service = subprocess.Popen(command, cwd=self.folder, stderr=stderr)
        until(lambda: process.poll() is not None or _is_ready(listening_port(process.pid)))
        assert process.poll() is None, log.read_text()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False
