"""Rows files on the command line: as text, to the bit, and several times as fast to read."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from csv import DictReader
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from command_line import COMMAND, nonzero, nonzero_here
from nonzero import LogisticRegression
from nonzero.sources.files import Source
from nonzero.sources.rows_file import RowsReader


def vw(n: int = 3000, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 50, (n, 3))
    return "".join(
        f"{'1' if chance < 0.2 + a / 100 else '-1'} {1 + c % 3} 'i{a} |site s{a} |ad:0.5 x{b}:{c / 7:.3f} y\n"
        for (a, b, c), chance in zip(rows.tolist(), rng.random(n), strict=True)
    )


def ndjson(n: int = 2000) -> str:
    rng = np.random.default_rng(1)
    lines = []
    for k, (a, b) in enumerate(rng.integers(1, 40, (n, 2)).tolist()):
        features = {"site": f"s{a}", "bid": b / 8, "tags": [f"t{a % 5}", f"t{b % 7}"], "ünï": "ø"}
        example = {"features": features, "label": int(a > 20), "weight": 0.5 + b % 2, "time": 1000 + k}
        lines.append(json.dumps(example if k % 9 else {"indices": [a, b], "label": int(b > 20)}))
    return "\n".join(lines)


def csv(n: int = 1500, flag: str = "True") -> str:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 30, (n, 2)).tolist()
    lines = (f"r{k},s{a},{flag if b % 2 else 'False'},{a % 3}\n" for k, (a, b) in enumerate(rows))
    return "request,site,flag,bid,click\n" + "".join(
        line.rstrip() + f",{int(k % 4 == 0)}\n" for k, line in enumerate(lines)
    )


def libsvm(n: int = 1000) -> str:
    rng = np.random.default_rng(3)
    return "".join(
        f"{int(a > 20)} {a}:1 {b + 60}:{b / 3:.4f}\n" for a, b in rng.integers(0, 40, (n, 2)).tolist()
    )


TEXTS: dict[str, Callable[[], str]] = {"vw": vw, "ndjson": ndjson, "csv": csv, "svm": libsvm}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log of each format."""
    for ending, text in TEXTS.items():
        (tmp_path / f"log.{ending}").write_text(text())
    return tmp_path


