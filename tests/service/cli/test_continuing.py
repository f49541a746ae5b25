"""``nonzero train --from``: Monday, then Tuesday, is Monday and Tuesday in one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import nonzero, nonzero_here
from nonzero import Batch, LogisticRegression
from service.cli.test_convert import csv, libsvm, ndjson, vw

TEXTS: dict[str, Callable[[], str]] = {"vw": vw, "ndjson": ndjson, "csv": csv, "svm": libsvm}
OPTIONS = {
    "vw": ("--interactions=site*ad",),
    "ndjson": ("--number=bid", "--learning-rate=0.2"),
    "csv": ("--number=bid", "--category=si*"),
    "svm": ("--optimizer=ftrl:l1=0.1",),
}


def halves(text: str, *, header: bool) -> tuple[str, str]:
    """Cut a log in two days; each has the header."""
    head, lines = ([], text.splitlines(keepends=True)) if not header else ([text[: text.index("\n") + 1]], [])
    lines = lines or text.splitlines(keepends=True)[1:]
    half = len(lines) // 2
    return "".join([*head, *lines[:half]]), "".join([*head, *lines[half:]])


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a log of each format for each of two days."""
    monkeypatch.chdir(tmp_path)
    for ending, text in TEXTS.items():
        monday, tuesday = halves(text(), header=ending == "csv")
        Path(f"monday.{ending}").write_text(monday)
        Path(f"tuesday.{ending}").write_text(tuesday)
    return tmp_path


