"""What train and predict say at their end of fields that nobody meant; what inspect says of a schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import nonzero
from nonzero import LogisticRegression

AGES = b"".join(
    b'{"features": {"age": %s, "hour": "9"}, "label": 1}\n' % age for age in (b"31", b'"31"', b'"x"')
)


def test_a_run_says_which_fields_came_in_two_kinds_and_which_never_came(tmp_path: Path) -> None:
    (tmp_path / "ages.ndjson").write_bytes(AGES)
    model = tmp_path / "model"
    trained = nonzero(
        "train", tmp_path / "ages.ndjson", "--bits", "4", "--model", model, "--interactions", "age*hours"
    )
    assert trained.returncode == 0
    assert "2 values are of another kind than their field: age 2" in trained.stderr
    assert (
        "no example has the field 'hours' of the interaction age*hours; did you mean 'hour'?"
        in trained.stderr
    )
    assert "'age'" not in trained.stderr.replace("'age*hours'", "")
    asked = nonzero("predict", tmp_path / "ages.ndjson", "--model", model)
    assert len(asked.stdout.splitlines()) == 3
    assert "2 values are of another kind than their field: age 2" in asked.stderr
    (tmp_path / "plain.ndjson").write_bytes(AGES[: AGES.index(b"\n") + 1])
    quiet = nonzero("train", tmp_path / "plain.ndjson", "--bits", "4")
    assert "kind" not in quiet.stderr
    assert "no example" not in quiet.stderr


def test_a_field_that_is_a_number_and_came_as_text_is_counted_and_refused(tmp_path: Path) -> None:
    model = LogisticRegression(bits=4, schema={"age": "number", "*_id": "ignore"}, default="refuse")
    model.save(tmp_path / "model")
    asked = nonzero(
        "predict",
        "-",
        "--format",
        "ndjson",
        "--model",
        tmp_path / "model",
        stdin=b'{"features": {"age": "x"}}\n',
    )
    assert asked.returncode == 1
    assert "1 value is of another kind than their field: age 1" in asked.stderr
    shown = nonzero("inspect", tmp_path / "model").stdout.splitlines()
    assert [line for line in shown if line.startswith(("number", "ignore", "features of"))] == [
        "number: age",
        "ignore: *_id",
        "features of VW text: namespace=feature",
    ]


@pytest.mark.parametrize(
    ("label", "cell", "way_out"),
    [
        ("bought", "1", "say which column has it (of a table: --label COLUMN), or give 0 and 1"),
        ("click", "yes", "say which label is a click (of a table: --positive VALUE), or give 0 and 1"),
    ],
)
def test_labels_that_are_not_found_are_told_of_with_the_option_that_helps(
    tmp_path: Path, label: str, cell: str, way_out: str
) -> None:
    (tmp_path / "log.csv").write_text(f"site,{label}\n" + f"news,{cell}\n" * 3)
    said = nonzero("train", tmp_path / "log.csv", "--bits", "4").stderr
    assert said.splitlines()[-1].endswith(f"3 of 3 rows were refused for their label; {way_out}")
    assert ("--label COLUMN says which has them, of site, bought" in said) == (label == "bought")
