"""Services that are killed: forked from one process that has imported and compiled everything.

Run as a program it reads a JSON command a line from stdin and answers with a number: ``fork`` makes a child
that serves when it is let ``go`` (its log goes to a file), and answers with its pid; ``wait`` answers with a
child's exit status, which is minus the signal that killed it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.server import serve
from nonzero_service.settings import Settings
from nonzero_service.warming import warm_up

SECONDS = 60


class ForkedService:
    """A service that was forked: its address, its log, its end."""

    def __init__(self, origin: Forking, data_dir: Path, held: bool = False, **settings: Any) -> None:
        self._origin = origin
        self.data_dir = data_dir
        descriptor, log = tempfile.mkstemp(suffix=".log", prefix=data_dir.name, dir=tempfile.gettempdir())
        os.close(descriptor)
        self._log = Path(log)
        flags = {"data_dir": str(data_dir), "port": 0, "bits": 8, **settings}
        self.pid = origin.ask(do="fork", log=str(self._log), settings=flags)
        self.status: int | None = None
        if not held:
            self.go()

    def go(self) -> None:
        self._origin.ask(do="go", pid=self.pid)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def ended(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def until_ready(self) -> ForkedService:
        """Wait until it is ready, or has ended; tell which by :meth:`ended`."""
        end = time.monotonic() + SECONDS
        while not {"ready", "listening"} <= {line["event"] for line in self.log()}:
            if self.ended():
                return self
            assert time.monotonic() < end, self.log()
            time.sleep(0.005)
        address = next(line for line in self.log() if line["event"] == "listening")
        self.host, self.port = address["host"], address["port"]
        self.url = f"http://{self.host}:{self.port}"
        return self

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=SECONDS, trust_env=False)

    def tell(self, sig: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, sig)

    def end(self, sig: signal.Signals | None = signal.SIGKILL) -> int:
        """End it, unless it ends by itself; return its exit status."""
        if self.status is None:
            if sig is not None and not self.ended():
                self.tell(sig)
            self.status = self._origin.ask(do="wait", pid=self.pid)
        return self.status


class Forking:
    """The process from which services are forked."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def serve(self, data_dir: Path, **settings: Any) -> ForkedService:
        return ForkedService(self, data_dir, **settings)

    def ask(self, **command: Any) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def forking() -> Iterator[Forking]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield Forking(server)
        assert server.stdin is not None
        server.stdin.close()


@contextmanager
def traced(service: ForkedService, *options: str, thread: int | None = None) -> Iterator[None]:
    """Attach strace to a service, or to one of its threads in the order in which they were begun.

    Skips the test where it may not, and waits for the service's end.
    """
    tasks = sorted(Path(f"/proc/{service.pid}/task").iterdir(), key=lambda task: int(task.name))
    if thread is not None:
        tasks = tasks[thread : thread + 1]
    whole = ["-f"] if thread is None else []
    command = ["strace", *whole, "-qq", "-p", tasks[0].name, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        for task in tasks:
            while f"TracerPid:\t{strace.pid}\n" not in (task / "status").read_text():
                if strace.poll() is not None:
                    service.go()
                    service.end()
                    pytest.skip(f"strace cannot attach: {strace.stderr.read()}")
                time.sleep(0.001)
        yield
        service.end(None)
        strace.stderr.read()


def run() -> None:
    """Be the process from which services are forked."""
    warm_up()
    gates: dict[int, int] = {}
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "fork":
                reading, writing = os.pipe()
                if not (pid := os.fork()):
                    os.close(writing)
                    _child(reading, command)
                os.close(reading)
                gates[pid] = writing
                answer = pid
            case "go":
                answer = os.write(gates[command["pid"]], b"g")
            case _:
                answer = os.waitstatus_to_exitcode(os.waitpid(command["pid"], 0)[1])
                os.close(gates.pop(command["pid"]))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _child(gate: int, command: dict[str, Any]) -> None:
    # Where only a parent may trace (yama), let any process do so.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    status = 1
    try:
        log = os.open(command["log"], os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if os.read(gate, 1):
            serve(Settings.load(**command["settings"]))
            status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    run()
