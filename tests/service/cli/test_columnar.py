"""Parquet and Arrow on the command line: the flags of csv, the model of csv, the predictions of csv."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import nonzero
from nonzero import LogisticRegression

N = 600
ROWS = [
    {
        "request": f"r{k}",
        "site": f"site {k % 7}",
        "ad": k % 90,
        "bid": (k % 11) / 4,
        "new": k % 3 == 0,
        "hit": int((k % 7 < 3) ^ (k % 11 > 8)),
    }
    for k in range(N)
]


def text_of(value: Any) -> str:
    return str(value).removesuffix(".0")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("columnar")
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, place / "t.parquet", row_group_size=250)
    with pa.ipc.new_file(place / "t.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=100)
    with pa.ipc.new_stream(place / "t.arrows", table.schema) as stream:
        stream.write_table(table, max_chunksize=100)
    lines = [",".join(ROWS[0]), *(",".join(map(text_of, row.values())) for row in ROWS)]
    (place / "t.csv").write_text("\n".join([*lines, ""]))
    return place


OPTIONS = ("--overwrite", "--bits", "12", "--label", "hit")


def trained(place: Path, name: str, *options: str) -> tuple[str, str]:
    """Train on a file; return the model's digest, and what was said."""
    model = place / f"{name}.model"
    done = nonzero(
        "train", place / name, "--model", model, "--overwrite", "--bits", "12", "--label", "hit", *options
    )
    assert done.returncode == 0, done.stderr
    return LogisticRegression.load(model).digest(), done.stderr


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--numeric", "bid", "--ignore", "ad", "--keep", "request"),
        ("--schema", '{"site": "category", "b*": "number", "*": "ignore"}'),
        ("--positive", "0", "--interactions", "site*ad"),
    ],
    ids=lambda options: " ".join(options) or "nothing said",
)
def test_the_model_is_that_of_the_csv(place: Path, options: tuple[str, ...]) -> None:
    expected, said = trained(place, "t.csv", *options)
    predicted = nonzero("predict", place / "t.csv", "--model", place / "t.csv.model").stdout
    assert len(predicted.split()) == N
    for name in ("t.parquet", "t.arrow", "t.arrows"):
        digest, also = trained(place, name, *options)
        assert digest == expected, name
        assert ("'request' is left out" in also) == ("'request' is left out" in said)
        assert nonzero("predict", place / name, "--model", place / "t.csv.model").stdout == predicted
    several, _ = trained(place, "t.csv", str(place / "t.parquet"), *options)
    mixed, _ = trained(place, "t.arrow", str(place / "t.csv"), *options)
    assert several == mixed


def test_numbers_of_a_type_are_taken_as_categories_aloud(place: Path) -> None:
    _, said = trained(place, "t.parquet")
    assert (
        "the column 'bid' holds numbers and is taken as a category, as in delimited text; "
        "--number bid takes it as a number"
    ) in said
    _, said = trained(place, "t.parquet", "--number", "bid")
    assert "taken as categories" not in said


def test_a_stream_comes_from_standard_input(place: Path) -> None:
    expected, _ = trained(place, "t.csv")
    command = [
        sys.executable,
        "-m",
        "nonzero_service.cli",
        "train",
        "-",
        "--format",
        "arrow",
        "--label",
        "hit",
    ]
    model = place / "piped"
    with (place / "t.arrows").open("rb") as stream:
        subprocess.run(
            [*command, "--bits", "12", "--model", model], stdin=stream, check=True, capture_output=True
        )
    assert LogisticRegression.load(model).digest() == expected


def test_missing_columns_are_named(place: Path) -> None:
    trained(place, "t.csv")
    pq.write_table(pa.Table.from_pylist(ROWS).drop_columns(["site"]), place / "fewer.parquet")
    done = nonzero("predict", place / "fewer.parquet", "--model", place / "t.csv.model")
    assert done.returncode == 1
    assert "columns are missing that the model was trained on: 'site'" in done.stderr
    done = nonzero("predict", place / "fewer.parquet", "--model", place / "t.csv.model", "--allow-missing")
    assert done.returncode == 0, done.stderr


def test_rows_that_cannot_be_read_are_nan_and_told(place: Path) -> None:
    trained(place, "t.csv", "--number", "bid")
    rows = [row | {"bid": 1e9 if k == 3 else row["bid"]} for k, row in enumerate(ROWS)]
    pq.write_table(pa.Table.from_pylist(rows), place / "bad.parquet")
    done = nonzero("predict", place / "bad.parquet", "--model", place / "t.csv.model")
    assert done.returncode == 1
    assert [k for k, line in enumerate(done.stdout.split()) if line == "nan"] == [3]
    assert "bad.parquet, row 4: the column 'bid': the value '1000000000.0' is beyond" in done.stderr
    assert np.isfinite([float(line) for line in done.stdout.split() if line != "nan"]).all()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "t.parquet", "--label", "clik"], "there is no column 'clik'; there are request, site"),
        (
            ["train", "t.parquet", "--label", "hit", "--delimiter", ";"],
            "is parquet, which has none; leave it out",
        ),
        (["train", "t.csv", "--format", "parquet"], "is no Parquet file"),
        (["train", "t.csv", "--format", "arrow"], "t.csv cannot be read"),
        (
            ["train", "t.parquet", "--label", "hit", "--ignore", "site,nothing"],
            "there is no column 'nothing'",
        ),
        (["demo", "t.parquet", "--once"], "a log is replayed line by line; give it as text"),
    ],
)
def test_wrong_uses_are_said(place: Path, arguments: list[str], reason: str) -> None:
    command, name, *options = arguments
    done = nonzero(command, place / name, *options)
    assert done.returncode != 0
    assert reason in " ".join(done.stderr.replace("│", "").split()), done.stderr


def test_without_pyarrow_the_extra_is_named(place: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None; sys.modules['pyarrow.compute'] = None;"
        "from nonzero_service.cli import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", str(place / "t.parquet"), "--label", "hit"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert (
        "Arrow and Parquet need pyarrow, which is not installed: pip install 'nonzero-ctr[arrow]'"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