def digest(*files: Path | str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> str:
    """Train, and return the digest of the model; its notes are held against nothing."""
    return trained(*files, stdin=stdin, options=options).digest()


def trained(*files: Path | str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> LogisticRegression:
    model = next(Path(str(file)) for file in files if str(file) != "-").with_name("model")
    done = nonzero_here("train", *files, "--bits=12", "--model", model, "--overwrite", *options, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return LogisticRegression.load(model)


def converted(*files: Path | str, name: str = "made.rows", options: tuple[str, ...] = ()) -> Path:
    made = Path(str(files[0])).with_name(name)
    done = nonzero_here("convert", *files, made, "--overwrite", *options)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("ending", TEXTS)
def test_rows_teach_what_their_text_does(logs: Path, ending: str) -> None:
    text = logs / f"log.{ending}"
    expected = trained(text)
    found = trained(converted(text))
    assert found.digest() == expected.digest()
    assert (found.notes, found.settings) == (expected.notes, expected.settings)
    assert found.metrics() == expected.metrics()


def test_with_processes_pipes_and_packings(logs: Path) -> None:
    """Real processes: a file, standard output and input, and compressed."""
    expected = digest(logs / "log.vw")
    made, model = logs / "made.rows", logs / "model"
    done = nonzero("convert", logs / "log.vw", made)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    piped = subprocess.run(
        [*COMMAND, "convert", "-", "-", "--format", "vw"],
        input=(logs / "log.vw").read_bytes(),
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout
    assert piped == made.read_bytes()
    packed = [converted(logs / "log.vw", name=f"made.rows.{ending}") for ending in ("gz", "zst")]
    assert gzip.decompress(packed[0].read_bytes()) == piped
    assert packed[1].stat().st_size < len(piped)
    given: list[tuple[Path | str, bytes]] = [(made, b""), ("-", piped), *((one, b"") for one in packed)]
    for file, stdin in given:
        done = nonzero("train", file, "--bits=12", "--model", model, "--overwrite", stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert LogisticRegression.load(model).digest() == expected


def test_several_files_of_several_kinds_are_one_log(logs: Path) -> None:
    texts = [logs / f"log.{ending}" for ending in ("csv", "vw", "ndjson")]
    options = ("--number", "bid")
    expected = trained(*texts, options=options)
    rows = converted(texts[0], name="first.rows", options=options)
    assert digest(rows, *texts[1:]) == expected.digest()
    all_of_them = converted(*texts, options=options)
    found = trained(all_of_them)
    assert (found.digest(), found.notes) == (expected.digest(), expected.notes)
    # Rows files are joined by converting them again; their heads and feet are.
    joined = converted(rows, converted(*texts[1:], name="others.rows", options=options), name="joined.rows")
    assert digest(joined) == expected.digest()
    assert RowsReader(Source(joined)).foot == RowsReader(Source(all_of_them)).foot
    # Their order counts, and standard input may be among them.
    expected = trained(texts[1], texts[0], options=options)
    assert digest(texts[1], rows) == expected.digest()
    assert digest(texts[1], "-", stdin=rows.read_bytes()) == expected.digest()


def test_numbers_of_one_file_are_no_categories_of_another(logs: Path) -> None:
    """In a table an undeclared column is a category; in JSON a number was hashed as a number."""
    made = converted(logs / "log.ndjson")
    done = nonzero_here("train", logs / "log.csv", made)
    assert done.returncode == 1
    assert "the field 'bid' is number there and category in the model" in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--interactions", "site*ad,site*site"), ("--learning-rate", "0.2"), ("--optimizer", "ftrl:l1=2")],
)
def test_interactions_and_rules_are_of_the_model_not_of_the_file(
    logs: Path, options: tuple[str, ...]
) -> None:
    assert digest(converted(logs / "log.vw"), options=options) == digest(logs / "log.vw", options=options)


def test_predictions_are_those_of_the_text(logs: Path) -> None:
    for ending in TEXTS:
        model = trained(logs / f"log.{ending}")
        expected = nonzero_here("predict", logs / f"log.{ending}", "--model", logs / "model")
        rows = converted(logs / f"log.{ending}")
        done = nonzero_here("predict", rows, "--model", logs / "model")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, "")
        assert len(done.stdout.split()) == model.examples


def test_what_cannot_be_read_is_told_and_left_out_and_rows_without_a_label_are_kept(tmp_path: Path) -> None:
    text = tmp_path / "log.vw"
    text.write_text("1 |a b\nnonsense\n|a c\n0 |a c\n")
    made = tmp_path / "log.rows"
    done = nonzero_here("convert", text, made)
    assert done.returncode == 0
    assert f"{text}, line 2: " in done.stderr
    done = nonzero_here("train", made, "--bits=10", "--json")
    assert (json.loads(done.stdout)["examples"], json.loads(done.stdout)["rejected"]) == (2, 1)
    assert f"{made}, row 2: there is no label" in done.stderr


def test_nothing_to_write_leaves_nothing(tmp_path: Path) -> None:
    text, made = tmp_path / "log.vw", tmp_path / "log.rows"
    text.write_text("nonsense\n")
    made.write_bytes(b"old")
    done = nonzero_here("convert", text, made, "--overwrite")
    assert done.returncode == 1
    assert f"there is no example to write in {text}" in done.stderr
    assert made.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.rows", "log.vw"]


def test_damage_is_one_line_that_says_where_and_what_to_do(logs: Path) -> None:
    made = converted(logs / "log.vw")
    whole = made.read_bytes()
    model = logs / "model"
    trained(logs / "log.vw")
    for data, said in (
        (whole[:-1000], "is cut: it ends at byte"),
        (whole[:5000] + b"\0" + whole[5001:], "is damaged at byte"),
        (whole[:8] + b"\7" + whole[9:], "is a rows file of version 7, and this release reads 1"),
        (b"", "is empty"),
        (b"1 |a b\n", "is no rows file"),
    ):
        made.write_bytes(data)
        for command in (
            ("train", made),
            ("predict", made, "--model", model),
            ("convert", made, logs / "b.rows"),
        ):
            done = nonzero_here(*command)
            assert done.returncode == 1
            last = done.stderr.splitlines()[-1]
            assert last.startswith(f"nonzero: {made} {said}"), last
            assert "convert" in last
    assert not (logs / "b.rows").exists()


def test_rows_that_were_hashed_otherwise_are_refused_with_a_way_out(logs: Path) -> None:
    made = converted(logs / "log.csv", options=("--number", "bid"))
    model = logs / "model"
    trained(logs / "log.csv")
    done = nonzero_here("predict", made, "--model", model)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the field 'bid' is number there and category in the model" in done.stderr
    assert "--like MODEL" in done.stderr
    expected = nonzero_here("predict", logs / "log.csv", "--model", model).stdout
    made = converted(logs / "log.csv", options=("--like", str(model)))
    assert nonzero_here("predict", made, "--model", model).stdout == expected
    done = nonzero_here("train", made, "--number", "bid")
    assert done.returncode == 1
    assert "the field 'bid' is number in the options and category in" in done.stderr
    done = nonzero_here("convert", logs / "log.csv", made, "--like", model, "--number", "bid", "--overwrite")
    assert done.returncode == 2
    assert "the model says what the fields are" in done.stderr


def test_a_stream_of_rows_is_checked_at_its_end(tmp_path: Path) -> None:
    """Which fields came stands behind the rows: of a pipe it is known when they have been read."""
    text = tmp_path / "log.ndjson"
    text.write_text('{"features": {"bid": "x"}, "label": 1}\n{"features": {"bid": "y"}, "label": 0}\n')
    made, model = converted(text), tmp_path / "model"
    done = nonzero_here(
        "train", "-", "--number", "bid", "--bits=10", "--model", model, stdin=made.read_bytes()
    )
    assert done.returncode == 1
    assert "the field 'bid' is category there and number in the model" in done.stderr
    assert not model.exists()


def test_columns_that_the_model_needs_are_looked_for(logs: Path) -> None:
    trained(logs / "log.csv")
    (logs / "fewer.csv").write_text("flag,bid,click\nTrue,1,0\nFalse,2,1\n")
    made = converted(logs / "fewer.csv", options=("--like", str(logs / "model"), "--allow-missing"))
    done = nonzero_here("predict", made, "--model", logs / "model")
    assert done.returncode == 1
    assert "'site'" in done.stderr
    done = nonzero_here("predict", made, "--model", logs / "model", "--allow-missing")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["log.vw"], "OUTPUT"),
        (["absent.vw", "a.rows"], "absent.vw"),
        (["log.vw", "log.txt"], "name the file .rows, .vw"),
        (["log.csv", "a.parquet.gz"], "Parquet is a plain file"),
        (["log.csv", "-", "--to", "parquet"], "Parquet is a plain file"),
        (["log.svm", "a.csv"], "libsvm has no names"),
        (["log.rows", "a.csv"], "whose names cannot be had back"),
        (["log.csv", "other.csv", "a.tsv"], "give files of the same columns"),
        (["log.csv", "a.parquet", "--columns", "a,b"], "5 cells"),
        (["log.csv", "a.parquet", "--number", "bid"], "--number: the columns of tables stay as they are"),
        (["log.csv", "a.tsv", "--like", "log.rows"], "--like: the columns of tables stay as they are"),
        (["empty.csv", "a.tsv"], "empty.csv is empty: there is no header"),
        (
            ["log.csv", "a.tsv", "--format", "foo"],
            "give one of vw, libsvm, ndjson, csv, tsv, criteo, avazu, parq",
        ),
        (["log.rows", "a.vw"], "whose names cannot be had back"),
        (["log.rows", "log.vw", "a.ndjson"], "whose names cannot be had back"),
        (["log.vw", "absent/a.rows"], "there is no directory"),
        (["log.rows", "log.rows"], "is a file that is read"),
        (["log.vw", "a.rows", "--keep", "site"], "only tables (csv, Parquet, Arrow)"),
        (["log.vw", "a.rows", "--like", "absent"], "absent"),
        (["log.rows", "a.rows", "--namespace-separator", "^"], "namespaces are joined"),
    ],
)
def test_a_wrong_use_says_what_is_wrong(
    logs: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    converted(logs / "log.vw", name="log.rows")
    (logs / "empty.csv").touch()
    (logs / "other.csv").write_text("site,click\nnews,1\n")
    monkeypatch.chdir(logs)
    done = nonzero_here("convert", *arguments)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split()).replace("│ ", ""), done.stderr
    assert not (logs / "a.rows").exists()


