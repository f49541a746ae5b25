"""``nonzero evaluate``: figures of files that are not learned from, by slice, and of two models."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from command_line import nonzero_here
from nonzero import LogisticRegression
from real_data import real_data

SITES = ("news", 'a "b", c', "two\nlines", "sport")


def examples(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    sites, bids = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]), rng.integers(0, 9, n) / 4
    clicks = rng.random(n) < 0.1 + 0.1 * sites + 0.1 * bids
    return [
        {"site": SITES[a], "bid": b, "user": f"u{k % 50}", "click": int(c)}
        for k, (a, b, c) in enumerate(zip(sites.tolist(), bids.tolist(), clicks.tolist(), strict=True))
    ]


def csv(rows: Sequence[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        text = f"{value:g}" if isinstance(value, float) else str(value).replace('"', '""')
        return f'"{text}"' if {*text} & {*'",\n'} else text

    lines = [",".join(cell(value) for value in row.values()) for row in rows]
    return "\n".join([",".join(rows[0]), *lines]) + "\n"


def ndjson(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(
        json.dumps(
            {
                "features": {"site": row["site"], "bid": row["bid"], "tags": [row["user"], f"t{k % 3}"]},
                "label": row["click"],
                "weight": 0.5 + k % 2,
                "time": 1_700_000_000_000 + k * 100_000,
            }
        )
        + "\n"
        for k, row in enumerate(rows)
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of tables, of which one takes bid for a number, one of JSON, and files to evaluate."""
    place = tmp_path_factory.mktemp("evaluate")
    (place / "train.csv").write_text(csv(examples(2000)))
    (place / "train.ndjson").write_text(ndjson(examples(2000)))
    (place / "test.csv").write_text(csv(examples(3000, 1)))
    (place / "test.ndjson").write_text(ndjson(examples(3000, 1)))
    for options in (
        ("train.csv", "--ignore", "user", "--model", place / "words"),
        ("train.csv", "--number", "bid", "--bits", "12", "--model", place / "numbers"),
        ("train.ndjson", "--optimizer", "ftrl", "--model", place / "json"),
    ):
        done = nonzero_here("train", place / options[0], *options[1:])
        assert done.returncode == 0, done.stderr
    return place


