"""What is kept may tell of people: files and directories are their owner's only."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch
from nonzero_service.journal.files import keep_private
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from service.failures import no_failure


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let others do everything with new files, unless these say otherwise."""
    usual = os.umask(0)
    yield
    os.umask(usual)


def open_to_others(directory: Path) -> list[str]:
    return [
        f"{stat.filemode(path.stat().st_mode)} {path}"
        for path in (directory, *directory.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


async def use(data_dir: Path) -> None:
    models = Models(Settings.load(data_dir=data_dir, bits=4, learning_rate=0.1), no_failure)
    await models.open()
    if models.find("x") is None:
        await models.create("x")
    served = models.get("x")
    served.keeper.keep(Batch([0, 1], [1], ids=["imp-1"]), np.array([0.5], np.float32))
    await served.learner.submit(Batch([0, 1], [3], labels=[1]))
    await served.snapshots.take()
    with models.folder.workplace() as place:
        (place / "upload").write_bytes(b"")
        assert open_to_others(data_dir) == [f"-rw-rw-rw- {place / 'upload'}"]  # in a directory that is not
    assert open_to_others(data_dir) == []
    await models.close()
    assert open_to_others(data_dir) == []


@pytest.mark.usefixtures("open_umask")
def test_whatever_the_umask(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path / "data"))


@pytest.mark.usefixtures("open_umask")
def test_what_an_older_release_left_open_is_closed_at_a_start(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    asyncio.run(use(data_dir))
    for path in data_dir.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    asyncio.run(use(data_dir))


def test_another_users_files_are_told_of(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away, and act as another user")
    place = tmp_path / "models"
    place.mkdir(mode=0o755)
    (place / "theirs").write_bytes(b"")
    (place / "theirs").chmod(0o644)
    shutil.copytree(place, Path("/dev/shm") / tmp_path.name)
    shared = Path("/dev/shm") / tmp_path.name
    shared.chmod(0o777)
    try:
        os.seteuid(65534)
        assert keep_private(shared) == [shared, shared / "theirs"]
    finally:
        os.seteuid(0)
        shutil.rmtree(shared)
