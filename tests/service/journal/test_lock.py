"""One process a directory."""

import os
import time
from pathlib import Path

import pytest

from nonzero_service.journal.errors import LockedError
from nonzero_service.journal.lock import DirectoryLock
from service.journal.forking import Forking


def test_a_second_lock_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path):
        with pytest.raises(LockedError, match=f"process {os.getpid()}") as caught:
            DirectoryLock(tmp_path)
        assert caught.value.pid == os.getpid()
    with DirectoryLock(tmp_path) as lock:
        lock.release()
        lock.release()
        DirectoryLock(tmp_path).release()


def test_a_killed_holder_gives_the_directory_back(forks: Forking, tmp_path: Path) -> None:
    holder = forks.child("holding", tmp_path)
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.001)
    with pytest.raises(LockedError) as caught:
        DirectoryLock(tmp_path)
    assert caught.value.pid == holder.pid
    holder.kill()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff" * 40])
def test_a_holder_that_left_no_pid(tmp_path: Path, text: bytes) -> None:
    with DirectoryLock(tmp_path):
        (tmp_path / "lock").write_bytes(text)
        with pytest.raises(LockedError, match="another process") as caught:
            DirectoryLock(tmp_path)
        assert caught.value.pid is None
