"""A Ray cluster: one that runs, or one that is started on this machine and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Self

import click

from nonzero.errors import NonzeroError
from nonzero_service.cli.backfill import keeper

LOCAL: Final = "local"

STORE: Final = 256 << 20
"""A cluster of this machine has so many bytes for what waits to be learned from."""

_SETTINGS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise Ray listens at the machine's address, also where it is asked for 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}


class RayError(NonzeroError):
    """Ray is not installed, not reached, or gave up."""


def import_ray() -> Any:
    """Import Ray, which is asked for here alone.

    Raises
    ------
    RayError
        Where it is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RayError(
            "--ray needs Ray, which is not installed: pip install 'nonzero-ctr[ray]'; in a checkout: "
            "make .venv/ray"
        ) from error
    return ray


@contextmanager
def connected(address: str, processors: int | None = None) -> Iterator[Any]:
    """Connect to a cluster within the block, or start one; give the module ``ray``.

    Parameters
    ----------
    address
        ``local``; ``auto``, for the cluster that this machine is of; or ``HOST:PORT`` of its head.
    processors
        How many tasks a local one runs at once; None for as many as this process may use.

    Raises
    ------
    click.BadParameter
        For an address that cannot be used.
    RayError
        Where Ray is not installed, or the cluster cannot be reached.
    """
    if address.startswith("ray://"):
        raise click.BadParameter(
            "ray:// hands everything through a proxy, which has no streams of results; run the command on a "
            "machine of the cluster, with --ray auto (ray job submit does)",
            param_hint="--ray",
        )
    if "ray" in sys.modules and import_ray().is_initialized():
        yield import_ray()  # whoever connected this process ends that too
        return
    if address == LOCAL:
        os.environ.update(_SETTINGS)
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # or Ray would write one into the home folder
    ray = import_ray()
    _knock(address)
    with ExitStack() as stack:
        options: dict[str, Any] = {"address": address}
        if address == LOCAL:
            folder = stack.enter_context(ClusterFolder())
            options |= {
                "num_cpus": processors or len(os.sched_getaffinity(0)),
                "include_dashboard": False,
                "object_store_memory": STORE,
                "_temp_dir": folder.path,
            }
        stack.callback(ray.shutdown)
        try:
            with _signals_kept():
                ray.init(log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            raise _unreached(address, error) from error
        yield ray


def _knock(address: str) -> None:
    """Have an address fail at once where nobody listens: Ray tries for many minutes, and says nothing."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise _unreached(address, error) from error


def _unreached(address: str, error: Exception) -> RayError:
    reason = re.split(r"\.(?:\s|$)", str(error), maxsplit=1)[
        0
    ]  # what follows names options of Ray's commands
    return RayError(
        f"--ray {address}: no cluster can be reached: {reason}; give HOST:PORT of its head, auto on a "
        "machine of it, or local"
    )


class ClusterFolder:
    """A folder for a cluster of this machine, and a process that ends both however this one ends.

    Ray's own processes end with the one that has started them, but for its agents, which live on for minutes,
    and for workers that were about to start.

    Attributes
    ----------
    path
        Where the cluster has its files; gone behind the block.
    """

    def __init__(self) -> None:
        # Ray's sockets lie in it, whose paths have a hundred bytes at most.
        self.path = tempfile.mkdtemp(prefix="nonzero-ray-")
        self._process = subprocess.Popen(  # noqa: S603 - a file of our own
            [sys.executable, "-S", "-E", keeper.__file__, self.path, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Have signals do what they did: Ray has SIGTERM end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