def test_a_service_or_a_demo_takes_no_rows_and_says_so(logs: Path) -> None:
    done = nonzero_here("demo", converted(logs / "log.vw"))
    assert done.returncode != 0
    assert "train, predict and convert read" in " ".join(done.stderr.split())


# -- texts -------------------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("ending", "target"), [("vw", "vw"), ("csv", "vw"), ("csv", "ndjson"), ("ndjson", "ndjson")]
)
def test_a_text_as_another_teaches_the_same(logs: Path, ending: str, target: str) -> None:
    options = ("--number", "bid")
    text = logs / f"log.{ending}"
    expected = trained(text, options=options)
    made = converted(text, name=f"made.{target}.gz", options=options)
    found = trained(made, options=options)
    assert found.digest() == expected.digest() or found.schema != expected.schema
    assert found.metrics() == expected.metrics()
    assert found.examples == expected.examples


def test_what_a_text_cannot_say_is_told_line_by_line(logs: Path) -> None:
    done = nonzero_here("convert", logs / "log.vw", logs / "made.ndjson")
    assert done.returncode == 1
    assert f"{logs / 'log.vw'}, line 1: the category " in done.stderr
    assert "3,000 in all" in done.stderr or "there is no example" in done.stderr
    assert not (logs / "made.ndjson").exists()
    done = nonzero_here("convert", logs / "log.csv", logs / "made.vw", "--number", "bid")
    assert "read it with --number bid" in done.stderr


