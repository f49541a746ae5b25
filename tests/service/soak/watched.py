"""A service that tells how much memory is in use: what it has asked for and not given back, to the byte.

The resident memory is no measure of a leak. The allocator keeps what was freed, in an arena for each of many
threads, and gives it back when it happens to be at an arena's end: at a constant load it goes up and down by
a tenth within minutes. What is in use the allocator knows exactly (``mallinfo2``), if Python asks it for
everything, and if it keeps no freed blocks for each thread, which it would count as in use: up to 0.2 MB a
thread, that it comes to have after hours.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.conftest import SERVE, ServiceProcess

__all__ = ["Watched"]

TELL = """
import ctypes, os, pathlib, threading, time

class Found(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

def tell():
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Found
    models = pathlib.Path(os.environ["DATA_DIR"], "models")
    with open(os.environ["IN_USE"], "w", buffering=1) as out:
        while True:
            found, segments = mallinfo(), len(list(models.glob("*/impressions/*.rows")))
            out.write(f"{time.monotonic()} {found.uordblks + found.hblkhd} {segments}\\n")
            time.sleep(0.5)

threading.Thread(target=tell, daemon=True).start()
"""


class Watched(ServiceProcess):
    """Such a service; `in_use` is the file that it writes."""

    program = TELL + SERVE
    fresh = True

    def __init__(self, data_dir: Path, in_use: Path, **settings: Any) -> None:
        self._in_use = in_use
        self.environment = {
            "PYTHONMALLOC": "malloc",
            "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
            "IN_USE": os.fspath(in_use),
            "DATA_DIR": os.fspath(data_dir),
        }
        super().__init__(data_dir, **settings)

    def in_use(self) -> NDArray[np.float64]:
        """Return float64[3, n]: seconds of the monotonic clock, and what was in use then: MB, segments."""
        found = np.loadtxt(self._in_use, ndmin=2).T
        return np.stack((found[0], found[1] / 1e6, found[2]))
