"""``nonzero train --try``: several settings in one pass, each to the bits that it comes to alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import nonzero, nonzero_here
from nonzero import LogisticRegression
from service.cli.test_convert import ndjson, vw

EIGHT = " ".join(f"adagrad:learning_rate={0.01 * 2**k:g}" for k in range(8))
SETTINGS = [
    ("bits=11", ("--bits=11",)),
    ("learning-rate=0.2", ("--learning-rate=0.2",)),
    ("optimizer=ftrl:alpha=0.1,l1=1 bits=10", ("--optimizer=ftrl:alpha=0.1,l1=1", "--bits=10")),
    (f"optimizer='{EIGHT}'", ("--optimizer", EIGHT)),
    ("interactions=site*ad,ad*ad", ("--interactions=site*ad,ad*ad",)),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.vw"
    path.write_text(vw())
    return path


def test_each_comes_to_the_model_that_it_would_be_alone(log: Path) -> None:
    tries = [part for text, _ in SETTINGS for part in ("--try", text)]
    done = nonzero("train", log, "--bits=12", *tries, "--json", "--model", log.with_name("m{n}"))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [one["try"] for one in results] == [text for text, _ in SETTINGS]
    for n, (one, (_, options)) in enumerate(zip(results, SETTINGS, strict=True), start=1):
        save = ("--model", log.with_name("alone"), "--overwrite")
        alone = nonzero_here("train", log, "--bits=12", *options, "--json", *save)
        assert alone.returncode == 0, alone.stderr
        expected = json.loads(alone.stdout)
        for key in ("examples", "log_loss", "auc", "normalized_entropy", "calibration", "rejected"):
            assert one[key] == expected[key], (one["try"], key)
        model = LogisticRegression.load(log.with_name(f"m{n}"))
        assert model.digest() == LogisticRegression.load(log.with_name("alone")).digest()
        assert one["settings"]["bits"] == model.bits
        assert one["seconds"] > 0
        assert one["examples_per_second"] == pytest.approx(one["examples"] / one["seconds"])


def test_a_table_marks_the_best_which_alone_is_saved(log: Path) -> None:
    model = log.with_name("best")
    done = nonzero_here(
        "train",
        log,
        "--bits=12",
        "--model",
        model,
        "--try=bits=12",
        "--try=optimizer=adagrad:epsilon=9",
    )
    assert done.returncode == 0, done.stderr
    heads, first, second = done.stdout.splitlines()
    assert heads.split() == ["n", "log", "loss", "AUC", "calibration", "examples/s", "setting"]
    assert first.startswith("*")
    assert first.split()[-1] == "bits=12"
    assert second.split()[-1] == "optimizer=adagrad:epsilon=9"
    assert [line.index("bits=12") for line in (first,)] == [heads.index("setting")]
    assert len(LogisticRegression.load(model).lanes) == 8


def test_tables_of_different_sizes_leave_out_what_each_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "log.svm"
    path.write_text("1 3:1\n0 99:1\n0 7:1\n" * 10)
    done = nonzero_here("train", path, "--try=bits=6", "--try=bits=8", "--json")
    assert done.returncode == 0, done.stderr
    assert [(one["examples"], one["rejected"]) for one in json.loads(done.stdout)] == [(20, 10), (30, 0)]
    assert done.stderr.count("is outside the model's table of 2**6") == 5
    assert "10 in all" in done.stderr


def test_tables_and_notes_are_of_each_model(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("site,bid,click\n" + "".join(f"s{k % 5},{k % 7},{int(k % 3 == 0)}\n" for k in range(300)))
    done = nonzero_here(
        "train", path, "--number=bid", "--try=bits=10", "--try=bits=11", "--model", tmp_path / "m{n}"
    )
    assert done.returncode == 0, done.stderr
    one, other = (LogisticRegression.load(tmp_path / f"m{n}") for n in (1, 2))
    assert one.notes == other.notes
    assert one.notes["csv"]["columns"] == ["site", "bid"]
    assert one.schema == other.schema
    # And conflicts are counted once, whatever the number of models.
    text = tmp_path / "log.ndjson"
    text.write_text(ndjson(50).replace('"bid": ', '"site": 1, "bid": ') + "\n")
    lines = [
        nonzero_here("train", text, *(f"--try=bits={bits}" for bits in range(8, 8 + n))).stderr.splitlines()[
            -1
        ]
        for n in (1, 4)
    ]
    assert "of another kind than their field" in lines[0]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("", "it says nothing"),
        ("bits", "'bits' is not NAME=VALUE"),
        ("bit=20", "did you mean bits=...?"),
        ("bits=20,learning-rate=0.1", "bits is '20,learning-rate=0.1', no whole number; put blanks between"),
        ("bits=31", "bits is 31"),
        ("bits=20 bits=21", "bits stands twice"),
        ("learning-rate=fast", "'fast' is neither"),
        ("learning-rate=0.1 optimizer=ftrl", "give it or --optimizer, not both"),
        ("optimizer=sgd", "'sgd'"),
        ("optimizer='ftrl", "close each quotation mark"),
        ("optimizer=ftrl ftrl", "'ftrl' is not NAME=VALUE"),
        ("interactions=site", "'site' is not two names of fields"),
        ("bits=22", "it is the same setting as 'optimizer=auto'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_a_way_out(log: Path, setting: str, said: str) -> None:
    done = nonzero_here("train", log, "--try", "optimizer=auto", "--try", setting)
    assert (done.returncode, done.stdout) == (2, "")
    error = " ".join(done.stderr.replace("│", " ").split())
    assert "--try" in error
    assert said in error


def test_a_setting_wins_over_the_options(log: Path) -> None:
    done = nonzero_here(
        "train", log, "--bits=9", "--learning-rate=0.3", "--try=optimizer=ftrl", "--try=bits=10", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = [one["settings"] for one in json.loads(done.stdout)]
    assert [(one["bits"], one["learning_rate"], one["optimizer"]) for one in found] == [
        (9, "auto", "ftrl"),
        (10, "0.3", "auto"),
    ]


def test_a_model_has_a_place_before_anything_is_learned(log: Path) -> None:
    done = nonzero_here("train", log, "--try=bits=10", "--model", log.with_name("absent") / "m{n}")
    assert done.returncode == 2
    assert "there is no directory" in " ".join(done.stderr.split())
