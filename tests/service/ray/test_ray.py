"""``nonzero train --ray``: the model of one process, to the bit, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from command_line import nonzero_here
from nonzero import LogisticRegression

Workers = Callable[[int], None]

SAME = ("examples", "log_loss", "auc", "normalized_entropy", "calibration", "rejected")


def trained(place: Path, *arguments: str | Path) -> tuple[CompletedProcess[str], str]:
    """Train, and return what was said and the model's digest."""
    model = place / "model"
    done = nonzero_here("train", *arguments, "--bits=12", "--json", "--model", model, "--overwrite")
    return done, LogisticRegression.load(model).digest() if model.exists() else ""


def said(done: CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if not line.startswith("learning: ")]


def check_same(place: Path, *arguments: str | Path) -> CompletedProcess[str]:
    """Hold what a cluster comes to against what one process comes to."""
    here, expected = trained(place, *arguments)
    done, digest = trained(place, *arguments, "--ray=local")
    assert (done.returncode, said(done)) == (here.returncode, said(here))
    assert digest == expected
    if here.stdout:
        figures, others = json.loads(done.stdout), json.loads(here.stdout)
        assert {name: figures[name] for name in SAME} == {name: others[name] for name in SAME}
    assert {path.name for path in place.iterdir()} <= {"model"}
    return done


@pytest.mark.parametrize(
    "file", ["log.vw", "log.ndjson", "log.csv", "bare.csv", "log.vw.gz", "log.csv.gz", "log.parquet"]
)
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_cluster_comes_to_the_model_of_one_process(
    logs: Path, tmp_path: Path, workers: Workers, file: str, number: int
) -> None:
    workers(number)
    more = ["--columns=click,site,user"] if file == "bare.csv" else []
    done = check_same(tmp_path, logs / file, *more)
    assert done.returncode == 0
