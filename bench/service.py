"""The service over HTTP: against a constant answer, and against VW's daemon."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.library import VW, VW_FLAGS
from bench.measure import Comparison, Work, cpu_seconds
from bench.workloads import ClickLog

__all__ = ["comparisons"]

SERVER_CORE, CLIENT_CORE = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
DEFAULT = "/v1/models/default"
BODIES = 2000
TIMEOUT = 120
SMALL_UPDATE = 64
"""Connections that update one example each."""


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int


@contextmanager
def running(*command: str, port: int, core: int | None = None) -> Iterator[Server]:
    """Run a server until it is no longer needed; yield it when it listens."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen(
        [*pin, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while True:
            if process.poll() is not None:
                raise ChildProcessError(f"{' '.join(command)} ended at once")
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield Server(port, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # VW's daemon has a child
        process.wait()


@contextmanager
def serving(core: int | None = None) -> Iterator[Server]:
    """Run the service on a directory of its own; yield it when it is ready."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", str(port), "--data-dir", directory]
        command = [sys.executable, "-m", "nonzero_service.cli", "serve", *options]
        with running(*command, port=port, core=core) as server:
            while b" 200 " not in asked(port, "/readyz"):
                time.sleep(0.05)
            yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def asked(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
        return server.recv(1 << 16)


def client(what: str, port: int, file: Path, path: str = "/") -> dict[str, Any]:
    """Run the client to its end; return what it found."""
    result = subprocess.run(
        bulk_client(what, port, file, path), check=True, capture_output=True, timeout=TIMEOUT
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def bulk_client(what: str, port: int, file: Path, path: str) -> list[str]:
    return [sys.executable, "-m", "bench.client", what, str(port), str(file), "--path", path]


class Load:
    """One-example requests by wrk, for a while."""

    def __init__(self, server: Server, path: str, bodies: Path, connections: int, seconds: int) -> None:
        self.server = server
        url = f"http://127.0.0.1:{server.port}{path}"
        script = ["-s", str(Path(__file__).with_name("one_example.lua")), url, "--", str(bodies)]
        self.command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *script]

    def rate(self) -> float:
        """Return the requests in a second of the server's CPU: what a server that is kept busy answers."""
        before = cpu_seconds(self.server.pid)
        requests = self.asked()["requests"]
        return requests / (cpu_seconds(self.server.pid) - before)

    def inverse_p99(self) -> float:
        """Return one over the 99th percentile of the seconds that an answer took."""
        return 1 / self.asked()["p99"]

    def asked(self) -> dict[str, float]:
        """Run wrk; return what it counted."""
        if shutil.which("wrk") is None:
            raise SystemExit("one-example requests are made by wrk: apt-get install wrk")
        pinned = ["taskset", "-c", str(CLIENT_CORE), *self.command]
        output = subprocess.run(pinned, check=True, capture_output=True, timeout=TIMEOUT).stdout
        found: dict[str, float] = json.loads(output.splitlines()[-1])
        if found["failed"]:
            raise ConnectionError(f"{found['failed']} requests failed: {' '.join(self.command)}")
        return found


def sending(port: int, file: Path, path: str) -> Work:
    """Return the work of one bulk update; its rate in examples a second."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        return lines / float(client("upload", port, file, path)["seconds"])

    return run


def piping(file: Path) -> Work:
    """Return the work of sending the same lines to a new daemon of VW."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        port = free_port()
        # The Python package reads nothing unless it is told of passes.
        options = ["--daemon", "--foreground", "--num_children", "1", "--passes", "1", "--port", str(port)]
        with running(*VW, *VW_FLAGS, *options, port=port):
            found = client("pipe", port, file)
        assert found["answers"] == lines, found
        return lines / float(found["seconds"])

    return run


def beside_a_bulk_update(load: Load, file: Path) -> Work:
    """Return the work of predicting while a bulk update runs without end."""
    command = bulk_client("upload", load.server.port, file, f"{DEFAULT}/update")

    def run() -> float:
        shell = "while :; do " + shlex.join(command) + " || exit; done"
        updating = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(0.3)
            return load.inverse_p99()
        finally:
            os.killpg(updating.pid, signal.SIGTERM)
            updating.wait()

    return run


def one_example_bodies(log: ClickLog) -> Path:
    """Return a file of bodies, an example each."""
    path = log.directory / "bodies.ndjson"
    path.write_bytes(b"\n".join(log.bodies(BODIES)))
    return path


def comparisons(log: ClickLog, seconds: int) -> Iterator[Comparison]:
    """Yield the rows one by one; the servers of a row run while it is measured."""
    bodies = one_example_bodies(log)
    with serving() as server:
        yield Comparison(
            "bulk update over HTTP, durable",
            sending(server.port, log.vw, f"{DEFAULT}/update"),
            "vw --daemon, pipelined, not durable",
            piping(log.vw),
            "examples/s",
            0.9 / 0.063,
        )
        load = Load(server, f"{DEFAULT}/predict", bodies, 4, seconds)
        yield Comparison(
            "predictions beside a bulk update, one over p99",
            beside_a_bulk_update(load, log.vw),
            "10 ms",
            lambda: 100.0,
            "1/s",
            1.0,
        )
    port = free_port()
    command = [sys.executable, "-m", "bench.constant", str(port)]
    with serving(SERVER_CORE) as server, running(*command, port=port, core=SERVER_CORE) as constant:
        for action, connections, target in (("predict", 16, 0.75), ("update", SMALL_UPDATE, 0.5)):
            ours, peer = (
                Load(at, f"{DEFAULT}/{action}", bodies, connections, seconds) for at in (server, constant)
            )
            name = f"one-example {action}, {connections} connections"
            yield Comparison(name, ours.rate, "constant answer", peer.rate, "requests/CPU s", target)
            name += ", one over p99"
            if action == "predict":
                yield Comparison(name, ours.inverse_p99, "constant answer", peer.inverse_p99, "1/s", 0.5)
            else:
                yield Comparison(name, ours.inverse_p99, "30 ms", lambda: 1 / 0.03, "1/s", 1.0)
