"""Servers that are benched: processes of their own, on free ports, until they are no longer needed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from nonzero_service.demo.process import free_port

__all__ = ["COMMAND", "WITH_BYTECODE", "Server", "asked", "running", "serving"]

COMMAND: Final = (sys.executable, "-m", "nonzero_service.cli")

WITH_BYTECODE: Final = os.environ | {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "nonzero-bench-bytecode")),
}
"""An environment that keeps bytecode between runs, as where a program is installed."""


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int


@contextmanager
def running(*command: str, port: int, core: int | None = None) -> Iterator[Server]:
    """Run a server until it is no longer needed; yield it when it listens."""
    pin = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen(
        [*pin, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=WITH_BYTECODE,
    )
    try:
        while True:
            if process.poll() is not None:
                raise ChildProcessError(f"{' '.join(command)} ended at once")
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.005)
        yield Server(port, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # VW's daemon has a child
        process.wait()


@contextmanager
def serving(
    directory: Path | None = None,
    *,
    core: int | None = None,
    command: Sequence[str] = COMMAND,
    **settings: Any,
) -> Iterator[Server]:
    """Run the service; yield it when it is ready.

    Parameters
    ----------
    directory
        What it keeps its data in; None: a directory of its own.
    core
        The one core that it runs on; None: any.
    command
        What has the service's command line.
    settings
        Those that are not the service's own.
    """
    port = free_port()
    with ExitStack() as places:
        place = directory or places.enter_context(tempfile.TemporaryDirectory())
        given = {"port": port, "data_dir": place, **settings}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        with running(*command, "serve", *options, port=port, core=core) as server:
            while b" 200 " not in asked(port, "/readyz"):
                time.sleep(0.05)
            yield server


def asked(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return server.recv(1 << 16)