@pytest.mark.parametrize("target", ["ndjson", "libsvm"])
def test_rows_as_text_are_slots_of_a_table(logs: Path, target: str) -> None:
    """Names cannot be had back; the same slots are learned from."""
    (logs / "log.vw").write_text(
        vw().replace(" 2 'i", " 1 'i").replace(" 3 'i", " 1 'i")
    )  # libsvm has no weights
    rows = converted(logs / "log.vw")
    made = logs / f"made.{target}"
    done = nonzero_here("convert", rows, made, "--bits=12")
    assert done.returncode == 0, done.stderr
    options = ("--learning-rate=0.2",)  # one lane looks at no field
    expected, found = trained(logs / "log.vw", options=options), trained(made, options=options)
    assert (found.weights == expected.weights).all()
    assert found.metrics() == expected.metrics()


# -- tables ------------------------------------------------------------------------------------------------

TARGETS = ["csv", "csv.gz", "tsv", "parquet", "arrow", "arrows", "arrow.zst"]

TABLE = (
    '\ufeffid;site;at;price;click\r\n007;"a;b ""c""\n d";2026-01-31;1.10;1\r\n'
    "00501;é | \t x; ;1e3;0\n12345678901234567890123;;NaN;;1\nx;True;-;0;yes"
)
CELLS = [
    {"id": "007", "site": 'a;b "c"\n d', "at": "2026-01-31", "price": "1.10", "click": "1"},
    {"id": "00501", "site": "é | \t x", "at": " ", "price": "1e3", "click": "0"},
    {"id": "12345678901234567890123", "site": "", "at": "NaN", "price": "", "click": "1"},
    {"id": "x", "site": "True", "at": "-", "price": "0", "click": "yes"},
]


