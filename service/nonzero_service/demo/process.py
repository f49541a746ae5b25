"""The service as a process of its own, from its start until it is told to stop."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

import httpx

from nonzero.errors import NonzeroError

_START_SECONDS: Final = 120.0
"""A start reads the journal that a kept data directory has."""

_STOP_SECONDS: Final = 60.0


class ServerError(NonzeroError):
    """The service did not start, or ended by itself."""


class ServerProcess:
    """``nonzero serve`` as a child process, ready when the block is entered, stopped when it is left.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 takes a free one.
    data_dir
        Where it keeps its models, and its log ``service.log``.
    options
        More options of ``nonzero serve``.

    Attributes
    ----------
    url
        Where it answers.

    Raises
    ------
    ServerError
        When entered: for a port that is taken, and a service that does not start.
    """

    def __init__(self, host: str, port: int, data_dir: Path, options: list[str]) -> None:
        self._host = host
        self._port = free_port(host, port)
        self._data_dir = data_dir
        self._options = options
        self._log = data_dir / "service.log"
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._port}"

    def __enter__(self) -> Self:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        address = ["--host", self._host, "--port", str(self._port), "--data-dir", str(self._data_dir)]
        command = [sys.executable, "-m", "nonzero_service.cli", "serve", *address, *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def wait(self) -> None:
        """Wait until it ends, which it does only where something stops it.

        Raises
        ------
        ServerError
            When it has ended.
        """
        self._process.wait()
        raise ServerError(
            f"the service has ended, with exit status {self._process.returncode}{self._last_words()}"
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"the service did not start{self._last_words()}")
            if self._is_ready():
                return
            time.sleep(0.05)
        raise ServerError(f"the service was not ready after {_START_SECONDS:.0f} seconds{self._last_words()}")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False  # it does not listen yet

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-5:]
        return ":\n" + "\n".join(lines) if lines else ""


def free_port(host: str = "127.0.0.1", port: int = 0) -> int:
    """Return a port that nobody listens at: the one given, or for 0 any.

    Raises
    ------
    ServerError
        Where it is taken, or may not be listened at.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"port {port} of {host} is taken; stop what listens there, or choose another with --port"
            ) from error
        raise ServerError(f"cannot listen on port {port} of {host}: {error.strerror}") from error
