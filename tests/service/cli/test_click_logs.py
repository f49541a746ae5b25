"""Raw click logs: train, predict and serve, each by one command, to the same probabilities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from command_line import nonzero_here
from nonzero import LogisticRegression
from nonzero.formats.buckets import bucket_of
from nonzero.formats.layouts import hour_of
from nonzero_service.demo.process import ServerProcess

COUNTS = [f"I{k}" for k in range(1, 14)]
CATEGORIES = [f"C{k}" for k in range(1, 27)]
AVAZU = ["C1", "banner_pos", "site_id", "app_id", "device_id", "C14", "C21"]

Row = dict[str, str]


def criteo_rows(n: int) -> list[Row]:
    rng = np.random.default_rng(8)
    rows: list[Row] = []
    for _ in range(n):
        row = {name: str(int(rng.lognormal(2, 2)) - 1) for name in COUNTS if rng.random() < 0.8}
        row |= {name: f"{rng.integers(1, 40) * 104729:08x}" for name in CATEGORIES if rng.random() < 0.9}
        chance = 0.1 + 0.6 * (int(row.get("I1", "0")) > 20) + 0.2 * (row.get("C1", "") < "00200000")
        rows.append({"label": str(int(rng.random() < chance)), **row})
    return rows


def avazu_rows(n: int) -> list[Row]:
    rng = np.random.default_rng(9)
    rows: list[Row] = []
    for k in range(n):
        hour = f"1410{21 + k // 100:02d}{k // 4 % 24:02d}"
        row = {name: str(rng.integers(1000, 1020)) for name in AVAZU}
        click = str(int(rng.random() < (0.5 if int(hour[-2:]) > 12 else 0.1)))
        rows.append({"id": str(10**18 + k), "click": click, "hour": hour, **row})
    return rows


def criteo_text(rows: Sequence[Row], labelled: bool = True) -> str:
    names = ["label"] * labelled + COUNTS + CATEGORIES
    return "".join("\t".join(row.get(name, "") for name in names) + "\n" for row in rows)


def avazu_text(rows: Sequence[Row], labelled: bool = True) -> str:
    names = ["id", *["click"] * labelled, "hour", *AVAZU]
    return "".join(
        ",".join(line) + "\n" for line in [names, *([row[name] for name in names] for row in rows)]
    )


def criteo_features(row: Row) -> dict[str, Any]:
    """By the documented names: counts as buckets, categories as they stand."""
    buckets = {f"{name}_bucket": bucket_of(row[name].encode(), name) for name in COUNTS if name in row}
    return buckets | {name: row[name] for name in CATEGORIES if name in row}


def avazu_features(row: Row) -> dict[str, Any]:
    hour, day, _ = hour_of(row["hour"].encode(), "hour")
    return {"hour_of_day": hour, "day_of_week": day, **{name: int(row[name]) for name in AVAZU}}


LOGS: dict[str, tuple[Any, Any, Any]] = {
    "criteo": (criteo_rows(400), criteo_text, criteo_features),
    "avazu": (avazu_rows(400), avazu_text, avazu_features),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", LOGS)
def test_a_raw_log_becomes_a_model_that_is_served(form: str, tmp_path: Path) -> None:
    rows, text, features = LOGS[form]
    log, model = tmp_path / "day_0", tmp_path / "model"
    log.write_text(text(rows))
    done = nonzero_here("train", "--format", form, log, "--bits", "14", "--model", model)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[:-1] == []  # nothing to say but the last figures
    tested = tmp_path / "test"
    tested.write_text(text(rows[:50], labelled=False))
    done = nonzero_here("predict", "--format", form, tested, "--model", model)
    assert done.returncode == 0, done.stderr
    expected = np.array(done.stdout.split(), np.float32)
    assert len({*expected.tolist()}) > 20
    done = nonzero_here("predict", "--format", form, log, "--model", model)
    assert (np.array(done.stdout.split()[:50], np.float32) == expected).all()
    with ServerProcess("127.0.0.1", 0, tmp_path / "data", ["--import", str(model)]) as server:
        route = f"{server.url}/v1/models/default/predict"
        body = {"examples": [{"features": features(row)} for row in rows[:50]]}
        answer = httpx.post(route, json=body, trust_env=False).json()
        raw = {name: value for name, value in rows[0].items() if name in ("I1", "hour")} or {"I1": "5"}
        refused = httpx.post(route, json={"features": raw}, trust_env=False)
    found = np.array([one["probability"] for one in answer["predictions"]], np.float32)
    assert (found == expected).all()
    assert refused.status_code == 422  # a raw count, or hour, is not silently another feature
    assert "did you mean" in refused.text


def test_a_model_of_a_named_format_reads_no_other_table(tmp_path: Path) -> None:
    rows, text, _ = LOGS["criteo"]
    log, model, other = tmp_path / "log", tmp_path / "model", tmp_path / "other.csv"
    log.write_text(text(rows))
    nonzero_here("train", "--format", "criteo", log, "--bits", "10", "--model", model)
    names = ["Id", "Label", *COUNTS, *CATEGORIES]
    lines = text(rows[:20]).replace("\t", ",").splitlines()
    other.write_text("\n".join([",".join(names), *(f"{k},{line}" for k, line in enumerate(lines))]) + "\n")
    done = nonzero_here("predict", other, "--model", model)
    assert done.returncode == 1
    assert "is read as csv, and the model was trained on criteo" in done.stderr
    assert "give it as --format criteo" in done.stderr
    by_header = nonzero_here("predict", other, "--format", "criteo", "--model", model)
    raw = nonzero_here("predict", log, "--format", "criteo", "--model", model)
    assert by_header.returncode == 0, by_header.stderr
    assert by_header.stdout.split() == raw.stdout.split()[:20]


@pytest.mark.parametrize(
    ("form", "said"), [("avazu", ()), ("criteo", ("--columns", "click,site")), ("criteo", ("--no-header",))]
)
def test_another_table_is_not_trained_on_as_a_named_format(
    form: str, said: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "clicks.csv").write_text("click,site\n" + "1,news\n0,sport\n" * 9)
    model = tmp_path / "model"
    done = nonzero_here("train", tmp_path / "clicks.csv", "--format", form, *said, "--model", model)
    assert (done.returncode, model.exists()) == (1, False), done
    if said != ("--no-header",):
        assert f"none of the columns that {form} is known for" in done.stderr


def test_rows_of_a_named_format_say_what_it_decided(tmp_path: Path) -> None:
    rows, text, _ = LOGS["avazu"]
    log, packed = tmp_path / "log", tmp_path / "log.rows"
    log.write_text(text(rows))
    models = [tmp_path / "from_text", tmp_path / "from_rows"]
    assert nonzero_here("convert", "--format", "avazu", log, packed).returncode == 0
    nonzero_here("train", "--format", "avazu", log, "--bits", "10", "--model", models[0])
    done = nonzero_here("train", packed, "--bits", "10", "--model", models[1])
    assert done.returncode == 0, done.stderr
    one, other = map(LogisticRegression.load, models)
    assert one.digest() == other.digest()
    assert one.notes == other.notes
    assert one.schema.default == "refuse"
    assert one.schema.kind_of("id") == "ignore"


def test_a_named_format_as_ndjson_is_the_same_model(tmp_path: Path) -> None:
    rows, text, features = LOGS["criteo"]
    log, lines = tmp_path / "log", tmp_path / "log.ndjson"
    log.write_text(text(rows))
    assert nonzero_here("convert", "--format", "criteo", log, lines).returncode == 0
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    expected = [{name: str(value) for name, value in features(row).items()} for row in rows]
    assert [one["features"] for one in written] == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--number", "I*"], {"I1": "number"}),
        (["--category", "I1"], {"I1": "category", "I2_bucket": "category"}),
        (["--ignore", "I1_bucket,C26"], {"I1_bucket": "ignore", "C26": "ignore"}),
    ],
)
def test_what_is_declared_of_a_raw_column_wins(
    options: list[str], said: dict[str, str], tmp_path: Path
) -> None:
    rows, text, _ = LOGS["criteo"]
    log, model = tmp_path / "log", tmp_path / "model"
    log.write_text(text(rows))
    done = nonzero_here("train", "--format", "criteo", log, "--bits", "10", "--model", model, *options)
    assert done.returncode == 0, done.stderr
    schema = LogisticRegression.load(model).schema
    assert {name: schema.kind_of(name) for name in said} == said
    assert nonzero_here("predict", "--format", "criteo", log, "--model", model).returncode == 0


@pytest.mark.parametrize("form", LOGS)
def test_days_one_after_the_other_are_the_days_together(form: str, tmp_path: Path) -> None:
    rows, text, _ = LOGS[form]
    days = [tmp_path / "day_0", tmp_path / "day_1"]
    for day, part in zip(days, (rows[:250], rows[250:]), strict=True):
        day.write_text(text(part))
    together, apart = tmp_path / "together", tmp_path / "apart"
    options = ["--format", form, "--bits", "10", "--model"]
    assert nonzero_here("train", tmp_path / "day_*", *options, together).returncode == 0
    assert nonzero_here("train", days[0], *options, apart).returncode == 0
    done = nonzero_here("train", days[1], "--from", apart, "--format", form, "--model", apart)
    assert done.returncode == 0, done.stderr
    assert "new" not in done.stderr
    one, other = map(LogisticRegression.load, (together, apart))
    assert one.digest() == other.digest()
    assert one.notes == other.notes
