"""A table's memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from nonzero.model.table import Table
from nonzero.persistence.pages import HUGE_PAGE


def resident() -> int:
    """Return the bytes of memory that this process has."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_memory_is_taken_ahead_as_far_as_asked_for_and_its_content_left_alone() -> None:
    table = Table(20, 8)
    table.spread()
    table.rows[:4] = 7
    before = resident()
    table.take_ahead(HUGE_PAGE - 1)  # too little to begin for
    assert not [thread for thread in threading.enumerate() if thread.name == "pages"]
    table.take_ahead(16 * HUGE_PAGE)
    for thread in threading.enumerate():
        if thread.name == "pages":
            thread.join()
    assert resident() - before > 12 * HUGE_PAGE
    assert resident() - before < 24 * HUGE_PAGE
    assert np.count_nonzero(table.rows) == table.rows[:4].size