def train(*arguments: str, stdin: bytes = b"") -> str:
    """Train; return what was printed."""
    done = nonzero_here("train", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said(*arguments: str) -> str:
    """Return what is said of a wrong use."""
    done = nonzero_here("train", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize("ending", TEXTS)
def test_two_runs_are_one(ending: str) -> None:
    monday, tuesday = f"monday.{ending}", f"tuesday.{ending}"
    options = ("--bits=12", *OPTIONS[ending])
    train(monday, tuesday, *options, "--model=both")
    train(monday, *options, "--model=first")
    train(tuesday, "--from=first", "--model=then")
    both, then = LogisticRegression.load("both"), LogisticRegression.load("then")
    assert then.digest() == both.digest()
    assert then.notes == both.notes
    assert then.metrics() == both.metrics()
    assert LogisticRegression.load("first").examples < then.examples
    # The options may be said again, and the model may be replaced.
    train(tuesday, "--from=first", *options, "--model=first")
    assert LogisticRegression.load("first").digest() == both.digest()


def test_with_processes_rows_files_and_pipes(days: Path) -> None:
    train("monday.vw", "tuesday.vw", "--bits=12", "--model=both")
    expected = LogisticRegression.load("both").digest()
    train("monday.vw", "--bits=12", "--model=first")
    assert nonzero_here("convert", "tuesday.vw", "tuesday.rows").returncode == 0
    tuesday = Path("tuesday.vw").read_bytes()
    for file, stdin in ((days / "tuesday.rows", b""), ("-", tuesday)):
        save = ("--from", days / "first", "--model", days / "then", "--overwrite")
        done = nonzero("train", file, *(["--format=vw"] if stdin else []), *save, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert LogisticRegression.load("then").digest() == expected


@pytest.mark.usefixtures("days")
def test_rows_files_of_tables_are_read_as_the_model_was_trained() -> None:
    train("monday.csv", "tuesday.csv", "--bits=12", "--model=both")
    both = LogisticRegression.load("both")
    train("monday.csv", "--bits=12", "--model=first")
    assert nonzero_here("convert", "tuesday.csv", "tuesday.rows").returncode == 0
    train("tuesday.rows", "--from=first", "--model=then")
    then = LogisticRegression.load("then")
    assert (then.digest(), then.notes) == (both.digest(), both.notes)
    # Rows that were hashed otherwise are refused: with another kind, and with other words for True.
    other = Path("tuesday.csv").read_text().replace("True", "maybe")
    Path("other.csv").write_text(other)
    for name, text, options in (("number", "tuesday.csv", ["--number=bid"]), ("maybe", "other.csv", [])):
        assert nonzero_here("convert", text, f"{name}.rows", *options).returncode == 0
        said = {"number": "'bid' is number there", "maybe": "the column 'flag' holds nothing but True"}[name]
        for command in (
            ["train", f"{name}.rows", "--from=first", "--model=other"],
            ["predict", f"{name}.rows", "--model=first", "--output=other"],
        ):
            done = nonzero_here(*command)
            assert done.returncode == 1
            assert said in done.stderr
            assert not Path("other").exists()


@pytest.mark.usefixtures("days")
def test_the_summary_tells_this_run_and_the_whole() -> None:
    train("monday.vw", "--bits=12", "--model=first")
    first = LogisticRegression.load("first")
    told = json.loads(train("tuesday.vw", "--from=first", "--model=then", "--json"))
    then = LogisticRegression.load("then")
    whole = then.metrics()
    assert told["whole"] == {key: whole[key] for key in told["whole"]}
    assert {"examples", "log_loss", "auc", "calibration"} <= told["whole"].keys()
    rows = then.last(then.examples - first.examples).astype(float)
    p, loss, label, weight = rows.T
    assert told["examples"] == len(rows)
    assert told["log_loss"] == pytest.approx((loss * weight).sum() / weight.sum(), rel=1e-6)
    assert told["calibration"] == pytest.approx((p * weight).sum() / (label * weight).sum(), rel=1e-6)
    assert told["examples_per_second"] == pytest.approx(told["examples"] / told["seconds"])
    lines = train("tuesday.vw", "--from=first").splitlines()
    assert lines[0].split() == ["this", "run", "in", "all"]
    assert lines[1].split() == ["examples", f"{len(rows):,}", f"{then.examples:,}"]
    assert not lines[-1].startswith("in all")


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize(
    ("options", "contradictions"),
    [
        (["--bits=13"], ["--bits is 13, and the model's is 12"]),
        (["--learning-rate=auto"], ["--learning-rate is auto, and the model has AdaGrad(learning_rate=0.2"]),
        (["--optimizer=ftrl", "--bits=9"], ["--optimizer is ftrl, and the model", "--bits is 9"]),
        (["--interactions=flag*site"], ["--interactions is flag*site, and the model has site*flag"]),
        (
            ["--number=site", "--ignore=more,b*", "--keep=request"],
            [
                "--number site, and in the model it is category",
                "--ignore more, and in the model it is undeclared",
                "--ignore b*, and in the model it is undeclared",
                "--keep request, and in the model it is ignore",
            ],
        ),
        (
            ["--schema", '{"fields": {"bid": "category"}, "default": "refuse"}'],
            ["--schema says that 'bid' is category", "--schema says that all others are refuse"],
        ),
        (["--namespace-separator=^"], ["--namespace-separator is ^, and the model's is ="]),
        (["--label=flag"], ["--label is flag, and the model's is click"]),
        (["--try=bits=10"], ["--try begins models of other settings"]),
    ],
)
def test_options_that_ask_for_another_model_are_each_named(
    options: list[str], contradictions: list[str]
) -> None:
    same = ("--bits=12", "--learning-rate=0.2", "--interactions=site*flag", "--number=bid", "--ignore=re*")
    train("monday.csv", *same, "--model=first")
    before = Path("first").read_bytes()
    error = said("tuesday.csv", "--from=first", *options, "--model=first")
    assert [text for text in contradictions if text not in error] == []
    assert error.count("--") == 3 + sum(text.count("--") for text in contradictions), error
    assert "Leave them out, or train a new model without --from" in error
    assert Path("first").read_bytes() == before
    train("tuesday.csv", "--from=first", *same, "--label=click", "--model=first")


def test_what_is_there_is_replaced_only_where_it_goes_on(days: Path) -> None:
    train("monday.vw", "--bits=10", "--model=first")
    Path("other").write_bytes(b"old")
    assert "other is there already" in said("tuesday.vw", "--from=first", "--model=other")
    assert "is a file that is read" in said("tuesday.vw", "--from=first", "--model=tuesday.vw")
    (days / "link").symlink_to("first")
    train("tuesday.vw", "--from=link", "--model=first")
    train("tuesday.vw", "--from=first", "--model=link")
    assert Path("link").is_symlink()
    assert "Invalid value for '--from'" in said("tuesday.vw", "--from=absent", "--model=first")
    done = nonzero_here("train", "tuesday.vw", "--from=monday.vw")
    assert done.returncode == 1
    assert done.stderr.startswith("nonzero: monday.vw ")


@pytest.mark.usefixtures("days")
def test_labels_and_examples_are_those_of_the_run() -> None:
    train("monday.vw", "--bits=10", "--model=first")
    before = Path("first").read_bytes()
    Path("none.vw").write_text("nonsense\n")
    done = nonzero_here("train", "none.vw", "--from=first", "--model=first")
    assert done.returncode == 1
    assert "there is no example to learn from in none.vw" in done.stderr
    assert Path("first").read_bytes() == before
    Path("alike.vw").write_text("".join(f"1 0.{k} |site s{k % 3}\n" for k in range(1, 40)))
    done = nonzero_here("train", "alike.vw", "--from=first")
    assert done.returncode == 1
    assert "the labels of all 39 rows are 1" in done.stderr


@pytest.mark.usefixtures("days")
def test_columns_that_are_missing_or_new_are_told() -> None:
    train("monday.csv", "--bits=10", "--model=first")
    Path("fewer.csv").write_text("site,flag,more,click\n" + "s1,True,x,1\ns2,False,y,0\n" * 20)
    done = nonzero_here("train", "fewer.csv", "--from=first", "--model=then")
    assert done.returncode == 1
    assert (
        "columns are missing that the model was trained on: 'bid'; rename them, or do without" in done.stderr
    )
    done = nonzero_here("train", "fewer.csv", "--from=first", "--model=then", "--allow-missing")
    assert done.returncode == 0, done.stderr
    assert "the model was trained without 'more', which are new" in done.stderr
    then = LogisticRegression.load("then")
    assert then.notes["csv"] == {"label": "click", "columns": ["site", "flag"], "boolean": ["flag"]}
    assert then.notes["fields"] == ["request", "site", "flag", "bid", "click", "more"]
    new, old = (then.predict(Batch.from_dicts([{"more": value}], schema=then.schema)) for value in "xz")
    assert new > old
    assert "it is of use with --from" in said("fewer.csv", "--allow-missing")
    # The next day needs what every day had, no more.
    train("fewer.csv", "--from=then", "--model=then")


@pytest.mark.usefixtures("days")
def test_a_model_that_was_trained_on_another_format_goes_on_with_a_table() -> None:
    train("monday.vw", "--bits=12", "--schema", '{"site": "category", "bid": "number"}', "--model=first")
    train("tuesday.csv", "--from=first", "--model=then")
    then = LogisticRegression.load("then")
    assert then.notes["csv"]["columns"] == ["site", "bid"]
    done = nonzero_here("predict", "monday.csv", "--model=then")
    assert done.returncode == 0, done.stderr
