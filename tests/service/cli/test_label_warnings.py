from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command_line import nonzero_here


def log(path: Path, labels: list[int]) -> Path:
    path.write_text("".join(f"{label} |site s{k % 7} |ad a{k % 11}\n" for k, label in enumerate(labels)))
    return path


def labels(n: int, rate: float) -> list[int]:
    found: list[int] = (np.random.default_rng(4).random(n) < rate).astype(int).tolist()
    return found


def said(path: Path) -> list[str]:
    done = nonzero_here("train", path, "--bits", "8", "--learning-rate", "0.1")
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if "label" in line]


def test_a_log_sorted_by_its_labels_is_told_of_with_the_way_out(tmp_path: Path) -> None:
    during, end = said(log(tmp_path / "sorted.vw", sorted(labels(20_000, 0.02))))
    assert during.startswith("so far: the labels are sorted")
    assert end.startswith(
        "the labels are sorted, by themselves or within days: 20,000 examples have 2 runs of one"
    )
    assert end.endswith("put the log in the order of time, or shuffle its rows")


def test_files_that_are_sorted_within_themselves_are_told_of(tmp_path: Path) -> None:
    days = [sorted(labels(5000, 0.02), reverse=True) for _ in range(4)]
    lines = said(log(tmp_path / "days.vw", [label for day in days for label in day]))
    assert "have 8 runs of one label" in lines[-1]


def test_an_outage_of_the_labels_is_told_of_with_its_place(tmp_path: Path) -> None:
    rows = labels(5000, 0.3)
    lines = said(log(tmp_path / "outage.vw", [*rows, *[0] * 4000, *rows]))
    assert lines[-1].startswith("examples 5,00")
    assert " to 9,00" in lines[-1]
    assert "all have the label 0, where 1,2" in lines[-1]


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_an_ordinary_log_is_not_told_of(tmp_path: Path, rate: float) -> None:
    assert said(log(tmp_path / "ordinary.vw", labels(30_000, rate))) == []
