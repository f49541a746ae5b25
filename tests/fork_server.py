"""Processes forked from one that has imported and compiled everything: a service so is ready at once.

Run as a program it reads a JSON command a line from stdin, and answers with a number: ``fork`` makes a child,
which waits, and answers with its pid; ``go`` lets it run what it is for; ``reap`` waits for its end, and
answers with its exit status, which is minus the signal that killed it.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from waiting import SECONDS

__all__ = ["Child", "ForkServer", "fork_server", "import_all", "run_program"]

IMPORTED = (
    "nonzero_service.server",
    "nonzero_service.api.framework_app",
    "nonzero_service.predictor.server",
    "command_line",
    *(
        f"nonzero_service.cli.{name}"
        for name in ("serving", "train", "predict", "convert", "inspect", "export")
    ),
    "pyarrow.parquet",
    "service.clock",
    *("encodings.idna", "numpy.ma", "pydantic.v1", "uvicorn.lifespan.on", "uvicorn.loops.uvloop"),
)
"""What children need, each of which would have to import it otherwise."""


class Child:
    """A process that was forked; used as :class:`subprocess.Popen` is."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._forks = server
        self._ended = os.pidfd_open(pid)
        self.pid = pid
        self.returncode: int | None = None

    def go(self) -> None:
        """Let it run."""
        self._forks.ask(do="go", pid=self.pid)

    def run(self) -> int:
        """Let it run, and wait for its end; return its exit status."""
        self.go()
        return self.wait(SECONDS)

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            os.close(self._ended)
            self.returncode = self._forks.ask(do="reap", pid=self.pid)
        return self.returncode

    def send_signal(self, sig: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process from which others are forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def fork(
        self,
        call: str,
        streams: Sequence[Path | str] = (),
        environment: Mapping[str, str] | None = None,
        **given: Any,
    ) -> Child:
        """Fork a child; it waits to be let go.

        Parameters
        ----------
        call
            What it is to call, as ``module:function``.
        streams
            The files that become its standard input, output and error: nothing, nothing, and that of this
            process, unless they are named.
        environment
            All of its variables; otherwise those of this process when the first was forked.
        given
            The arguments of the call.
        """
        variables = None if environment is None else dict(environment)
        files = list(map(str, streams))
        command = {"call": call, "streams": files, "environment": variables, "given": given}
        return Child(self, self.ask(do="fork", **command))

    def ask(self, **command: Any) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._server.stdin.write(json.dumps(command) + "\n")
            self._server.stdin.flush()
            return int(self._server.stdout.readline())

    def close(self) -> None:
        with self._server as server:
            assert server.stdin is not None
            server.stdin.close()


@cache
def fork_server() -> ForkServer:
    """Return the one of this process; it is begun when it is first needed."""
    begun = ForkServer()
    atexit.register(begun.close)
    return begun


def run_program(program: str, arguments: list[str]) -> None:
    """Do in a child what ``python -c program arguments`` does."""
    sys.argv = ["-c", *arguments]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})


def import_all() -> None:
    """Import and compile what children need."""
    for name in IMPORTED:
        importlib.import_module(name)
    from fastapi import FastAPI

    from nonzero_service.api.described import add_routes
    from nonzero_service.warming import warm_up

    warm_up()
    # Each child makes routes of its own, of expressions and types that then have been compiled.
    add_routes(FastAPI(openapi_url=None).router)
    gc.freeze()  # otherwise each child's first collection would copy the pages of all that there is


def _run() -> None:
    """Be the process from which others are forked."""
    import_all()
    gates: dict[int, int] = {}
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "fork":
                answer = _fork(command, gates)
            case "go":
                answer = os.write(gates[command["pid"]], b"g")
            case _:
                os.close(gates.pop(command["pid"]))  # one that still waits ends
                answer = os.waitstatus_to_exitcode(os.waitpid(command["pid"], 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _fork(command: dict[str, Any], gates: dict[int, int]) -> int:
    names = [*command["streams"], os.devnull, os.devnull, ""][:3]
    modes = (os.O_RDONLY, *[os.O_WRONLY | os.O_APPEND] * 2)
    streams = [os.open(name, mode) if name else 2 for name, mode in zip(names, modes, strict=True)]
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        for gate in (writing, *gates.values()):
            os.close(gate)
        _be_child(reading, streams, command)
    for descriptor in (reading, *streams):
        if descriptor != 2:
            os.close(descriptor)
    gates[pid] = writing
    return pid


def _be_child(gate: int, streams: list[int], command: dict[str, Any]) -> None:
    # Where only a parent may trace (yama), let any process do so.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    status = 1
    try:
        for standard, descriptor in enumerate(streams):
            if descriptor != standard:
                os.dup2(descriptor, standard)
                os.close(descriptor)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        if command["environment"] is not None:
            os.environ.clear()
            os.environ.update(command["environment"])
        if os.read(gate, 1):
            os.close(gate)
            module, _, function = command["call"].partition(":")
            getattr(importlib.import_module(module), function)(**command["given"])
            status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _run()
