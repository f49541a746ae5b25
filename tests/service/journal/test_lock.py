"""One process a directory."""

import os
from pathlib import Path

import pytest

from nonzero_service.journal.errors import LockedError
from nonzero_service.journal.lock import DirectoryLock
from service.journal.forking import forked, holding
from waiting import until


def test_a_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(LockedError, match=f"process {os.getpid()};"):
        DirectoryLock(tmp_path)
    with DirectoryLock(tmp_path) as lock:
        lock.release()
        lock.release()
        DirectoryLock(tmp_path).release()


def test_a_killed_holder_gives_the_directory_back(tmp_path: Path) -> None:
    holder = forked(holding, tmp_path)
    holder.go()
    until(lambda: (tmp_path / "held").exists())
    with pytest.raises(LockedError, match=f"process {holder.pid};"):
        DirectoryLock(tmp_path)
    holder.kill()
    holder.wait()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff" * 40])
def test_a_holder_that_left_no_pid(tmp_path: Path, text: bytes) -> None:
    with DirectoryLock(tmp_path):
        (tmp_path / "lock").write_bytes(text)
        with pytest.raises(LockedError, match="another process"):
            DirectoryLock(tmp_path)
