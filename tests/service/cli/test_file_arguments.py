"""Patterns, directories and repeated files among a command's arguments."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from command_line import nonzero_here
from nonzero import LogisticRegression
from nonzero_service.cli.file_arguments import file_named, files_named

DAYS = (1, 2, 10)


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for day in DAYS:
        rows = "".join(f"{(k * day) % 3 % 2} |site s{k % 5} |day d{day}\n" for k in range(60))
        (tmp_path / f"day_{day}.vw").write_text(rows)
    (tmp_path / "day_old").mkdir()
    return tmp_path


def test_a_pattern_is_its_files_in_the_order_of_their_numbers(days: Path) -> None:
    expected = [str(days / f"day_{day}.vw") for day in DAYS]
    assert files_named([str(days / "day_*")]) == expected
    assert files_named([str(days / "**/day_?.vw"), "-"]) == [*expected[:2], "-"]
    assert files_named([expected[2], expected[0]]) == [expected[2], expected[0]]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "log[1].vw"
    file.touch()
    (tmp_path / "log1.vw").touch()
    assert files_named([str(file)]) == [str(file)]


def test_a_pattern_that_nothing_fits_and_a_directory_are_refused_with_the_way_out(days: Path) -> None:
    with pytest.raises(
        click.BadParameter, match=f"no file fits .*; the pattern is held against names in {days}"
    ):
        files_named([str(days / "night_*")])
    with pytest.raises(click.BadParameter, match="no file fits"):
        files_named([str(days / "*_old")])
    with pytest.raises(
        click.BadParameter, match=r"is a directory; give its files, such as '.*/\*\.vw'; it has day_1"
    ):
        files_named([str(days)])
    with pytest.raises(click.BadParameter, match="there is no file in it"):
        files_named([str(days / "day_old")])
    with pytest.raises(click.BadParameter, match="standard input is given twice"):
        files_named(["-", "-"])


def test_a_file_that_is_given_twice_is_said(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, link = days / "day_1.vw", days / "link.vw"
    link.symlink_to(file)
    assert files_named([str(file), str(file)]) == [str(file)] * 2
    assert files_named([str(file), str(link)]) == [str(file), str(link)]
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"{file} is given twice: its examples are read each time"
    assert second == f"{link} is given twice, as {file} too: its examples are read each time"


def test_one_file_is_one_file(days: Path) -> None:
    assert file_named(str(days / "day_1?.vw")) == str(days / "day_10.vw")
    with pytest.raises(click.BadParameter, match=r"is 3 files, .*day_1\.vw to .*day_10\.vw; give one"):
        file_named(str(days / "*.vw"))


def test_commands_take_patterns(days: Path) -> None:
    models = [days / "by_pattern", days / "by_name"]
    for model, files in zip(models, ([days / "*.vw"], [days / f"day_{day}.vw" for day in DAYS]), strict=True):
        done = nonzero_here("train", *files, "--bits", "8", "--model", model)
        assert done.returncode == 0, done.stderr
    assert len({LogisticRegression.load(model).digest() for model in models}) == 1
    done = nonzero_here("convert", days / "day_?.vw", days / "all.ndjson")
    assert done.returncode == 0, done.stderr
    assert len((days / "all.ndjson").read_text().splitlines()) == 120
    done = nonzero_here("predict", days / "day_1?.vw", "--model", models[0])
    assert len(done.stdout.splitlines()) == 60
    for command in (["train"], ["predict", "--model", models[0]]):
        done = nonzero_here(*command, days)
        assert done.returncode == 2
        assert "is a directory" in done.stderr


def test_a_file_is_not_written_to_that_a_pattern_names(days: Path) -> None:
    before = (days / "day_2.vw").read_bytes()
    done = nonzero_here("convert", days / "*.vw", days / "day_2.vw")
    assert done.returncode == 2
    assert "is a file that is read" in " ".join(done.stderr.split())
    assert (days / "day_2.vw").read_bytes() == before
