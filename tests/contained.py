"""The service as a container's engine runs it, or systemd: its own user, and a root that can only be read.

What is on the root is what an image has: Python, the packages, and the command in ``/opt/nonzero/bin``.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from bubblewrap import bubblewrap
from command_line import COMMAND
from machine import listening_port
from plain_http import client_of
from waiting import SECONDS, until

__all__ = ["Contained", "contained"]

ROOT = Path(__file__).parent.parent
SYSTEM = ("/usr", "/etc", "/bin", "/lib", "/lib64")


class Contained:
    """A running service, and what is known of it from outside.

    Parameters
    ----------
    place
        An empty directory, for the command and the log; or that of one before it.
    command
        As the manifest has it.
    user
        Its user and group.
    environment
        As the manifest has it, but for the port, which is a free one.
    volumes
        What it may write to, by the path that it has there.
    mounts
        What else it may read, by the path that it has there.
    options
        More options of bubblewrap.
    before
        Run in the process before anything else.
    descriptors
        Those that the options name.
    """

    def __init__(
        self,
        place: Path,
        command: list[str],
        user: int,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        mounts: Mapping[str, Path],
        options: Iterable[str] = (),
        before: Any = None,
        descriptors: Iterable[int] = (),
    ) -> None:
        executable = place / "nonzero"
        executable.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
        executable.chmod(0o755)
        # The command is the first process there, as in a container: signals without a handler do nothing.
        line = [bubblewrap(), "--unshare-all", "--share-net", "--die-with-parent", "--as-pid-1"]
        line += [
            "--uid",
            str(user),
            "--gid",
            str(user),
            "--cap-drop",
            "ALL",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]
        needed = {ROOT, Path(sys.prefix), Path(sys.base_prefix), *map(Path, filter(None, sys.path))}
        readable = {str(path): path for path in (*map(Path, SYSTEM), *sorted(needed)) if path.exists()}
        readable |= {"/opt/nonzero/bin/nonzero": executable, **mounts}
        line += ["--tmpfs", "/tmp"]
        for there, here in readable.items():
            line += ["--ro-bind", str(here), there]
        for there, here in volumes.items():
            line += ["--bind", str(here), there]
        told, tells = os.pipe()
        line += ["--info-fd", str(tells), *options, "--remount-ro", "/", "--", *command]
        self.log = place / "log"
        with self.log.open("ab") as log:
            self._engine = subprocess.Popen(
                line,
                env={
                    **environment,
                    "NONZERO_PORT": "0",
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[tells, *descriptors],
                preexec_fn=before,
            )
        os.close(tells)
        with os.fdopen(told) as info:
            said = info.read()
        if not said:
            self._engine.wait(SECONDS)
            pytest.skip(f"no sandbox can be made here: {self.text().strip()}")
        self.pid = json.loads(said)["child-pid"]

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def has_ended(self) -> bool:
        return self._engine.poll() is not None

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client, once it listens."""
        port = until(lambda: self.has_ended() or listening_port(self.pid), self.text)
        assert not self.has_ended(), self.text()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return client_of(f"http://127.0.0.1:{port}", headers=headers)

    def until_ready(self) -> Self:
        with self.client() as client:
            until(lambda: self.has_ended() or client.get("/readyz").status_code == 200, self.text)
        assert not self.has_ended(), self.text()
        return self

    def stop(self) -> int:
        """Send SIGTERM to it, as an engine does; return its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return its exit status."""
        return self._engine.wait(SECONDS)

    def kill(self) -> None:
        self._engine.kill()
        self.wait()


@contextmanager
def contained(*arguments: Any, **named: Any) -> Iterator[Contained]:
    """Run one, which is gone afterwards."""
    running = Contained(*arguments, **named)
    try:
        yield running
    finally:
        running.kill()
