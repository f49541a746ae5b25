"""Where faults are tried."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.forking import Forking, forking


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: what a kill leaves is the same there, and sooner read."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="nonzero-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forking]:
    """A process that has imported everything, from which others are forked."""
    with forking() as server:
        yield server
