"""Columns of weights, ids and times, and tables without a header, by every command that reads tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import nonzero_here
from nonzero import LogisticRegression, Schema

NAMES = ["impression", "click", "site", "importance", "at", "bid"]
ROWS = [
    [
        f"00{k}",
        k % 3 % 2,
        f"s{k % 7}",
        [1, 0.5, 3][k % 3],
        f"2026-11-{1 + k % 30:02d} 06:{k % 60:02d}:00",
        k % 5,
    ]
    for k in range(300)
]
ROLES = ["--weight", "importance", "--id", "impression", "--time", "at:%Y-%m-%d %H:%M:%S"]


def text(delimiter: str = ",", header: bool = True, label: bool = True) -> str:
    rows: list[list[Any]] = [NAMES, *ROWS] if header else ROWS
    kept = [k for k in range(len(NAMES)) if label or NAMES[k] != "click"]
    return "".join(delimiter.join(str(row[k]) for k in kept) + "\n" for row in rows)


def train(file: Path, *options: str) -> LogisticRegression:
    model = file.with_name(f"{file.name}.model")
    done = nonzero_here("train", file, "--bits", "10", "--model", model, *options)
    assert done.returncode == 0, done.stderr
    return LogisticRegression.load(model)


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> LogisticRegression:
    """The same, of lines that say it themselves."""
    lines = [
        json.dumps({"features": {"site": row[2], "bid": str(row[5])}, "label": row[1], "weight": row[3]})
        for row in ROWS
    ]
    path = written(tmp_path_factory.mktemp("expected") / "rows.ndjson", "\n".join(lines))
    return train(path, "--category", "site,bid", "--ignore", "impression,importance,at")


def test_roles_are_no_features_and_bind_other_doors(tmp_path: Path, expected: LogisticRegression) -> None:
    model = train(written(tmp_path / "rows.csv", text()), *ROLES)
    assert model.digest() == expected.digest()
    assert model.schema == Schema(
        {
            "site": "category",
            "bid": "category",
            "impression": "ignore",
            "importance": "ignore",
            "at": "ignore",
        }
    )
    assert model.notes["csv"]["roles"] == {"weight": "importance", "id": "impression", "time": "at"}


def test_columnar_files_have_the_same_roles(tmp_path: Path, expected: LogisticRegression) -> None:
    table = pa.table({name: [row[k] for row in ROWS] for k, name in enumerate(NAMES)})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert train(tmp_path / "rows.parquet", *ROLES).digest() == expected.digest()


@pytest.mark.parametrize(
    ("name", "delimiter", "options"),
    [
        ("rows.csv", ",", ["--columns", ",".join(NAMES)]),
        ("rows.csv", "\x01", ["--columns", ",".join(NAMES), "--no-header", "--delimiter", r"\x01"]),
        ("rows.csv", "|", ["--columns", ",".join(NAMES), "--delimiter", "pipe"]),
        ("rows.tsv", "\t", ["--columns", ",".join(NAMES)]),
        ("rows.txt", ";", ["--columns", ",".join(NAMES), "--delimiter", "semicolon", "--format", "csv"]),
    ],
)
def test_tables_without_a_header_are_named(
    name: str, delimiter: str, options: list[str], tmp_path: Path, expected: LogisticRegression
) -> None:
    file = written(tmp_path / name, text(delimiter, header=False))
    assert train(file, *options, *ROLES).digest() == expected.digest()


def test_a_model_knows_the_names_of_tables_without_a_header(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.csv", text(header=False))
    train(file, "--columns", ",".join(NAMES), *ROLES)
    model = tmp_path / "rows.csv.model"
    found = nonzero_here("predict", file, "--no-header", "--model", model)
    assert found.returncode == 0, found.stderr
    test_set = written(tmp_path / "test.csv", text(header=False, label=False))
    for other in (test_set, written(tmp_path / "with_header.csv", text())):
        options = ["--no-header"] if other is test_set else []
        done = nonzero_here("predict", other, *options, "--model", model)
        assert done.returncode == 0, done.stderr
        assert done.stdout == found.stdout
    wrong = written(tmp_path / "wrong.csv", "1,2,3\n")
    done = nonzero_here("predict", wrong, "--no-header", "--model", model)
    assert done.returncode == 1
    assert "the first line has 3 cells, and 6 columns are named" in done.stderr


def test_predict_needs_no_weights_and_conversions_like_a_model_have_them(tmp_path: Path) -> None:
    train(written(tmp_path / "rows.csv", text()), *ROLES)
    model, out = tmp_path / "rows.csv.model", tmp_path / "like.ndjson"
    unweighted = written(tmp_path / "test.csv", text().replace(",0.5,", ",unknown,"))
    done = nonzero_here("predict", unweighted, "--model", model)
    assert done.returncode == 0, done.stderr
    assert done.stdout == nonzero_here("predict", tmp_path / "rows.csv", "--model", model).stdout
    assert nonzero_here("convert", tmp_path / "rows.csv", out, "--like", model).returncode == 0
    second = json.loads(out.read_text().splitlines()[1])
    assert (second["weight"], second["id"]) == (0.5, "001")


def test_columns_that_nobody_names_are_numbered(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.csv", text(header=False))
    model = train(file, "--no-header", "--label", "c2", "--ignore", "c1,c5", "--number", "c4")
    assert model.notes["csv"]["columns"] == ["c3", "c4", "c6"]


def test_ids_and_times_are_converted(tmp_path: Path) -> None:
    file, out = written(tmp_path / "rows.csv", text()), tmp_path / "rows.ndjson"
    done = nonzero_here("convert", file, out, *ROLES)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in out.read_text().splitlines()[:2])
    assert first["id"] == "000"
    assert first["time"] == 1793512800000
    assert second == {
        "features": {"site": "s1", "bid": "1"},
        "label": 1,
        "weight": 0.5,
        "id": "001",
        "time": 1793599260000,
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--weight", "heft"], "there is no column 'heft'; the header has impression, click"),
        (["--weight", "bid", "--number", "bid"], "'bid' is the weight, which is no feature; say one"),
        (["--weight", "bid", "--id", "bid"], "the column 'bid' is named twice among label, weight, id"),
        (["--time", "at:%H"], "the format of times is '%H', which has no year"),
        (["--delimiter", "::"], "the delimiter is '::', of 2 characters, and one is read"),
        (["--format", "vw", "--weight", "w"], "the format 'vw' has no option 'weight'"),
        (["--columns", "a,b"], "the first line has 6 cells, and 2 columns are named"),
    ],
)
def test_wrong_uses_are_said(options: list[str], reason: str, tmp_path: Path) -> None:
    done = nonzero_here("train", written(tmp_path / "rows.csv", text()), *options)
    assert done.returncode != 0
    assert reason in " ".join(done.stderr.split()), done.stderr


def test_a_time_that_may_be_seconds_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.csv", "click,site,at\n" + "1,a,1793512800\n0,b,1793512801\n" * 6)
    done = nonzero_here("train", file, "--time", "at")
    assert done.returncode == 1
    assert (
        "may be seconds since 1970, or milliseconds before 1973; say which it is: --time COLUMN:s"
        in done.stderr
    )
    assert nonzero_here("train", file, "--time", "at:s").returncode == 0
