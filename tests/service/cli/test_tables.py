"""Tables on the command line: what train decides binds predict and every door of a service."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from command_line import nonzero, nonzero_here
from nonzero import LogisticRegression, Schema
from nonzero_service.demo.process import ServerProcess

HEADER = "request,site,flag,bid,query,click\n"
EXAMPLES = [
    {
        "site": k % 7,
        "flag": k % 3 == 0,
        "bid": round((k % 11) / 4, 2),
        "query": ("red\nshoes", 'a "b", c', "plain")[k % 3],
        "request": f"r{k}",
    }
    for k in range(400)
]
LABELS = [int((k % 7 < 3) ^ (k % 11 > 8)) for k in range(400)]


def rows(delimiter: str = ",", labels: list[str] | None = None) -> str:
    lines = []
    for one, label in zip(EXAMPLES, labels or [str(label) for label in LABELS], strict=True):
        query = '"' + str(one["query"]).replace('"', '""') + '"'
        cells = [one["request"], one["site"], one["flag"], one["bid"], query, label]
        lines.append(delimiter.join(map(str, cells)) + "\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "clicks.csv"
    path.write_text(HEADER + rows())
    model = path.with_name("model")
    done = nonzero("train", path, "--number", "bid", "--bits", "12", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "'request' is left out" in done.stderr
    return path


def test_a_model_trained_on_a_table_says_the_same_over_http_in_json(trained: Path, tmp_path: Path) -> None:
    model = trained.with_name("model")
    done = nonzero("predict", trained, "--model", model)
    assert done.returncode == 0, done.stderr
    expected = np.array(done.stdout.split(), np.float32)
    assert len({*expected.tolist()}) > 20
    with ServerProcess("127.0.0.1", 0, tmp_path / "data", ["--import", str(model)]) as server:
        body = {"examples": [{"features": one} for one in EXAMPLES]}
        answer = httpx.post(f"{server.url}/v1/models/default/predict", json=body, trust_env=False)
        said = httpx.get(f"{server.url}/v1/models/default", trust_env=False).json()["settings"]["schema"]
    found = [one["probability"] for one in answer.json()["predictions"]]
    assert (np.array(found, np.float32) == expected).all()
    assert said["fields"] == {
        "request": "ignore",
        "site": "category",
        "flag": "category",
        "bid": "number",
        "query": "category",
    }


@pytest.mark.parametrize(
    "table",
    [
        HEADER.replace(",", ";") + rows(";"),
        "\ufeff\n" + HEADER + rows(),
        "sep=|\n" + HEADER.replace(",", "|") + rows("|"),
        HEADER + rows(labels=["NA"] * 400),
        HEADER.replace("click", "label") + rows(labels=["no idea"] * 400),
        (HEADER + rows()).replace("\n", "\r\n").replace("red\r\n", "red\n"),
    ],
)
def test_predict_reads_a_table_whatever_it_is_written_as_and_looks_at_no_label(
    trained: Path, table: str
) -> None:
    arguments = ("predict", "-", "--format=csv", "--model", trained.with_name("model"))
    expected = nonzero_here("predict", trained, "--model", trained.with_name("model")).stdout
    done = nonzero_here(*arguments, stdin=table.encode())
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_predict_names_the_way_out_of_a_delimiter_that_it_does_not_look_for(trained: Path) -> None:
    arguments = ("predict", "-", "--format=csv", "--model", trained.with_name("model"))
    table = (HEADER.replace(",", "^") + rows("^")).encode()
    done = nonzero_here(*arguments, stdin=table)
    assert (done.returncode, done.stdout) == (1, "")
    assert "its header is one column" in done.stderr
    expected = nonzero_here("predict", trained, "--model", trained.with_name("model")).stdout
    assert nonzero_here(*arguments, "--delimiter", "^", stdin=table).stdout == expected


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("site", "Site"), "'site' (there is 'Site')"),
        (HEADER.replace(",site", ", site"), "'site' (there is ' site')"),
        (HEADER.replace("site", "page"), "'site'"),
    ],
)
def test_predict_refuses_a_table_without_what_was_learned_and_writes_nothing(
    trained: Path, header: str, said: str, tmp_path: Path
) -> None:
    output = tmp_path / "predictions"
    arguments = ["predict", "-", "--format=csv", "--model", str(trained.with_name("model"))]
    arguments += ["--output", str(output)]
    table = (header + rows()).encode()
    done = nonzero_here(*arguments, stdin=table)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "--allow-missing" in done.stderr
    assert not output.exists()
    assert nonzero_here(*arguments, "--allow-missing", stdin=table).returncode == 0
    assert len(output.read_text().splitlines()) == 400


@pytest.mark.parametrize(
    ("labels", "positive", "said"),
    [
        ([str(1 + k % 2) for k in range(400)], "2", "200 of 400 rows were refused for their label, and all"),
        ([("yes", "no")[k % 2] for k in range(400)], "yes", "400 of 400 rows"),
        ([("1", "")[k % 2] for k in range(400)], "1", "200 of 400 rows"),
        ([("1", "0", "?", "NA", "-")[k % 5] for k in range(400)], "1", "240 of 400 rows"),
        (["1"] * 400, None, "the labels of all 400 rows are 1"),
    ],
)
def test_labels_that_teach_nothing_are_a_failure_with_a_way_out(
    tmp_path: Path, labels: list[str], positive: str | None, said: str
) -> None:
    path = tmp_path / "clicks.csv"
    path.write_text(HEADER + rows(labels=labels))
    done = nonzero_here("train", path, "--bits", "8")
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "--positive" in done.stderr.splitlines()[-1]
    if positive is not None:
        done = nonzero_here("train", path, "--bits", "8", "--positive", positive, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rejected"] == 0


def test_a_schema_is_options_or_a_file_for_every_format(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"fields": {"s*": "category"}, "default": "refuse"}))
    (tmp_path / "log.ndjson").write_text('{"features": {"site": 7, "bid": "0.5", "id": 1}, "label": 1}\n')
    (tmp_path / "log.vw").write_text("0 |site 7 |bid 0.5 |id x\n")
    (tmp_path / "log.csv").write_text("site,bid,id,click\n7,0.5,x,1\n")
    model = tmp_path / "model"
    files = [tmp_path / f"log.{name}" for name in ("ndjson", "vw", "csv")]
    options = ("--schema", tmp_path / "schema.json", "--number", "bid,price", "--ignore", "i*")
    save = ("--bits", "8", "--model", model, "--overwrite")
    done = nonzero_here("train", *files, *options, *save)
    assert done.returncode == 0, done.stderr
    expected = Schema({"s*": "category", "bid": "number", "price": "number", "i*": "ignore"}, "refuse")
    learned = LogisticRegression.load(model)
    assert (learned.schema, learned.examples) == (expected, 3)
    shown = nonzero_here("inspect", model).stdout
    assert "schema: 1 category, 2 number, 1 ignore; all others: refuse" in shown
    said = ("--schema", '{"site": "category", "bid": "number"}')  # as JSON
    done = nonzero_here("train", files[1], *said, *save)
    assert LogisticRegression.load(model).schema == Schema({"site": "category", "bid": "number"})
    done = nonzero_here("train", files[1], "--namespace-separator", "^", *save)
    assert LogisticRegression.load(model).schema.namespace_separator == "^"


def test_values_of_another_kind_are_told_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("site,bid,click\na,0.5,1\nb,cheap,0\nc,dear,0\n")
    done = nonzero_here("train", log, "--number", "bid", "--bits", "8")
    assert "2 values are of another kind than their field: bid 2" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--category", "site", "--number", "site"], "'site' is named by --category too"),
        (["--label", "click", "--ignore", "click"], "'click' is the label"),
        (["--number", "nope"], "there is no column 'nope'; there are request, site"),
        (["--ignore", "x*"], "there is no column 'x*'"),
        (["--schema", "bad.json"], "bad.json"),
        (["--schema", "bid.json", "--number", "bid"], "'bid' is ignore in"),
        (["--delimiter", "ab"], "the delimiter is 'ab'"),
        (["--positive", ""], "positive is empty"),
        (["--keep", "nope"], "no column 'nope' to keep"),
        (["--format", "vw", "--keep", "site"], "only tables (csv, Parquet, Arrow) have columns to keep"),
    ],
)
def test_options_that_cannot_be_are_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("[1]")
    Path("bid.json").write_text('{"bid": "ignore"}')
    done = nonzero_here("train", trained, "--bits", "8", *options)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
