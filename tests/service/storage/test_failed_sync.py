"""An fsync that fails: the outcome is unknown, no more is taken, and a new start tells what is there."""

import shutil
from pathlib import Path

import pytest

from service.storage.forking import STOP, Forking, acknowledged, traced
from service.storage.history import assert_recovers

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_the_outcome_is_unknown_until_a_new_start(forks: Forking, memory_path: Path) -> None:
    unknown = 0
    for n in range(1, 9):
        place = memory_path / str(n)
        place.mkdir()
        child = forks.child("careful", place)
        with traced(child, "-e", f"inject=fdatasync:error=EIO:when={n}", "-e", "trace=fdatasync"):
            assert child.run() == 0
        if (place / "unknown").exists():
            unknown += 1
            assert (place / "refused").exists()
        assert_recovers(place, acknowledged(place), STOP)
    assert unknown >= 4
