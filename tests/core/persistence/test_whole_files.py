"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nonzero.persistence.whole_files import try_replacing, whole_file


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.rows"
    path.write_bytes(b"old")

    def fail() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise RuntimeError("the disk")

    with pytest.raises(RuntimeError, match="the disk"):
        fail()
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_that_is_replaced_stays_as_open_to_others_as_it_was(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.rows"
    path.write_bytes(b"old")
    path.chmod(mode)
    with whole_file(path) as file:
        [beside] = [one for one in tmp_path.iterdir() if one != path]
        assert stat.S_IMODE(beside.stat().st_mode) == mode  # while it is written too
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_bytes(b"old")
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    os.mkfifo(pipe)
    reading = "import pathlib, sys; sys.stdout.write(pathlib.Path(sys.argv[1]).read_text())"
    with subprocess.Popen([sys.executable, "-c", reading, pipe], stdout=subprocess.PIPE, text=True) as reader:
        with whole_file(pipe) as file:
            file.write(b"through")
        assert reader.communicate(timeout=60)[0] == "through"
    assert pipe.is_fifo()


def test_what_the_disk_would_refuse_is_known_before(tmp_path: Path) -> None:
    for target, error in (
        (tmp_path / "absent" / "log", FileNotFoundError),
        (Path("/proc/self/log"), FileNotFoundError),
        (tmp_path / ("x" * 255), OSError),
    ):
        with pytest.raises(error):
            try_replacing(target)
    (tmp_path / "log").write_bytes(b"old")
    try_replacing(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [tmp_path / "log"]
