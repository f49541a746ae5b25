"""The bond of a worker to its writer: where the writer ends, so does the worker, and lets go of the port.

A worker sees the end of its channel. But one that is stopped (SIGSTOP) sees nothing, and one that hangs does
nothing: so the kernel is asked to wake it, and a thread to end it. Only one that is stopped while Python
itself starts is not woken. It has no port yet, and ends as soon as it goes on.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""Of ``linux/prctl.h``: the signal that this process gets when its parent ends."""


def wake_with_end_of(writer: int) -> None:
    """Have this process go on, if it is stopped, when the writer ends.

    Not SIGKILL: a worker that runs has its requests in flight to answer first.

    Parameters
    ----------
    writer
        The process that began this one.

    Raises
    ------
    SystemExit
        Where it has ended already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != writer:
        sys.exit(1)


def end_with_writer(channel: socket.socket, seconds: float, end: Callable[[], object]) -> None:
    """Have this process ended some time after the writer, whatever it is at.

    Parameters
    ----------
    channel
        The socket to the writer.
    seconds
        How long after it.
    end
        Ends the process.
    """
    copy = channel.dup()  # which stays open when the channel is closed

    def wait() -> None:
        ending = select.poll()
        ending.register(copy, 0)  # that the other end is gone is told always
        ending.poll()
        time.sleep(seconds)
        end()

    threading.Thread(target=wait, name="bond", daemon=True).start()
