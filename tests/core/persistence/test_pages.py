"""Memory that is freed stays with a process that asks for as much again."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
from nonzero.persistence.pages import keep_freed
if sys.argv[1] == "kept":
    keep_freed(1 << 25)
faults = []
def work():
    for _ in range(9):
        blocks = [bytearray(1 << 20) for _ in range(8)]  # cleared, and so touched
        del blocks
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(faults[-1] - faults[0])
"""
PAGES = 8 * 8 * 256
"""Of all blocks that came after the first ones."""


@pytest.mark.parametrize(
    ("how", "least", "most"), [("given back", PAGES // 2, 2 * PAGES), ("kept", 0, PAGES // 20)]
)
def test_pages_are_taken_once_where_freed_memory_is_kept(how: str, least: int, most: int) -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True)
    assert least <= int(done.stdout) <= most
