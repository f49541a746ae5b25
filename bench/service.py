"""The service over HTTP: against a constant answer, and against VW's daemon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.library import VW, VW_FLAGS
from bench.measure import Comparison, Work
from bench.workloads import ClickLog

__all__ = ["comparisons"]

SERVER_CORE, CLIENT_CORE = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
DEFAULT = "/v1/models/default"
BODIES = 2000
SMALL_UPDATE = 64
"""Connections that update one example each."""


@contextmanager
def running(*command: str, port: int, core: int | None = None) -> Iterator[int]:
    """Run a server until it is no longer needed; yield its port when it listens."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen([*pin, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serving(core: int | None = None) -> Iterator[int]:
    """Run the service on a directory of its own; yield its port when it is ready."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", str(port), "--data-dir", directory]
        command = [sys.executable, "-m", "nonzero_service.cli", "serve", *options]
        with running(*command, port=port, core=core):
            while b" 200 " not in asked(port, "/readyz"):
                time.sleep(0.05)
            yield port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def asked(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
        return server.recv(1 << 16)


def client(port: int, *arguments: str, path: str = "/") -> dict[str, Any]:
    """Run the client to its end; return what it found."""
    command = [sys.executable, "-m", "bench.client", "--port", str(port), "--path", path, *arguments]
    pin = ["taskset", "-c", str(CLIENT_CORE)] if arguments[0] == "load" else []
    result = subprocess.run([*pin, *command], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


class Load:
    """One-example requests for a while: their rate, or one over the 99th percentile of their seconds."""

    def __init__(self, port: int, path: str, bodies: Path, connections: int, seconds: float) -> None:
        self.port = port
        self.path = path
        self.arguments = ["load", str(bodies), "--connections", str(connections), "--seconds", str(seconds)]
        self.last: dict[str, Any] = {}

    def rate(self) -> float:
        self.last = client(self.port, *self.arguments, path=self.path)
        return float(self.last["rate"])

    def inverse_p99(self) -> float:
        self.rate()
        return 1 / float(self.last["p99"])


def sending(port: int, file: Path, path: str) -> Work:
    """Return the work of one bulk update; its rate in examples a second."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        return lines / float(client(port, "upload", str(file), path=path)["seconds"])

    return run


def piping(file: Path) -> Work:
    """Return the work of sending the same lines to a new daemon of VW."""
    lines = file.read_bytes().count(b"\n")

    def run() -> float:
        port = free_port()
        options = ["--daemon", "--foreground", "--num_children", "1", "--port", str(port)]
        with running(*VW, *VW_FLAGS, *options, port=port):
            found = client(port, "pipe", str(file))
        assert found["answers"] == lines, found
        return lines / float(found["seconds"])

    return run


def beside_a_bulk_update(load: Load, file: Path, port: int) -> Work:
    """Return the work of predicting while a bulk update runs without end."""
    command = [sys.executable, "-m", "bench.client", "--port", str(port), "--path", f"{DEFAULT}/update"]

    def run() -> float:
        shell = "while :; do " + " ".join([*command, "upload", str(file)]) + " || exit; done"
        updating = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(0.3)
            return load.inverse_p99()
        finally:
            os.killpg(updating.pid, 15)
            updating.wait()

    return run


def one_example_bodies(log: ClickLog) -> Path:
    """Return a file of bodies, an example each."""
    path = log.directory / "bodies.ndjson"
    path.write_bytes(b"\n".join(log.bodies(BODIES)))
    return path


def comparisons(log: ClickLog, seconds: float) -> Iterator[Comparison]:
    """Yield the rows one by one; the servers of a row run while it is measured."""
    bodies = one_example_bodies(log)
    with serving() as port:
        yield Comparison(
            "bulk update over HTTP, durable",
            sending(port, log.vw, f"{DEFAULT}/update"),
            "vw --daemon, pipelined, not durable",
            piping(log.vw),
            "examples/s",
            0.9 / 0.063,
        )
        load = Load(port, f"{DEFAULT}/predict", bodies, 4, seconds)
        yield Comparison(
            "p99 of predictions beside a bulk update",
            beside_a_bulk_update(load, log.vw, port),
            "10 ms",
            lambda: 100.0,
            "1/s",
            1.0,
        )
    constant_port = free_port()
    constant = [sys.executable, "-m", "bench.constant", str(constant_port)]
    with serving(SERVER_CORE) as port, running(*constant, port=constant_port, core=SERVER_CORE):
        for action, connections, target in (("predict", 16, 0.75), ("update", SMALL_UPDATE, 0.5)):
            path = f"{DEFAULT}/{action}"
            ours = Load(port, path, bodies, connections, seconds)
            peer = Load(constant_port, path, bodies, connections, seconds)
            name = f"one-example {action} over {connections} connections"
            yield Comparison(name, ours.rate, "constant answer", peer.rate, "requests/s", target)
        path = f"{DEFAULT}/predict"
        ours, peer = (Load(at, path, bodies, 16, seconds) for at in (port, constant_port))
        yield Comparison(
            "its p99, one-example predict", ours.inverse_p99, "constant answer", peer.inverse_p99, "1/s", 0.5
        )
        ours = Load(port, f"{DEFAULT}/update", bodies, SMALL_UPDATE, seconds)
        yield Comparison(
            "its p99, one-example update", ours.inverse_p99, "30 ms", lambda: 1 / 0.03, "1/s", 1.0
        )
