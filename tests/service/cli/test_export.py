"""``nonzero export``: what it writes, what it says of it, what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from command_line import nonzero, nonzero_here
from core.export.reference import Reference
from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.export import onnx_file
from nonzero.export.onnx_graph import inputs_of
from nonzero.fields.hashing import index_of
from service.cli.test_convert import csv, ndjson, vw

LOGS: dict[str, Callable[[], str]] = {"vw": vw, "ndjson": ndjson, "csv": csv}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model, and the log that it was trained on, as vw, ndjson and csv."""
    place = tmp_path_factory.mktemp("exported")
    for form, text in LOGS.items():
        (place / f"log.{form}").write_text(text())
        done = nonzero_here("train", place / f"log.{form}", "--bits=14", "--model", place / f"{form}.st")
        assert done.returncode == 0, done.stderr
    (place / "list.names").write_text("site=s1\r\nsite=s2\n\nad=x3")
    return place


def exported(*arguments: str | Path) -> str:
    """Export, and return what is said."""
    done = nonzero_here("export", *arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr


def refused(*arguments: str | Path) -> str:
    done = nonzero_here("export", *arguments)
    assert done.returncode in (1, 2), done.stdout
    assert done.stdout == ""
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("form", LOGS)
@pytest.mark.parametrize("log", [True, False], ids=["log", "random"])
def test_another_program_predicts_by_what_is_written(
    trained: Path, tmp_path: Path, form: str, log: bool
) -> None:
    model, made, golden = trained / f"{form}.st", tmp_path / "m.json", tmp_path / "golden.ndjson"
    source: list[str | Path] = ["--golden-from", trained / f"log.{form}"] if log else []
    said = exported(model, "--output", made, "--golden", golden, "30", *source)
    lines = [json.loads(line) for line in golden.read_text().splitlines()]
    reference = Reference(json.loads(made.read_text()))
    for line in lines:
        features = zip(line["indices"], line["fields"], line["values"], strict=True)
        assert reference.predict([*features]) == pytest.approx(line["probability"], rel=0, abs=1e-6)
        for name, index in zip(line.get("names", ()), line["indices"], strict=log):
            assert name is None or index_of(name) == index
    assert len(lines) == 30
    slots = len(reference.slots)
    assert f"{made}: {slots:,} slots, {made.stat().st_size:,} bytes\n" in said
    assert f"{golden}: 30 rows with their probabilities, {golden.stat().st_size:,} bytes\n" in said
    if log:
        found = nonzero_here("predict", trained / f"log.{form}", "--model", model).stdout.split()
        assert [float(p) for p in found[:30]] == [line["probability"] for line in lines]


def test_names_come_from_logs_and_lists(trained: Path, tmp_path: Path) -> None:
    made = tmp_path / "m.json"
    said = exported(trained / "vw.st", "--output", made, "--names", trained / "log.vw")
    entries = json.loads(made.read_text())["weights"]
    assert all(entry["names"] for entry in entries)
    assert all(index_of(name) % 2**14 == entry["slot"] for entry in entries for name in entry["names"])
    assert f"{len(entries)} of {len(entries)} slots have a name" in said
    said = exported(trained / "vw.st", "--output", made, "--names", trained / "list.names", "--overwrite")
    found = [name for entry in json.loads(made.read_text())["weights"] for name in entry.get("names", ())]
    assert sorted(found) == ["ad=x3", "site=s1", "site=s2"]
    assert f"3 of {len(entries)} slots have a name" in said


def test_names_of_the_largest_alone_as_vw_text(trained: Path, tmp_path: Path) -> None:
    made = tmp_path / "m.vw"
    said = exported(trained / "csv.st", "--output", made, "--names", trained / "log.csv", "--top", "3")
    lines = made.read_text().splitlines()[11:]
    assert len(lines) == 4
    assert all(line.count(":") == 2 for line in lines)
    assert "3 of 3 slots have a name" in said
    assert "averaged weights of eight lanes" in said
    assert "3 slots" in said


def test_logs_are_given_by_patterns_and_read_as_the_model_was_trained(tmp_path: Path) -> None:
    for day in (1, 2):
        rows = "".join(f"{k},{k % 2},1410210{k % 9},{day}\n" for k in range(20))
        (tmp_path / f"day_{day}.csv").write_text(f"id,click,hour,C1\n{rows}")
    logs, model, golden = tmp_path / "day_*.csv", tmp_path / "m", tmp_path / "golden"
    done = nonzero_here("train", logs, "--format=avazu", "--model", model)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "m.json"
    exported(model, "--output", made, "--names", logs, "--golden", golden, "40", "--golden-from", logs)
    named = {name for one in json.loads(made.read_text())["weights"] for name in one.get("names", [])}
    assert named > {"C1=1", "C1=2", "hour_of_day=8", "day_of_week=2"}
    assert len(golden.read_text().splitlines()) == 40
    refusal = refused(model, "--output", tmp_path / "day_1.csv", "--format=json", "--names", logs)
    assert "day_1.csv is a file that is read" in refusal


def test_slots_that_features_share_are_told(trained: Path, tmp_path: Path) -> None:
    model = LogisticRegression(bits=3, optimizer=AdaGrad())
    model.learn(formats.parse((trained / "log.vw").read_bytes(), "vw"))
    model.save(tmp_path / "small")
    said = exported(tmp_path / "small", "--output", tmp_path / "m.vw", "--names", trained / "log.vw")
    assert "8 slots are shared by several features (0: " in said
    assert "; and 3 more)" in said
    assert "eight lanes" not in said


def test_standard_output_and_packed_files(trained: Path, tmp_path: Path) -> None:
    """A real process; what it says goes to stderr."""
    plain, packed = tmp_path / "m.json", tmp_path / "m.json.zst"
    exported(trained / "vw.st", "--output", plain)
    done = nonzero("export", trained / "vw.st", "--format", "json")
    assert (done.returncode, done.stdout) == (0, plain.read_text())
    exported(trained / "vw.st", "--output", packed)
    text = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
    assert text == plain.read_bytes()


def test_nothing_is_replaced_unless_that_is_said(trained: Path, tmp_path: Path) -> None:
    made, golden, model = tmp_path / "m.json", tmp_path / "g.ndjson", trained / "vw.st"
    exported(model, "--output", made, "--golden", golden, "3")
    before = made.read_bytes(), golden.read_bytes()
    assert "m.json is there already; name another file, or replace it by --overwrite" in refused(
        model, "--output", made
    )
    assert "g.ndjson is there already" in refused(
        model, "--output", tmp_path / "n.json", "--golden", golden, "3"
    )
    assert not (tmp_path / "n.json").exists()
    assert "is a file that is read" in refused(model, "--output", model, "--format", "vw", "--overwrite")
    exported(model, "--output", made, "--golden", golden, "4", "--overwrite")
    assert (made.read_bytes(), len(golden.read_bytes().splitlines())) == (before[0], 4)


def test_what_fails_leaves_what_was_there(trained: Path, tmp_path: Path) -> None:
    made, log = tmp_path / "m.json", tmp_path / "empty.vw"
    made.write_text("before")
    log.write_text("2 | a\n")
    said = refused(
        trained / "vw.st",
        "--output",
        made,
        "--overwrite",
        "--golden",
        tmp_path / "g",
        "3",
        "--golden-from",
        log,
    )
    assert "there is no row to predict" in said
    assert (made.read_text(), sorted(path.name for path in tmp_path.iterdir())) == (
        "before",
        ["empty.vw", "m.json"],
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the name '-' does not tell it; give --format json|onnx|vw"),
        (["--output", "m.txt"], "the name 'm.txt' does not tell it"),
        (["--output", "nowhere/m.json"], "there is no directory"),
        (["--output", ".", "--format", "vw"], ". is a directory"),
        (["--output", "m.onnx", "--top", "3"], "a graph of ONNX has no names and all weights"),
        (["--output", "m.onnx", "--names", "x.vw"], "a graph of ONNX has no names and all weights"),
        (["--output", "m.json", "--names", "x.vw"], "there is no file x.vw"),
        (["--output", "m.json", "--names", __file__], "name a log .vw, .ndjson or .csv, and a list of names"),
        (["--output", "m.json", "--golden", "./m.json", "3"], "m.json is --output too; name another file"),
        (["--output", "m.json", "--golden-from", "x.vw"], "it is of use with --golden FILE N"),
        (["--output", "m.json", "--golden", "g.ndjson", "0"], "0 is not in the range 1<=x<=1000000"),
        (["--output", "m.json", "--golden", "g.ndjson", "99999999999"], "is not in the range 1<=x<=1000000"),
    ],
)
def test_a_wrong_use_is_said(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(trained / "vw.st", *arguments)
    assert [*tmp_path.iterdir()] == []


def test_hashed_rows_have_no_names_and_can_be_golden(trained: Path, tmp_path: Path) -> None:
    rows, golden = tmp_path / "log.rows", tmp_path / "g"
    assert nonzero_here("convert", trained / "log.vw", rows).returncode == 0
    assert "log.rows has no names that can be read here" in refused(
        trained / "vw.st", "--format", "json", "--output", tmp_path / "m", "--names", rows
    )
    exported(
        trained / "vw.st", "--output", tmp_path / "m.json", "--golden", golden, "5", "--golden-from", rows
    )
    found = [json.loads(line)["probability"] for line in golden.read_text().splitlines()]
    predicted = nonzero_here("predict", trained / "log.vw", "--model", trained / "vw.st").stdout.split()[:5]
    assert found == [float(p) for p in predicted]


def test_onnx_says_which_package_is_missing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = refused(trained / "vw.st", "--output", tmp_path / "m.onnx")
    assert (
        said
        == "nonzero: ONNX needs the package onnx, which is not installed: pip install 'nonzero-ctr[onnx]'"
    )
    assert [*tmp_path.iterdir()] == []


def test_a_graph_is_written_whole_and_a_large_one_in_two_files(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'nonzero-ctr[onnx]'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    made, model = tmp_path / "m.onnx", LogisticRegression.load(trained / "vw.st")
    said = exported(trained / "vw.st", "--output", made)
    assert f"{made}: opset 13, {made.stat().st_size:,} bytes" in said
    rows = Batch.from_dicts([{"site": "s1"}, {}])
    [whole] = onnxruntime.InferenceSession(made).run(["probability"], inputs_of(model, rows))
    assert np.abs(whole - model.predict(rows)).max() <= 1e-6
    monkeypatch.setattr(onnx_file, "LARGEST", 1 << 16)
    assert "gets a second one" in refused(trained / "vw.st", "--output", tmp_path / "n.onnx.gz")
    said = exported(trained / "vw.st", "--output", tmp_path / "n.onnx")
    (data,) = tmp_path.glob("n.onnx.*.data")
    assert f"{data}: constants, {data.stat().st_size:,} bytes" in said
    assert model.digest().startswith(data.name.split(".")[2])
    [beside] = onnxruntime.InferenceSession(tmp_path / "n.onnx").run(["probability"], inputs_of(model, rows))
    assert (beside == whole).all()
    (tmp_path / "n.onnx").unlink()
    assert ".data is there already" in refused(trained / "vw.st", "--output", tmp_path / "n.onnx")


def test_inspect_names_its_largest_weights(trained: Path) -> None:
    options: list[str | Path] = ["inspect", trained / "csv.st", "--top", "4"]
    done = nonzero_here(*options, "--names", trained / "log.csv", "--json")
    weights = json.loads(done.stdout)["weights"]
    assert [index_of(name) % 2**14 for row in weights for name in row["names"]] == [
        row["slot"] for row in weights
    ]
    assert "4 of 4 slots have a name" in done.stderr
    shown = nonzero_here(*options, "--names", trained / "log.csv").stdout.splitlines()
    assert [line.split()[-1] for line in shown if line.split()[:1] == [str(weights[0]["slot"])]] == weights[
        0
    ]["names"]
    done = nonzero_here(*options, "--names", trained / "list.names")
    first = next(line for line in done.stdout.splitlines() if line.split()[:1] == [str(weights[0]["slot"])])
    assert first.endswith("  ?")
    assert "names" not in json.loads(nonzero_here(*options, "--json").stdout)["weights"][0]