def cells_in(file: Path) -> list[dict[str, str]]:
    """Return the rows of a table, its cells as text."""
    name = file.name
    if "parquet" in name:
        rows = parquet.read_table(file).to_pylist()
    elif "arrow" in name:
        data = b"".join(Source(file))
        read = pyarrow.ipc.open_file if data.startswith(b"ARROW1") else pyarrow.ipc.open_stream
        rows = read(data).read_all().to_pylist()
    else:
        text = b"".join(Source(file)).decode().removeprefix("\ufeff")
        delimiter = "\t" if "tsv" in name else ";" if "id;" in text else ","
        rows = [*DictReader(StringIO(text, newline=""), delimiter=delimiter)]
    return [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("by_way_of", [None, "parquet", "arrows", "tsv"])
def test_a_table_as_another_keeps_its_cells(tmp_path: Path, target: str, by_way_of: str | None) -> None:
    file = tmp_path / "table.csv"
    file.write_text(TABLE, newline="")
    if by_way_of is not None:
        file = converted(file, name=f"between.{by_way_of}")
    assert cells_in(converted(file, name=f"made.{target}")) == CELLS


@pytest.mark.sampled(1)
@pytest.mark.parametrize("target", ["parquet", "arrow"])
def test_a_new_process_imports_what_it_writes_with(tmp_path: Path, target: str) -> None:
    """Those that other tests fork have imported all of pyarrow already."""
    (tmp_path / "log.csv").write_text("id,time,site,click\n1,5,news,1\n2,6,shop,0\n")
    log, made = tmp_path / "log.csv", tmp_path / f"made.{target}"
    joined = tmp_path / f"joined.{target}"
    commands: list[list[str | Path]] = [
        ["convert", log, made],
        ["join", log, log, "--id=id", "--time=time:s", "--window=9", "--label=y", "-o", joined],
    ]
    for command in commands:
        done = subprocess.run([*COMMAND, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert cells_in(converted(made, name="back.csv"))[1]["site"] == "shop"


def test_a_table_keeps_its_bytes_where_nothing_asks_for_others(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text('a;b\r\n1;"2"\r\n')
    (tmp_path / "two.csv").write_text("a;b\n3; 4\n5\n")
    done = nonzero_here("convert", tmp_path / "*.csv", tmp_path / "made.csv")
    assert done.returncode == 0
    assert "two.csv, line 3: the line has 1 cells, the header 2" in done.stderr
    assert (tmp_path / "made.csv").read_bytes() == b'a;b\n1;"2"\n3; 4\n'
    done = nonzero_here("convert", "-", "-", "--format=csv", "--to=tsv", stdin=b"a,b\n1,2\n")
    assert done.returncode == 0, done.stderr


def test_columns_with_types_keep_them_and_are_text_where_there_are_none(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "site": pyarrow.array(["news", None, "", "é"]).dictionary_encode(),
            "bid": pyarrow.array([0.1, None, float("nan"), 5.0], pyarrow.float32()),
            "at": pyarrow.array([datetime(2026, 1, 31, 12, tzinfo=UTC)] * 4, pyarrow.timestamp("us", "UTC")),
            "flag": [True, False, None, True],
            "tags": [["a", "b"], [], None, ["c"]],
            "more": [{"x": 1}] * 4,
        }
    )
    with pyarrow.ipc.new_file(tmp_path / "table.arrow", table.schema) as out:
        out.write_table(table)
    found = parquet.read_table(converted(tmp_path / "table.arrow", name="made.parquet"))
    assert found.drop_columns(["site", "bid"]).equals(table.drop_columns(["site", "bid"]))
    assert found["site"].to_pylist() == table["site"].to_pylist()
    assert str(found["bid"].to_pylist()) == str(table["bid"].to_pylist())
    done = nonzero_here("convert", tmp_path / "table.arrow", tmp_path / "made.csv")
    assert "the column 'tags' is list" in done.stderr
    parquet.write_table(table.drop_columns(["tags", "more"]), tmp_path / "flat.parquet")
    done = nonzero_here("convert", tmp_path / "flat.parquet", tmp_path / "made.csv")
    assert f"{tmp_path / 'flat.parquet'}, row 3: " in done.stderr  # NaN is no value
    assert (tmp_path / "made.csv").read_text() == (
        "site,bid,at,flag\nnews,0.10000000149011612,2026-01-31T12:00:00+00:00,true\n"
        ",,2026-01-31T12:00:00+00:00,false\né,5,2026-01-31T12:00:00+00:00,true\n"
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize("target", ["vw", "ndjson", "rows"])
@pytest.mark.parametrize("source", ["parquet", "arrows"])
def test_columns_as_text_teach_the_same(logs: Path, source: str, target: str) -> None:
    options = ("--number", "bid", "--ignore", "request")
    columns = converted(logs / "log.csv", name=f"log.{source}")
    made = converted(columns, name=f"made.{target}", options=options)
    found = trained(made, options=() if target == "rows" else options)
    assert found.metrics() == trained(logs / "log.csv", options=options).metrics()
    assert found.examples == 1500


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", ["csv.gz", "tsv", "parquet", "arrows"])
@pytest.mark.parametrize("source", ["vw", "ndjson"])
def test_text_with_names_as_a_table_teaches_the_same(tmp_path: Path, source: str, target: str) -> None:
    rng = np.random.default_rng(5)
    lines = []
    for a, b, label in rng.integers(0, 9, (300, 3)).tolist():
        if source == "vw":
            lines.append(f"{label % 2} {1 + b % 3} |site s{a} |ünï x{b}" if a else f"{label % 2} |site s1")
        else:
            features = {"site": f"s{a}", "bid": b / 8, "id": f"u{a % 3}", "text": 'a,"b"\n\t;'}
            example = {"features": features, "label": label % 2, "weight": 1 + b % 2, "id": f"i{b}"}
            lines.append(json.dumps(example | ({"time": 1000 * a} if a else {})))
    text = tmp_path / f"log.{source}"
    text.write_text("\n".join(lines))
    done = nonzero_here("convert", text, tmp_path / f"made.{target}")
    assert done.returncode == 0, done.stderr
    said = next(line for line in done.stderr.splitlines() if line.startswith("read it with "))
    options = [*said.removeprefix("read it with ").split(), "--category=*"]
    expected, found = trained(text), trained(tmp_path / f"made.{target}", options=(*options,))
    assert found.examples == 300
    assert found.metrics() == expected.metrics()
    predictions = [
        nonzero_here("predict", file, "--model", tmp_path / "model", *more).stdout
        for file, more in ((text, ()), (tmp_path / f"made.{target}", options[:-1]))
    ]
    assert predictions[0] == predictions[1]


def test_what_no_column_says_is_told_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "log.vw").write_text("1 |site news\n0 |site a b\n1 |site\n0 | word\n1 |ad x:2\n0 |site:2 c\n")
    done = nonzero_here("convert", tmp_path / "log.vw", tmp_path / "made.csv")
    assert done.returncode == 0
    for line, reason in (
        (2, "the field 'site' has 2 values, and a cell of text has one"),
        (4, "the feature 'word' has no field, which a column would be"),
        (5, "the category 'ad=x' has the value 2, which a cell has no place for"),
        (6, "the category 'site=c' has the value 2"),
    ):
        assert f"log.vw, line {line}: {reason}" in done.stderr
    assert (tmp_path / "made.csv").read_text() == "label,site,ad\n1,news,\n1,,\n"
    table = parquet.read_table(converted(tmp_path / "log.vw", name="made.parquet"))
    assert table["site"].to_pylist() == [["news"], ["a", "b"], None]
    (tmp_path / "log.ndjson").write_text(
        '{"features": {"x": 1, "t": "True"}}\n{"features": {"x": "a"}}\n'
        '{"indices": [3]}\n{"features": {"y": ""}}'
    )
    done = nonzero_here("convert", tmp_path / "log.ndjson", tmp_path / "made.tsv")
    for line, reason in (
        (1, "the field 'x' is a number here and a text elsewhere"),
        (3, "it has features by index, which no column is called by"),
        (4, "the field 'y' is an empty text, which a cell has not"),
    ):
        assert f"log.ndjson, line {line}: {reason}" in done.stderr
    assert (tmp_path / "made.tsv").read_text() == "x\tt\ty\na\t\t\n"
    for name in ("made.csv", "made.parquet"):
        done = nonzero_here("convert", "-", tmp_path / name, "--format=vw", "--overwrite", stdin=b"1 |a b\n")
        assert "standard input can be read only once" in done.stderr
