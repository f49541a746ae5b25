"""JSON: another implementation, in plain Python and of the page alone, predicts by it what the model does."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from core.export.models import CLOSE, MODELS, exported, golden, model_of, named_rows, rows_for
from core.export.reference import Reference
from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.export.json_text import write_json
from nonzero.export.slot_names import SlotNames
from nonzero.formats.named_rows import read_named
from real_data import unpacked

PAGE = Path(__file__).parents[3] / "docs/export.md"


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", MODELS)
def test_the_reference_predicts_what_the_model_does(name: str) -> None:
    model = model_of(name)
    reference = Reference(exported(model))
    for row in golden(model, rows_for(model)):
        features = zip(row["indices"], row["fields"], row["values"], strict=True)
        assert reference.predict([*features]) == pytest.approx(row["probability"], rel=0, abs=CLOSE)


def test_these_models_are_of_every_kind() -> None:
    mixings = [exported(model_of(name))["mixing"] for name in MODELS]
    assert {mixing["kind"] for mixing in mixings} == {"one", "mixture", "gated"}
    assert {mixing.get("answer") for mixing in mixings} == {None, "free", "restricted"}
    assert exported(model_of("default, recalibrated"))["recalibration"]["slope"] != 1
    assert not exported(model_of("new"))["weights"]


@pytest.mark.parametrize("name", ["default, by name", "default, interactions", "AdaGrad, interactions"])
def test_it_needs_no_more_than_names_and_values(name: str) -> None:
    model = model_of(name)
    reference = Reference(exported(model))
    rows, _ = named_rows(50)
    for row, p in zip(rows, model.predict(Batch.from_dicts(rows)).tolist(), strict=True):
        features = [
            (f"site={row['site']}", "site", 1.0),
            *((f"tags={tag}", "tags", 1.0) for tag in row["tags"]),
        ]
        features.append(("bid", "bid", float(np.float32(row["bid"]))))
        assert reference.predict_names(features) == pytest.approx(p, rel=0, abs=CLOSE)


def test_the_65536th_feature_is_the_last() -> None:
    """300 times 300 products would be 90,000."""
    model = LogisticRegression(bits=12, optimizer=AdaGrad(), interactions=["a*b"])
    row = {name: [f"{name}{k}" for k in range(300)] for name in "ab"}
    batch = Batch.from_dicts([row, {"a": "a0"}], labels=[1, 0])
    model.learn(batch)
    [found, _] = golden(model, batch)
    features = zip(found["indices"], found["fields"], found["values"], strict=True)
    assert Reference(exported(model)).predict([*features]) == pytest.approx(found["probability"], abs=CLOSE)


@pytest.mark.parametrize(
    ("name", "form"),
    [("criteo_attribution.csv.gz", "csv"), ("vw_0001.dat.gz", "vw"), ("a9a.svm.gz", "libsvm")],
)
def test_of_real_data(name: str, form: str) -> None:
    lines = unpacked(name).splitlines(keepends=True)
    text = b"".join(lines[:4000])
    model = LogisticRegression(bits=16)
    model.learn(formats.parse(text, form, schema=model.schema))
    reference = Reference(exported(model))
    for row in golden(model, formats.parse(b"".join([lines[0], *lines[-200:]]), form, schema=model.schema)):
        features = zip(row["indices"], row["fields"], row["values"], strict=True)
        assert reference.predict([*features]) == pytest.approx(row["probability"], rel=0, abs=CLOSE)


def test_each_slot_has_a_line_with_the_weights_of_the_model() -> None:
    model = model_of("default")
    file = io.BytesIO()
    written = write_json(model, file)
    lines = [line.rstrip(",") for line in file.getvalue().decode().splitlines() if line.startswith('{"slot"')]
    found = [json.loads(line) for line in lines]
    assert (len(found), sorted(row["slot"] for row in found)) == (written, [row["slot"] for row in found])
    slots = [row["slot"] for row in found]
    assert slots == np.flatnonzero(model.table.rows[:-1].any(axis=1)).tolist()
    assert np.allclose(model.weights[slots], [row["weight"] for row in found], atol=1e-6)
    lanes = np.array([row["lanes"] for row in found], np.float32)
    assert (lanes == model.table.weights[slots]).all()


def test_zeros_of_l1_are_left_out() -> None:
    model = model_of("FTRL with zeros")
    touched = int(model.table.rows[:-1].any(axis=1).sum())
    slots = [row["slot"] for row in exported(model)["weights"]]
    assert 0 < len(slots) < touched
    assert slots == np.flatnonzero(model.weights[:-1]).tolist()


def test_the_largest_alone_are_no_model() -> None:
    model = model_of("default, by name")
    found = exported(model, top=5)
    largest = np.argsort(-np.abs(model.weights[:-1]))[:5]
    assert [row["slot"] for row in found["weights"]] == sorted(largest.tolist())
    assert (found["whole"], exported(model)["whole"], exported(model, top=0)["weights"]) == (False, True, [])


def test_slots_have_the_names_that_are_known() -> None:
    model = model_of("default, by name")
    names = SlotNames(model, np.arange(2**model.bits))
    lines = b'{"features": {"site": "s1", "bid": 3}}\n'
    [found, _] = read_named([lines], formats.reader("ndjson", schema=model.schema))
    names.look(found.rows)
    named = {
        name: row["slot"] for row in exported(model, names=names)["weights"] for name in row.get("names", ())
    }
    index = Reference(exported(model)).exported["slots"]
    assert set(named) == {"site=s1", "bid"}
    assert all(slot < index for slot in named.values())


def test_fields_have_the_names_that_the_model_knows() -> None:
    model = LogisticRegression(bits=10, schema={"bid": "number", "x*": "number"})
    model.learn(Batch.from_dicts([{"bid": 3, "xa": 4}], [1], schema=model.schema))
    scales = exported(model)["scales"]
    assert [entry["rms"] for entry in scales if entry.get("name") == "bid"] == [3]
    assert [entry["rms"] for entry in scales if "name" not in entry] == [4]


def test_the_page_names_every_member() -> None:
    table = PAGE.read_text().partition("## JSON\n")[2].partition("\n\nEach slot")[0]
    said = [
        name
        for cell in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    ]
    assert said == [*exported(model_of("new"))]
