"""A model's schema: saved, shared, compared, and left out of what was stored before there were schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.streams import random_batch
from nonzero import Batch, LogisticRegression, Schema, SettingsError
from nonzero.persistence import snapshot

SAID = {"site": "category", "bid": "number", "*_id": "ignore"}


def test_settings_of_older_models_have_no_schema_and_mean_the_older_names() -> None:
    older = LogisticRegression(bits=4, namespace_separator="^", version=1)
    assert set(older.settings) == {"bits", "lanes", "scaled"}
    again = LogisticRegression.from_settings(older.settings)
    assert again.schema == Schema(namespace_separator="^")
    assert again.settings == older.settings
    assert again.digest() == older.digest()


def test_a_new_model_says_how_it_names_and_what_it_was_told() -> None:
    model = LogisticRegression(bits=4, schema=SAID, default="refuse")
    assert model.settings["namespace_separator"] == "="
    assert model.settings["schema"] == {"fields": SAID, "default": "refuse"}
    assert LogisticRegression(bits=4).settings["namespace_separator"] == "="
    assert model.digest() != LogisticRegression(bits=4).digest()
    json.dumps(model.settings)


def test_a_saved_model_keeps_it(tmp_path: Path) -> None:
    model = LogisticRegression(bits=4, schema=SAID, default="category")
    model.save(tmp_path / "m")
    again = LogisticRegression.load(tmp_path / "m", schema=SAID, default="category", namespace_separator="=")
    assert again.schema == model.schema
    assert again.digest() == model.digest()
    with pytest.raises(SettingsError, match=r"schema is .*'default': 'category'.*'default': 'infer'"):
        LogisticRegression.load(tmp_path / "m", default="infer")
    with pytest.raises(SettingsError, match=r"namespace_separator is '=', expected '\^'"):
        LogisticRegression.load(tmp_path / "m", namespace_separator="^")


def test_a_model_that_was_saved_before_loads_as_it_was(tmp_path: Path) -> None:
    model = LogisticRegression(bits=8, namespace_separator="^", version=1)
    model.learn(random_batch(3))
    digest = model.save(tmp_path / "m")
    metadata = snapshot.read_metadata(tmp_path / "m")
    assert set(metadata["settings"]) == {"bits", "lanes", "scaled"}  # as it was written then
    again = LogisticRegression.load(tmp_path / "m", schema=None, namespace_separator="^")
    assert again.schema.namespace_separator == "^"
    assert again.digest() == model.digest()
    assert again.save(tmp_path / "again") == digest


def test_another_process_has_it_even_where_it_is_long() -> None:
    long = {f"a_rather_long_name_of_a_field_{k}": "category" for k in range(1000)}
    model = LogisticRegression(bits=4, schema=long)
    attached = LogisticRegression.attach(model.share().descriptor)
    assert attached.schema == model.schema
    assert attached.digest() == model.digest()


def test_models_of_other_schemas_are_not_copied_into_one_another() -> None:
    with pytest.raises(SettingsError, match="cannot be copied"):
        LogisticRegression(bits=4).copy_from(LogisticRegression(bits=4, schema=SAID))


def test_one_example_is_read_by_it() -> None:
    model = LogisticRegression(bits=10, schema={"ad": "category", "bid": "number"})
    for _ in range(10):
        model.learn_one({"ad": 7, "bid": "0.5"}, 1)
        model.learn_one({"ad": 8, "bid": 0.5}, 0)
    assert model.predict_one({"ad": "7", "bid": 0.5}) == model.predict_one({"ad": 7.0, "bid": "0.50"}) > 0.6
    expected = model.predict(Batch.from_dicts([{"ad": "7", "bid": 0.5}]))[0]
    assert model.predict_body(b'{"features": {"ad": 7}}') is None  # its values are scaled
    assert model.predict_one({"ad": "7", "bid": 0.5}) == expected
