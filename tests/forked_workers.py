"""Workers of a service that was forked are forked too: none has to import what is imported already.

They come from a process that is as the service was before it began: no threads, and the machine's own clock.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import runpy
import signal
import socket
import sys
from typing import Any, Final

__all__ = ["BEGIN", "fork_workers"]

BEGIN: Final = "from forked_workers import fork_workers\nfork_workers()\n"
"""What the program of such a service begins with."""

PR_SET_CHILD_SUBREAPER: Final = 36
"""Of ``linux/prctl.h``: whoever among its descendants loses its parent becomes a child of this process."""


class Forked:
    """One worker; used as :class:`asyncio.subprocess.Process` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = os.pidfd_open(pid)

    def kill(self) -> None:
        signal.pidfd_send_signal(self._ended, signal.SIGKILL)

    async def wait(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ended, ended.set)
        await ended.wait()
        loop.remove_reader(self._ended)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._ended)
        self._ended = -1
        return os.waitstatus_to_exitcode(status)


def fork_workers() -> None:
    """Have this process fork each worker that it is about to start."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    writer = os.getpid()
    if not os.fork():
        ours.close()
        _fork_as_asked(theirs, writer)
    theirs.close()

    async def fork(*_: str, stdin: int, start_new_session: bool) -> Forked:
        assert start_new_session
        socket.send_fds(ours, [b"fork"], [stdin])
        return Forked(int(ours.recv(20)))

    asyncio.create_subprocess_exec = fork  # type: ignore[assignment]


def _fork_as_asked(asked: socket.socket, writer: int) -> None:
    """Fork a worker for each channel that comes, until the writer has ended."""
    while True:
        _, channels, _, _ = socket.recv_fds(asked, 20, 1)
        if not channels:
            os._exit(0)
        if not (forked := os.fork()):
            between = os.getpid()
            if not (worker := os.fork()):
                asked.close()
                _be_worker(channels[0], writer, between)
            asked.send(b"%d" % worker)
            os._exit(0)  # the worker is the writer's child then
        os.waitpid(forked, 0)
        os.close(channels[0])


def _be_worker(channel: int, writer: int, between: int) -> None:
    """Do what ``python -P -m nonzero_service.predictor WRITER`` does, with the channel as standard input."""
    status: Any = 1
    try:
        os.setsid()
        os.dup2(channel, 0)
        os.close(channel)
        while os.getppid() == between:  # which ends at once
            os.sched_yield()
        sys.argv = ["-m", str(writer)]
        runpy.run_module("nonzero_service.predictor", run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else status is not None)