def evaluated(*arguments: str | Path) -> dict[str, Any]:
    done = nonzero_here("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_figures_are_those_of_the_predictions(place: Path) -> None:
    model = (place / "json").read_bytes()
    found = evaluated(place / "test.ndjson", "--model", place / "json")
    predicted = nonzero_here("predict", place / "test.ndjson", "--model", place / "json")
    p = np.array(predicted.stdout.split(), float)
    rows = examples(3000, 1)
    y = np.array([row["click"] for row in rows])
    s = np.array([0.5 + k % 2 for k in range(len(rows))])
    [figures] = found["models"]
    assert (found["examples"], found["clicks"], found["rejected"]) == (3000, (s * y).sum(), 0)
    assert figures["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=s), rel=1e-6)
    assert figures["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=s), rel=1e-9)
    assert figures["brier"] == pytest.approx(brier_score_loss(y, p, sample_weight=s), rel=1e-6)
    assert figures["calibration"] == pytest.approx((s * p).sum() / (s * y).sum(), rel=1e-6)
    assert figures["normalized_entropy"] < 1
    assert (place / "json").read_bytes() == model


def test_several_files_of_any_kind_are_one_log(place: Path, tmp_path: Path) -> None:
    rows = examples(3000, 1)
    (tmp_path / "one.csv.gz").write_bytes(gzip.compress(csv(rows[:1000]).encode()))
    parquet.write_table(pyarrow.Table.from_pylist(rows[1000:2000]), tmp_path / "two.parquet")
    (tmp_path / "three.csv").write_text(csv(rows[2000:]))
    done = nonzero_here("convert", tmp_path / "three.csv", tmp_path / "three.rows", "--like", place / "words")
    assert done.returncode == 0, done.stderr
    files = [tmp_path / name for name in ("one.csv.gz", "two.parquet", "three.rows")]
    found = evaluated(*files, "--model", place / "words", "--slice", "site")
    whole = evaluated(place / "test.csv", "--model", place / "words", "--slice", "site")
    assert found["models"][0] | {"model": ""} == pytest.approx(whole["models"][0] | {"model": ""})
    # Rows have hashes, and these are named by the other files.
    assert [one["value"] for one in found["slices"]["site"]] == [SITES[k] for k in range(4)]
    for one, other in zip(found["slices"]["site"], whole["slices"]["site"], strict=True):
        assert one["models"][0] == pytest.approx(other["models"][0])


def test_models_with_different_schemas_are_compared_line_by_line(place: Path, tmp_path: Path) -> None:
    both = evaluated(place / "test.csv", "--model", place / "words", "--model", place / "numbers")
    alone = [evaluated(place / "test.csv", "--model", place / name) for name in ("words", "numbers")]
    for one, other in zip(both["models"], alone, strict=True):
        assert one == pytest.approx(other["models"][0])
    difference = both["difference"]
    losses = [one["log_loss"] for one in both["models"]]
    assert difference["mean"] == pytest.approx(losses[0] - losses[1])
    assert difference["low"] < difference["mean"] < difference["high"]
    assert both["alone"] == both["rejected"] == 0
    # One row has a word where one model wants a number, another no label.
    rows = examples(3000, 1)
    rows[7]["bid"], rows[9]["click"] = "cheap", ""
    (tmp_path / "bad.csv").write_text(csv(rows))
    done = nonzero_here(
        "evaluate", tmp_path / "bad.csv", "--model", place / "words", "--model", place / "numbers", "--json"
    )
    found = json.loads(done.stdout)
    assert (found["examples"], found["rejected"], found["alone"]) == (2998, 2, 1)
    assert "'cheap'" in done.stderr
    assert done.stderr.count("there is no label") == 1
    assert "1 lines are left out because only one of the models could read them" in done.stderr
    rest = [row for k, row in enumerate(rows) if k not in (7, 9)]
    (tmp_path / "good.csv").write_text(csv(rest))
    good = evaluated(tmp_path / "good.csv", "--model", place / "words", "--model", place / "numbers")
    for one, other in zip(found["models"], good["models"], strict=True):
        assert one == pytest.approx(other)


def test_the_better_model_is_named_in_a_sentence(place: Path, tmp_path: Path) -> None:
    untrained = tmp_path / "untrained"
    good = LogisticRegression.load(place / "words")
    fresh = LogisticRegression(schema=good.schema)
    fresh.notes = dict(good.notes)
    fresh.save(untrained)
    done = nonzero_here("evaluate", place / "test.csv", "--model", untrained, "--model", place / "words")
    assert f"{place / 'words'} is better than {untrained} by 0." in done.stdout
    assert " nats an example, 95 % 0." in done.stdout
    done = nonzero_here("evaluate", place / "test.csv", *("--model", place / "words") * 2)
    assert f"{place / 'words'} and {place / 'words'} are the same model" in done.stderr
    assert "No difference can be told" in done.stdout


def test_slices_are_as_if_each_were_evaluated_alone(place: Path, tmp_path: Path) -> None:
    models = ("--model", place / "words", "--model", place / "numbers")
    found = evaluated(place / "test.csv", *models, "--slice", "site,user", "--top", "2")
    rows = examples(3000, 1)
    first, second, rest = found["slices"]["site"]
    assert [first["value"], second["value"]] == [SITES[0], SITES[1]]
    assert (rest["slice"], rest["value"], rest["values"]) == ("rest", None, 2)
    for one, sites in ((first, SITES[:1]), (second, SITES[1:2]), (rest, SITES[2:])):
        (tmp_path / "part.csv").write_text(csv([row for row in rows if row["site"] in sites]))
        alone = evaluated(tmp_path / "part.csv", *models)
        for figures, other in zip(one["models"], alone["models"], strict=True):
            for key in ("examples", "clicks", "weight", "log_loss", "calibration", "brier"):
                assert figures[key] == pytest.approx(other[key])
            assert figures["auc"] == pytest.approx(other["auc"], abs=1e-3)
        assert one["difference"]["mean"] == pytest.approx(alone["difference"]["mean"])
    # A model need not know a field that it is sliced by: one was trained without it.
    assert [one["slice"] for one in found["slices"]["user"]] == ["value", "value", "rest"]
    assert sum(one["models"][0]["examples"] for one in found["slices"]["user"]) == 3000


def test_lists_count_in_each_slice_and_times_tell_days(place: Path) -> None:
    found = evaluated(
        place / "test.ndjson", "--model", place / "json", "--slice", "tags", "--top=3", "--by-day"
    )
    tags = {one["value"]: one["models"][0]["examples"] for one in found["slices"]["tags"][:3]}
    assert tags == {"t0": 1000, "t1": 1000, "t2": 1000}
    assert found["slices"]["tags"][3]["values"] == 50
    days = found["days"]
    assert [one["value"] for one in days] == [
        "2023-11-14",
        "2023-11-15",
        "2023-11-16",
        "2023-11-17",
        "2023-11-18",
    ]
    assert sum(one["models"][0]["examples"] for one in days) == 3000
    assert days[1]["models"][0]["examples"] == 864


def test_the_days_of_tables_are_told_by_their_column_or_their_format(tmp_path: Path) -> None:
    lines = [f"{k},{k % 3 % 2},141{k % 2}2113,s{k % 4}\n" for k in range(40)]
    for part in (0, 1):
        (tmp_path / f"log_{part}.csv").write_text("id,click,hour,site\n" + "".join(lines[part::2]))
        (tmp_path / f"bare_{part}.csv").write_text("".join(lines[part::2]))
    log, bare = tmp_path / "log_?.csv", tmp_path / "bare_*.csv"
    days = {"2014-10-21": 20, "2014-11-21": 20}

    def sizes(slices: Sequence[dict[str, Any]]) -> dict[str, int]:
        return {one["value"]: one["models"][0]["examples"] for one in slices}

    for form, options, files in (
        ("avazu", ("--format=avazu",), log),
        ("csv", ("--id=id", "--time=hour:%y%m%d%H"), log),
        ("bare", ("--no-header", "--id=id", "--time=hour:%y%m%d%H"), bare),
    ):
        named = ("--columns=id,click,hour,site",) if form == "bare" else ()
        done = nonzero_here("train", files, *options, *named, "--model", tmp_path / form)
        assert done.returncode == 0, done.stderr
        found = evaluated(files, *options, "--model", tmp_path / form, "--by-day", "--slice=site")
        assert sizes(found["days"]) == days
        assert sizes(found["slices"]["site"]) == {"s0": 10, "s1": 10, "s2": 10, "s3": 10}


def test_days_of_any_year_are_told(place: Path, tmp_path: Path) -> None:
    times = [0, 86_399_999, 86_400_000, 253_402_300_800_000, 10**18 - 1]
    lines = [
        json.dumps({"features": {"site": "a"}, "label": k % 2, "time": time}) for k, time in enumerate(times)
    ]
    (tmp_path / "far.ndjson").write_text("\n".join(lines))
    days = evaluated(tmp_path / "far.ndjson", "--model", place / "json", "--by-day")["days"]
    assert [(one["value"], one["models"][0]["examples"]) for one in days] == [
        ("1970-01-01", 2),
        ("1970-01-02", 1),
        ("10000-01-01", 1),
        ("31690708-07-05", 1),
    ]


def test_what_slices_cannot_tell_is_said(place: Path, tmp_path: Path) -> None:
    rows = tmp_path / "test.rows"
    assert nonzero_here("convert", place / "test.csv", rows, "--like", place / "words").returncode == 0
    done = nonzero_here("evaluate", rows, "--model", place / "words", "--slice", "site,sit", "--by-day")
    assert "rows files hold hashes only" in done.stderr
    assert "no example has the field 'sit' of --slice sit; did you mean 'site'?" in done.stderr
    assert "no example has a time" in done.stderr
    assert done.stdout.count("#") == 4
    done = nonzero_here("evaluate", rows, "--model", place / "numbers")
    assert done.returncode == 1
    assert "was hashed" in done.stderr
    users = [{**row, "user": k} for k, row in enumerate(examples(5000))]
    (tmp_path / "users.csv").write_text(csv(users))
    done = nonzero_here(
        "evaluate", tmp_path / "users.csv", "--model", place / "words", "--slice", "user", "--top=1"
    )
    assert "user has more than 1,024 values: those that came later are among the rest" in done.stderr
    assert "(all others)     4,999" in done.stdout


def test_standard_input_is_read_once(place: Path) -> None:
    text = (place / "test.csv").read_bytes()
    done = nonzero_here("evaluate", "-", "--format=csv", "--model", place / "words", "--json", stdin=text)
    assert json.loads(done.stdout)["examples"] == 3000
    for more in (("--model", place / "numbers"), ("--slice", "site")):
        done = nonzero_here("evaluate", "-", "--format=csv", "--model", place / "words", *more, stdin=text)
        assert done.returncode == 2
        assert "standard input can be read only once" in done.stderr


def test_labels_that_are_alike_or_missing_are_said_aloud(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text(csv([{**row, "click": 0} for row in examples(50)]))
    done = nonzero_here("evaluate", file, "--model", place / "words")
    assert done.returncode == 1
    assert "the labels of all 50 rows are 0" in done.stderr
    assert "calibration" in done.stdout
    file.write_text(csv([{**row, "click": "yes" if row["click"] else "no"} for row in examples(50)]))
    done = nonzero_here("evaluate", file, "--model", place / "words")
    assert (done.returncode, done.stdout) == (1, "")
    assert "50 of 50 rows were refused for their label" in done.stderr
    found = evaluated(file, "--model", place / "words", "--positive", "yes")
    assert found["clicks"] == sum(row["click"] for row in examples(50))


def test_wrong_uses_are_refused(place: Path, tmp_path: Path) -> None:
    for arguments, reason in (
        (("--model", place / "words") * 3, "there are 3 models; give one, or two to compare"),
        (("--model", place / "words", "--slice", "si*"), "'si*' has a star in it"),
    ):
        done = nonzero_here("evaluate", place / "test.csv", *arguments)
        assert done.returncode == 2
        assert reason in done.stderr
    (tmp_path / "few.csv").write_text("site,click\nnews,1\n")
    for file in ("few.csv", "few.rows"):
        done = nonzero_here("evaluate", tmp_path / file, "--model", place / "words")
        assert done.returncode == 1
        assert "columns are missing that the model was trained on: 'bid'" in done.stderr
        found = nonzero_here(
            "convert",
            tmp_path / "few.csv",
            tmp_path / "few.rows",
            "--like",
            place / "words",
            "--allow-missing",
            "--overwrite",
        )
        assert found.returncode == 0, found.stderr
    assert evaluated(tmp_path / "few.csv", "--model", place / "words", "--allow-missing")["examples"] == 1


def test_models_of_different_labels_are_not_compared(tmp_path: Path) -> None:
    rows = [{**row, "buy": int(k % 9 == 0)} for k, row in enumerate(examples(300))]
    (tmp_path / "both.csv").write_text(csv(rows))
    for label, other in (("click", "buy"), ("buy", "click")):
        done = nonzero_here(
            "train", tmp_path / "both.csv", "--label", label, "--ignore", other, "--model", tmp_path / label
        )
        assert done.returncode == 0, done.stderr
    done = nonzero_here(
        "evaluate", tmp_path / "both.csv", "--model", tmp_path / "click", "--model", tmp_path / "buy"
    )
    assert done.returncode == 1
    assert "say which it is, for csv: --label COLUMN" in done.stderr


@pytest.mark.parametrize("name", ["criteo_attribution.csv.gz"])
def test_a_real_log_tells_a_trained_model_from_another_rate(name: str, tmp_path: Path) -> None:
    file = real_data(name)
    for model, rate in (("auto", "auto"), ("slow", "0.001")):
        done = nonzero_here("train", file, "--learning-rate", rate, "--model", tmp_path / model)
        assert done.returncode == 0, done.stderr
    found = evaluated(
        file, "--model", tmp_path / "auto", "--model", tmp_path / "slow", "--slice", "cat8", "--top", "3"
    )
    assert found["examples"] == 165_152
    assert found["difference"]["high"] < 0
    assert sum(one["models"][0]["examples"] for one in found["slices"]["cat8"]) == 165_152
