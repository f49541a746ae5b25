"""``verify`` agrees with a start: a table of damages, generated from what a data directory holds.

What a start refuses is not sound; what is sound comes up. Where something is damaged that a start can do
without, ``verify`` names it, and says that a start would come up.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from nonzero import Batch
from nonzero.errors import NonzeroError
from nonzero_service.cli.verify import verify
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from service.failures import no_failure

NOBODY = 65534


def settings_for(data_dir: Path) -> Settings:
    return Settings.load(data_dir=data_dir, bits=4, learning_rate=0.1, journal_retention="snapshots")


async def fill(data_dir: Path, copy: Path) -> None:
    """Make a data directory: default, with all that there can be, and fresh, which has learned nothing.

    `copy` is what a kill would leave of it.
    """
    models = Models(settings_for(data_dir), no_failure)
    await models.open()
    served = models.get("default")
    await models.create("fresh")
    for j in range(3):
        ids = [f"imp-{j}"]
        served.keeper.keep(Batch([0, 1], [j], ids=ids), np.array([0.5], np.float32))
        await served.learner.submit(Batch([0, 1, 2], [j, 5], labels=[0, 1]))
        await served.snapshots.take()
    await served.learner.submit(Batch([0, 1], [7], labels=[1]))
    shutil.copytree(data_dir, copy)
    await models.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data directory after a stop, and one after a kill."""
    place = tmp_path_factory.mktemp("kept")
    asyncio.run(fill(place / "stopped", place / "killed"))
    return {"stopped": place / "stopped", "killed": place / "killed"}


class Found(NamedTuple):
    """What verify says."""

    sound: bool
    starts: bool
    text: str


def verified(data_dir: Path) -> Found:
    run = CliRunner().invoke(verify, [str(data_dir), "--json", "--quiet"])
    if run.exception is not None and not isinstance(run.exception, SystemExit):
        assert isinstance(run.exception, (NonzeroError, OSError)), repr(run.exception)
        return Found(False, False, str(run.exception))
    found = json.loads(run.stdout)
    sound = all(one["sound"] for one in found.values())
    assert run.exit_code == (0 if sound else 1)
    return Found(sound, all(one["starts"] for one in found.values()), run.stdout)


async def comes_up(data_dir: Path) -> str:
    """Start; return why it was refused, nothing where it was not."""
    models = Models(settings_for(data_dir), no_failure)
    try:
        await models.open()
    except (NonzeroError, OSError) as error:
        return str(error)
    finally:
        models.failed = True
        await models.close()
    return ""


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def emptied(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.write_bytes(b"")


def halved(path: Path) -> None:
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def replaced(path: Path) -> None:
    """Put a directory in a file's place, or a file in a directory's."""
    was_directory = path.is_dir()
    removed(path)
    if was_directory:
        path.write_bytes(b"")
    else:
        path.mkdir()


def overwritten(path: Path) -> None:
    if path.is_file():
        path.write_bytes(b"\xff{not what was written\n" * 5)


def unreadable(path: Path) -> None:
    path.chmod(0)


def unwritable(path: Path) -> None:
    path.chmod(0o500 if path.is_dir() else 0o400)


DAMAGES = {one.__name__: one for one in (removed, emptied, halved, replaced, overwritten)}
DENIALS = {one.__name__: one for one in (unreadable, unwritable)}


def disagreements(
    kept: Path,
    place: Path,
    damages: Mapping[str, Callable[[Path], None]],
    *,
    among: str = "*",
    owner: int | None = None,
) -> Iterator[str]:
    """Damage each file and directory in each way, and yield where verify and a start do not agree."""
    for name in sorted(str(path.relative_to(kept)) for path in kept.rglob(among)):
        for damage, apply in damages.items():
            told, started = place / "told", place / "started"
            for copy in (told, started):
                shutil.copytree(kept, copy)
                if owner is not None:
                    for path in (copy, *copy.rglob("*")):
                        os.chown(path, owner, owner)
                apply(copy / name)
            with acting_as(owner):
                found, refused = verified(told), asyncio.run(comes_up(started))
            if found.starts != (not refused) or (found.sound and refused):
                yield f"{name} {damage}: verify says {found}, a start: {refused or 'comes up'}"
            for copy in (told, started):
                for path in copy.rglob("*"):
                    if not path.is_symlink():
                        path.chmod(0o700)
                shutil.rmtree(copy)


@contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """Be another user for a while, who may not read everything as root does."""
    if user is None:
        yield
        return
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("state", ["stopped", "killed"])
def test_whatever_is_damaged_verify_and_a_start_agree(
    kept: dict[str, Path], memory_path: Path, state: str
) -> None:
    assert verified(kept[state]).sound
    among = "*" if state == "stopped" else "[jm]*"  # the journal with its WAL, and the mark
    assert list(disagreements(kept[state], memory_path, DAMAGES, among=among)) == []


def test_whatever_may_not_be_read_or_written_verify_and_a_start_agree(
    kept: dict[str, Path], memory_path: Path
) -> None:
    owner = None
    if os.geteuid() == 0:  # who may read everything
        owner = NOBODY
        memory_path.chmod(0o777)
    assert list(disagreements(kept["stopped"], memory_path, DENIALS, owner=owner)) == []


@pytest.mark.parametrize(
    "name", [".DS_Store", "lost+found/", "notes.txt", "Default/", "default.bak/", ".half/"]
)
def test_what_has_no_models_name_is_passed_over(kept: dict[str, Path], tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(kept["stopped"], data_dir)
    stray = data_dir / "models" / name
    stray.mkdir() if name.endswith("/") else stray.write_bytes(b"of another program")
    run = CliRunner().invoke(verify, [str(data_dir), "--quiet"])
    assert run.exit_code == 0
    assert (name == ".half/") != (str(stray).rstrip("/") in run.output)
    assert asyncio.run(comes_up(data_dir)) == ""
    assert stray.exists() == (name != ".half/")


def test_a_file_with_a_models_name_is_refused_by_name(kept: dict[str, Path], tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(kept["stopped"], data_dir)
    (data_dir / "models" / "another").write_bytes(b"")
    assert "another" in verified(data_dir).text
    assert "another" in asyncio.run(comes_up(data_dir))


def test_two_names_of_one_directory_are_refused_by_name(kept: dict[str, Path], tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(kept["stopped"], data_dir)
    model = data_dir / "models" / "default"
    link = data_dir / "models" / "linked"
    link.symlink_to("default")
    assert "are one directory" in verified(data_dir).text
    assert "are one directory" in asyncio.run(comes_up(data_dir))
    link.unlink()
    model.rename(tmp_path / "on another disk")
    model.symlink_to(tmp_path / "on another disk")
    assert verified(data_dir).sound
    assert asyncio.run(comes_up(data_dir)) == ""


def test_no_model_is_sound_and_no_data_directory_is_not(kept: dict[str, Path], tmp_path: Path) -> None:
    async def empty() -> None:
        models = Models(settings_for(tmp_path / "data"), no_failure)
        await models.open()
        await models.delete("default")
        await models.close()

    asyncio.run(empty())
    run = CliRunner().invoke(verify, [str(tmp_path / "data")])
    assert (run.exit_code, "no model" in run.output) == (0, True)
    (tmp_path / "nothing").mkdir()
    assert CliRunner().invoke(verify, [str(tmp_path / "nothing")]).exit_code == 1
    assert kept
