"""What is written is refused before any work where it would be lost, or could not be written."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from command_line import COMMAND, nonzero_here
from disks import fill
from nonzero import LogisticRegression

LOG = "".join(f"{1 if k % 3 == 0 else -1} |site s{k % 7} |ad a{k % 5}\n" for k in range(60))
WRITING = {
    "train": ["train", "log.vw", "--bits=8", "--model"],
    "train --try": ["train", "log.vw", "--try=bits=8", "--try=bits=9", "--model"],
    "predict": ["predict", "log.vw", "--model=trained", "--output"],
    "convert": ["convert", "log.vw"],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a log and a model."""
    monkeypatch.chdir(tmp_path)
    Path("log.vw").write_text(LOG)
    assert nonzero_here("train", "log.vw", "--bits=8", "--model", "trained").returncode == 0
    return tmp_path


def said(error: str) -> str:
    return " ".join(error.replace("│", " ").split())


@contextmanager
def unread(place: Path) -> Iterator[None]:
    """Have a pipe in the place of the log: whoever opens it, waits for ever."""
    (place / "log.vw").rename(place / "kept.vw")
    os.mkfifo(place / "log.vw")
    yield
    (place / "log.vw").unlink()
    (place / "kept.vw").rename(place / "log.vw")


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_what_is_there_is_refused_before_the_log_is_opened_unless_it_may_be_replaced(
    place: Path, command: list[str]
) -> None:
    Path("made.rows").write_bytes(b"old")
    with unread(place):
        done = nonzero_here(*command, "made.rows")
    assert (done.returncode, done.stdout) == (2, "")
    assert "made.rows is there already; name another file, or replace it by --overwrite" in said(done.stderr)
    assert Path("made.rows").read_bytes() == b"old"
    done = nonzero_here(*command, "made.rows", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert len(Path("made.rows").read_bytes()) > 100
    assert sorted(path.name for path in place.iterdir()) == ["log.vw", "made.rows", "trained"]


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_a_place_that_cannot_be_written_is_refused_before_the_log_is_opened(
    place: Path, small_disk: Path, command: list[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    long = "x" * 250 + ".rows"
    for output, why in (
        ("absent/made.rows", "there is no directory"),
        (".", "directory"),
        (long, "File name too long"),
        (str(small_disk / "made.rows"), "Read-only file system"),
    ):
        with unread(place):
            done = nonzero_here(*command, output, *(["--to=rows"] if command[0] == "convert" else []))
        assert (done.returncode, done.stdout) == (2, "")
        assert why in said(done.stderr)
    assert sorted(path.name for path in place.iterdir()) == ["disk", "log.vw", "trained"]


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_a_full_disk_is_refused_before_the_log_is_opened(
    place: Path, small_disk: Path, command: list[str]
) -> None:
    fill(small_disk / "ballast")
    with unread(place):
        done = nonzero_here(*command, small_disk / "made.rows")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No space left on device; make room, or name a file elsewhere" in said(done.stderr)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["train", "log.vw", "--model", "log.vw"], "log.vw"),
        (["predict", "log.vw", "--model", "trained", "--output", "log.vw"], "log.vw"),
        (["predict", "log.vw", "--model", "trained", "--output", "trained"], "trained"),
        (["convert", "./log.vw", "log.vw"], "log.vw"),
        (["convert", "log.vw", "--to=rows", "--like=trained", "link"], "link"),
    ],
)
def test_what_is_read_is_never_written_to(place: Path, arguments: list[str], file: str) -> None:
    (place / "link").symlink_to("trained")
    before = Path(file).read_bytes()
    done = nonzero_here(*arguments, "--overwrite")
    assert done.returncode == 2
    assert f"{file} is a file that is read; name another" in said(done.stderr)
    assert Path(file).read_bytes() == before


@pytest.mark.usefixtures("place")
def test_of_settings_that_are_tried_each_name_is_looked_at() -> None:
    Path("m2").write_bytes(b"old")
    done = nonzero_here("train", "log.vw", "--try=bits=8", "--try=bits=9", "--model", "m{n}")
    assert done.returncode == 2
    assert "m2 is there already" in said(done.stderr)
    assert not Path("m1").exists()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("output", ["/dev/null", "-"])
def test_a_model_is_no_stream(output: str) -> None:
    done = nonzero_here("train", "log.vw", "--bits=8", "--model", output, "--overwrite")
    assert done.returncode == 2
    assert "name" in said(done.stderr)
    assert Path("/dev/null").is_char_device()
    assert not Path("-").exists()


def test_a_link_stays_one_and_a_device_is_written_to(place: Path) -> None:
    (place / "link").symlink_to("target")
    done = nonzero_here("train", "log.vw", "--bits=8", "--model", "link")
    assert done.returncode == 0, done.stderr
    assert Path("link").is_symlink()
    assert LogisticRegression.load("target").examples == 60
    predict = [*COMMAND, "predict", "log.vw", "--model=trained"]
    expected = subprocess.run(predict, capture_output=True, check=True).stdout
    done_so = subprocess.run([*predict, "--output=/dev/stdout"], capture_output=True, check=True)
    assert done_so.stdout == expected
    assert len(expected.splitlines()) == 60
    done_so = subprocess.run([*predict, "--output=-"], capture_output=True, check=True)
    assert done_so.stdout == expected
    assert not Path("-").exists()


@pytest.mark.usefixtures("place")
def test_predictions_are_compressed_as_the_name_says() -> None:
    for name in ("p.txt", "p.txt.gz", "p.txt.zst"):
        done = nonzero_here("predict", "log.vw", "--model=trained", "--output", name)
        assert done.returncode == 0, done.stderr
    assert gzip.decompress(Path("p.txt.gz").read_bytes()) == Path("p.txt").read_bytes()
    with zstandard.open("p.txt.zst") as file:
        assert file.read() == Path("p.txt").read_bytes()


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_a_disk_that_fills_up_meanwhile_leaves_what_was_there(
    place: Path, small_disk: Path, command: list[str]
) -> None:
    """Room for 128 KB is enough to begin."""
    Path("log.vw").write_text("".join(f"{k % 2} |a {k * 7919} |b {k}\n" for k in range(20_000)))
    made, ballast = small_disk / "made.rows", small_disk / "ballast"
    made.write_bytes(b"old")
    fill(ballast)
    os.truncate(ballast, ballast.stat().st_size - (128 << 10))
    done = nonzero_here(*(part.replace("bits=8", "bits=20") for part in command), made, "--overwrite")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No space left on device")
    assert made.read_bytes() == b"old"
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "made.rows"]
    assert sorted(path.name for path in place.iterdir()) == ["disk", "log.vw", "trained"]
